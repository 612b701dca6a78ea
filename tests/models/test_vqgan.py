"""Networks of the VQGAN: sizes of the official ones, shapes, what halves and what doubles."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.models.gans.patchgan import PatchDiscriminator
from jaxgen.models.vaes.vqgan import VQGAN, Attention, doubled

KEY = jax.random.key(0)
BOOK = {"name": "codebook", "codes": 8, "dim": 3}


def count(params):
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def test_parameters_of_the_official_networks():
    """256x256 to 16x16 codes; 72,141,699 in all, beside a discriminator of 2,765,633."""
    model, image = VQGAN(), jnp.zeros((1, 256, 256, 3))
    init = functools.partial(model.init_with_output, size=image.shape)
    coding, variables = jax.eval_shape(init, {"params": KEY}, image)
    params = variables["params"]
    assert count(params["encoder"]) == 29_298_176
    assert count(params["decoder"]) == 42_449_795
    assert count(params) == 72_141_699
    assert coding.theta.shape == image.shape
    assert coding.codes["codes"].ids.shape == (1, 16, 16, 1)
    first, second, third = model.last
    assert params[first][second][third].shape == (3, 3, 128, 3)
    judge = jax.eval_shape(PatchDiscriminator(64, 3, "batch").init, KEY, image)
    assert count(judge["params"]) == 2_765_633


@pytest.mark.parametrize("side", [8, 12])
def test_maps_are_what_the_network_makes(side):
    model = VQGAN(4, (1, 2, 1), 1, (4,), 4, BOOK)
    shape = (2, side, 8, 1)
    init = functools.partial(model.init_with_output, size=shape)
    coding, variables = jax.eval_shape(init, {"params": KEY}, jnp.zeros(shape))
    of = model.maps(shape[1:])["codes"]
    assert coding.codes["codes"].ids.shape == (2, of.height, of.width, of.groups)
    assert coding.theta.shape == shape
    decode = functools.partial(model.apply, size=shape, method="decode")
    ids = {"codes": jnp.zeros((2, *of[:3]), jnp.int32)}
    assert jax.eval_shape(decode, variables, ids).shape == shape


def test_sizes_that_do_not_halve_are_refused():
    with pytest.raises(ValueError, match="images of 10x8 .* 3 levels: expected multiples of 4"):
        VQGAN(4, (1, 2, 1), 1, (), 4, BOOK).maps((10, 8, 1))


def test_attention_is_a_weighted_mean_of_values():
    x = jnp.asarray(np.random.RandomState(0).randn(2, 2, 3, 4), jnp.float32)
    y, variables = Attention().init_with_output(KEY, x)
    params = jax.tree.map(lambda p: np.asarray(p, np.float64), variables["params"])
    flat = np.asarray(x, np.float64).reshape(2, 6, 4)
    mean, var = flat.mean(1, keepdims=True), flat.var(1, keepdims=True)  # four groups of one
    normed = (flat - mean) / np.sqrt(var + 1e-6)
    q, k, v = (normed @ params[n]["kernel"][0, 0] for n in ("query", "key", "value"))
    logits = q @ k.transpose(0, 2, 1) / 2
    weights = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = flat + weights @ v @ params["out"]["kernel"][0, 0]
    np.testing.assert_allclose(np.reshape(y, (2, 6, 4)), expected, rtol=1e-4, atol=1e-5)


def test_doubling_takes_the_nearest():
    x = jnp.arange(4.0).reshape(1, 2, 2, 1)
    expected = [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
    np.testing.assert_array_equal(doubled(x)[0, :, :, 0], expected)
