"""Distances of images as a trained network sees them, as terms of a loss.

The network is no part of a run: its weights are read where training is compiled, and nowhere else,
so that one samples and evaluates without them.
"""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.config import ConfigError
from jaxgen.data.limits import load_npz
from jaxgen.nn.classifier import Classifier
from jaxgen.nn.vgg import SMALLEST, PerceptualVgg, params_of
from jaxgen.types import Array, DataSpec
from jaxgen.weights import published

NAMES = ("none", "lpips", "classifier")
Distance = Callable[[Array, Array], Array]


def check(name: str, path: str, spec: DataSpec) -> None:
    """Refuses a distance that there is not, or that is not of such images.

    Raises:
        ConfigError: saying what is expected.
    """
    if name not in NAMES:
        raise ConfigError(f"config.method.perceptual={name!r}, expected one of {NAMES}")
    if name == "classifier" and not path:
        raise ConfigError(
            "config.method.perceptual='classifier' is of a classifier of these data: "
            "--config.method.perceptual_weights=FILE, the weights.npz that `jaxgen eval RUN "
            "--extractor=classifier` keeps in classifiers/ of the data directory, by default "
            "~/.cache/jaxgen/tfds"
        )
    if name == "lpips" and (min(spec.shape[:2]) < SMALLEST or spec.shape[-1] not in (1, 3)):
        raise ConfigError(
            f"config.method.perceptual='lpips' takes grey or colour images of at least {SMALLEST}x"
            f"{SMALLEST}, {spec.name} has {'x'.join(map(str, spec.shape))}: take 'classifier'"
        )


def distance(name: str, path: str) -> Distance:
    """Of pairs of images in [-1, 1], [B, H, W, C] each, [B].

    "lpips" is that of Zhang et al. 2018; "classifier" stands in for it where there are no weights
    or images are small: the mean squared difference of the last hidden layer of a classifier of the
    same data, over that of pairs of unlike images of the batch.

    Args:
        name: one of `NAMES`.
        path: of the weights; "" takes the published ones where `jaxgen weights` put them.

    Raises:
        ConfigError: for weights that are not there, or others.
    """
    if name == "none":
        return lambda x, y: jnp.zeros(x.shape[0])
    if name == "lpips":
        params = _lpips(path)
        return lambda x, y: _lpips_distance(params, x, y)
    params = _classifier(path)
    return lambda x, y: _classifier_distance(params, x, y)


def _lpips_distance(params: Any, x: Array, y: Array) -> Array:
    both = jnp.concatenate([x, y])
    both = jnp.broadcast_to(both, (*both.shape[:3], 3))
    found: Any = PerceptualVgg().apply({"params": params}, both)
    first, second = jnp.split(found, 2)
    return jnp.sum(jnp.square(first - second), -1)


def _classifier_distance(params: Any, x: Array, y: Array) -> Array:
    features, classes = (params[f"Dense_{i}"]["bias"].shape[0] for i in (0, 1))
    found: Any = Classifier(classes, features).apply({"params": params}, jnp.concatenate([x, y]))
    first, second = jnp.split(found[0], 2)
    scale = 2 * jnp.mean(jnp.var(jax.lax.stop_gradient(first), axis=0)) + 1e-6
    return jnp.mean(jnp.square(first - second), -1) / scale


@functools.lru_cache(maxsize=1)
def _lpips(path: str) -> Any:
    """Params of the network: `path` is of the trunk, published files are taken for what is not."""
    trunk, _ = published.arrays("vgg16", path or None)
    heads, _ = published.arrays("lpips")
    return params_of(trunk, heads)


@functools.lru_cache(maxsize=1)
def _classifier(path: str) -> Any:
    try:
        arrays = load_npz(pathlib.Path(path))
        arrays.pop("about")
        params = flax.traverse_util.unflatten_dict(arrays, sep="/")
        widths = [np.shape(params[f"Dense_{i}"]["bias"]) for i in (0, 1)]
        assert all(len(width) == 1 for width in widths)
    except (OSError, KeyError, TypeError, ValueError, AssertionError) as error:
        raise ConfigError(
            f"config.method.perceptual_weights={path}: no weights of a classifier ({error})"
        ) from None
    return params
