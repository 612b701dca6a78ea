"""Scores of outliers: against scikit-learn, normal densities in closed form, and counting."""

import math

import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from jaxgen.config import ConfigError
from jaxgen.evaluate import outliers

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("decimals", [9, 1, 0], ids=["no ties", "ties", "most tied"])
@pytest.mark.parametrize("sizes", [(300, 200), (7, 90), (50, 1)])
def test_metrics_are_those_of_scikit_learn(sizes, decimals):
    inside = np.round(RANDOM.normal(size=sizes[0]), decimals)
    outside = np.round(RANDOM.normal(0.7, 1.5, size=sizes[1]), decimals)
    y, scores = np.repeat([0, 1], sizes), np.concatenate([inside, outside])
    np.testing.assert_allclose(outliers.auroc(inside, outside), roc_auc_score(y, scores))
    np.testing.assert_allclose(outliers.aupr(inside, outside), average_precision_score(y, scores))
    false, true, _ = roc_curve(y, scores, drop_intermediate=False)
    wanted = false[np.argmax(true >= outliers.FOUND)]
    np.testing.assert_allclose(outliers.fpr95(inside, outside), wanted)


def test_normals_in_closed_form():
    """Two normals a distance d apart: AUROC = Phi(d / sqrt 2), FPR = Phi(1.645 - d)."""
    d, inside, outside = 1.3, RANDOM.normal(size=4000), RANDOM.normal(1.3, size=4000)
    found = outliers.told(inside, outside)
    auroc = scipy.stats.norm.cdf(d / math.sqrt(2))
    fpr = scipy.stats.norm.sf(scipy.stats.norm.ppf(0.05) + d)
    for value, wanted in ((found.auroc, auroc), (found.fpr95, fpr)):
        assert value.low < wanted < value.high and value.high - value.low < 0.1
        assert value.low < value.value < value.high


def test_typicality_finds_what_a_likelihood_cannot():
    """Of D normals the origin is likelier than all data: log p ranks it inside, typicality out."""
    dims = 200
    log_p = lambda x: scipy.stats.norm.logpdf(x).sum(-1)  # noqa: E731
    train, inside = RANDOM.normal(size=(2, 400, dims))
    outside = 0.1 * RANDOM.normal(size=(400, dims))
    entropy = -dims / 2 * math.log(2 * math.pi * math.e)
    middle = log_p(train).mean()
    assert abs(middle - entropy) < 3 * math.sqrt(dims / 2 / 400)
    assert outliers.auroc(-log_p(inside), -log_p(outside)) == 0
    away = [np.abs(log_p(x) - middle) for x in (inside, outside)]
    assert outliers.auroc(*away) == 1


def test_intervals_cover(monkeypatch):
    """Of 120 pairs of sets about 95 % of the intervals hold what is true."""
    true = scipy.stats.norm.cdf(1 / math.sqrt(2))
    held = 0
    monkeypatch.setattr(outliers, "DRAWS", 200)
    for seed in range(120):
        random = np.random.default_rng(seed)
        inside, outside = random.normal(size=60), random.normal(1, size=60)
        value = outliers.told(inside, outside, seed).auroc
        held += value.low <= true <= value.high
    assert 107 <= held <= 119


def test_p_values_and_thresholds():
    held, x = RANDOM.normal(size=999), RANDOM.normal(size=5000)
    p = outliers.p_values(held, x)
    assert p.min() >= 1 / 1000 and p.max() <= 1
    assert scipy.stats.kstest(p, "uniform").statistic < 0.05
    np.testing.assert_array_equal(p, [(1 + (held >= v).sum()) / 1000 for v in x])
    cut = outliers.threshold(held, 0.05)
    assert (held > cut).mean() <= 0.05 < (held >= cut - 1e-12).mean() + 1 / 999
    np.testing.assert_array_equal(x > cut, p < 0.05 + 1e-9)
    for alarms in (0.0, 1.0, 0.0005):
        with pytest.raises(ConfigError, match="999 held-out examples give no threshold"):
            outliers.threshold(held, alarms)
    with pytest.raises(ConfigError, match="5 held-out examples say nothing"):
        outliers.p_values(held[:5], x)
    with pytest.raises(ConfigError, match="5 held-out examples give no threshold"):
        outliers.threshold(held[:5], 0.5)


def test_transforms():
    x = RANDOM.integers(0, 5, (6, 4, 4, 3)).astype(np.uint8)
    found = {name: outliers.transformed(name, x, 5, 0) for name in outliers.TRANSFORMS}
    assert all(v.shape == x.shape and v.dtype == x.dtype for v in found.values())
    np.testing.assert_array_equal(found["invert"], 4 - x)
    np.testing.assert_array_equal(found["turn"][:, 0, 0], x[:, 0, -1])
    moved = found["shuffle"].reshape(6, 16, 3)
    for i in range(16):  # the same place for all, with its channels
        assert (moved == x.reshape(6, 16, 3)[:, i : i + 1]).all(-1).all(0).any()
    assert (found["shuffle"] != x).any() and found["constant"].max() <= 4
    assert (found["constant"] == found["constant"][:, :1, :1, :1]).all()
    assert not found["black"].any()
    rows = RANDOM.integers(0, 5, (6, 9)).astype(np.uint8)
    np.testing.assert_array_equal(
        np.sort(outliers.transformed("shuffle", rows, 5, 0), 1), np.sort(rows, 1)
    )
    with pytest.raises(ConfigError, match="turn is of square images"):
        outliers.transformed("turn", rows, 5, 0)
    with pytest.raises(ConfigError, match="unknown transform 'invrt'.*invert"):
        outliers.transformed("invrt", x, 5, 0)


def test_complexity_is_that_of_files():
    noise = RANDOM.integers(0, 256, (3, 16, 16, 1)).astype(np.uint8)
    plain = np.full_like(noise, 7)
    assert (outliers.complexity(noise) > 8 * noise[0].size).all()
    assert (outliers.complexity(plain) < 8 * 100).all()
    with pytest.raises(ConfigError, match="the complexity is of images"):
        outliers.complexity(noise[..., 0])


def test_what_cannot_be_told():
    with pytest.raises(ConfigError, match="scores of no examples"):
        outliers.told(np.zeros(3), np.zeros(0))
    with pytest.raises(ConfigError, match="no finite number"):
        outliers.told(np.zeros(3), np.array([np.nan]))
