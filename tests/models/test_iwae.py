"""Two stochastic layers: densities, and the marginal likelihood of a model small enough to sum."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.methods.iwae import IWAE
from jaxgen.models.vaes.iwae import DeepVAE
from jaxgen.types import DataSpec, State

KEY = jax.random.key(0)
SPEC = DataSpec.of("bits", (2, 2, 1), 2)
EVERY = np.asarray(list(itertools.product((0, 1), repeat=4)), np.uint8).reshape(16, 2, 2, 1)


@pytest.fixture(scope="module")
def trained():
    """A method and a state away from initialisation: two layers of one latent each."""
    method = IWAE(DeepVAE((1, 1), ((5,), (4,))), SPEC, samples=3)
    params, variables = jax.jit(method.init)(KEY, {"x": EVERY})
    leaves, tree = jax.tree.flatten(params["model"])
    keys = jax.random.split(KEY, len(leaves))
    moved = [
        0.5 * p + 0.1 * jax.random.normal(k, p.shape) for p, k in zip(leaves, keys, strict=True)
    ]
    params = tree.unflatten(moved)
    for name in ("up_0", "up_1"):  # wider than the prior, so that the weights have a bound
        params[name]["Dense_0"]["bias"] += np.array([0.0, 0.6], np.float32)
    return method, State(jnp.int32(0), {"model": params}, variables, {}, {})


def quadrature(method, state, points=160):
    """log p(x) of all 16 images by the trapezoid rule over both latents, [16] nats."""
    axis = np.linspace(-20, 20, points)
    z = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2).astype(np.float32)
    given = (jnp.asarray(z[:, :1]), jnp.asarray(z[:, 1:]))

    @jax.jit
    def joint(every):
        draw = method.top_down(state, None, len(z), None, KEY, given=given)

        def total(x):
            tiled = jnp.broadcast_to(x[None], (len(z), *x.shape))
            return jax.nn.logsumexp(method.decoder.log_prob(tiled, draw.theta) + draw.log_p)

        return jax.lax.map(total, every)

    return np.asarray(joint(EVERY)) + 2 * np.log(axis[1] - axis[0])


@pytest.fixture(scope="module")
def exact(trained):
    """log p(x) of all 16 images."""
    return quadrature(*trained)


def test_importance_weights_find_the_marginal_likelihood(trained, exact):
    method, state = trained
    np.testing.assert_allclose(np.exp(exact).sum(), 1, atol=1e-5)
    bound = jax.jit(lambda x: method.importance_bound(state, x, None, KEY, 1000))
    ratios = np.exp(np.asarray(bound(np.tile(EVERY, (40, 1, 1, 1)))).reshape(40, 16) - exact)
    error = ratios.std(0) / np.sqrt(40)
    assert np.all(np.abs(ratios.mean(0) - 1) < 4 * error) and error.max() < 0.02


def test_bound_of_few_draws_is_lower(trained, exact):
    method, state = trained
    tiled = np.tile(EVERY, (2000, 1, 1, 1))
    means = {}
    for samples in (1, 5):
        bound = jax.jit(lambda x, n=samples: method.importance_bound(state, x, None, KEY, n))(tiled)
        means[samples] = np.asarray(bound).reshape(2000, 16).mean(0)
    assert (means[1] < means[5]).all() and (means[5] < exact + 0.02).all()
    loss, _ = jax.jit(method.loss)(state, {"x": tiled}, KEY)
    assert -means[5].mean() < float(loss) < -means[1].mean()  # three draws


def test_a_draw_given_again_is_the_same(trained):
    method, state = trained

    @jax.jit
    def there_and_back(state):
        draw = method.draw_posterior(state, jnp.asarray(EVERY), None, KEY)
        return draw, method.top_down(state, None, 16, None, KEY, given=draw.z)

    draw, again = there_and_back(state)
    np.testing.assert_allclose(again.theta, draw.theta, rtol=1e-6)
    np.testing.assert_allclose(again.log_p, draw.log_p, rtol=1e-6)
    assert [kl.shape for kl in draw.kl] == [(16, 1)] * 2 and again.kl == ()


def test_layers_and_networks_must_match():
    with pytest.raises(ValueError, match="2 layers of latents, but 1 networks"):
        DeepVAE((2, 2), ((3,),)).init(KEY, jnp.zeros((1, 4)), (1, 4))
