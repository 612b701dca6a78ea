"""VGG-16 and LPIPS. lpips.npz: tests/parity/lpips.py --record, lpips 0.1.4 and its heads."""

import pathlib

import jax
import numpy as np
import pytest
from vgg_weights import pairs, random_trunk

from jaxgen.config import ConfigError
from jaxgen.data.embedded.digits import SPEC
from jaxgen.evaluate.extractors import extractor
from jaxgen.evaluate.extractors.lpips_vgg import PerceptualFeatures, params_of
from jaxgen.methods import perceptual
from jaxgen.nn.vgg import PerceptualVgg
from jaxgen.types import DataSpec
from jaxgen.weights import published

COLOURS = DataSpec.of("colours", (32, 32, 3), 256)


def start(side):
    x = jax.ShapeDtypeStruct((2, side, side, 3), np.float32)
    return jax.eval_shape(lambda x: PerceptualVgg().init_with_output(jax.random.key(0), x), x)


@pytest.fixture(scope="module")
def recorded():
    with np.load(pathlib.Path(__file__).parent / "lpips.npz") as file:
        return dict(file)


def test_sizes(recorded):
    out, variables = start(64)
    assert out.shape == (2, 499_712)
    # configuration D has 14,714,688 parameters in its convolutions
    trunk = variables["params"]["trunk"]
    assert sum(leaf.size for leaf in jax.tree.leaves(trunk)) == 14_714_688
    heads = {k: v for k, v in recorded.items() if k != "distance"}
    found = params_of(random_trunk(), heads)
    assert jax.tree.map(np.shape, found) == jax.tree.map(lambda v: v.shape, variables["params"])
    with pytest.raises(ConfigError, match="lin0.*at least 0"):
        params_of({}, {"lin0.model.1.weight": np.array([-1.0])})


def test_wrong_images():
    network = PerceptualFeatures(COLOURS, {}, "")
    x = np.zeros((1, 32, 32, 3), np.float32)
    for bad in (x.astype(np.uint8), x + 1.5, x + np.nan):
        with pytest.raises(ConfigError, match=r"floats in \[-1, 1\]"):
            network.distance(x, bad)
    with pytest.raises(ConfigError, match="images of at least 16x16; digits has 8x8x1"):
        extractor("lpips_vgg", SPEC)


@pytest.mark.slow
def test_a_loss_takes_the_distance_of_the_authors_package(recorded, monkeypatch):
    """Of colours, and of grey images in three channels; equal images pull no gradient."""
    files = {"vgg16": random_trunk(), "lpips": {k: v for k, v in recorded.items() if k[0] == "l"}}
    monkeypatch.setattr(published, "arrays", lambda name, path=None: (files[name], ""))
    distance = perceptual.distance("lpips", "")
    x, y = pairs()
    np.testing.assert_allclose(jax.jit(distance)(x, y), recorded["distance"], atol=1e-6, rtol=0)
    grey = [np.repeat(images[..., :1], 3, -1) for images in (x, y)]
    same = jax.jit(distance)(x[..., :1], y[..., :1])
    np.testing.assert_allclose(same, jax.jit(distance)(*grey), rtol=1e-5)
    slopes = jax.jit(jax.grad(lambda y: distance(x, y).sum()))(y)
    assert np.abs(slopes[0]).max() > 1e-5 and not np.any(slopes[3])


@pytest.mark.slow
def test_distances_of_the_authors_package(recorded):
    expected = recorded.pop("distance")
    network = PerceptualFeatures(COLOURS, params_of(random_trunk(), recorded), "")
    x, y = pairs()
    np.testing.assert_allclose(network.distance(x, y), expected, atol=1e-6, rtol=0)
    assert expected[0] > expected[1] > expected[2] > expected[3] == 0
    levels = np.random.RandomState(0).randint(256, size=(2, 32, 32, 3))
    features = network(levels)["features"]
    both = np.sum((features[0] - features[1]) ** 2)
    images = (levels / 127.5 - 1).astype(np.float32)
    np.testing.assert_allclose(both, network.distance(images[:1], images[1:]), rtol=1e-5)
