"""What every bijector is held to, in two compiled programs: one of float64, one of float32.

A case is (bijector, event shape, shape of cond or None).
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

KEY = jax.random.key(0)


class Dense(nn.Module):
    """A conditioner for vectors and images that uses `cond`."""

    @nn.compact
    def __call__(self, x, cond, features):
        h = jnp.tanh(nn.Dense(8)(x))
        if cond is not None:
            h = h + nn.Dense(8)(cond)
        return nn.Dense(features)(h)


class OfCond(nn.Module):
    """Mean and log-scale of what is given, as a conditional prior has."""

    @nn.compact
    def __call__(self, x, cond, features):
        return nn.Dense(features)(jnp.tanh(cond))


def scramble(variables, scale=0.03):
    """Every parameter away from its initialisation, where a zero would hide a mistake."""
    random = np.random.RandomState(0)
    params = jax.tree.map(
        lambda p: p + jnp.asarray(scale * random.randn(*p.shape), p.dtype), variables["params"]
    )
    return {**variables, "params": params}


def inputs(case, batch):
    """x uniform in (0.05, 0.95), and cond."""
    _, shape, cond_shape = case
    random = np.random.RandomState(0)
    x = jnp.asarray(random.uniform(0.05, 0.95, (batch, *shape)))
    return x, None if cond_shape is None else jnp.asarray(random.randn(batch, *cond_shape))


def build(case, batch=3, scale=0.03):
    """(bijector, scrambled variables, x, cond) with x uniform in (0.05, 0.95)."""
    bijector, (x, cond) = case[0], inputs(case, batch)

    @jax.jit
    def start(x, cond):
        return scramble({"params": {}, **bijector.init(KEY, x, cond)}, scale)

    return bijector, start(x, cond), x, cond


def names(cases, slow=()):
    """Parameters of a test over cases, of which some compile for long."""
    return [pytest.param(c, marks=pytest.mark.slow) if c in slow else c for c in cases]


def _run(case, batch, jacobian):
    """Initialises, scrambles, and goes forward and back, in one compiled program.

    Columns of the Jacobian are pushed through the whole batch at once: those of an example that
    saw another would be wrong.
    """
    bijector, (x, cond) = case[0], inputs(case, batch)

    @jax.jit
    def both(x, cond):
        variables = scramble({"params": {}, **bijector.init(KEY, x, cond)})

        if not jacobian:
            y, logdet = bijector.apply(variables, x, cond)
            return y, logdet, *bijector.apply(variables, y, cond, method="inverse")

        def forward(x):
            y, logdet = bijector.apply(variables, x, cond)
            flat = [leaf.reshape(batch, -1) for leaf in jax.tree.leaves(y)]
            return jnp.concatenate(flat, 1), (y, logdet)

        _, push, (y, logdet) = jax.linearize(forward, x, has_aux=True)
        back, total = bijector.apply(variables, y, cond, method="inverse")
        size = x[0].size
        basis = jnp.eye(size, dtype=x.dtype).reshape(size, 1, *x.shape[1:])
        columns = jax.vmap(push, out_axes=2)(jnp.broadcast_to(basis, (size, *x.shape)))
        return y, logdet, back, total, columns

    return x, *both(x, cond)


def exact(case, logdet_atol=1e-8, inverse_atol=1e-10):
    """In float64: `slogdet` of the Jacobian, the way back, and log-dets that cancel.

    Returns:
        (y, its Jacobians [example, element of y, element of x]).
    """
    with jax.enable_x64(True):
        x, y, *found = _run(case, 3, True)
        logdet, back, total, jacobian = map(np.asarray, found)
        assert logdet.shape == total.shape == (len(x),) and logdet.dtype == np.float64
        expected = np.linalg.slogdet(jacobian)[1]
        np.testing.assert_allclose(logdet, expected, atol=logdet_atol, rtol=0)
        np.testing.assert_allclose(back, x, atol=inverse_atol, rtol=0)
        np.testing.assert_allclose(logdet + total, 0, atol=10 * inverse_atol)
    return y, jacobian


def single(case, atol=5e-5):
    """In float32: results of that type, and the way back to single precision."""
    x, y, logdet, back, _ = _run(case, 3, False)
    assert logdet.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(y)} == {jnp.dtype("float32")}
    np.testing.assert_allclose(back, x, atol=atol)
