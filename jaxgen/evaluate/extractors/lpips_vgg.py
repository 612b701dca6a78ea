"""Learned perceptual image patch similarity (Zhang et al. 2018) as extractor and distance."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.config import ConfigError
from jaxgen.evaluate.extractors import Extractor, checked, in_tiles
from jaxgen.evaluate.extractors.inception import as_bytes
from jaxgen.nn.vgg import SMALLEST, PerceptualVgg, params_of
from jaxgen.types import DataSpec, PyTree
from jaxgen.weights import published as files

NAME = "lpips_vgg"
TILE = 32


def make(rest: str, spec: DataSpec, places: Mapping[str, Any]) -> Extractor:
    """See `extractors.extractor`."""
    return perceptual(spec, *(places.get(name) for name in ("weights", "heads", "data_dir")))


@dataclasses.dataclass(frozen=True, eq=False)
class PerceptualFeatures:
    """Vectors whose squared distance is LPIPS (VGG-16, version 0.1).

    Attributes:
        spec: of the images.
        params: of the network.
        sha256: of the two published files, joined by "+".
    """

    spec: DataSpec
    params: PyTree
    sha256: str
    name = NAME

    @property
    def label(self) -> str:
        """As "lpips_vgg@397923af"."""
        return f"{NAME}@{self.sha256[:8]}"

    @property
    def fingerprint(self) -> dict[str, Any]:
        """See `Extractor`."""
        levels = self.spec.levels
        return {
            "extractor": NAME,
            "weights_sha256": self.sha256,
            "resize": "none",
            "quantisation": "8 bits" if levels == 256 else f"{levels} levels, stretched to 8 bits",
            "tap": "lpips",
        }

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """See `Extractor`; the features of an image of 64x64 are two megabytes."""
        x = as_bytes(checked(images, self.spec), self.spec.levels)
        return in_tiles(lambda x: _apply(self.params, x.astype(np.float32) / 127.5 - 1), x, TILE)

    def distance(self, x: Any, y: Any) -> np.ndarray:
        """LPIPS of pairs of images that need not be grey levels, [B].

        Args:
            x: floats in [-1, 1], [B, H, W, 1 or 3].
            y: the same.

        Raises:
            ConfigError: for integers, or values beyond [-1, 1]: both are silently wrong by far.
        """
        pair = [np.asarray(images) for images in (x, y)]
        for images in pair:
            if images.dtype.kind != "f" or not (np.abs(images) <= 1).all():
                raise ConfigError("LPIPS takes images of floats in [-1, 1]; rescale them")
        return self._distance(*pair)

    def distance_of_levels(self, x: Any, y: Any) -> np.ndarray:
        """LPIPS of pairs of images [B, H, W, C] in real grey levels, [B]: of paths of latents.

        What lies beyond black or white is not cut off, and large images are not made smaller.
        """
        top = (self.spec.levels or 0) - 1
        if top < 1:
            raise ConfigError(f"{NAME} takes images of grey levels, {self.spec.name} has none")
        return self._distance(*(np.asarray(images) * np.float32(2 / top) - 1 for images in (x, y)))

    def _distance(self, *pair: np.ndarray) -> np.ndarray:
        x, y = (np.broadcast_to(images, (*images.shape[:3], 3)) for images in pair)
        found = in_tiles(lambda both: _between(self.params, both), np.stack([x, y], 1), TILE)
        return found["distance"]


def perceptual(
    spec: DataSpec, trunk: str | None = None, heads: str | None = None, data_dir: str | None = None
) -> PerceptualFeatures:
    """The extractor with the published weights.

    Args:
        spec: of the images.
        trunk: path of torchvision's VGG-16; see `weights.arrays`.
        heads: path of the weights of the channels.
        data_dir: as of `jaxgen.data.load`.

    Raises:
        ConfigError: when the weights are not there, or are others; for images that are too small.
    """
    if min(spec.shape[:2]) < SMALLEST or spec.x.kind != "image":
        size = "x".join(map(str, spec.shape))
        raise ConfigError(f"{NAME} takes images of at least 16x16; {spec.name} has {size}")
    vgg, first = files.arrays("vgg16", trunk, data_dir)
    lpips, second = files.arrays("lpips", heads, data_dir)
    return PerceptualFeatures(spec, params_of(vgg, lpips), f"{first}+{second}")


@jax.jit
def _apply(params: PyTree, x: Any) -> dict[str, Any]:
    return {"features": PerceptualVgg().apply({"params": params}, x)}


@jax.jit
def _between(params: PyTree, both: Any) -> dict[str, Any]:
    """[B, 2, H, W, 3] to [B]."""
    found: Any = PerceptualVgg().apply({"params": params}, both.reshape(-1, *both.shape[2:]))
    found = found.reshape(len(both), 2, -1)
    return {"distance": jnp.sum((found[:, 0] - found[:, 1]) ** 2, -1)}
