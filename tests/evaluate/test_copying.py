"""The statistic of copying, authentic samples, and distances to the training set."""

import numpy as np
import pytest
import scipy.stats

from jaxgen.config import ConfigError
from jaxgen.evaluate.metrics import copying as cp

RANDOM = np.random.RandomState(0)
TRAIN, TEST, FRESH = RANDOM.randn(1500, 8), RANDOM.randn(600, 8), RANDOM.randn(600, 8)
COPIES = TRAIN[RANDOM.permutation(1500)[:600]]


def test_copies_and_new_samples():
    found = cp.copying(TRAIN, TEST, COPIES)
    assert found.value < -15 and max(found.scores) < -15
    np.testing.assert_allclose(sum(found.shares), 1)
    # every copy is nearer than every test example, U = 0: -sqrt(3 n m / (n + m + 1))
    one = cp.copying(TRAIN, TEST, COPIES, cells=1)
    np.testing.assert_allclose(one.value, -np.sqrt(3 * 600**2 / 1201))
    assert abs(cp.copying(TRAIN, TEST, FRESH).value) < 3
    assert cp.copying(TRAIN, TEST, COPIES + 0.05 * RANDOM.randn(600, 8)).value < -15
    assert cp.copying(TRAIN, TEST, 2 * FRESH).value > 10
    assert cp.copying(TRAIN, TEST, FRESH) == cp.copying(TRAIN, TEST, FRESH)


def test_ranks_are_scipy_s():
    a, b = RANDOM.randint(30, size=80), RANDOM.randint(25, size=50)
    brute = np.sum(a[:, None] > b) + np.sum(a[:, None] == b) / 2
    assert cp.rank_sum(a, b) == brute == scipy.stats.mannwhitneyu(a, b).statistic
    a, b = RANDOM.randn(80), RANDOM.randn(50) + 0.3
    options = dict(method="asymptotic", use_continuity=False, alternative="less")
    p = scipy.stats.mannwhitneyu(a, b, **options).pvalue
    np.testing.assert_allclose(scipy.stats.norm.cdf(cp.rank_score(a, b)), p)
    np.testing.assert_allclose(cp.rank_score(a, b), -cp.rank_score(b, a))


def test_one_cell_is_the_rank_test_of_brute_force_distances():
    nearest = [np.sqrt(((x[:, None] - TRAIN) ** 2).sum(-1)).min(1) for x in (FRESH, TEST)]
    expected = cp.rank_score(*nearest)
    np.testing.assert_allclose(cp.copying(TRAIN, TEST, FRESH, cells=1).value, expected)
    found = cp.nearest_quantiles(TRAIN, TEST, FRESH)
    np.testing.assert_allclose(found.generated, np.quantile(nearest[0], cp.LEVELS))
    np.testing.assert_allclose(found.ratio, np.median(nearest[0]) / np.median(nearest[1]))
    assert cp.nearest_quantiles(TRAIN, TEST, COPIES).ratio == 0


def test_authentic_samples():
    distance = np.sqrt(((FRESH[:, None] - TRAIN) ** 2).sum(-1))
    own = np.sqrt(((TRAIN[:, None] - TRAIN) ** 2).sum(-1))
    np.fill_diagonal(own, np.inf)
    expected = (own.min(1)[distance.argmin(1)] < distance.min(1)).mean()
    assert cp.authentic_share(TRAIN, FRESH) == expected
    assert 0.4 < expected < 0.7
    assert cp.authentic_share(TRAIN, FRESH[::-1]) == expected
    assert cp.authentic_share(TRAIN, COPIES) == 0


def test_features_of_many_dimensions_are_reduced():
    """Noise in 200 dimensions more, too small to be among the first components."""
    wide = [np.hstack([x, 1e-4 * RANDOM.randn(len(x), 200)]) for x in (TRAIN, TEST, FRESH)]
    found = cp.copying(*wide, cells=1).value
    np.testing.assert_allclose(found, cp.copying(TRAIN, TEST, FRESH, cells=1).value, atol=0.05)


def test_too_few_samples():
    with pytest.raises(ConfigError, match="more than 20 samples a cell, got 12 in all"):
        cp.copying(TRAIN, TEST, FRESH[:12])
    far = np.concatenate([TRAIN, TRAIN[:50] + 100])
    with pytest.raises(ConfigError, match="no test example in one of 2 cells"):
        cp.copying(far, TEST, FRESH + 100, cells=2)
