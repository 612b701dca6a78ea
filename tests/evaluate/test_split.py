"""Means over a split: exact over all examples, whatever the batches and their padding."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.evaluate.split import evaluate_split, value_sums

VALUES = np.random.RandomState(0).randn(23).astype(np.float32) * 3 + 1000
OTHER = np.random.RandomState(1).rand(23).astype(np.float32)


class Lookup:
    """A method whose values are the data."""

    def evaluate(self, state, batch, rng):
        return {"bpd": batch["x"][:, 0] + state, "other": batch["x"][:, 1]}


def batches(size, padding):
    """Every example once, in batches of one size; the rest is padding of weight 0."""
    data = np.stack([VALUES, OTHER], 1)
    for start in range(0, len(data), size):
        rows = data[start : start + size]
        x = np.full((size, 2), padding, np.float32)
        x[: len(rows)] = rows
        yield {"x": x, "weight": (np.arange(size) < len(rows)).astype(np.float32)}


def estimate(size, padding=0.0, state=0.0, method=None):
    method = method or Lookup()
    step = jax.jit(lambda batch, rng: value_sums(method, state, batch, rng))
    return evaluate_split(step, batches(size, padding), lambda b: jax.tree.map(jnp.asarray, b))


@pytest.mark.parametrize("size", [1, 2, 5, 8, 23, 64])
@pytest.mark.parametrize("padding", [0.0, 1e6, np.nan, np.inf])
def test_equals_numpy_for_any_batch_size_and_padding(size, padding):
    estimates = estimate(size, padding)
    for name, values in {"bpd": VALUES, "other": OTHER}.items():
        values = values.astype(np.float64)
        assert estimates[name].count == 23
        assert estimates[name].mean == pytest.approx(values.mean(), rel=2e-7)
        stderr = values.std(ddof=1) / np.sqrt(23)
        assert estimates[name].stderr == pytest.approx(stderr, rel=1e-4)


def test_the_spread_of_large_values_does_not_cancel():
    """Naive float32 sums of squares of values near 1000 lose a spread of 0.003 altogether."""
    values = 1000 + 0.004 * np.arange(23, dtype=np.float32)
    method = types.SimpleNamespace(
        evaluate=lambda state, batch, rng: {"v": 1000 + 0.004 * batch["i"]}
    )
    step = jax.jit(lambda batch, rng: value_sums(method, None, batch, rng))
    feed = [
        {"i": np.arange(23, dtype=np.float32)[i : i + 8], "weight": np.ones(min(8, 23 - i))}
        for i in (0, 8, 16)
    ]
    found = evaluate_split(step, iter(feed), lambda b: jax.tree.map(jnp.float32, b))["v"]
    expected = values.astype(np.float64).std(ddof=1) / np.sqrt(23)
    assert found.stderr == pytest.approx(expected, rel=1e-2)


def test_a_nan_of_an_example_is_seen():
    class Broken(Lookup):
        def evaluate(self, state, batch, rng):
            return {"bpd": jnp.where(batch["x"][:, 0] == VALUES[3], jnp.nan, 1.0)}

    assert np.isnan(estimate(8, method=Broken())["bpd"].mean)


def test_the_state_is_used():
    assert estimate(8, state=5.0)["bpd"].mean == pytest.approx(VALUES.mean() + 5, rel=1e-6)


def test_noise_is_a_function_of_the_batch_number_alone():
    class Noise:
        def evaluate(self, state, batch, rng):
            return {"u": jax.random.uniform(rng, (len(batch["x"]),))}

    first, second = (estimate(8, method=Noise())["u"] for _ in range(2))
    assert first == second
    assert 0.2 < first.mean < 0.8 and first.stderr > 0.02  # not the same in every batch
    assert estimate(23, method=Noise())["u"] != first


def test_the_weight_is_not_given_to_the_method():
    class Strict:
        def evaluate(self, state, batch, rng):
            assert set(batch) == {"x"}
            return {"v": batch["x"][:, 0]}

    assert estimate(8, method=Strict())["v"].count == 23


def test_one_example_has_no_spread():
    step = jax.jit(lambda batch, rng: value_sums(Lookup(), 0.0, batch, rng))
    batch = {"x": jnp.array([[3.0, 4.0], [np.nan, np.nan]]), "weight": jnp.array([1.0, 0.0])}
    found = evaluate_split(step, iter([batch]), lambda b: b)["bpd"]
    assert (found.mean, found.stderr, found.count) == (3.0, 0.0, 1)
