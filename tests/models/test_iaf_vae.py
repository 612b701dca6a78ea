"""The IAF posterior against a numerical Jacobian; who sees what; the divergence of one draw."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from away import scrambled

from jaxgen.models.vaes.iaf_vae import IAFVAE, Down, Flow, WeightNormConv, causal_mask

KEY = jax.random.key(0)
SIZE = (3, 4, 4, 2)
RANDOM = np.random.RandomState(0)
X = jnp.asarray(RANDOM.rand(3, 4, 4, 1))


@pytest.fixture
def x64():
    """Float64 for one test."""
    with jax.enable_x64(True):
        yield


def test_the_flow_is_triangular_and_its_log_det_is_the_jacobians(x64):
    """Order: from the last pixel to the first, channels of a pixel in order."""
    shape, net = (1, 3, 2, 2), Flow((5, 4))
    context, start = jnp.asarray(RANDOM.randn(1, 3, 2, 5)), jnp.asarray(RANDOM.randn(*shape))
    variables = scrambled(jax.jit(net.init)(KEY, start, context), 0.5)

    def flow(flat):
        z, more = net.apply(variables, flat.reshape(shape), context)
        return z.ravel(), jnp.sum(more)

    jacobian, more = jax.jit(jax.jacfwd(flow, has_aux=True))(start.ravel())
    sequence = np.arange(12).reshape(6, 2)[::-1].ravel()
    ordered = np.asarray(jacobian)[np.ix_(sequence, sequence)]
    np.testing.assert_array_equal(np.triu(ordered, 1), 0)
    assert (np.diag(ordered) > 0).all()
    assert np.any(np.tril(ordered, -1)[1:], axis=1).all()  # each but the first sees another
    sign, log_det = np.linalg.slogdet(np.asarray(jacobian))
    assert sign == 1
    np.testing.assert_allclose(more, -log_det, rtol=1e-10)


def test_masks_are_those_of_the_official_code():
    """Written out for 2 latents in 4 hidden channels: rows are inputs."""
    centre = causal_mask(3, 2, 4, 2, strict=False)[1, 1]
    np.testing.assert_array_equal(centre, [[1, 1, 1, 1], [0, 0, 1, 1]])
    centre = causal_mask(3, 4, 2, 2, strict=True)[1, 1]
    np.testing.assert_array_equal(centre, [[0, 1], [0, 1], [0, 0], [0, 0]])
    taps = causal_mask(3, 1, 1, 1, strict=True)[..., 0, 0]
    np.testing.assert_array_equal(taps, [[0, 0, 0], [0, 0, 1], [1, 1, 1]])


@pytest.fixture(scope="module")
def block():
    """One group of latents: a compiled draw of it for so many copies of one example."""
    down = Down(latent=1, hidden=(2,))
    top = jax.random.normal(KEY, (1, 2, 1, 2))
    context = jax.random.normal(jax.random.key(1), (1, 2, 1, 2))
    up = (jnp.full((1, 2, 1, 1), 0.2), jnp.full((1, 2, 1, 1), 0.7), context)  # wider than the prior

    def inputs(count):
        return jax.tree.map(lambda v: jnp.repeat(v, count, 0), (top, up))

    key = {"params": KEY, "latent": KEY}
    variables = scrambled(jax.jit(down.init)(key, *inputs(2), None, 1.0), 0.3)

    @jax.jit
    def draw(key):
        return down.apply(variables, *inputs(20_000), None, 1.0, rngs={"latent": key})[1]

    return draw


@pytest.mark.slow
def test_the_posterior_is_normalised_under_its_own_draws(block):
    """E_q[p / q] = 1: the log-density is that of what is drawn. Wrong signs miss by far."""
    group = block(KEY)
    ratio = np.exp(np.asarray(group.log_p - group.log_q, np.float64))
    error = ratio.std() / np.sqrt(len(ratio))
    assert error < 0.03
    np.testing.assert_allclose(ratio.mean(), 1, atol=4 * error)


@pytest.mark.slow
def test_the_divergence_of_one_draw_is_unbiased(block):
    """Against a density built from the draws alone: KL by a histogram of two dimensions."""
    group = block(KEY)
    z = np.asarray(group.z[..., 0]).reshape(-1, 2)
    np.testing.assert_allclose(group.kl[:, 0], group.log_q - group.log_p, rtol=1e-4, atol=1e-4)
    log_p, log_q = (np.asarray(v, np.float64) for v in (group.log_p, group.log_q))
    counts, *edges = np.histogram2d(*z.T, bins=25)
    pairs = zip(edges, z.T, strict=True)
    places = [np.clip(np.searchsorted(e, v, "right") - 1, 0, 24) for e, v in pairs]
    area = np.prod([e[1] - e[0] for e in edges])
    density = counts[places[0], places[1]] / len(z) / area
    by_histogram = np.mean(np.log(density) - log_p)
    by_draws = np.mean(log_q - log_p)
    np.testing.assert_allclose(by_draws, by_histogram, atol=0.06)


@pytest.fixture(scope="module")
def model():
    """A model of two levels, variables away from the first, and both passes, compiled."""
    net = IAFVAE(levels=2, blocks=1, width=4, latent=2, flow_layers=1)

    @jax.jit
    def posterior(variables, x, key):
        h = net.apply(variables, x, method="bottom_up")
        return net.apply(variables, h, SIZE, rngs={"latent": key}, method="top_down")

    @jax.jit
    def prior(variables, given, temperature, key):
        options = dict(given=given, temperature=temperature, rngs={"latent": key})
        return net.apply(variables, None, SIZE, method="top_down", **options)

    shapes = jax.eval_shape(lambda key: net.init({"params": key, "latent": key}, X, SIZE), KEY)
    zeros = jax.tree.map(lambda v: np.zeros(v.shape, v.dtype), shapes)
    return net, scrambled(zeros, 0.2), posterior, prior


def test_posterior_latents_given_to_the_prior_decode_to_themselves(model):
    """The two passes share the decoder, and only the posterior has seen x."""
    _, variables, posterior, prior = model
    there = jax.tree.map(np.asarray, posterior(variables, X, KEY))
    assert [z.shape for z in there.z] == [(3, 1, 1, 2), (3, 2, 2, 2)]
    assert [k.shape for k in there.kl] == [(3, 2), (3, 2)]
    back = prior(variables, there.z, 1.0, jax.random.key(9))
    np.testing.assert_allclose(back.theta, there.theta, atol=1e-5)
    np.testing.assert_allclose(back.log_p, there.log_p, rtol=1e-4)
    assert back.kl == () and not np.any(back.log_q)
    kl = sum(np.sum(k, -1) for k in there.kl)
    np.testing.assert_allclose(kl, there.log_q - there.log_p, rtol=1e-4, atol=1e-4)
    assert np.ptp(np.asarray(there.log_q)) > 0


def test_latents_given_in_part_are_kept_and_temperature_scales_the_rest(model):
    _, variables, _, prior = model
    top = RANDOM.randn(3, 1, 1, 2).astype(np.float32)
    cold, again, half, full = (
        jax.tree.map(np.asarray, prior(variables, (top, None), t, jax.random.key(k)))
        for t, k in ((0.0, 1), (0.0, 2), (0.5, 3), (1.0, 3))
    )
    np.testing.assert_array_equal(full.z[0], top)
    np.testing.assert_array_equal(cold.z[1], again.z[1])
    np.testing.assert_allclose(half.z[1] - cold.z[1], 0.5 * (full.z[1] - cold.z[1]), atol=1e-5)
    assert np.abs(full.z[1] - cold.z[1]).min() > 0


@pytest.mark.parametrize("up", [False, True])
def test_the_first_batch_has_the_moments_that_were_asked_for(up):
    """And a constant input, as at the top, is not blown up."""
    conv = WeightNormConv(3, stride=2, up=up, std=0.1)
    x = (5 + 2 * RANDOM.randn(8, 4, 4, 2)).astype(np.float32)
    y, variables = jax.jit(conv.init_with_output)(KEY, x)
    y = np.asarray(y)
    np.testing.assert_allclose(np.mean(y, (0, 1, 2)), np.zeros(3), atol=1e-4)
    np.testing.assert_allclose(np.std(y, (0, 1, 2)), np.full(3, 0.1), rtol=1e-3)
    np.testing.assert_allclose(jax.jit(conv.apply)(variables, x), y, atol=1e-5)
    still = jax.jit(conv.init)(KEY, np.zeros_like(x))["params"]
    np.testing.assert_array_equal(still["log_scale"], np.zeros(3))


@pytest.mark.parametrize(
    ("options", "cond", "message"),
    [
        ({}, jnp.zeros((3, 2)), "takes no condition"),
        ({"memory": "invert"}, None, "memory='invert', expected one of"),
        ({"levels": 3}, None, "levels=3: expected images whose sides 8 divides, got 4x4"),
        ({"blocks": 0}, None, "blocks=0: expected 1 or more"),
        ({"latent": 9}, None, "width=8: expected at least latent=9"),
    ],
)
def test_mistakes_are_named(options, cond, message):
    net = IAFVAE(**({"levels": 1, "blocks": 1, "width": 8, "latent": 2} | options))
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(lambda key: net.init(key, X, SIZE, cond), KEY)


def test_given_latents_do_not_go_with_a_posterior(model):
    net, variables, *_ = model
    with pytest.raises(ValueError, match="expected h=None"):
        net.apply(variables, (), SIZE, given=(None, None), method="top_down")


def test_without_a_flow_the_posterior_is_normal():
    """The density of a draw is that of a normal whose moments the draws have."""
    down = Down(latent=1, hidden=())
    x, k = jnp.zeros((20_000, 1, 1, 2)), jnp.full((20_000, 1, 1, 1), 0.5)
    keys = {"params": KEY, "latent": KEY}
    start = jax.jit(lambda: down.init_with_output(keys, x, (k, -k, x), None, 1.0))
    group = jax.tree.map(np.asarray, start()[0][1])
    assert group.z.mean() == pytest.approx(0.5, abs=0.02)
    log_std = np.log(np.std(group.z))
    assert log_std == pytest.approx(-0.5, abs=0.02)
    expected = scipy.stats.norm(0.5, np.exp(-0.5)).logpdf(group.z[:5, 0, 0, 0])
    np.testing.assert_allclose(group.log_q[:5], expected, rtol=1e-4)
