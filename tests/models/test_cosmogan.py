"""The cosmology GAN: counts by the paper's table, and shifts that periodic layers follow."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from jaxgen.models.gans.cosmogan import Discriminator, Doubling, Generator, _rescaled
from jaxgen.ops import cosmic

KEY = jax.random.key(0)


def count(variables):
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


@pytest.mark.parametrize("periodic", [True, False])
def test_parameter_counts_of_the_papers_table(periodic):
    """z 200, 256x256; 16x16x512, 256, 128, 64, 1, and back; kernels of 5, biases, two a norm."""
    init = functools.partial(Generator(periodic=periodic).init_with_output, size=(2, 256, 256, 1))
    x, made = jax.eval_shape(init, KEY, jnp.zeros((2, 200)))
    channels = (512, 256, 128, 64)
    convs = sum(25 * a * b + b for a, b in zip(channels, (*channels[1:], 1), strict=True))
    assert x.shape == (2, 256, 256, 1)
    assert count(made) == 201 * 16 * 16 * 512 + convs + 2 * sum(channels) == 30_650_241
    judged = jax.eval_shape(Discriminator(periodic=periodic).init, KEY, x)
    channels = (1, 64, 128, 256, 512)
    convs = sum(25 * a * b + b for a, b in zip(channels[:-1], channels[1:], strict=True))
    expected = convs + 2 * sum(channels[1:]) + 16 * 16 * 512 + 1
    assert count(judged) == expected == 4_436_353


def scrambled(variables):
    random = np.random.RandomState(0)
    return jax.tree.map(lambda p: jnp.asarray(random.randn(*p.shape) * 0.3, p.dtype), variables)


@pytest.mark.parametrize("periodic", [True, False])
def test_layers_go_on_at_the_other_side(periodic):
    """Shifted by a cell of the coarsest layer, a periodic network gives what it gave, shifted."""
    made = Doubling(5, periodic)
    h = jnp.asarray(np.random.RandomState(1).randn(2, 4, 4, 3), jnp.float32)

    variables = made.init(KEY, h)
    y = made.apply(variables, h)
    moved = made.apply(variables, jnp.roll(h, (1, 2), (1, 2)))
    assert y.shape == (2, 8, 8, 5)
    same = np.allclose(moved, jnp.roll(y, (2, 4), (1, 2)), atol=1e-5)
    assert same == periodic

    judge = Discriminator(2, periodic, norm=False)
    x = jnp.asarray(np.random.RandomState(2).randn(2, 32, 32, 1), jnp.float32)
    variables = scrambled(judge.init(KEY, x))
    wide = variables["params"]["out"]["kernel"].reshape(4, -1)  # the same at each place
    every = jnp.tile(wide[:1, :16], (4, 1)).reshape(-1, 1)
    variables["params"]["out"]["kernel"] = every
    logits = judge.apply(variables, x)
    shifted = judge.apply(variables, jnp.roll(x, (16, -16), (1, 2)))
    assert np.allclose(shifted, logits, rtol=1e-4) == periodic


def test_the_inside_does_not_depend_on_the_border():
    """Of periodic and of zero-bordered layers with the same kernels, far from the border."""
    h = jnp.asarray(np.random.RandomState(1).randn(1, 8, 8, 3), jnp.float32)

    variables = Doubling(2, True).init(KEY, h)
    one, other = (Doubling(2, p).apply(variables, h) for p in (True, False))
    np.testing.assert_allclose(one[:, 4:-4, 4:-4], other[:, 4:-4, 4:-4], atol=1e-6)
    assert not np.allclose(one, other)


@pytest.mark.parametrize(("periodic", "mode"), [(True, "wrap"), (False, "nearest")])
def test_what_is_smoothed_is_as_scipy_smooths_it(periodic, mode):
    rough, smooth = (Generator(4, 1, periodic, deviation) for deviation in (0.0, 1.0))
    z, size = jax.random.normal(KEY, (2, 4)), (2, 32, 32, 1)
    variables = rough.init(KEY, z, size)
    variables = {**variables, "params": scrambled(variables["params"])}
    flat = np.asarray(rough.apply(variables, z, size), np.float64)
    assert np.abs(flat).max() < 0.9999  # beyond, float32 has no counts any more
    counts = (1 + flat) / (1 - flat)
    counts = scipy.ndimage.gaussian_filter(counts, (0, 1, 1, 0), mode=mode, truncate=3.0)
    found = np.asarray(smooth.apply(variables, z, size))
    np.testing.assert_allclose(found, (counts - 1) / (counts + 1), atol=1e-3)
    assert np.abs(found - flat).max() > 0.1


def test_further_maps_are_of_the_same_counts():
    """Against the map of `ops.cosmic`; a discriminator that sees them has channels for them."""
    x = np.random.RandomState(0).gamma(0.3, 50.0, (2, 32, 32, 1))
    other = 2 * x / (x + 10 * cosmic.SCALE) - 1
    s = jnp.asarray(cosmic.seen(x), jnp.float32)
    np.testing.assert_allclose(_rescaled(s, 10.0), other, atol=1e-4)
    np.testing.assert_allclose(_rescaled(s, 1.0), s, atol=1e-6)
    made = jax.eval_shape(Discriminator(2, norm=False, scales=(10.0, 100.0)).init, KEY, s)
    assert made["params"]["conv_0"]["kernel"].shape == (5, 5, 3, 2)


def test_sizes_that_do_not_fit():
    with pytest.raises(ValueError, match="images of 8x8: expected sides of 32 or more"):
        Discriminator(2).init(KEY, jnp.zeros((1, 8, 8, 1)))
