"""Feature extractors: from images, as the data have them, to vectors that metrics compare.

An extractor is named by what a user types, and labelled with the hash of its weights: numbers of
two extractors have different names and are never ranked together. Each is one file of this
package, found by its name, that gives `make(rest, spec, places)`: `rest` is what stands behind a
colon of the name, if its `NAMED` is true, and `places` are those of `extractor`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from jaxgen.config import ConfigError, unknown
from jaxgen.types import DataSpec

TILE = 256  # images of one call of a network: one compiled program for any number of them


class Extractor(Protocol):
    """From images to features; those of one kind are `Distances` or `Accurate`, too.

    Attributes:
        name: what a user types: "classifier:digits", "pixels", "inception".
        label: with the hash of the weights, "digits8-cnn64@ab12cd34"; of names of metrics.
        fingerprint: flat, what must be equal for two numbers to be compared.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def label(self) -> str: ...  # noqa: D102
    @property
    def fingerprint(self) -> Mapping[str, Any]: ...  # noqa: D102

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Features of images, a function of each image alone.

        Args:
            images: [B, H, W, C], grey levels 0 .. levels - 1.

        Returns:
            "features" float32 [B, D], and "logits" float32 [B, K] where there are any.

        Raises:
            ConfigError: for images of another shape, or values that are no grey levels.
        """
        ...


@runtime_checkable
class Distances(Protocol):
    """With a distance of its own."""

    def distance_of_levels(self, x: Any, y: Any) -> Any:
        """Of pairs [B, H, W, C] in the units of the data, whole grey levels or not, to [B]."""
        ...


@runtime_checkable
class Accurate(Protocol):
    """A classifier that was tested."""

    @property
    def accuracy(self) -> float:
        """On real test images, a share."""
        ...


def accuracy_of(extractor: Extractor) -> float | None:
    """Of an extractor on real test images, None where it classifies nothing that is known."""
    return extractor.accuracy if isinstance(extractor, Accurate) else None


def extractor(name: str, spec: DataSpec, **places: Any) -> Extractor:
    """The extractor called `name`, for images of `spec`.

    Args:
        name: "pixels", "classifier:DATASET" ("classifier" is that of `spec`'s own data),
            "inception", "inception_clean" or "lpips_vgg".
        spec: of the images.
        **places: `weights`, a file, for those that need one (`heads`, the second of
            lpips_vgg); `dataset`, what the classifier learns
            from, where it is loaded already; else options of `jaxgen.data.load`, as `manual_dir`.

    Raises:
        ConfigError: for an unknown name, or images that the extractor does not take.
        DataError: when the data of the classifier are not there.
    """
    kind, _, rest = name.partition(":")
    known = sorted(found.name for found in pkgutil.iter_modules(__path__))
    if kind not in known:
        raise ConfigError(unknown("extractor", name, known))
    room = importlib.import_module(f"{__name__}.{kind}")
    if rest and not getattr(room, "NAMED", False):
        raise ConfigError(f"extractor {name!r}: {kind} takes nothing behind a colon")
    return room.make(rest, spec, places)


def checked(images: np.ndarray, spec: DataSpec) -> np.ndarray:
    """The images, if they are of `spec`: integer levels, unsigned.

    Raises:
        ConfigError: saying what is wrong with them.
    """
    images = np.asarray(images)
    if images.ndim != len(spec.shape) + 1 or images.shape[1:] != spec.shape:
        wanted = "x".join(map(str, spec.shape))
        got = "x".join(map(str, images.shape[1:]))
        raise ConfigError(f"expected {spec.unit} of {wanted}, as {spec.name} has; got {got}")
    if images.dtype.kind == "f" and not np.isfinite(images).all():
        bad = int((~np.isfinite(images)).reshape(len(images), -1).any(1).sum())
        raise ConfigError(f"{bad} of {len(images)} {spec.unit} hold NaN or infinity")
    if spec.levels is None:
        return images
    if images.size and (images.min() < 0 or images.max() > spec.levels - 1):
        raise ConfigError(
            f"expected grey levels 0 .. {spec.levels - 1}, as {spec.name} has; got "
            f"{images.min()} .. {images.max()}"
        )
    levels = images.astype(np.uint8 if spec.levels <= 256 else np.uint16)
    if images.dtype.kind == "f" and (levels != images).any():
        raise ConfigError(f"expected whole grey levels 0 .. {spec.levels - 1}, got fractions")
    return levels


def in_tiles(
    function: Callable[[np.ndarray], Any], images: np.ndarray, size: int = TILE
) -> dict[str, np.ndarray]:
    """`function` of `size` images at a time, the last tile padded with the first image.

    Args:
        function: [size, ...] -> name -> [size, ...].
        images: [B, ...], B at least 1.
        size: of a tile.

    Raises:
        ConfigError: when there are no images.
    """
    if not len(images):
        raise ConfigError("expected at least one image, got none")
    rows: list[dict[str, np.ndarray]] = []
    for first in range(0, len(images), size):
        tile = images[first : first + size]
        padding = np.repeat(images[:1], size - len(tile), axis=0)
        out = function(np.concatenate([tile, padding]) if len(padding) else tile)
        rows.append({k: np.asarray(v)[: len(tile)] for k, v in out.items()})
    return {k: np.concatenate([row[k] for row in rows]) for k in rows[0]}
