"""Nearest neighbours, precision and recall, density and coverage, against prdc and brute force."""

import pathlib
import tracemalloc

import numpy as np
import pytest
import record_oracles as record

from jaxgen.config import ConfigError
from jaxgen.data.limits import load_npz
from jaxgen.evaluate import neighbours as nb
from jaxgen.evaluate.metrics import dc, pr

ORACLES = load_npz(pathlib.Path(__file__).parent / "oracles.npz")


@pytest.fixture(autouse=True)
def _small_tiles(monkeypatch):
    monkeypatch.setattr(nb, "TILE", 400)  # several, and a last one that is not full


def all_four(real, fake, k, **options):
    shares = pr.precision_recall(real, fake, k, **options)
    balls = dc.density_coverage(real, fake, k, **options)
    return [shares.precision, shares.recall, balls.density, balls.coverage]


@pytest.mark.parametrize("name", record.NEIGHBOURS)
def test_equal_to_prdc_and_torch_fidelity(name):
    *sizes, k = record.NEIGHBOURS[name]
    real, fake = record.features(*sizes)
    np.testing.assert_allclose(
        all_four(real, fake, k, strict=True), ORACLES[f"prdc/{name}"], rtol=1e-14
    )
    closed = pr.precision_recall(real, fake, k)
    # the library averages in float32
    np.testing.assert_allclose([closed.precision, closed.recall], ORACLES[f"prc/{name}"], rtol=1e-7)
    narrow = all_four(real.astype(np.float32), fake.astype(np.float32), k, dtype=np.float32)
    np.testing.assert_allclose(narrow, all_four(real, fake, k), atol=2 / min(sizes[:2]))


def test_copies_of_one_example():
    real, fake = record.collapsed()
    np.testing.assert_allclose(
        all_four(real, fake, 3, strict=True), ORACLES["prdc/collapsed"], rtol=1e-14
    )
    closed = pr.precision_recall(real, fake, 3)
    np.testing.assert_allclose([closed.precision, closed.recall], ORACLES["prc/collapsed"])
    same = np.ones((20, 3))
    assert dc.density_coverage(same, same) == dc.DensityCoverage(0.0, 0.0)
    assert pr.precision_recall(same, same) == pr.PrecisionRecall(1.0, 1.0)


def test_copies_far_from_the_centre():
    """Where differences of large squares would not cancel to 0."""
    real, fake = record.collapsed()
    real, fake = 1e3 * real, 1e3 * fake
    for dtype in (np.float32, np.float64):
        assert pr.precision_recall(real, fake, dtype=dtype).recall == 1 / 500
        assert pr.precision_recall(real, fake, strict=True, dtype=dtype).recall == 0


def test_collapse_is_precise_and_noise_recalls():
    random = np.random.RandomState(0)
    modes = 6 * random.randn(8, 16)
    real = modes[random.randint(8, size=1000)] + random.randn(1000, 16)
    collapsed = modes[0] + random.randn(1000, 16) * 0.7
    noisy = modes[random.randint(8, size=1000)] + 3 * random.randn(1000, 16)
    found = pr.precision_recall(real, collapsed)
    assert found.precision > 0.95 and found.recall < 0.15
    swapped = pr.precision_recall(collapsed, real)
    assert (swapped.precision, swapped.recall) == (found.recall, found.precision)
    assert dc.density_coverage(real, collapsed).coverage < 0.2
    found = pr.precision_recall(real, noisy)
    assert found.precision < 0.1 and found.recall > 0.9


def test_the_same_distribution():
    random = np.random.RandomState(0)
    found = dc.density_coverage(random.randn(1500, 16), random.randn(1500, 16))
    assert abs(found.coverage - dc.expected_coverage(1500, 1500)) < 0.01
    assert abs(found.density - 1) < 0.06
    np.testing.assert_allclose(dc.expected_coverage(10**7, 10**7), 1 - 2.0**-5, rtol=1e-6)


def test_nearest_by_brute_force():
    random = np.random.RandomState(0)
    x, train = random.randn(450, 5), random.randn(900, 5)
    distance = np.sqrt(((x[:, None] - train) ** 2).sum(-1))
    order = np.argsort(distance, 1)[:, :3]
    found = nb.nearest(x, train, 3)
    np.testing.assert_array_equal(found.indices, order)
    np.testing.assert_allclose(found.distances, np.take_along_axis(distance, order, 1))
    own = np.sqrt(((train[:, None] - train) ** 2).sum(-1))
    np.fill_diagonal(own, np.inf)
    found = nb.nearest_others(train, 3)
    np.testing.assert_array_equal(found.indices, np.argsort(own, 1)[:, :3])
    np.testing.assert_allclose(found.distances, np.sort(own, 1)[:, :3])


def test_an_example_is_not_its_own_neighbour_but_its_duplicate_is():
    x = np.array([[0.0], [5.0], [5.0], [9.0], [1e3]])
    found = nb.nearest_others(x)
    np.testing.assert_array_equal(found.indices[:4, 0], [1, 2, 1, 1])
    np.testing.assert_array_equal(found.distances[:4, 0], [5, 0, 0, 4])
    copies = nb.nearest(x + 1e-3, x, dtype=np.float32)  # tiles are too coarse, distances are not
    np.testing.assert_allclose(copies.distances[1:3], 1e-3, rtol=1e-6)


def test_memory_does_not_grow_with_the_pairs(monkeypatch):
    monkeypatch.setattr(nb, "TILE", 128)
    x = np.random.RandomState(0).randn(4000, 8).astype(np.float32)
    tracemalloc.start()
    pr.precision_recall(x, x[::-1])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6 < 4000**2 * 4 / 10


def test_bad_features():
    x = np.ones((4, 3))
    with pytest.raises(ConfigError, match=r"at least 4 and 4 examples, got 4 and 3"):
        pr.precision_recall(x, x[:3])
    with pytest.raises(ConfigError, match=r"got \(4, 3\) and \(4, 2\)"):
        nb.nearest(x, x[:, :2])
    with pytest.raises(ConfigError, match="not finite"):
        dc.density_coverage(np.full((9, 3), np.inf), x)
