"""Networks of the VQ-VAE: sizes of the official notebook, shapes of images of any size."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.models.vaes.vqvae import VQVAE, Decoder, Encoder
from jaxgen.nn.codes import VARS

KEY = jax.random.key(0)


def shapes(model, image, size):
    """Of what it makes of images, and of its variables."""
    init = functools.partial(model.init_with_output, size=size)
    return jax.eval_shape(init, {"params": KEY}, jnp.zeros(image))


def count(variables):
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def conv(kernel, before, after):
    return kernel * kernel * before * after + after


def test_network_of_the_notebook():
    """128 channels, 2 residual blocks of 32, 512 codes of 64, CIFAR-10 to maps of 8x8."""
    coding, variables = shapes(VQVAE(), (2, 32, 32, 3), (2, 32, 32, 3))
    block = conv(3, 128, 32) + conv(1, 32, 128)
    encoder = conv(4, 3, 64) + conv(4, 64, 128) + conv(3, 128, 128) + 2 * block
    decoder = conv(3, 64, 128) + 2 * block + conv(4, 128, 64) + conv(4, 64, 3)
    assert count(variables) == encoder + conv(1, 128, 64) + decoder
    assert coding.theta.shape == (2, 32, 32, 3)
    assert coding.codes["codes"].ids.shape == (2, 8, 8, 1)
    assert variables[VARS]["book"]["table"].shape == (512, 64)


@pytest.mark.parametrize("halvings", [0, 1, 2, 3])
@pytest.mark.parametrize("side", [8, 28, 9])
def test_maps_are_what_the_network_makes(halvings, side):
    book = {"name": "grouped", "groups": 2, "codes": 7, "dim": 3}
    model = VQVAE(4, 1, 2, halvings, book)
    image, size = (2, side, side + 4, 1), (2, side, side + 4, 5)
    coding, variables = shapes(model, image, size)
    of = model.maps(image[1:])["codes"]
    assert coding.theta.shape == size
    assert coding.codes["codes"].ids.shape == (2, of.height, of.width, of.groups)
    decode = functools.partial(model.apply, size=size, method="decode")
    ids = {"codes": jnp.zeros((2, *of[:3]), jnp.int32)}
    assert jax.eval_shape(decode, variables, ids).shape == size


def test_a_pixel_reaches_the_code_above_it_and_a_code_its_pixels():
    """Positions of codes are those of the image, from the first corner to the last."""
    x = jnp.asarray(np.random.RandomState(0).randn(1, 16, 16, 1), jnp.float32)
    encoder, decoder = Encoder(4, 0, 2, 2), Decoder(4, 0, 2, 2)

    @jax.jit
    def reach(x):
        h, params = encoder.init_with_output(KEY, x)
        at = lambda i: lambda x: jnp.sum(encoder.apply(params, x)[:, i, i])  # noqa: E731
        ends = [jax.grad(at(i))(x)[0, :, :, 0] for i in (0, 3)]
        y, params = decoder.init_with_output(KEY, h, (1, 16, 16, 1))
        at = lambda i: lambda h: jnp.sum(decoder.apply(params, h, (1, 16, 16, 1))[:, i, i])  # noqa: E731
        return ends, [jnp.sum(jnp.abs(jax.grad(at(i))(h)[0]), -1) for i in (0, 15)]

    (first, last), (of_first, of_last) = jax.device_get(reach(x))
    assert first[0, 0] and not np.any(first[11:]) and not np.any(first[:, 11:])
    assert last[15, 15] and not np.any(last[:5]) and not np.any(last[:, :5])
    assert of_first[0, 0] and not np.any(of_first[3:])
    assert of_last[3, 3] and not np.any(of_last[:1])
