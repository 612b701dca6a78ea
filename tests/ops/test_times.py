"""Laws of time: their distributions, their strata, and losses that are weighted back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest, norm

from jaxgen.ops.times import KEPT, by_losses, no_losses, noted, shares

KEY = jax.random.key(0)


def test_laws_are_distributed_as_they_say():
    def logit_normal(t):
        return norm.cdf(np.log(t / (1 - t)))

    uniform, bell, mixed = (
        np.asarray(shares(KEY, 4000, k)) for k in ("uniform", "logit_normal", "mixed")
    )
    assert kstest(uniform, "uniform").pvalue > 0.01
    assert kstest(bell, logit_normal).pvalue > 0.01 > kstest(bell, "uniform").pvalue
    moved = np.asarray(shares(KEY, 4000, "logit_normal", -0.4, 1.5))
    assert kstest((np.log(moved / (1 - moved)) + 0.4) / 1.5, "norm").pvalue > 0.01
    assert kstest(mixed, lambda t: (t + logit_normal(t)) / 2).pvalue > 0.01


def test_antithetic_times_have_one_in_each_interval():
    t = np.asarray(shares(KEY, 64, "antithetic"))
    assert sorted(np.floor(t * 64).astype(int)) == list(range(64))
    assert np.asarray(shares(jax.random.key(1), 64, "antithetic"))[0] != t[0]
    spread = [np.floor(np.asarray(shares(KEY, 64)) * 64)]
    assert len(np.unique(spread)) < 64  # the control


def test_unknown_laws_are_refused():
    with pytest.raises(ValueError, match="times='beta', expected one of"):
        shares(KEY, 4, "beta")


def test_steps_of_large_losses_are_drawn_more_often_and_weigh_less():
    """The mean of losses times weights is the mean over all steps; without weights it is not."""
    steps, losses = 8, np.arange(1.0, 9.0)
    known, draw = no_losses(steps), jax.jit(by_losses, static_argnums=1)
    t, weight = draw(KEY, 4000, known)
    np.testing.assert_allclose(weight, 1)
    assert np.bincount(t, minlength=steps).std() < 60
    note = jax.jit(noted)
    for i in range(KEPT):
        known = note(known, jnp.arange(steps), jnp.asarray(losses if i else 100 * losses))
    assert (np.asarray(known["seen"]) == KEPT).all()
    known = note(known, jnp.arange(steps), jnp.asarray(losses))  # in place of the oldest
    np.testing.assert_allclose(known["losses"], np.repeat(losses[:, None], KEPT, 1))
    t, weight = draw(KEY, 20_000, known)
    share = np.bincount(t, minlength=steps) / len(t)
    np.testing.assert_allclose(share, 0.999 * losses / losses.sum() + 0.001 / 8, atol=0.012)
    np.testing.assert_allclose(np.mean(losses[t] * weight), losses.mean(), rtol=0.01)
    assert np.mean(losses[t]) > 1.2 * losses.mean()


def test_a_step_that_comes_twice_is_noted_twice():
    known = noted(no_losses(3), jnp.asarray([1, 1, 2]), jnp.asarray([5.0, 6.0, 7.0]))
    assert known["seen"].tolist() == [0, 2, 1]
    assert known["losses"][1, :3].tolist() == [5.0, 6.0, 0.0]
