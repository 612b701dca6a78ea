"""Bounds of latents in groups, against linear normal models whose bounds have a closed form."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.methods.elbo import ELBO
from jaxgen.nn.latents import Draw, Normal, draw_group, joined
from jaxgen.types import DataSpec, State

# z2 ~ N(0, 1), z1 ~ N(A z2, S^2), x ~ N(B z1, 1); q: z2 ~ N(C x, T^2), z1 ~ N(D x + E z2, U^2)
A, S, B, C, T, D, E, U = 0.8, 0.7, 1.5, 0.3, 0.6, 0.4, 0.2, 0.5
X = jnp.array([[-1.3], [0.2], [2.5]])
DRAWS = 20_000


def normal(mean, std):
    return Normal(mean, jnp.full_like(mean, np.log(std)))


class Two(nn.Module):
    """The model above; `A`, `S` and so on are no parameters."""

    def __call__(self, x, size, cond=None):
        return self.top_down(self.bottom_up(x, cond), size, cond)

    def bottom_up(self, x, cond=None):
        return x

    def top_down(self, h, size, cond=None, given=None, temperature=1.0) -> Draw:
        given = given or (None, None)
        keys = [self.make_rng("latent") for _ in range(2)]
        prior = normal(jnp.zeros((size[0], 1)), 1.0)
        q = None if h is None else normal(C * h, T)
        top = draw_group(keys[0], prior, q, given[0], temperature)
        q = None if h is None else normal(D * h + E * top.z, U)
        low = draw_group(keys[1], normal(A * top.z, S), q, given[1], temperature)
        return joined(B * low.z, [top, low])


def kl(mean, std, prior_mean_gap_squared, prior_std):
    """Of normals whose means are apart by so much in the mean square."""
    apart = std**2 + prior_mean_gap_squared
    return np.log(prior_std / std) + apart / (2 * prior_std**2) - 0.5


def expected_log_p(x, mean, variance):
    """E log N(x; B z, 1) of z of a mean and a variance."""
    return -0.5 * (np.log(2 * np.pi) + (x - B * mean) ** 2 + B**2 * variance)


def test_bounds_of_fewer_groups():
    """L and L^{>1} by their expectations, in float64; the means of as many draws within 5 s.e."""
    method = ELBO(Two(), DataSpec.of("line", (1,), None), observation="gaussian")
    params, variables = method.init(jax.random.key(0), {"x": X})
    state = State(jnp.int32(0), params, variables, {}, {})
    x = jnp.repeat(X, DRAWS, axis=0)
    found = np.asarray(method.bounds(state, x, jax.random.key(1), (2, 1)), np.float64)
    found = found.reshape(len(X), DRAWS, 2)
    at = np.asarray(X[:, 0], np.float64)
    top = kl(C * at, T, (C * at) ** 2, 1.0)
    gap = (D * at + (E - A) * C * at) ** 2 + ((E - A) * T) ** 2
    low = kl(None, U, gap, S)
    whole = expected_log_p(at, (D + E * C) * at, U**2 + (E * T) ** 2) - top - low
    less = expected_log_p(at, A * C * at, S**2 + (A * T) ** 2) - top
    error = found.std(axis=1) / np.sqrt(DRAWS)
    np.testing.assert_array_less(np.abs(found.mean(axis=1)[:, 0] - whole), 5 * error[:, 0])
    np.testing.assert_array_less(np.abs(found.mean(axis=1)[:, 1] - less), 5 * error[:, 1])
    assert (np.abs(whole - less) > 20 * error.max(axis=1)).all()  # they can be told apart
    # both are below the exact log-density, that of N(0, 1 + B^2 (S^2 + A^2))
    variance = 1 + B**2 * (S**2 + A**2)
    exact = -0.5 * (np.log(2 * np.pi * variance) + at**2 / variance)
    assert (whole <= exact).all() and (less <= exact).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_all_groups_are_the_bound_of_evaluate(seed):
    """Of the same draw of the posterior."""
    method = ELBO(Two(), DataSpec.of("line", (1,), None), observation="gaussian")
    params, variables = method.init(jax.random.key(0), {"x": X})
    state = State(jnp.int32(0), params, variables, {}, {})
    key = jax.random.key(seed)
    told = method.evaluate(state, {"x": X}, jax.random.split(key)[0])
    found = method.bounds(state, X, key, (2,))
    np.testing.assert_allclose(found[:, 0], -told["nelbo"], rtol=1e-6)
