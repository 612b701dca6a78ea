"""Slices beside slices: real ones are at the floor, a Gaussian with their power is not."""

import types

import numpy as np
import pytest

from jaxgen.config import ConfigError
from jaxgen.data.dataset import ArraySplit, Dataset
from jaxgen.data.embedded import cosmic_web
from jaxgen.data.limits import load_npz
from jaxgen.evaluate import metrics
from jaxgen.evaluate.comparison import Comparison, Subject
from jaxgen.evaluate.measurement import NotAvailable
from jaxgen.evaluate.metrics import spectrum as metric
from jaxgen.ops import cosmic
from jaxgen.types import DataSpec
from jaxgen.verbs import spectrum as verb
from jaxgen.views import spectrum as view


class Drawn(list):
    """A set of one batch."""

    def __len__(self):
        return len(self[0])


@pytest.fixture(scope="module")
def dataset():
    """Four boxes of 64^3 particles, in 32 slices an axis of 64x64 cells."""
    places = [cosmic_web.box(seed, 64) for seed in range(4)]
    x = [cosmic.seen(8 * cosmic_web.slices(p))[..., None].astype(np.float32) for p in places]
    spec = DataSpec.of("cosmic_web", (64, 64, 1), range=(-1.0, 1.0))
    splits = {"train": np.concatenate(x[:2]), "test": np.concatenate(x[2:])}
    return Dataset(spec, {k: ArraySplit({"x": v}) for k, v in splits.items()}, "boxes")


def of(dataset, split):
    return cosmic.counts(dataset.splits[split].x[..., 0])


def test_errors_by_hand(dataset):
    real = of(dataset, "test")
    assert set(metric.errors(real, real).values()) == {0.0}
    bright = metric.errors(real, 2 * real)
    assert bright["spectrum"] == pytest.approx(3) and bright["spectrum_worst"] == pytest.approx(3)
    heights = np.concatenate(cosmic.peaks(real))
    assert bright["peak_count"] == 0
    assert bright["peak_height"] == pytest.approx(heights.mean() / heights.std())
    assert metric.errors(real, np.ones_like(real))["peak_height"] == np.inf


def test_the_metric(dataset):
    train = dataset.splits["train"].x
    comparison = Comparison(Subject(dataset.spec, None, [Drawn([train])]), dataset, None, "test")
    found, _ = metrics.measure(comparison, "spectrum")
    values = {m.name: m for m in found}
    assert set(values) == set(metric.NUMBERS)
    for one in found:
        assert one.value == pytest.approx(one.context["floor"])
    for name in ("mass_distance", "peak_height"):
        assert values[name].value < values[name].context["control"] / 2
    assert values["spectrum"].context["control"] == pytest.approx(0, abs=1e-6)
    cut = Comparison(
        Subject(dataset.spec, None, [Drawn([np.ones_like(train)])]), dataset, None, "test"
    )
    assert "100.00% of cells are cut off" in metric.measure(cut)[0].notes[0]
    points = DataSpec.of("points", (2,))
    other = Dataset(points, {"train": None, "test": None}, "")
    with pytest.raises(NotAvailable, match="points is no slice"):
        metric.measure(Comparison(comparison.subject, other, None, "test"))


def test_the_nearest_slice_is_found_wherever_it_lies():
    """Against every shift, one after the other."""
    x, others = np.split(np.random.RandomState(0).randn(7, 6, 6), [3])
    x[1] = np.roll(others[2], (4, 1), axis=(0, 1)) + 0.01
    shifted = [np.roll(others, (i, j), axis=(1, 2)) for i in range(6) for j in range(6)]
    every = np.concatenate(shifted)
    expected = [np.sqrt(((one - every) ** 2).mean((1, 2)).min()) for one in x]
    np.testing.assert_allclose(cosmic.nearest(x, others), expected, rtol=1e-3)
    assert expected[1] < 0.011


def test_the_command(dataset, tmp_path, monkeypatch, jaxgen_command):
    run = types.SimpleNamespace(spec=dataset.spec, step=3)
    run.directory = types.SimpleNamespace(path=tmp_path, samples=tmp_path)
    run.dataset = lambda **places: dataset
    run.sample = lambda num, seed: dataset.splits["train"].x[:num]
    run.spectrum = lambda **options: view.spectrum(run, **options)
    monkeypatch.setattr(verb, "load_run", lambda *arguments: run)
    lines = jaxgen_command("spectrum", "RUN").out.splitlines()
    assert lines[0].split() == ["run", "floor", "control"] and lines[-1].endswith(".png")
    assert lines[3].startswith("Mass histogram") and "cut off" in lines[-3]
    words = lines[-2].replace(",", "").split()
    assert float(words[5]) < 1e-3 < float(words[7])  # train slices are their own neighbours
    numbers = [float(v) for v in lines[3].split()[2:]]
    assert numbers[0] == numbers[1] < numbers[2]
    jaxgen_command("spectrum", "RUN", f"--out={tmp_path / 'x.npz'}")
    kept = load_npz(tmp_path / "x.npz")
    assert kept["x"].shape == (192, 64, 64) and kept["power"].shape == (192, 31)
    made, smaller = [], cosmic_web.box
    monkeypatch.setattr(
        cosmic_web, "box", lambda seed: made.append(seed) or np.repeat(smaller(seed, 64), 8, axis=1)
    )
    more = view.spectrum(run, 192, boxes=2).arrays["real"]
    assert made == [16, 17]  # after the twelve and the four that the data set is of
    np.testing.assert_array_equal(more[:192], of(dataset, "test"))
    np.testing.assert_allclose(more[288:], 8 * cosmic_web.slices(smaller(17, 64)), rtol=1e-9)
    run.spec = DataSpec.of("points", (2,))
    with pytest.raises(ConfigError, match="is of points, and no run on cosmic_web"):
        view.spectrum(run)
