"""What every bijector is held to. A case is (bijector, event shape, shape of cond or None)."""

import jax
import jax.numpy as jnp
import numpy as np
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
    leaves, tree = jax.tree.flatten(variables["params"])
    noise = [
        jax.random.normal(jax.random.fold_in(KEY, i), p.shape, p.dtype)
        for i, p in enumerate(leaves)
    ]
    return {
        **variables,
        "params": tree.unflatten([p + scale * n for p, n in zip(leaves, noise, strict=True)]),
    }


def build(case, batch=3, scale=0.03):
    """(bijector, scrambled variables, x, cond) with x uniform in (0.05, 0.95)."""
    bijector, shape, cond_shape = case
    x = jax.random.uniform(KEY, (batch, *shape)) * 0.9 + 0.05
    cond = None if cond_shape is None else jax.random.normal(KEY, (batch, *cond_shape))
    variables = jax.jit(bijector.init)(KEY, x, cond)
    return bijector, scramble({"params": {}, **variables}, scale), x, cond


def flat(tree):
    return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(tree)])


def logdet(case, atol=1e-8):
    """The log-determinant equals `slogdet` of the Jacobian in float64."""
    with jax.enable_x64(True):
        bijector, variables, x, cond = build(case)

        @jax.jit
        def both(x, cond):
            def one(x1, c1):
                return flat(bijector.apply(variables, x1[None], c1 if c1 is None else c1[None])[0])

            y, logdet = bijector.apply(variables, x, cond)
            axes = (0, None if cond is None else 0)
            return y, logdet, jax.vmap(jax.jacrev(one), axes)(x, cond)

        _, logdet, jacobian = both(x, cond)
        jacobian = jacobian.reshape(len(x), x[0].size, x[0].size)
        expected = np.linalg.slogdet(np.asarray(jacobian))[1]
        assert logdet.shape == (len(x),) and logdet.dtype == jnp.float64
        np.testing.assert_allclose(logdet, expected, atol=atol, rtol=0)


def inverse(case, atol=1e-10):
    """Forward then inverse is the identity in float64, and the two log-dets cancel."""
    with jax.enable_x64(True):
        bijector, variables, x, cond = build(case)
        y, forward = jax.jit(bijector.apply)(variables, x, cond)
        back, inverse = jax.jit(bijector.apply, static_argnames="method")(
            variables, y, cond, method="inverse"
        )
        np.testing.assert_allclose(back, x, atol=atol, rtol=0)
        np.testing.assert_allclose(forward + inverse, 0, atol=10 * atol)


def float32(case, atol=5e-5):
    """Float32 in gives float32 out, and an inverse to single precision."""
    bijector, variables, x, cond = build(case)
    y, logdet = jax.jit(bijector.apply)(variables, x, cond)
    back, _ = jax.jit(bijector.apply, static_argnames="method")(
        variables, y, cond, method="inverse"
    )
    assert logdet.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(y)} == {jnp.dtype("float32")}
    np.testing.assert_allclose(back, x, atol=atol)
