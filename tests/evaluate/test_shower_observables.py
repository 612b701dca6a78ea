"""Showers beside showers: distances by hand, the floor of real ones, the control of wrong ones."""

import types

import numpy as np
import pytest

from jaxgen.config import ConfigError
from jaxgen.data import shower_files
from jaxgen.data.embedded import showers as data
from jaxgen.data.limits import load_npz
from jaxgen.evaluate import metrics
from jaxgen.evaluate.comparison import Comparison, Subject
from jaxgen.evaluate.measurement import NotAvailable
from jaxgen.evaluate.metrics import showers as metric
from jaxgen.ops.calorimeter import CELLS, OBSERVABLES
from jaxgen.types import DataSpec
from jaxgen.verbs import showers as verb
from jaxgen.views import showers as view


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "COUNTS", {"train": 400, "test": 300})
        return data.load("showers", data_dir=str(tmp_path_factory.mktemp("showers")))


def test_distances_by_hand():
    real = {name: np.array([0.0, 1.0]) for name in OBSERVABLES}
    fake = real | {"depth": np.array([2.0, 3.0]), "energy": np.array([0.0, 0.0])}
    found = metric.distances(real, fake)
    assert found["depth"] == pytest.approx(4) and found["energy"] == pytest.approx(1)
    assert metric.mean(found) == pytest.approx(5 / 18)
    flat = real | {"depth": np.zeros(2)}
    assert metric.distances(flat, flat)["depth"] == 0
    assert metric.distances(flat, fake)["depth"] == np.inf


class Drawn(list):
    """A set of one batch."""

    def __len__(self):
        return len(self[0])


def compared(dataset, x):
    return Comparison(Subject(dataset.spec, None, [Drawn([x])]), dataset, None, "test")


def test_the_metric_tells_the_right_particles_from_the_wrong_ones(dataset):
    train = dataset.splits["train"].take(np.arange(600))
    found, _ = metrics.measure(compared(dataset, train["x"]), "showers")
    values = {m.name: m.value for m in found}
    about = found[0].context
    assert values["showers"] < 0.08 < about["control"] and values["showers"] < about["control"] / 3
    assert about["floor"] < 0.08 and values["showers_worst"] >= values["showers"]
    photons = train["x"][train["label"] == 0]
    (wrong, _), _ = metrics.measure(compared(dataset, photons), "showers")
    assert 0.1 < wrong.value < about["control"]
    with pytest.raises(NotAvailable, match="fewer than 200"):
        metric.measure(compared(dataset, photons[:100]))
    points = Subject(DataSpec.of("points", (2,)), None, [Drawn([np.zeros((300, 2))])])
    with pytest.raises(NotAvailable, match="points are no showers"):
        metric.measure(Comparison(points, dataset, None, "test"))


class Fake:
    """A run whose samples are simulated as asked, and `factor` times as bright."""

    step = 3

    def __init__(self, dataset, path, factor=1.0, names=("label", "context")):
        self.spec, self.factor, self.path = dataset.spec, factor, path
        self.method = types.SimpleNamespace(given=names)
        self.directory = types.SimpleNamespace(path=path, samples=path)
        self.dataset = lambda **places: dataset

    def sample(self, num, seed, **asked):
        self.asked = asked
        label = asked.get("label", np.zeros(num, np.int32))
        random, energy = np.random.RandomState(seed), asked["context"][:, 0].astype(np.float64)
        return self.factor * data.shower(random, energy, label)

    def showers(self, **options):
        return view.showers(self, **options)


def test_a_run_that_is_right_is_at_the_floor(dataset, tmp_path):
    run = Fake(dataset, tmp_path)
    found = view.showers(run, particle="photon", num=300, seed=7)
    assert (run.asked["label"] == 0).all() and len(found.arrays["x"]) == 300
    about = found.about
    assert about["mean"] < 2 * about["floor"] < about["control"]
    assert abs(about["auc"]["floor"] - 0.5) < 0.1 and abs(about["auc"]["run"] - 0.5) < 0.1
    assert about["auc"]["control"] > 0.65
    bright = view.showers(Fake(dataset, tmp_path, 1.3), energy=60, particle="positron")
    assert bright.about["auc"]["run"] > 0.95
    energies = bright.arrays["energy"]
    assert 54 <= energies.min() and energies.max() <= 66
    rows = {line.split()[0]: line.split()[1:] for line in bright.about["table"]}
    assert float(rows["energy"][1]) == pytest.approx(1.3 * float(rows["energy"][0]), rel=0.02)
    assert float(rows["energy"][2]) > 3 > float(rows["fraction_1"][2])
    assert sum(line.startswith("response at") for line in bright.about["table"]) == 3
    assert found.image.ndim == 3


def test_particles_are_told_as_in_the_test(dataset, tmp_path):
    """Of a run that is right; of one whose showers do not heed the particle by chance alone."""
    about = view.showers(Fake(dataset, tmp_path), num=600).about
    assert 0.65 < about["particles"]["test"] and about["table"][-1].startswith("particles told by")
    assert abs(about["particles"]["run"] - about["particles"]["test"]) < 0.1
    train = dataset.splits["train"].take(np.arange(800))
    read, label = view._read(train), train["label"]
    mixed = label[np.random.RandomState(0).permutation(len(label))]
    own, chance = metric.read_apart(read, label, [(read, label), (read, mixed)])
    assert own > 0.8 and abs(chance - 0.5) < 0.07


def test_what_is_asked_for_in_vain(dataset, tmp_path):
    run = Fake(dataset, tmp_path)
    with pytest.raises(ConfigError, match="unknown particle 'proton'"):
        view.showers(run, particle="proton")
    with pytest.raises(ConfigError, match="energy=0.5: 0 test showers within a tenth of it"):
        view.showers(run, energy=0.5)
    with pytest.raises(ConfigError, match="is not given one: omit it"):
        view.showers(Fake(dataset, tmp_path, names=("context",)), particle="photon")
    run.spec = DataSpec.of("points", (2,))
    with pytest.raises(ConfigError, match="is of points, which are no showers"):
        view.showers(run)


def test_the_command(dataset, tmp_path, monkeypatch, jaxgen_command):
    run = Fake(dataset, tmp_path)
    monkeypatch.setattr(verb, "load_run", lambda arguments: run)
    words = ("showers", "RUN", "--particle=photon", "--num=50")
    lines = jaxgen_command(*words).out.splitlines()
    assert lines[0].split() == ["observable", "test", "run", "W1/sd", "floor", "control"]
    assert lines[-2].endswith("ms a shower, compiled before") and lines[-1].endswith(".png")
    jaxgen_command(*words, f"--out={tmp_path / 'x.npz'}")
    kept = load_npz(tmp_path / "x.npz")
    assert kept["x"].shape == kept["real"].shape == (50, CELLS)
    pytest.importorskip("h5py", reason="needs jaxgen[physics]")
    jaxgen_command(*words, f"--out={tmp_path / 'x.hdf5'}")
    back = shower_files.read(tmp_path / "x.hdf5")
    np.testing.assert_allclose(back["x"], kept["x"], rtol=1e-6)
    np.testing.assert_allclose(back["context"][:, 0], kept["energy"])
