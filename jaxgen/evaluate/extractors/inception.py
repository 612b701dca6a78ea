"""The Inception network of published FIDs and inception scores as an extractor."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.config import ConfigError
from jaxgen.evaluate.extractors import Extractor, checked, in_tiles
from jaxgen.nn.inception import SIDE, Inception
from jaxgen.ops.resize import clean_bicubic, tf1_bilinear
from jaxgen.types import DataSpec, PyTree
from jaxgen.weights import published as files

RESIZES = {"inception": tf1_bilinear, "inception_clean": clean_bicubic}
TILE = 32
NAMES = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}


def make(rest: str, spec: DataSpec, places: Mapping[str, Any]) -> Extractor:
    """See `extractors.extractor`."""
    return inception("inception", spec, places.get("weights"), places.get("data_dir"))


@dataclasses.dataclass(frozen=True, eq=False)
class InceptionFeatures:
    """Pool features [B, 2048] and logits [B, 1008] without bias, as the inception score wants them.

    Attributes:
        name: "inception" resizes as TensorFlow 1 did, "inception_clean" as clean-fid does.
        spec: of the images.
        params: of the network.
        sha256: of the published file.
    """

    name: str
    spec: DataSpec
    params: PyTree
    sha256: str

    @property
    def label(self) -> str:
        """As "inception@6726825d"."""
        return f"{self.name}@{self.sha256[:8]}"

    @property
    def fingerprint(self) -> dict[str, Any]:
        """See `Extractor`."""
        levels = self.spec.levels
        return {
            "extractor": self.name,
            "weights_sha256": self.sha256,
            "resize": RESIZES[self.name].__name__,
            "quantisation": "8 bits" if levels == 256 else f"{levels} levels, stretched to 8 bits",
            "tap": "2048",
        }

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """See `Extractor`."""
        taps = self.taps(images)
        return {"features": taps["2048"], "logits": taps["logits_unbiased"]}

    def taps(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """All that `Inception` returns."""
        x = as_bytes(checked(images, self.spec), self.spec.levels)
        return in_tiles(lambda tile: _apply(self.name, self.params, tile), x, TILE)


def as_bytes(levels: np.ndarray, count: int | None) -> np.ndarray:
    """Grey levels 0 .. count - 1 [B, H, W, C] to the nearest of 0 .. 255, uint8 [B, H, W, 3].

    Raises:
        ConfigError: for continuous data, or neither one nor three channels.
    """
    if count is None or levels.shape[-1] not in (1, 3):
        raise ConfigError("inception and lpips_vgg take grey or RGB images of integer levels")
    if count != 256:
        levels = np.round(levels.astype(np.float64) * (255 / (count - 1))).astype(np.uint8)
    return np.repeat(levels, 3, axis=-1) if levels.shape[-1] == 1 else levels


def inception(
    name: str, spec: DataSpec, path: str | None = None, data_dir: str | None = None
) -> InceptionFeatures:
    """The extractor with the published weights.

    Args:
        name: of `RESIZES`.
        spec: of the images.
        path: of the published file; see `weights.arrays`.
        data_dir: as of `jaxgen.data.load`.

    Raises:
        ConfigError: when the weights are not there, or are others.
    """
    arrays, digest = files.arrays("inception", path, data_dir)
    return InceptionFeatures(name, spec, params_of(arrays), digest)


def params_of(arrays: Mapping[str, np.ndarray]) -> PyTree:
    """The network's params from the arrays of the published file, by their names in it."""
    flat: dict[tuple[str, ...], np.ndarray] = {}
    for name, array in arrays.items():
        *place, layer, kind = name.split(".")
        if layer == "fc":
            flat[*place, f"fc_{'kernel' if kind == 'weight' else 'bias'}"] = array.T
        elif layer == "conv":
            flat[*place, "kernel"] = array.transpose(2, 3, 1, 0)
        elif kind != "num_batches_tracked":
            flat[*place, NAMES[kind]] = array
    return flax.traverse_util.unflatten_dict(flat)


@functools.partial(jax.jit, static_argnums=0)
def _apply(name: str, params: PyTree, x: Any) -> dict[str, Any]:
    x = RESIZES[name](x.astype(jnp.float32), (SIDE, SIDE))
    found: Any = Inception().apply({"params": params}, (x - 128) / 128)
    return found
