"""The 2-D toys: densities integrate to one, entropies are right, draws are as they say."""

import numpy as np
import pytest

import jaxgen.data
from jaxgen.data import DataError
from jaxgen.data.embedded import toys

COUNT = {"spirals": 3000}


@pytest.mark.parametrize("name", toys.TOYS)
def test_entropy_is_the_mean_of_minus_log_density(name):
    toy = toys.TOYS[name]
    x, label = toy.sample(np.random.RandomState(123), COUNT.get(name, 20_000))
    nats = -toys.log_density(name)(x)
    assert nats.shape == (len(x),) and nats.dtype == np.float64
    error = nats.std() / np.sqrt(len(x))
    assert abs(nats.mean() - toy.entropy) < 4 * error + 1e-9
    assert set(label) == set(range(toy.num_labels))


@pytest.mark.parametrize(
    ("name", "limit", "step"), [("ring8", 6, 0.1), ("moons", 6, 0.1), ("checkerboard", 5, 0.25)]
)
def test_density_integrates_to_one_and_entropy_is_its_integral(name, limit, step):
    axis = np.arange(-limit, limit, step) + step / 2
    x = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    log_density = toys.log_density(name)(x)
    density = np.exp(log_density)
    assert density.sum() * step**2 == pytest.approx(1, abs=1e-9)
    inside = density > 0
    entropy = -(density[inside] * log_density[inside]).sum() * step**2
    assert entropy == pytest.approx(toys.TOYS[name].entropy, abs=1e-6)


def test_spirals_density_matches_counts_in_boxes():
    x, _ = toys.TOYS["spirals"].sample(np.random.RandomState(0), 100_000)
    for low in ((-3.0, -0.5), (0.4, 0.4), (1.0, -2.0)):
        count = ((x >= low) & (x < np.add(low, 0.5))).all(-1).sum()
        axis = (np.arange(10) + 0.5) * 0.05
        grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2) + low
        expected = len(x) * np.exp(toys.log_density("spirals")(grid)).mean() * 0.25
        assert abs(count - expected) < 5 * np.sqrt(expected) + 0.01 * expected


def test_modes():
    for name, count, std in (
        ("ring8", 8, 0.5 / 1.414),
        ("ring8_narrow", 8, 0.02 / 1.414),
        ("grid25", 25, 0.05 / 2.828),
    ):
        means, got = toys.modes(name)
        assert means.shape == (count, 2) and got == pytest.approx(std)
        x, label = toys.TOYS[name].sample(np.random.RandomState(0), 5000)
        assert np.abs(x - means[label]).max() < 6 * std
    with pytest.raises(DataError, match="expected a mixture"):
        toys.modes("moons")
    with pytest.raises(DataError, match="expected a toy"):
        toys.log_density("moon")


def test_checkerboard_is_zero_outside_its_squares():
    x = np.array([[1.0, 1.0], [1.0, 3.0], [1.0, -1.0], [3.0, 1.0], [9.0, 1.0], [-1.0, 5.0]])
    inside = np.isfinite(toys.log_density("checkerboard")(x))
    assert inside.tolist() == [True, False, False, False, False, False]


def test_load(tmp_path, monkeypatch):
    assert toys.COUNTS == {"train": 50_000, "test": 10_000}
    counts = {"train": 2000, "test": 500}
    monkeypatch.setattr(toys, "COUNTS", counts)
    for _ in range(2):  # prepared, then read again
        data = jaxgen.data.load("checkerboard", data_dir=str(tmp_path))
        spec = data.spec
        assert (spec.shape, spec.levels, spec.num_classes) == ((2,), None, 8)
        assert spec.entropy == pytest.approx(np.log(32))
        for seed, (name, count) in enumerate(counts.items()):
            assert len(data.splits[name]) == count
            batch = data.splits[name].take(np.arange(count))
            x, label = toys.TOYS["checkerboard"].sample(np.random.RandomState(seed), count)
            assert batch["x"].dtype == np.float32 and batch["label"].dtype == np.int32
            np.testing.assert_array_equal(batch["x"], x.astype(np.float32))
            np.testing.assert_array_equal(batch["label"], label)
        assert "continuous" in data.report()
    with pytest.raises(DataError, match="holds points, which have no size"):
        jaxgen.data.load("checkerboard", data_dir=str(tmp_path), size=8, fit="pad")
