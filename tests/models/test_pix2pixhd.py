"""pix2pixHD: the official networks' sizes; boundaries and means against loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.models.gans.cyclegan import Generator
from jaxgen.models.gans.patchgan import MultiScale
from jaxgen.models.gans.pix2pixhd import Encoder, Enhanced
from jaxgen.ops.instances import boundaries, instance_means, instance_sums

IDS = np.random.RandomState(0).randint(0, 5, (2, 6, 7))


def count(module, *args):
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), *args))
    return sum(x.size for x in jax.tree.leaves(shapes))


@pytest.mark.parametrize(
    ("module", "channels", "expected"),
    [
        (Generator(64, 9, 4), 36, 182_546_755),
        (Enhanced(), 36, 182_857_059),
        (MultiScale(), 39, 5_603_202),
    ],
)
def test_official_sizes(module, channels, expected):
    """Of Cityscapes: 35 classes and the boundaries, beside a picture for the discriminator."""
    args = (3,) if channels == 36 else ()
    assert count(module, jnp.zeros((1, 64, 64, channels)), *args) == expected


def test_boundaries_are_those_of_four_neighbours():
    found = boundaries(jnp.asarray(IDS))
    for b, row, column in np.ndindex(IDS.shape):
        near = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
        inside = [(r, c) for r, c in near if 0 <= r < 6 and 0 <= c < 7]
        other = any(IDS[b, r, c] != IDS[b, row, column] for r, c in inside)
        assert found[b, row, column, 0] == other
    assert not boundaries(jnp.ones((1, 4, 4), jnp.int32)).any()


def test_means_over_instances():
    x = np.random.RandomState(1).randn(2, 6, 7, 3).astype(np.float32)
    found = np.asarray(instance_means(jnp.asarray(x), jnp.asarray(IDS), 9))
    sums = np.asarray(instance_sums(jnp.asarray(x), jnp.asarray(IDS), 9))
    for b in range(2):
        for i in range(5):
            here = IDS[b] == i
            np.testing.assert_allclose(sums[b, i], x[b][here].sum(0), atol=1e-5)
            np.testing.assert_allclose(
                found[b][here], np.broadcast_to(x[b][here].mean(0), (here.sum(), 3)), atol=1e-6
            )
    assert not sums[:, 5:].any()


def test_an_instance_has_the_same_features_everywhere():
    encoder = Encoder(width=4, halvings=1)
    x = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
    ids = jnp.zeros((2, 8, 8), jnp.int32).at[:, 4:].set(1)
    params = encoder.init(jax.random.key(1), x, ids, 2)
    planes = encoder.apply(params, x, ids, 2)
    assert planes.shape == (2, 8, 8, 3)
    for rows in (slice(0, 4), slice(4, 8)):
        first = planes[:, rows][:, :1, :1]
        np.testing.assert_array_equal(planes[:, rows], np.broadcast_to(first, (2, 4, 8, 3)))
    assert not np.allclose(planes[:, 0], planes[:, 4])


def test_the_enhancer_sees_all_of_the_picture_through_the_coarse_generator():
    network = Enhanced(width=4, blocks=1, coarse_blocks=1, halvings=1, kernel=3)
    x = jax.random.normal(jax.random.key(0), (1, 16, 16, 5))
    params = network.init(jax.random.key(1), x, 3)
    assert network.apply(params, x, 3).shape == (1, 16, 16, 3)
    assert "last" not in params["params"]["coarse"]
    without = jax.tree.map(lambda p: p, params)
    without["params"]["coarse"] = jax.tree.map(jnp.zeros_like, params["params"]["coarse"])
    assert not np.allclose(network.apply(params, x, 3), network.apply(without, x, 3))
