"""Convolutional DRAW: what its steps see, and what given latents fix."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from away import scrambled

from jaxgen.config import ConfigError
from jaxgen.methods.elbo import ELBO
from jaxgen.models.vaes.conv_draw import ConvDRAW
from jaxgen.types import DataSpec, State

KEY = jax.random.key(0)
SPEC = DataSpec.of("bits", (7, 6, 1), 2)
SIZE = (3, 7, 6, 1)


@pytest.fixture(scope="module")
def trained():
    """A method, and a state away from initialisation."""
    method = ELBO(ConvDRAW(steps=3, latent=2, width=4, kernel=3), SPEC)
    batch = {"x": jnp.asarray(np.random.RandomState(0).rand(*SIZE) < 0.4, jnp.uint8)}
    params, variables = jax.jit(method.init)(KEY, batch)
    return method, State(jnp.int32(0), scrambled(params, 0.1), variables, {}, {}), batch["x"]


@pytest.fixture(scope="module")
def top_down(trained):
    """top_down(h, given): compiled once for each structure of its arguments."""
    method, state, _ = trained
    return jax.jit(lambda h, given, rng: method.top_down(state, h, 3, None, rng, given=given))


def test_posterior_draw_given_again_writes_the_same(trained, top_down):
    _, _, x = trained
    draw = top_down(x.astype(jnp.float32), (None,) * 3, KEY)
    again = top_down(None, draw.z, jax.random.key(5))
    np.testing.assert_allclose(again.theta, draw.theta, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(again.log_p, draw.log_p, rtol=1e-5)
    assert [z.shape for z in draw.z] == [(3, 4, 3, 2)] * 3
    assert [kl.shape for kl in draw.kl] == [(3, 2)] * 3 and again.kl == ()


def test_divergence_is_between_the_densities(trained, top_down):
    """On average over draws, log q - log p is the analytic sum."""
    method, state, x = trained
    tiled = np.tile(x[:1], (4096, 1, 1, 1))
    draw = jax.jit(lambda x: method.draw_posterior(state, x, None, KEY))(tiled)
    difference = np.asarray(draw.log_q - draw.log_p - sum(kl.sum(-1) for kl in draw.kl))
    assert abs(difference.mean()) < 4 * difference.std() / 64
    assert sum(float(kl.mean()) for kl in draw.kl) > 0.01


def test_first_latents_alone_leave_the_rest_to_the_prior(trained, top_down):
    _, _, x = trained
    z = top_down(x.astype(jnp.float32), (None,) * 3, KEY).z
    one, two = (top_down(None, (z[0], None, None), jax.random.key(k)) for k in (1, 2))
    np.testing.assert_array_equal(one.z[0], z[0])
    assert np.abs(np.subtract(one.z[1], two.z[1])).min() > 0
    assert np.abs(np.subtract(one.theta, two.theta)).max() > 0


def test_a_shorter_list_is_filled_up(trained):
    method, state, x = trained
    shorter = jax.eval_shape(lambda x: method.decode(state, method.encode(state, x, KEY)[:1]), x)
    assert shorter.shape == (3, 7, 6, 1)


def test_lossy_reconstructions_hold_what_the_first_latents_say(trained):
    """All groups kept give one image whatever is drawn after them; fewer leave something open."""
    method, state, x = trained
    one, two = (jax.random.key(k) for k in (1, 2))
    run = jax.jit(method.reconstruct, static_argnames="groups")

    @jax.jit
    def expected(rng):
        z = method.draw_posterior(state, x, None, rng).z
        given, after = (z[0], None, None), jax.random.fold_in(rng, 1)
        again = method.top_down(state, None, 3, None, after, given=given)
        return method.decode(state, z), method.decoder.mean(again.theta)

    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    whole, part = run(state, x, one, groups=3), run(state, x, one, groups=1)
    jax.tree.map(close, (whole, part), expected(one))
    close(whole, run(state, x, one))
    assert np.abs(part - whole).max() > 1e-3 and np.abs(part - run(state, x, two)).max() > 1e-3
    with pytest.raises(ConfigError, match="groups=4, expected 1 to 3"):
        run(state, x, one, groups=4)


def test_samples(trained):
    method, state, _ = trained

    @jax.jit
    def found(state):
        cold = method.sample(state, KEY, 2, temperature=0.0, mean=True)
        return cold, method.sample(state, KEY, 4)

    cold, samples = found(state)
    np.testing.assert_array_equal(cold[0], cold[1])
    assert set(np.unique(samples)) <= {0, 1}
