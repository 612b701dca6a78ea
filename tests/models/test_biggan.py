"""BigGAN: counts of the official networks, levels of latents, sizes."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.models.gans import biggan, biggan_deep

KEY = jax.random.key(0)


def count(variables):
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def sagan(classes, latent=128, width=64):
    """Parameters of SAGAN's players at 128x128, layer by layer from its official code."""

    def block(c, out, skip=True):
        return 9 * c * out + out + 9 * out * out + out + skip * (c * out + out)

    def attention(c):
        return 2 * c * (c // 8) + 2 * c * (c // 2) + 1

    up = [width * k for k in (16, 16, 8, 4, 2, 1)]
    generator = (latent + 1) * 16 * up[0] + attention(4 * width) + 2 * width + 27 * width + 3
    generator += sum(block(c, out) + 2 * classes * (c + out) for c, out in itertools.pairwise(up))
    down = [3, *(width * k for k in (1, 2, 4, 8, 16))]
    discriminator = attention(2 * width) + down[-1] + 1 + classes * down[-1]
    discriminator += sum(block(c, out) for c, out in itertools.pairwise(down))
    return generator, discriminator + block(down[-1], down[-1], skip=False)


CIFAR = (4, 4, 4, 4)
SAGAN = (biggan.Generator(128, 64, (16, 16, 8, 4, 2, 1), 0, False, 32),)
SAGAN += (biggan.Discriminator(64, (1, 2, 4, 8, 16, 16), 32),)
OFFICIAL = {  # generator, discriminator, side, classes, and their parameters
    "128": (biggan.Generator(), biggan.Discriminator(), 128, 1000, (70_433_988, 87_982_370)),
    "deep": (
        biggan_deep.Generator(),
        biggan_deep.Discriminator(),
        128,
        1000,
        (50_244_484, 34_590_210),
    ),
    "cifar10": (
        biggan.Generator(128, 64, CIFAR, 0, False, 0),
        biggan.Discriminator(64, CIFAR, 0, 2),
        32,
        10,
        (4_304_387, 4_207_361),
    ),
    "sagan": (*SAGAN, 128, 1000, sagan(1000)),
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow if n == "deep" else ()) for n in OFFICIAL],
)
def test_parameter_counts(name):
    generator, discriminator, side, classes, expected = OFFICIAL[name]
    size, cond = (2, side, side, 3), jnp.zeros((2, classes))
    init = functools.partial(generator.init_with_output, size=size, cond=cond)
    x, made = jax.eval_shape(init, KEY, jnp.zeros((2, generator.latent)))
    assert x.shape == size
    logits, judged = jax.eval_shape(discriminator.init_with_output, KEY, x, cond)
    assert logits.shape == (2,)
    assert (count(made), count(judged)) == expected


def test_each_level_has_latents_of_its_own():
    """The last part of z moves the last block alone: the first block's moments stay."""
    model = biggan.Generator(6, 8, (2, 2, 1), 4, True, 0)
    random = np.random.RandomState(0)
    z, cond, size = random.randn(3, 6), jnp.eye(3), (3, 16, 16, 1)
    shapes = jax.eval_shape(
        functools.partial(model.init, size=size, cond=cond), KEY, jnp.asarray(z)
    )
    variables = jax.tree.map(
        lambda v: jax.device_put(random.randn(*v.shape).astype(v.dtype)), shapes
    )

    @jax.jit
    def moments(z):
        _, moved = model.apply(variables, z, size, cond, mutable=["batch_stats", "spectral"])
        stats = moved["batch_stats"]
        return [stats[f"UpBlock_{i}"]["BatchNorm_0"]["moments"]["mean"] for i in (0, 1)] + [
            stats["BatchNorm_0"]["moments"]["mean"]
        ]

    before, after, middle = (
        [np.asarray(m) for m in moments(z + np.repeat(move, 2))]
        for move in ([0, 0, 0], [0, 0, 1], [0, 1, 0])
    )
    np.testing.assert_array_equal(before[0], after[0])
    np.testing.assert_array_equal(before[1], after[1])
    assert np.abs(before[2] - after[2]).max() > 1e-4
    np.testing.assert_array_equal(before[0], middle[0])
    assert np.abs(before[1] - middle[1]).max() > 1e-4


def test_sizes_that_do_not_fit():
    with pytest.raises(ValueError, match="images of 28x28 cannot be halved 5 times"):
        jax.eval_shape(biggan.Discriminator().init, KEY, jnp.zeros((1, 28, 28, 1)))
    with pytest.raises(ValueError, match="latent=7 does not fall into 2 parts"):
        model = biggan.Generator(7, 8, (2, 1))
        jax.eval_shape(functools.partial(model.init, size=(1, 8, 8, 1)), KEY, jnp.zeros((1, 7)))
