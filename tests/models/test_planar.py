"""The planar flow: density and samples agree, and it fits the energies of its paper."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgen.methods.reverse_kl import ReverseKL
from jaxgen.models.flows.planar import PlanarFlow
from jaxgen.types import DataSpec, State

KEY = jax.random.key(0)


def beginning(depth, name="u1", kind="planar", **options):
    method = ReverseKL(PlanarFlow(depth, kind), DataSpec.of(name, (2,), None), **options)
    return method, State(
        jnp.int32(0), *jax.jit(method.init)(KEY, {"x": jnp.zeros((64, 2))}), {}, {}
    )


@pytest.mark.parametrize("kind", ["planar", "radial"])
def test_samples_have_the_density_that_their_inverse_gives(kind):
    method, state = beginning(3, kind=kind)
    x, log_q, _ = jax.jit(method._draw, static_argnums=2)(state, KEY, 512)
    np.testing.assert_allclose(jax.jit(method.log_prob)(state, x, KEY), log_q, atol=2e-4)
    axis = np.linspace(-8, 8, 161)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2).astype(np.float32)
    density = np.exp(np.asarray(jax.jit(method.log_prob)(state, grid, KEY), np.float64))
    np.testing.assert_allclose(density.sum() * 0.01, 1, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["u1", "u2", "u3", "u4"])
def test_free_energy_reaches_log_z(name):
    """K = 32: within 0.05 nats of -log Z, the best of four beginnings; others may miss a part."""
    steps = 12_000
    method, state = beginning(32, name, anneal_steps=steps // 2)
    rate = optax.cosine_decay_schedule(5e-3, steps)
    optimizer = optax.chain(optax.clip_by_global_norm(5.0), optax.adam(rate))
    batch = {"x": jnp.zeros((256, 2))}

    def fit(seed):
        key = jax.random.key(seed)

        def step(carry, i):
            params, opt = carry

            def loss(params):
                at = state.replace(step=i, params=params)
                return method.loss(at, batch, jax.random.fold_in(key, i))[0]

            updates, opt = optimizer.update(jax.grad(loss)(params), opt)
            return (optax.apply_updates(params, updates), opt), None

        params, _ = method.init(key, batch)
        start = (params, optimizer.init(params))
        (params, _), _ = jax.lax.scan(step, start, jnp.arange(steps, dtype=jnp.int32))
        _, log_q, log_p = method._draw(state.replace(params=params), KEY, 20_000)
        return jnp.mean(log_q - log_p) + method.target.log_z

    kl = jax.jit(jax.vmap(fit))(jnp.arange(4))
    assert (kl > -0.01).all()
    assert kl.min() < 0.05


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="kind='plane', expected one of"):
        PlanarFlow(kind="plane").init(KEY, jnp.zeros((2, 2)))
