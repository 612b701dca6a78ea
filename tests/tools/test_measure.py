"""`jaxgen eval --metrics`: of a run, of images of other tools, and while a run trains."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
from command import TINY, rows
from PIL import Image

import jaxgen
from jaxgen.config import ConfigError
from jaxgen.data import load
from jaxgen.data.dataset import ArraySplit, Dataset
from jaxgen.data.limits import load_npz
from jaxgen.evaluate import gallery as shown
from jaxgen.evaluate.comparison import Comparison, Subject
from jaxgen.evaluate.extractors.pixels import Pixels
from jaxgen.evaluate.measurement import differences
from jaxgen.evaluate.metrics.fd import frechet_of
from jaxgen.evaluate.sets import ArraySet
from jaxgen.measure import Request, measure_run, named
from jaxgen.pictures import view
from jaxgen.sharding import make_mesh
from jaxgen.train.observe import SAMPLE_SEED
from jaxgen.types import DataSpec

OPTIONS = ("--extractor=pixels", "--num=150", "--sets=2", "--max_examples=200")
WATCHED = ("fd,pr", "pixels", 64)


@pytest.fixture(scope="module")
def run(starter, tmp_path_factory):
    """A finished tiny run that measured its samples on the way."""
    metrics, name, num = WATCHED
    watch = {"": metrics, "_extractor": name, "_num": num, "_every_steps": 10, "_budget": 1.0}
    flags = [f"--config.evaluate.metrics{key}={value}" for key, value in watch.items()]
    return starter.run(TINY, *flags, f"--workdir={tmp_path_factory.mktemp('run') / 'nice'}")


@pytest.fixture(scope="module")
def test_images(data_root, run):
    return load("digits", data_dir=str(data_root)).splits["test"].x


def by_name(out):
    return {m["name"]: m for m in out["measurements"]}


@pytest.fixture(scope="module")
def all_metrics(run, data_root):
    """Every family, once, with what the page shows."""
    options = dict(num=150, sets=2, max_examples=200, extractor="pixels", page=True)
    loaded = jaxgen.load(run.workdir)
    return loaded, loaded.measure("all", data_dir=str(data_root), **options)


def test_every_family_that_there_is(all_metrics):
    loaded, out = all_metrics
    found = by_name(out)
    for name in (
        *("fd-pixels", "fd_ratio-pixels", "kd-pixels", "precision-pixels", "recall-pixels"),
        *("density-pixels", "coverage-pixels", "swd", "swd_8", "copying_ct-pixels", "bpd"),
        *("nn_ratio-pixels", "authentic-pixels", "ppl_codes-pixels", "images_per_second"),
        *("step_seconds", "parameters", "peak_bytes"),
    ):
        assert np.isfinite(found[name]["value"]), name
    never = {"calibration", "disentanglement", "showers", "spectrum", "molecules", "c2st"}
    never.add("equivariance")
    assert set(out["not_available"]) == {"score", "modes", "classes", "cas"} | never
    assert found["parameters"]["value"] == 2208
    for name, row in found.items():
        assert row["group"] in ("fidelity", "diversity", "likelihood", "copying", "cost"), name
        if name.partition("-")[0] in ("precision", "recall", "coverage"):
            assert 0 <= row["low"] and row["high"] <= 1
        assert row["low"] is None or row["low"] <= row["value"] <= row["high"]
        assert all(isinstance(v, str | int | float | None) for v in row["fingerprint"].values())
    saved = json.loads((loaded.directory.path / "evaluation/measurements.json").read_text())
    assert saved["measurements"] == out["measurements"]
    assert saved["source"]["model"] == "flows.nice.NICE"
    assert (saved["source"]["family"], saved["source"]["kind"]) == ("flows", "run")


def test_what_is_decoded_without_rounding_is_rounded_to_the_same(all_metrics, test_images):
    """Level k of a flow is the interval [k, k + 1) of its dequantised data, around k + 1/2."""
    loaded = all_metrics[0]
    z = loaded.encode(test_images[:8])
    real = loaded.decode(z, rounded=False)
    assert real.dtype == np.float32
    assert np.abs(real - test_images[:8]).max() <= 0.5 + 1e-4
    assert len(np.unique(real)) > 100  # it has not been rounded


def test_numbers_carry_what_they_depend_on(all_metrics):
    row = by_name(all_metrics[1])["fd-pixels"]
    print_of = row["fingerprint"]
    assert (print_of["num_real"], print_of["num_generated"]) == (200, 150)
    assert (print_of["split"], print_of["levels"]) == ("train", 17)
    assert len(print_of["data_sha256"]) == 64
    assert row["notes"][0].startswith("biased: 200 real and 150 generated images, below 2,048")
    assert row["low"] < row["value"] < row["high"]
    context = row["context"]
    assert (context["step"], context["seed"], context["sets"]) == (20, 0, 2)
    assert 0 < context["floor"] < row["value"]
    ratio = by_name(all_metrics[1])["fd_ratio-pixels"]["value"]
    np.testing.assert_allclose(ratio * context["trace"], row["value"], rtol=1e-9)
    bound = by_name(all_metrics[1])["bpd"]["fingerprint"]
    assert (bound["kind"], bound["split"], bound["num_real"]) == ("udq", "test", 200)


def test_the_value_is_the_mean_of_the_sets(all_metrics, data_root):
    """Against the pure function on the stored images, and the data as the loader has them."""
    loaded, out = all_metrics
    split = load("digits", data_dir=str(data_root)).splits["train"]
    real = split.x[np.arange(200) * len(split) // 200].reshape(200, -1) / 16
    values = []
    for folder in (loaded.directory.path / "evaluation/generated").iterdir():
        assert json.loads((folder / "about.json").read_text())["step"] == 20
        x = np.concatenate([np.load(p) for p in sorted(folder.glob("*.npy"))])[:150]
        values.append(frechet_of(real, x.reshape(150, -1) / 16))
    assert len(values) == 2 and values[0] != values[1]
    np.testing.assert_allclose(by_name(out)["fd-pixels"]["value"], np.mean(values), rtol=1e-5)


def test_what_is_sampled_is_what_is_measured(all_metrics, tmp_path, jaxgen_command):
    """In Python, by the command, and in the sets that metrics read; the page shows the same."""
    loaded = all_metrics[0]
    folder = loaded.directory.path / "evaluation"
    recipes = {p.parent: json.loads(p.read_text()) for p in folder.glob("generated/*/about.json")}
    (first,) = (place for place, recipe in recipes.items() if recipe["set"] == 0)
    measured = np.concatenate([np.load(p) for p in sorted(first.glob("*.npy"))])
    np.testing.assert_array_equal(loaded.sample(150, seed=0), measured[:150])
    np.testing.assert_array_equal(loaded.sample(8, seed=0), measured[:8])
    np.testing.assert_array_equal(load_npz(folder / "images.npz")["x"], measured[:64])
    out = tmp_path / "a.npz"
    jaxgen_command("sample", loaded.directory.path, "--num=8", "--seed=0", f"--out={out}")
    np.testing.assert_array_equal(load_npz(out)["x"], measured[:8])
    grid = np.asarray(Image.open(folder.parent / "samples" / "step_00000020.png"))
    few = loaded.sample(loaded.config["evaluate"]["num_samples"], SAMPLE_SEED)
    np.testing.assert_array_equal(grid, view(loaded.spec.x, few))


def test_arrays_for_the_page(all_metrics, test_images):
    folder = all_metrics[0].directory.path / "evaluation"
    images, near = load_npz(folder / "images.npz"), load_npz(folder / "neighbours.npz")
    assert images["x"].shape == (64, 8, 8, 1) and images["levels"] == 17
    np.testing.assert_array_equal(near["generated"], images["x"][:8])
    away = (near["nearest"] / 16 - near["generated"][:, None] / 16).reshape(8, 3, -1)
    np.testing.assert_allclose(np.linalg.norm(away, axis=2), near["distance"], rtol=1e-5)
    between = load_npz(folder / "interpolation.npz")["x"]
    assert between.shape == (4, 8, 8, 8, 1)
    rows = np.arange(16) * len(test_images) // 16  # both ends are test images: flows are exact
    np.testing.assert_array_equal(between[:, 0], test_images[rows[:8:2]])
    np.testing.assert_array_equal(between[:, -1], test_images[rows[1:8:2]])
    values = load_npz(folder / "likelihood.npz")
    assert len(values["test"]) == len(values["train"]) == len(test_images)
    assert (values["name"], values["unit"]) == ("bpd", "bits/dim")


def test_points_for_the_page(tmp_path):
    """Points of the plane, real ones beside them; those of a knob do not replace them."""
    spec = DataSpec.of("ring", (2,), None)
    real, made = np.random.RandomState(0).randn(2, 3000, 2).astype(np.float32)
    dataset = Dataset(spec, {s: ArraySplit({"x": real}) for s in ("train", "test")}, "test")
    subject = Subject(spec, None, [ArraySet(made)])
    for settings, x in (({}, made), ({"temperature": 0.5}, made / 2)):
        changed = dataclasses.replace(subject, settings=settings)
        shown.write_sets(tmp_path, Comparison(changed, dataset, Pixels(spec)), x, False)
    found = load_npz(tmp_path / "points.npz")
    np.testing.assert_array_equal(found["generated"], made[:1000])
    np.testing.assert_array_equal(found["real"], real[::3])
    assert found["split"] == "train" and not (tmp_path / "images.npz").exists()


@pytest.mark.slow  # two compilations of the sampler
def test_again_and_on_one_device_the_numbers_are_the_same(all_metrics, data_root):
    """The first has 8 devices; the images of both are made anew."""
    loaded, first = all_metrics
    shutil.rmtree(loaded.directory.path / "evaluation/generated")
    names = "fd,kd,pr,dc,swd,copying,likelihood"
    options = dict(num=150, sets=2, max_examples=200, extractor="pixels", data_dir=str(data_root))
    again = loaded.measure(names, **options)
    for name, row in by_name(again).items():
        assert row == by_name(first)[name], name
    shutil.rmtree(loaded.directory.path / "evaluation/generated")
    one = jaxgen.load(loaded.directory.path)
    whole = make_mesh()
    one.mesh = jax.sharding.Mesh(whole.devices.reshape(-1)[:1].reshape(1, 1), whole.axis_names)
    one.state = jax.device_put(one.state, jax.sharding.NamedSharding(one.mesh, jax.P()))
    one.target = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), one.state
    )
    for name, row in by_name(measure_run(one, Request(names, **options))).items():
        np.testing.assert_allclose(row["value"], by_name(first)[name]["value"], rtol=1e-6)


def test_command_with_knobs(jaxgen_command, run):
    out = json.loads(jaxgen_command("eval", run.workdir, "--metrics=fd", *OPTIONS).out)
    cold = "--temperature=0.5"
    other = json.loads(jaxgen_command("eval", run.workdir, "--metrics=fd", cold, *OPTIONS).out)
    a, b = by_name(out)["fd-pixels"], by_name(other)["fd-pixels"]
    assert (a["settings"], b["settings"]) == ({}, {"temperature": 0.5})
    assert a["value"] != b["value"] and a["fingerprint"] == b["fingerprint"]
    saved = json.loads((run.workdir / "evaluation/measurements.json").read_text())
    names = [m["settings"] for m in saved["measurements"] if m["name"] == "fd-pixels"]
    assert names.count({}) == 1 and names.count({"temperature": 0.5}) == 1


def test_images_of_another_tool_join(jaxgen_command, run, test_images, tmp_path):
    """The same images as a run's have the same number, with an equal fingerprint."""
    sampled = jaxgen_command("eval", run.workdir, "--metrics=fd,kd", *OPTIONS, "--sets=1").out
    x = np.concatenate(
        [
            np.load(path)
            for folder in (run.workdir / "evaluation/generated").iterdir()
            if json.loads((folder / "about.json").read_text()) | {"set": 0, "knobs": {}}
            == json.loads((folder / "about.json").read_text())
            for path in sorted(folder.glob("*.npy"))
        ]
    )[:150]
    np.savez(tmp_path / "theirs.npz", x=x)
    where = (tmp_path / "theirs.npz", "--data=digits", f"--workdir={tmp_path / 'out'}")
    options = (*where, "--metrics=all", *OPTIONS[:1], *OPTIONS[3:])
    found = json.loads(jaxgen_command("eval", *options).out)
    for name in ("fd-pixels", "kd-pixels"):
        ours, theirs = by_name(json.loads(sampled))[name], by_name(found)[name]
        np.testing.assert_allclose(theirs["value"], ours["value"], rtol=1e-12)
        assert not differences(ours["fingerprint"], theirs["fingerprint"])
    assert {"likelihood", "ppl", "speed", "classes"} <= set(found["not_available"])
    assert "disjoint parts" in " ".join(by_name(found)["fd-pixels"]["notes"])
    source = json.loads((tmp_path / "out/evaluation/measurements.json").read_text())["source"]
    assert (source["kind"], source["name"], source["step"]) == ("npz", "theirs", None)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("--metrics=fdd",), "unknown metric 'fdd': did you mean 'fd'?"),
        (("--metrics=,",), "no metric named; known: c2st, calibration, cas"),
        (("--metrics=classes",), "classes is not available: classes are of conditional models"),
        (("--metrics=fd", "--temprature=1"), "no such knob 'temprature'; did you mean"),
        (("--metrics=fd", "--num=0"), "--num=0, expected a whole number from 1 to"),
        (("--metrics=fd", "--reference=valid"), "--reference=valid, expected one of train, test"),
        (("--metrics=fd", "--workdir=x"), "is a run: --workdir is for images of another tool"),
        (("--metrics=all", "--extractor=pixel"), "unknown extractor 'pixel'"),
        (("--num=5",), "--num needs --metrics=..., as --metrics=fd,pr"),
        (("--metrics=fd", "--per_example=x.csv"), "--per_example is of the evaluation without"),
    ],
)
def test_mistakes(jaxgen_command, run, argv, message):
    options = () if "--num" in " ".join(argv) else ("--num=64",)
    options += () if "--extractor" in " ".join(argv) or "--metrics" not in argv[0] else OPTIONS[:1]
    err = jaxgen_command("eval", run.workdir, *argv, *options, code=2).err
    lines = [line for line in err.splitlines() if not line.startswith("measuring")]
    assert len(lines) == 1 and message in lines[0]


def test_mistakes_of_images(jaxgen_command, run, tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((9, 8, 8, 1), np.uint8))
    err = jaxgen_command("eval", tmp_path / "a.npz", "--metrics=fd", code=2).err
    assert "a.npz is no run directory; to measure its images add --data=NAME --workdir=DIR" in err
    (tmp_path / "empty").mkdir()
    where = ("--data=digits", f"--workdir={tmp_path}", "--metrics=fd", "--extractor=pixels")
    assert "no images in" in jaxgen_command("eval", tmp_path / "empty", *where, code=2).err


def test_a_run_of_nan_is_refused(all_metrics, data_root):
    loaded, _ = all_metrics
    state = loaded.state.replace(
        params=jax.tree.map(lambda x: x * np.nan, loaded.state.params), ema={}
    )
    broken = jaxgen.load(loaded.directory.path)
    broken.state = state
    with pytest.raises(ConfigError, match="the parameters of step 20 hold NaN or infinity"):
        broken.measure("fd", data_dir=str(data_root))


def test_grey_levels_of_the_model_are_in_the_fingerprint(all_metrics, data_root):
    """A model of 5-bit data may not be ranked with one of 8-bit data."""
    loaded, first = all_metrics
    coarse = jaxgen.load(loaded.directory.path)

    class Coarse(type(loaded.method)):
        @property
        def levels(self):
            return 32

        def sample(self, *args, **knobs):
            return loaded.method.sample(*args, **knobs)

    coarse.method = Coarse(**vars(loaded.method))
    options = dict(num=150, sets=1, max_examples=200, extractor="pixels", data_dir=str(data_root))
    row = by_name(coarse.measure("fd", **options))["fd-pixels"]
    other = by_name(first)["fd-pixels"]
    assert differences(row["fingerprint"], other["fingerprint"]) == {"levels": (32, 17)}


def test_metrics_while_training(run):
    found = rows(run.workdir, "metrics")
    assert [row["step"] for row in found] == [10, 20]
    assert {"fd-pixels", "precision-pixels", "recall-pixels"} <= set(found[0])
    assert "step 20: measured  fd-pixels " in run.out


def test_all_networks_of_a_model_are_named():
    assert named({"name": "flows.glow.Glow", "depth": 8}) == "flows.glow.Glow"
    two = {"discriminator": {"name": "gans.a.D"}, "generator": {"name": "gans.a.G"}, "width": 2}
    assert named(two) == "gans.a.D, gans.a.G"


def test_requests_are_checked():
    with pytest.raises(ConfigError, match="unknown metric"):
        Request("fld")
    with pytest.raises(ConfigError, match="--sets=0"):
        Request("fd", sets=0)
    assert dataclasses.replace(Request("fd"), data_dir="x").places == {"data_dir": "x"}


def test_continuous_images_are_shown_from_their_range():
    from jaxgen.evaluate.gallery import _unit

    x = np.array([-1.0, 0.0, 1.0]).reshape(1, 3, 1, 1)
    spec = DataSpec.of("a", (3, 1, 1), None, range=(-1.0, 1.0))
    assert _unit(x, spec).ravel().tolist() == [0.0, 0.5, 1.0]
    assert _unit(x, DataSpec.of("a", (3, 1, 1), None)) is x
