"""The commands, end to end on tiny runs: what they print, write, and give back in Python."""

import importlib.util
import json
import pathlib
import subprocess
import sys

import jax
import ml_collections
import numpy as np
import PIL.Image
import pytest
from command import GLOW, ROOT, TINY, rows, saved
from ml_collections import ConfigDict

import jaxgen
from jaxgen.abilities import DensityOf
from jaxgen.config import ConfigError, check_sections
from jaxgen.data import load
from jaxgen.data.embedded import EMBEDDED
from jaxgen.data.limits import load_npz
from jaxgen.sharding import make_mesh
from jaxgen.train.assemble import state_target
from jaxgen.types import DataSpec

HEAVY = {"tensorflow", "tensorflow_datasets", "orbax", "grain", "matplotlib"}


def imported(*argv):
    """The packages that a command has imported when it ends."""
    code = (
        "import sys, runpy, atexit; atexit.register(lambda: print(*sys.modules, file=sys.stderr))"
    )
    command = [sys.executable, "-c", f"{code}; {argv[0]}", *argv[1:]]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    return {name.partition(".")[0] for name in result.stderr.split()}, result


@pytest.mark.parametrize(
    "argv",
    [
        ("import jaxgen",),
        ("import jaxgen; jaxgen.fit; jaxgen.load",),
        ("runpy.run_module('jaxgen.main', run_name='__main__')", "--help"),
        ("runpy.run_module('jaxgen.main', run_name='__main__')", GLOW, "--config.model.dept=4"),
        ("runpy.run_module('jaxgen.cli', run_name='__main__')", "--help"),
    ],
    ids=["import", "import and use", "main --help", "main with a typo", "jaxgen --help"],
)
def test_nothing_heavy_is_imported(argv):
    packages, result = imported(*argv)
    assert {"absl", "argparse", "jaxgen"} & packages, result.stderr
    assert not packages & (HEAVY | {"jax", "flax"})


def test_a_foreign_run_directory_is_refused_before_the_slow_imports(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    main = "runpy.run_module('jaxgen.main', run_name='__main__')"
    packages, result = imported(main, TINY, f"--workdir={tmp_path}")
    assert f"{tmp_path} belongs to another config" in result.stderr
    assert not packages & (HEAVY | {"jax", "flax"})


def test_help_says_what_and_how(starter):
    job = starter.start("--help").wait()
    for text in ("python -m jaxgen.main --config=configs/glow.py", "--workdir", "Exit codes: 0"):
        assert text in job.out


def test_dry_run(starter, tmp_path):
    place = f"--workdir={tmp_path / 'run'}"
    short = starter.run(TINY, "--dry_run", place, cwd=ROOT).out
    job = starter.run(TINY, "--dry_run=full", place, cwd=ROOT)
    assert not list(tmp_path.iterdir())
    config, _, rest = job.out.partition("\n}\n")
    assert short.startswith("jaxgen ") and "{" not in short and len(short) > len(rest) / 2
    assert json.loads(config + "}")["model"]["name"] == "flows.nice.NICE"
    for text in (
        "data digits: train 1,500, test 297 examples",
        "model: 2,208 parameters",
        "memory of a step: ",
        "20 steps of 16 examples, 0.2 epochs; would write to ",
    ):
        assert text in rest


@pytest.fixture(scope="module")
def run(zoo, tmp_path_factory):
    """A finished tiny run, in a folder of its own."""
    return zoo.copy("flow", tmp_path_factory.mktemp("run") / "nice-digits")


def test_run_directory(run, zoo):
    top = {path.name for path in run.workdir.iterdir()}
    assert top == {
        "config.json",
        "manifest.json",
        "metrics.jsonl",
        "checkpoints",
        "samples",
        "summary.json",
        "tensorboard",
    }
    assert saved(run.workdir) == [10, 20]
    assert [path.name for path in run.workdir.glob("samples/*")] == ["step_00000020.png"]
    (events,) = run.workdir.glob("tensorboard/*")
    assert events.name.startswith("events.out.tfevents.")
    assert [row["step"] for row in rows(run.workdir, "train")] == [5, 10, 15, 20]
    assert [row["step"] for row in rows(run.workdir, "eval_test")] == [10, 20]
    manifest = json.loads((run.workdir / "manifest.json").read_text())
    for key in ("command", "versions", "devices", "git_commit", "seed", "data", "time"):
        assert key in manifest
    assert set(manifest["data"]["fingerprint"]) == {"name", "shape", "levels", "splits"}
    summary = run.summary
    assert summary["step"] == 20
    assert 6 < summary["test/bpd"] < 6.15  # 6.17 without training
    assert len(summary["state_digest"]) == 64
    print_of = summary["fingerprints"]["test/bpd"]
    assert print_of["count"] == 64 and print_of["step"] == 20
    about = DensityOf("udq", "mass", 64, levels=17).fingerprint()
    assert about.items() <= print_of.items()
    made = zoo.run("flow")
    assert made.out.endswith(f"finished: {made.workdir}\n")


def test_config_reloads(run):
    saved_config = json.loads((run.workdir / "config.json").read_text())
    assert saved_config == as_json(get_config("configs/nice.py", "digits,tiny"))


def as_json(config):
    return json.loads(json.dumps(config.to_dict()))


def config_module(path):
    spec = importlib.util.spec_from_file_location("config", ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def get_config(path, arg):
    config = config_module(path).get_config(arg)
    assert isinstance(config, ml_collections.ConfigDict)
    return config


def test_sample_png(jaxgen_command, run):
    out = jaxgen_command("sample", run.workdir, "--num=4", "--seed=3").out
    path = run.workdir / "samples" / "sample_num4_seed3_step00000020.png"
    assert out == f"4 samples of step 20: {path}\n"
    with PIL.Image.open(path) as image:
        assert image.mode == "RGB"
    path.unlink()


def test_sample_npz(jaxgen_command, run, tmp_path):
    path = tmp_path / "s.npz"
    jaxgen_command("sample", run.workdir, "--num=4", "--temperature=0.5", f"--out={path}")
    x = load_npz(path)["x"]
    assert x.shape == (4, 8, 8, 1)
    assert x.dtype == np.uint8 and x.max() <= 16


def test_eval_equals_the_summary(jaxgen_command, run):
    out = jaxgen_command("eval", run.workdir, "--splits=train,test", "--max_examples=64").out
    found = json.loads(out)
    assert found["step"] == 20
    for name in ("train/bpd", "test/bpd"):
        assert found[name]["count"] == 64
        np.testing.assert_allclose(found[name]["mean"], run.summary[name], rtol=1e-6)


def test_eval_of_every_example(jaxgen_command, run, tmp_path):
    """Their mean is that of the summary; the file names the example and its class."""
    for name in ("x.csv", "x.npz"):
        jaxgen_command("eval", run.workdir, "--max_examples=64", f"--per_example={tmp_path / name}")
    found = load_npz(tmp_path / "x.npz")
    np.testing.assert_array_equal(found["index"], np.arange(64) * 297 // 64)
    assert set(found["label"]) == set(range(10))
    np.testing.assert_allclose(found["bpd"].mean(), run.summary["test/bpd"], rtol=1e-6)
    lines = (tmp_path / "x.csv").read_text().splitlines()
    columns = lines[0].split(",")
    assert columns == list(found) and len(lines) == 65
    table = np.loadtxt(lines[1:], delimiter=",")
    np.testing.assert_allclose(table[:, columns.index("bpd")], found["bpd"], rtol=1e-6)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ("--per_example=x.txt",),
            "--per_example=x.txt, expected a name that ends in .csv or .npz",
        ),
        (("--per_example=x.csv", "--splits=train,test"), "--per_example takes one split"),
    ],
)
def test_mistakes_of_eval(jaxgen_command, run, argv, message):
    assert message in jaxgen_command("eval", run.workdir, *argv, code=2).err


def test_eval_at_a_step(jaxgen_command, run):
    rows_at = {row["step"]: row["bpd"] for row in rows(run.workdir, "eval_test")}
    found = json.loads(jaxgen_command("eval", run.workdir, "--step=10", "--max_examples=64").out)
    assert found["step"] == 10
    np.testing.assert_allclose(found["test/bpd"]["mean"], rows_at[10], rtol=1e-6)
    best = json.loads(jaxgen_command("eval", run.workdir, "--step=best", "--max_examples=64").out)
    assert best["step"] == min(rows_at, key=rows_at.get)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("--temprature=1",), "no such knob 'temprature'; did you mean 'temperature'?"),
        (("--out=x.jpg",), "--out=x.jpg, expected a name that ends in .png or .npz"),
        (("--step=7",), "no checkpoint of step 7; there are [10, 20]"),
        (
            ("--step=last",),
            "--step=last, expected a whole number from 0 to 1,000,000,000,000, or best",
        ),
        (("temperature=1",), "expected --NAME=VALUE, got 'temperature=1'"),
        (("--nun=2",), "no such knob 'nun'; did you mean 'num'?"),
        (("--temperature=warm",), "temperature='warm': "),
        (("--label=3",), "--class=3: "),
    ],
)
def test_mistakes_of_sample(jaxgen_command, run, argv, message):
    err = jaxgen_command("sample", run.workdir, "--num=2", *argv, code=2).err
    assert err.startswith("jaxgen: error: ")
    assert message in err
    assert err.count("\n") == 1


def test_every_knob_is_in_the_name(jaxgen_command, run):
    """So that no picture takes the place of another."""
    outs = [
        jaxgen_command("sample", run.workdir, "--num=2", *argv).out.rpartition(": ")[2].strip()
        for argv in ((), ("--temperature=0.5",), ("--step=10",), ("--temperature", "0.7"))
    ]
    assert len(set(outs)) == 4
    for out in outs:
        pathlib.Path(out).unlink()


def test_single_pictures(jaxgen_command, run, tmp_path):
    jaxgen_command("sample", run.workdir, "--num=2", f"--out={tmp_path}/few/")
    assert sorted(p.name for p in (tmp_path / "few").iterdir()) == ["000000.png", "000001.png"]
    with PIL.Image.open(tmp_path / "few/000001.png") as image:
        assert image.mode == "L" and image.size == (8, 8)
    again = jaxgen_command("sample", run.workdir, f"--out={tmp_path}/few/", code=2).err
    assert "holds pictures already: name another, or add --force" in again


def test_more_samples_than_memory_holds(jaxgen_command, run):
    err = jaxgen_command("sample", run.workdir, "--num=1000000000", code=2).err
    assert "1,000,000,000 examples of 8x8x1" in err and "available" in err


def test_not_a_run_directory(jaxgen_command, run):
    err = jaxgen_command("sample", run.workdir.parent / "nice", code=2).err
    assert "is not a run directory (no config.json and manifest.json in it)" in err
    assert "runs beside it: nice-digits" in err
    for path, message in (
        (run.workdir.parent, "it holds runs, name one: nice-digits"),
        (run.workdir / "checkpoints", f"it lies in the run {run.workdir}: name that"),
        (run.workdir / "config.json", f"it lies in the run {run.workdir}: name that"),
        (ROOT / "README.md", "it is a file; runs beside it: none"),
    ):
        assert message in jaxgen_command("sample", path, code=2).err


def test_eval_knows_no_knobs(jaxgen_command, run):
    assert (
        "unrecognized arguments: --temp=1"
        in jaxgen_command("eval", run.workdir, "--temp=1", code=2).err
    )


def test_doctor(jaxgen_command):
    out = jaxgen_command("doctor").out
    for text in (f"jaxgen {jaxgen.__version__}", f"jax {jax.__version__}", "devices: 8 x cpu"):
        assert text in out


def test_models(jaxgen_command):
    out = jaxgen_command("models").out
    for text in (
        "flows.glow",
        "likelihood",
        "--config=glow:cifar10",
        "  digits moved_digits mnist cifar10 cifar10_",
    ):
        assert text in out


@pytest.fixture(scope="module")
def loaded(run):
    return jaxgen.load(run.workdir)


def test_load_samples(loaded):
    assert repr(loaded).endswith("step=20)")
    a, b, c = (loaded.sample(3, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()
    with pytest.raises(ConfigError, match="no such knob 'temp'"):
        loaded.sample(3, temp=1)


def test_load_encodes_and_decodes_exactly(loaded, data_root):
    x = load("digits", data_dir=str(data_root)).splits["test"].x[:8]
    z = loaded.encode(x, seed=5)
    np.testing.assert_array_equal(loaded.decode(z), x)
    other = loaded.encode(x, seed=6)  # another noise, so other latents of the same images
    assert np.abs(np.asarray(jax.tree.leaves(z)[0]) - jax.tree.leaves(other)[0]).max() > 0
    np.testing.assert_array_equal(loaded.decode(other), x)


def test_load_log_prob(loaded, run, data_root):
    x = load("digits", data_dir=str(data_root)).splits["test"].x
    nats = loaded.log_prob(x)
    assert nats.shape == (len(x),)
    bpd = -nats.mean() / 64 / np.log(2)
    assert abs(bpd - run.summary["test/bpd"]) < 0.05  # other noise, and all of the examples


def test_load_of_a_step(run):
    assert jaxgen.load(run.workdir, step=10).step == 10
    assert jaxgen.load(run.workdir, step="best").step in (10, 20)
    with pytest.raises(ConfigError, match="is not a run directory"):
        jaxgen.load(run.workdir / "samples")


CONFIGS = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "configs").rglob("*.py"))
EVERY = [(path, name) for path in CONFIGS for name in sorted(config_module(path).PRESETS)]


def embedded():
    """The presets that need neither files nor a first stage."""
    for path, name in EVERY:
        config = as_json(get_config(path, name))
        if config["data"]["name"] in EMBEDDED and "frozen" not in config:
            yield path, name


@pytest.mark.parametrize("path", CONFIGS)
def test_every_preset_loads(path):
    for name in (n for p, n in EVERY if p == path):
        full, tiny = (as_json(get_config(path, name + end)) for end in ("", ",tiny"))
        check_sections(full)
        assert full.keys() == tiny.keys(), name
        assert tiny["train"]["steps"] <= 100, name
        # `--config.model.update=...` would be of ConfigDict's method, not of the option
        assert not names_in(full) & set(dir(ConfigDict)), name


def names_in(tree):
    """Those of all options."""
    inner = [names_in(v) for v in tree.values() if isinstance(v, dict)]
    return set(tree).union(*inner)


PUBLISHED = {  # data sets that presets name and that are not on every machine
    "mnist": DataSpec.of("mnist", (28, 28, 1), 256, 10),
    "cifar10": DataSpec.of("cifar10", (32, 32, 3), 256, 10),
    "celeb_a": DataSpec.of("celeb_a", (64, 64, 3), 256),
}


@pytest.mark.slow
@pytest.mark.parametrize("path", CONFIGS)
def test_every_preset_of_published_data_can_be_built(path):
    """At their full size; nothing is computed."""
    for name in (n for p, n in EVERY if p == path):
        config = as_json(get_config(path, name))
        if (spec := PUBLISHED.get(config["data"]["name"])) is None or "frozen" in config:
            continue
        if config["data"]["binarize"] != "none":
            spec = spec.with_field("x", levels=2)
        _, state = state_target(config, spec, make_mesh())
        assert sum(x.size for x in jax.tree.leaves(state.params)) > 1000


@pytest.mark.slow  # by default each config's own takes two steps in methods/test_contract.py
@pytest.mark.parametrize(("path", "name"), list(embedded()))
def test_every_preset_with_embedded_data_trains(starter, tmp_path, path, name):
    if "molecule" in path:
        pytest.importorskip("rdkit")
    short = ("--config.train.steps=2", "--config.train.log_every_steps=1")
    job = starter.start(f"--config={path}:{name},tiny", *short, f"--workdir={tmp_path}")
    job.wait(0, limit=600)
    assert job.summary["step"] == 2
    for row in rows(tmp_path, "train"):
        assert all(np.isfinite(value) for key, value in row.items() if key != "split")
