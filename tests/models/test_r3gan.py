"""R3GAN: counts by the paper's blocks, the identity at first, groups, the published resampling."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.models.gans.r3gan import GAIN, Block, Discriminator, Generator

KEY = jax.random.key(0)
RANDOM = np.random.RandomState(0)


def images(*shape):
    return jnp.asarray(RANDOM.randn(*shape))


def count(variables):
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


@pytest.mark.parametrize("classes", [0, 10])
def test_parameter_counts_of_cifar10(classes):
    """Eight blocks of 768 channels: two dense layers, a convolution of 96 groups, two biases."""
    wide = 2 * 768
    blocks = 8 * (2 * 768 * wide + 9 * wide * (wide // 96) + 2 * wide)
    basis = 4 * 4 * 768
    generator = blocks + basis + 64 * 768 + 3 * 768
    discriminator = blocks + basis + 768 + 3 * 768
    if classes:
        generator += classes * 64 + 64 * 768
        discriminator += classes * 768 + 768 * 768 - 768
    cond, size = jnp.zeros((2, classes)) if classes else None, (2, 32, 32, 3)
    init = functools.partial(Generator().init_with_output, size=size, cond=cond)
    x, made = jax.eval_shape(init, KEY, jnp.zeros((2, 64)))
    logits, judged = jax.eval_shape(Discriminator().init_with_output, KEY, x, cond)
    assert x.shape == size and logits.shape == (2,)
    assert (count(made), count(judged)) == (generator, discriminator)


def test_a_block_is_the_identity_at_first_and_its_scale_that_of_fixup():
    """Deviation gain / sqrt(fan in) L^(-1/4) of the first two layers, L the number of blocks."""
    x, block = images(1, 2, 2, 64), Block(4, blocks=16)
    variables = jax.jit(block.init)(KEY, x)
    np.testing.assert_array_equal(jax.jit(block.apply)(variables, x), x)
    params = jax.device_get(variables["params"])
    assert GAIN == pytest.approx(np.sqrt(2 / 1.04))
    for name, fan_in in (("widen", 64), ("grouped", 9 * 128 // 4)):
        expected = GAIN / np.sqrt(fan_in) / 2  # 16 ** (-1/4)
        np.testing.assert_allclose(np.std(params[name]["kernel"]), expected, rtol=0.03)
    assert not params["narrow"]["kernel"].any()


def test_a_block_in_numpy():
    """Groups, biases and the shortcut, pixel by pixel."""
    x, block = images(1, 3, 3, 2), Block(2, blocks=1)
    shapes = jax.eval_shape(block.init, KEY, x)["params"]
    params = jax.tree.map(lambda p: images(*p.shape), shapes)
    got, x = map(np.asarray, (jax.jit(block.apply)({"params": params}, x), x))
    p = jax.tree.map(np.asarray, params)

    def active(h, bias):
        h = h + bias
        return np.where(h > 0, h, 0.2 * h)

    h = active(x @ p["widen"]["kernel"][0, 0], p["bias1"])
    padded = np.pad(h[0], ((1, 1), (1, 1), (0, 0)))
    middle = np.zeros((3, 3, 4))
    for i, j in np.ndindex(3, 3):
        window = padded[i : i + 3, j : j + 3]
        for out in range(4):
            group = slice(2 * (out // 2), 2 * (out // 2) + 2)
            middle[i, j, out] = np.sum(window[..., group] * p["grouped"]["kernel"][..., out])
    expected = x[0] + active(middle, p["bias2"]) @ p["narrow"]["kernel"][0, 0]
    np.testing.assert_allclose(got[0], expected, atol=1e-4)


def doubled(line):
    """In NumPy: a zero behind every pixel, convolved with twice the taps, cut to size."""
    wide = np.zeros(2 * len(line))
    wide[::2] = line
    return np.convolve(wide, np.array([1, 3, 3, 1]) / 4)[1:-2]


def halved(line):
    """In NumPy: convolved with the taps, every second pixel kept."""
    return np.convolve(line, np.array([1, 3, 3, 1]) / 8)[2::2][: len(line) // 2]


def test_resampling_is_the_published_one():
    """Networks of one channel without blocks pass the basis, or the image, but for resampling."""
    ramp, one = np.arange(8.0), jnp.ones((1, 1))
    np.testing.assert_array_equal(doubled(ramp), [0, *np.arange(0.25, 7, 0.5), 5.25])
    np.testing.assert_array_equal(halved(ramp), [0.625, 2.5, 4.5, 5.5])
    image = ramp[:, None] + np.sin(3 * ramp)
    down, up = (
        np.apply_along_axis(f, 1, np.apply_along_axis(f, 0, image)) for f in (halved, doubled)
    )
    with jax.enable_x64(True):
        params = {"image": {"kernel": one[None, None]}}
        player = Generator(1, (1, 1), (1, 1), (0, 0))
        own = {"basis": jnp.asarray(image)[..., None], "weights": {"kernel": one}}
        make = jax.jit(lambda p: player.apply({"params": p}, one, (1, 16, 16, 1)))
        np.testing.assert_allclose(
            np.asarray(make(params | own))[0, ..., 0], up, rtol=0, atol=1e-12
        )
        judge = Discriminator((1, 1), (1, 1), (0, 0))
        seen = jax.jit(lambda p: judge.apply({"params": p}, jnp.asarray(image)[None, ..., None]))
        for i, j in np.ndindex(4, 4):  # the basis picks one pixel of the coarse level
            basis = np.zeros((4, 4, 1))
            basis[i, j] = 1
            own = {"basis": basis, "logit": {"kernel": one}}
            np.testing.assert_allclose(seen(params | own), down[i, j], rtol=0, atol=1e-12)


def test_the_class_multiplies_the_features():
    """D(x, y) is linear in the embedding of y: that of a half-half class is the mean."""
    model = Discriminator((4, 4), (2, 2), (1, 1), 3)
    x, y = images(3, 8, 8, 1), np.eye(3, dtype=np.float32)
    variables = jax.jit(model.init)(KEY, x, jnp.asarray(y))
    apply = jax.jit(model.apply)
    one, half, other = (
        np.asarray(apply(variables, x, jnp.asarray(c))) for c in (y, (y + y[::-1]) / 2, y[::-1])
    )
    np.testing.assert_allclose(half, (one + other) / 2, atol=1e-5)
    assert np.abs(one - other)[0] > 1e-4


def test_mistakes():
    with pytest.raises(ValueError, match="cardinality=3 does not divide 8 channels"):
        jax.eval_shape(Block(3, blocks=1).init, KEY, jnp.zeros((1, 4, 4, 4)))
    with pytest.raises(ValueError, match="of 2, 4, 2 stages: expected as many"):
        jax.eval_shape(Discriminator((4, 4), blocks=(1, 1)).init, KEY, jnp.zeros((1, 8, 8, 1)))
    with pytest.raises(ValueError, match=r"28x28 cannot be halved 3 times: set model\.\*\.widths"):
        jax.eval_shape(Discriminator().init, KEY, jnp.zeros((1, 28, 28, 1)))
