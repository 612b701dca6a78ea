"""Scores of codes whose relation to the factors is known."""

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from jaxgen.evaluate.metrics import disentanglement as d

RANDOM = np.random.RandomState(0)
FACTORS = np.stack([RANDOM.randint(n, size=2000) for n in (3, 5, 4)], axis=1)
NOISE = 0.01 * RANDOM.randn(2000, 5)
PERFECT = np.concatenate([FACTORS * 1.0, np.zeros((2000, 2))], axis=1) + NOISE * [1, 1, 1, 1, 0]
CHANCE = RANDOM.randn(2000, 5)


@pytest.fixture(scope="module")
def perfect():
    return d.scores(PERFECT, FACTORS)


def test_a_code_for_each_factor_is_perfect(perfect):
    assert perfect["mig"] > 0.97
    assert perfect["dci_disentanglement"] > 0.97 and perfect["dci_completeness"] > 0.97
    assert perfect["dci_informativeness"] > 0.99
    assert perfect["beta_vae_score"] > 0.99 and perfect["factor_vae_score"] > 0.99
    assert perfect["sap"] > 0.3
    assert perfect["active_units"] == 3
    assert perfect["total_correlation"] < 0.01


def test_order_and_scale_of_the_codes_do_not_matter(perfect):
    other = d.scores(PERFECT[:, ::-1] * np.array([1, 1, -5, 2, 3])[None] + 7, FACTORS)
    for name in ("mig", "dci_disentanglement", "beta_vae_score", "factor_vae_score", "sap"):
        np.testing.assert_allclose(other[name], perfect[name], atol=0.02, err_msg=name)


def test_codes_that_know_nothing():
    found = d.scores(CHANCE, FACTORS)
    assert found["mig"] < 0.02 and found["sap"] < 0.05
    assert found["dci_disentanglement"] < 0.1 and found["dci_completeness"] < 0.1
    assert found["dci_informativeness"] < 0.4
    assert found["beta_vae_score"] < 0.45 and found["factor_vae_score"] < 0.45


def test_two_factors_in_both_of_two_codes_have_no_gap():
    factors = RANDOM.randint(6, size=(4000, 2))
    turned = factors @ np.array([[1, 1], [-1, 1]]) / np.sqrt(2) + 0.01 * RANDOM.randn(4000, 2)
    assert d.mig(factors + 0.01 * RANDOM.randn(4000, 2), factors) > 0.95
    assert d.mig(turned, factors) < 0.05
    assert d.dci_scores(turned, factors)["disentanglement"] < 0.2


def test_mutual_information_is_that_of_the_bins():
    found = d.mutual_information(CHANCE[:, :1], FACTORS[:, :1], bins=4)
    edges = np.linspace(CHANCE[:, 0].min(), CHANCE[:, 0].max(), 5)
    binned = np.clip(np.searchsorted(edges, CHANCE[:, 0], side="right"), 1, 4)
    np.testing.assert_allclose(found[0, 0], mutual_info_score(binned, FACTORS[:, 0]), rtol=1e-9)


def test_planted_dead_units_are_counted():
    codes = RANDOM.randn(500, 6) * np.array([1.0, 0.0, 0.05, 2.0, 0.3, 0.09])[None]
    np.testing.assert_array_equal(d.active_units(codes), [0, 3, 4])


def test_total_correlation_of_a_correlated_pair():
    x = RANDOM.randn(100_000, 2)
    x[:, 1] = 0.8 * x[:, 0] + 0.6 * x[:, 1]
    np.testing.assert_allclose(d.total_correlation(x), -0.5 * np.log(1 - 0.64), atol=0.01)
