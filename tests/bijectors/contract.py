"""What `checks` asks of a bijector, in two programs: one of float64, one of float32."""

import jax
import jax.numpy as jnp
import numpy as np
from checks import KEY, flat, scramble


def _run(case, batch, jacobian):
    """Initialises, scrambles, and goes forward and back, in one compiled program."""
    bijector, shape, cond_shape = case
    x = jax.random.uniform(KEY, (batch, *shape)) * 0.9 + 0.05
    cond = None if cond_shape is None else jax.random.normal(KEY, (batch, *cond_shape))

    def one(variables, x, cond):
        return flat(bijector.apply(variables, x[None], None if cond is None else cond[None])[0])

    @jax.jit
    def both(x, cond):
        variables = scramble({"params": {}, **bijector.init(KEY, x, cond)})
        y, logdet = bijector.apply(variables, x, cond)
        back, total = bijector.apply(variables, y, cond, method="inverse")
        if not jacobian:
            return y, logdet, back, total
        axes = (None, 0, None if cond is None else 0)
        return y, logdet, back, total, jax.vmap(jax.jacrev(one, 1), axes)(variables, x, cond)

    return x, *both(x, cond)


def exact(case, logdet_atol=1e-8, inverse_atol=1e-10):
    """In float64: `slogdet` of the Jacobian, the way back, and log-dets that cancel."""
    with jax.enable_x64(True):
        x, _, logdet, back, total, jacobian = _run(case, 3, True)
        jacobian = np.asarray(jacobian).reshape(len(x), x[0].size, x[0].size)
        assert logdet.shape == (len(x),) and logdet.dtype == jnp.float64
        expected = np.linalg.slogdet(jacobian)[1]
        np.testing.assert_allclose(logdet, expected, atol=logdet_atol, rtol=0)
        np.testing.assert_allclose(back, x, atol=inverse_atol, rtol=0)
        np.testing.assert_allclose(logdet + total, 0, atol=10 * inverse_atol)


def single(case, atol=5e-5):
    """In float32: results of that type, and the way back to single precision."""
    x, y, logdet, back, _ = _run(case, 3, False)
    assert logdet.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(y)} == {jnp.dtype("float32")}
    np.testing.assert_allclose(back, x, atol=atol)
