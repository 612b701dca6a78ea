"""`jaxgen.fit`: the command line's run, bit for bit, of data that are in memory."""

import json
import os
import shutil
import signal
import threading
import time

import jax
import numpy as np
import pytest
from command import TINY, saved

import jaxgen
import jaxgen.fitting
from jaxgen import mistakes, names
from jaxgen.bijectors import Affine, Chain
from jaxgen.config import ConfigError
from jaxgen.data import DataError, Dataset, from_arrays, kept, load
from jaxgen.data.dataset import ArraySplit
from jaxgen.methods.likelihood import Likelihood
from jaxgen.models.flows.realnvp import TabularRealNVP
from jaxgen.session import Observer, as_json
from jaxgen.shipped import located
from jaxgen.types import DataSpec

RANDOM = np.random.RandomState(0)
IMAGES = RANDOM.randint(256, size=(60, 8, 8)).astype(np.uint8)
POINTS = RANDOM.randn(40, 2)
NAME = "nice:digits,tiny"


@pytest.fixture(autouse=True)
def _place(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxgen.platform.set_flags", lambda: None)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A run that heard Ctrl-C at its first evaluation, step 10 of 20, and went on."""
    workdir = tmp_path_factory.mktemp("fit") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jaxgen.platform.set_flags", lambda: None)
        evaluate = Observer.evaluate

        def stopped(self, state):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.3)  # in which the thread that listens hears it
            return evaluate(self, state)

        patch.setattr("jaxgen.session.Observer.evaluate", stopped)
        handler = signal.getsignal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt, match="after step 10; saved"):
            jaxgen.fit(NAME, {"x": IMAGES}, workdir=workdir)
        assert signal.getsignal(signal.SIGINT) is handler
    assert saved(workdir) == [10]
    return jaxgen.fit(NAME, {"x": IMAGES}, workdir=workdir)


def test_it_ends_in_the_bits_of_the_command_line(interrupted, starter, tmp_path):
    np.savez(tmp_path / "images.npz", x=IMAGES)
    flags = (TINY, f"--config.data.name={tmp_path / 'images.npz'}", f"--workdir={tmp_path / 'run'}")
    job = starter.run(*flags, devices=jax.device_count())
    run = interrupted
    summary = json.loads((run.directory.path / "summary.json").read_text())
    assert summary["state_digest"] == job.digest
    mine, theirs = (
        json.loads((path / "manifest.json").read_text())["data"]["fingerprint"]
        for path in (run.directory.path, job.workdir)
    )
    assert mine.pop("name") == "arrays" and theirs.pop("name") == "images"
    assert mine == theirs


def test_a_run_comes_back(interrupted):
    run = interrupted
    assert run.step == 20 and run.sample(3).shape == (3, 8, 8, 1)
    assert np.isfinite(run.log_prob(IMAGES[:2, ..., None])).all()
    assert run.evaluate(splits=("test",))["test/bpd"].count == 6


def test_a_run_that_was_moved_has_its_data(interrupted, tmp_path):
    moved = shutil.copytree(interrupted.directory.path, tmp_path / "moved")
    config = json.loads((moved / "config.json").read_text())
    config["data"]["name"] = str(tmp_path / "gone/arrays.npz")
    (moved / "config.json").write_text(json.dumps(config))
    run = jaxgen.load(moved)
    assert len(run.dataset().splits["train"]) == 54
    np.savez(moved / "arrays.npz", x=IMAGES[::-1])
    with pytest.raises(ConfigError, match="not those of the run: other content"):
        run.dataset()


def test_a_run_is_of_its_data_and_its_config(interrupted):
    workdir = interrupted.directory.path
    with pytest.raises(DataError, match=r"are others: x is uint8 \[60, 8, 8\] there and .*give"):
        jaxgen.fit(NAME, {"x": IMAGES[::-1]}, workdir=workdir)
    with pytest.raises(DataError, match="y is absent there and int64"):
        jaxgen.fit(NAME, {"x": IMAGES, "label": np.arange(60) % 3}, workdir=workdir)
    with pytest.raises(ConfigError, match="belongs to another config"):
        jaxgen.fit(NAME, {"x": IMAGES}, workdir=workdir, seed=1)
    assert jaxgen.load(workdir).step == 20


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.where(POINTS == POINTS[3, 1], np.nan, POINTS), r"x\[3, 1\] is nan, not a finite"),
        (IMAGES.astype(int), r"got int64 \[60, 8, 8\]; expected bool, uint8"),
        (POINTS[:0], "expected at least one example"),
        (POINTS[:1], "expected at least 2 examples"),
        ({"x": IMAGES, "lable": IMAGES[:, 0, 0]}, r"not used: array lable.*labels: y"),
        ({"pictures": IMAGES}, "no examples in data.*got pictures"),
        ({"x": IMAGES, "label": np.arange(4)}, "60 examples but 4 labels"),
        ({"x": [[1, 2], [3]]}, "data: x is no array"),
        ([["a"]], "data: x is list .*expected an array of numbers"),
        ({3: IMAGES}, "a field is called 3"),
        ({"x_train": IMAGES, "x_test": POINTS}, "expected the same of both"),
    ],
)
def test_arrays_that_cannot_be_used(data, message, tmp_path):
    with pytest.raises(DataError, match=message) as error:
        jaxgen.fit(NAME, data)
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("glwo", {}, "did you mean 'glow'"),
        ("nice:mist", {}, "did you mean 'mnist'"),
        (NAME, {"model.cuplings": 3}, "did you mean 'couplings'"),
        (NAME, {"modell": {"couplings": 3}}, "unknown section 'modell'"),
        (NAME, {"seed.x": 3}, "config.seed has no fields"),
        (NAME, {"data": IMAGES}, "data are the second argument"),
        (NAME, {"data": {"flop": True}}, "did you mean 'flip'"),
        (NAME, {"method": {"bas": "normal"}}, "did you mean 'base'"),
        (NAME, {"steps": 0}, "config.train.steps"),
        (NAME, {"steps": 2.5}, "config.train.steps"),
        (NAME, {"seed": -1}, "config.seed"),
        (3, {}, "method='3': expected the name of a preset"),
        ({"model": {}}, {}, "misses the sections"),
    ],
)
def test_what_cannot_be_trained(method, options, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        jaxgen.fit(method, IMAGES, **options)
    assert not list(tmp_path.iterdir())


def test_nothing_is_left_of_a_run_that_never_began(tmp_path):
    with pytest.raises(ConfigError, match="does not fit arrays, points of 2"):
        jaxgen.fit("glow:digits,tiny", POINTS, quiet=True)
    assert not list((tmp_path / "runs").glob("*"))


@pytest.mark.slow
def test_a_method_of_ones_own_in_a_thread(tmp_path, capsys):
    """What is told to a config makes the same method; outside of the main thread it trains too."""
    data = from_arrays(POINTS)
    method = Likelihood(TabularRealNVP(depth=2, hidden=(4,), norm=False), data.spec, base="normal")
    found = []

    def train():
        options = {"optim.model.learning_rate": 2e-3, "evaluate.num_samples": 4}
        run = jaxgen.fit(method, POINTS, steps=2, batch_size=16, quiet=True, **options)
        found.append(run)

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    (run,) = found
    assert capsys.readouterr().out == ""
    assert run.directory.path == tmp_path / "runs/tabularrealnvp-arrays"
    assert as_json(names.sections_of(run.method)) == as_json(names.sections_of(method))
    assert run.config["optim"]["model"]["learning_rate"] == 2e-3
    assert jaxgen.fitting._workdir(None, "tabularrealnvp-arrays").name.endswith("-arrays.2")


def test_methods_that_no_config_can_name():
    class Own(TabularRealNVP):
        pass

    spec = from_arrays(POINTS).spec
    with pytest.raises(ConfigError, match="define the class at the top of a module"):
        names.sections_of(Likelihood(Own(depth=1), spec))
    with pytest.raises(ConfigError, match="Chain.bijectors is a .*class of your own"):
        names.sections_of(Likelihood(Chain((Affine(),)), spec))
    method = Likelihood(TabularRealNVP(depth=2), DataSpec.of("other", (3,)))
    with pytest.raises(ConfigError, match="made for data of fields"):
        jaxgen.fit(method, POINTS)
    with pytest.raises(ConfigError, match="a method has none of its own"):
        jaxgen.fit(method)


@pytest.mark.parametrize("name", ["vae:digits,tiny", "gan:r1,tiny", "npe:linear_gaussian,tiny"])
def test_sections_of_a_method_make_it_again(name):
    config = mistakes.load(*located(name).partition(":")[::2]).to_dict()
    spec = DataSpec.of("images", (8, 8, 1), 17 if "gan" in name else 2)
    if "npe" in name:
        spec = DataSpec.of("pairs", (6,))
    method = names.build_method(config, spec)
    assert names.build_method(names.sections_of(method), spec) == method


def test_a_data_set_is_kept_whole(tmp_path, data_root):
    """What `load` reads is what was given: levels, labels, names of classes, units."""
    digits = load("digits", data_dir=str(data_root), flip=True)
    points = from_arrays({"x": POINTS, "context": POINTS[:, 0]})
    for number, data in enumerate((digits, points)):
        folder = tmp_path / str(number)
        assert kept.keep(folder, kept.as_arrays(data)) and not kept.keep(
            folder, kept.as_arrays(data)
        )
        again = load(str(folder / kept.FILE))
        assert (again.spec, again.classes, again.flip) == (data.spec, data.classes, data.flip)
        for split in data.splits:
            rows = np.arange(len(data.splits[split]))
            jax.tree.map(
                np.testing.assert_array_equal,
                again.splits[split].take(rows),
                data.splits[split].take(rows),
            )
    assert load(str(tmp_path / "0" / kept.FILE)).fingerprint() == digits.fingerprint()


def test_data_sets_that_cannot_be_kept(tmp_path, data_root):
    dynamic = load("digits", data_dir=str(data_root), binarize="dynamic")
    with pytest.raises(DataError, match="train split of digits is drawn anew"):
        jaxgen.fit("vae:digits,tiny", dynamic)
    np.save(tmp_path / "x.npy", IMAGES)
    mapped = load(str(tmp_path / "x.npy"), in_memory_mb=0)
    with pytest.raises(DataError, match="stays on disk"):
        jaxgen.fit(NAME, mapped)
    spec = DataSpec.of("own", (8, 8, 1), 17)
    splits = {k: ArraySplit({"x": IMAGES[..., None]}) for k in ("train", "test")}
    with pytest.raises(DataError, match=r"train, x\[.*expected 0 .. 16"):
        jaxgen.fit(NAME, Dataset(spec, splits, "own"))
    with pytest.raises(DataError, match="splits train and test"):
        jaxgen.fit(NAME, Dataset(spec, {"train": splits["train"]}, "own"))


def test_a_damaged_data_set_is_one_line(tmp_path):
    arrays = kept.as_arrays(from_arrays(POINTS))
    for about in (
        '{"spec": 3}',
        "[",
        json.dumps({**json.loads(str(arrays["jaxgen"])), "shift": "a"}),
    ):
        np.savez(tmp_path / "x.npz", **{**arrays, "jaxgen": np.array(about)})
        with pytest.raises(DataError, match="no data set of jaxgen"):
            load(str(tmp_path / "x.npz"))
    bad = np.full((3, 2), np.inf, np.float32)
    for x, message in ((bad[:, :1], "its spec"), (bad, r"train, x\[0, 0\] is inf")):
        np.savez(tmp_path / "x.npz", **{**arrays, "train/x": x})
        with pytest.raises(DataError, match=message):
            load(str(tmp_path / "x.npz"))
    for changes in ({"classes": ["a"]}, {"flip": True}):
        about = json.dumps(json.loads(str(arrays["jaxgen"])) | changes)
        np.savez(tmp_path / "x.npz", **{**arrays, "jaxgen": np.array(about)})
        with pytest.raises(DataError, match="names of 0 classes|of images"):
            load(str(tmp_path / "x.npz"))
