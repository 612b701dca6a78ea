"""Pairs of parameters and observation in a .npz: rows of both, and what is refused."""

import re

import numpy as np
import pytest

import jaxgen
from jaxgen.bijectors.base import Chain
from jaxgen.config import ConfigError
from jaxgen.data import DataError, load
from jaxgen.methods.posterior import Posterior

RANDOM = np.random.RandomState(0)
THETA, X = RANDOM.randn(60, 2), RANDOM.randn(60, 3)


@pytest.fixture
def saved(tmp_path):
    def save(**arrays):
        np.savez(tmp_path / "pairs.npz", **arrays)
        return str(tmp_path / "pairs.npz")

    return save


def every(data):
    parts = [data.splits[s].take(np.arange(len(data.splits[s])))["x"] for s in ("train", "test")]
    return np.concatenate(parts)


def test_rows_are_parameters_then_observation(saved):
    data = load(saved(theta=THETA, x=X), standardize=False)
    assert data.spec.shape == (5,) and data.spec.x.names[1:3] == ("theta 2", "x 1")
    rows = every(data)
    expected = np.concatenate([THETA, X], 1).astype(np.float32)
    np.testing.assert_array_equal(rows[np.lexsort(rows.T)], expected[np.lexsort(expected.T)])
    assert not any("not used" in note for note in data.notes)
    one = load(saved(theta=THETA[:, 0], x=X[:, 0].astype(np.float32)), standardize=False)
    assert one.spec.x.names == ("theta 1", "x 1")


def test_splits_and_standardised_rows(saved):
    arrays = dict(theta_train=THETA, x_train=X, theta_test=THETA[:9], x_test=X[:9])
    data = load(saved(**arrays), columns="theta 2,x 3")
    assert len(data.splits["test"]) == 9 and data.spec.x.names == ("theta 2", "x 3")
    taken = np.asarray(data.splits["test"].own(np.arange(9))["x"])
    np.testing.assert_allclose(taken, np.stack([THETA[:9, 1], X[:9, 2]], 1), rtol=1e-6)


def test_failed_simulations_are_left_out_and_told(saved):
    x = np.where(np.arange(60)[:, None] < 7, np.nan, X)
    data = load(saved(theta=THETA, x=x), standardize=False)
    assert len(every(data)) == 53 and "7 of 60 simulations failed" in "".join(data.notes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(theta=THETA[:50]), "as many of theta as of x, got {'theta': 50, 'x': 60}"),
        (dict(theta=np.where(THETA > 2, np.inf, THETA)), "is not finite"),
        (dict(theta=THETA * 1e300), "is not finite in float32"),
        (dict(x=X * np.nan), "every simulation of x has a value that is not finite"),
        (dict(x=X[:, :, None]), "x is float64 [60, 3, 1], expected numbers, a row for each"),
        (dict(theta=THETA.astype(str)), "theta is <U"),
        (dict(y=np.arange(60)), "labels and context have no place beside theta and x"),
        (dict(theta_test=THETA, x_test=X[:, :2], theta_train=THETA, x_train=X), "the same of both"),
    ],
)
def test_what_cannot_be_pairs_is_refused(saved, change, message):
    with pytest.raises(DataError, match=re.escape(message)):
        load(saved(**dict(theta=THETA, x=X) | change), standardize=False)


def test_a_method_of_other_parameters_is_refused(saved):
    spec = load(saved(theta=THETA, x=X), standardize=False).spec
    with pytest.raises(ConfigError, match=r"2 of them in theta: add --config.method.parameters=2"):
        Posterior(Chain(()), spec, 3)


@pytest.mark.slow
def test_in_memory_they_are_trained_on(tmp_path):
    arrays = {"theta": np.tile(THETA, (20, 1)), "x": np.tile(X, (20, 1))}
    prior = {"parameters": 2, "mean": (0.0, 0.0), "std": (1.0, 1.0)}
    changes = {"evaluate.sample.observation": (0.0, 0.0, 0.0)}
    fitted = jaxgen.fit(
        "nre:linear_gaussian,tiny", arrays, workdir=tmp_path / "run", method=prior, **changes
    )
    assert fitted.sample(5, seed=0, observation=(0.1, 0.2, 0.3)).shape == (5, 2)
    assert fitted.calibrate(num=100, draws=9).ranks.shape == (100, 2)
