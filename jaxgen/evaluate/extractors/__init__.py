"""Feature extractors: from images, as the data have them, to vectors that metrics compare.

An extractor is named by what a user types, and labelled with the hash of its weights: numbers of
two extractors have different names and are never ranked together.
"""

from __future__ import annotations

import dataclasses
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
    if kind not in KINDS:
        raise ConfigError(unknown("extractor", name, KINDS))
    if rest and kind != "classifier":
        raise ConfigError(f"extractor {name!r}: {kind} takes nothing behind a colon")
    return KINDS[kind](rest, spec, places)


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


@dataclasses.dataclass(frozen=True)
class Pixels:
    """The values themselves, in [0, 1]; needs no weights.

    Attributes:
        spec: of the images, or points, which stay as they are.
    """

    spec: DataSpec
    name = label = "pixels"

    @property
    def fingerprint(self) -> dict[str, Any]:
        """See `Extractor`."""
        return {"extractor": "pixels", "scale": "none" if self.spec.levels is None else "[0, 1]"}

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """See `Extractor`; D is that of the data."""
        x = checked(images, self.spec).reshape(len(images), -1).astype(np.float32)
        return {"features": x if self.spec.levels is None else x / (self.spec.levels - 1)}


def _pixels(rest: str, spec: DataSpec, places: Mapping[str, Any]) -> Extractor:
    return Pixels(spec)


def _classifier(rest: str, spec: DataSpec, places: Mapping[str, Any]) -> Extractor:
    from jaxgen.data import load
    from jaxgen.evaluate.extractors.classifier import trained

    options = {k: v for k, v in places.items() if k not in ("weights", "heads", "dataset")}
    dataset = places.get("dataset")
    if dataset is None or rest not in ("", dataset.spec.name):
        dataset = load(rest or spec.name, **options)
    found = trained(dataset, options.get("data_dir"))
    if (spec.shape, spec.levels) != (dataset.spec.shape, dataset.spec.levels):
        raise ConfigError(
            f"extractor {found.name}: expected {_described(dataset.spec)}, got those of "
            f"{spec.name}: {_described(spec)}"
        )
    return found


def _inception(name: str) -> Callable[..., Extractor]:
    def make(rest: str, spec: DataSpec, places: Mapping[str, Any]) -> Extractor:
        from jaxgen.evaluate.extractors.inception import inception

        return inception(name, spec, places.get("weights"), places.get("data_dir"))

    return make


def _perceptual(rest: str, spec: DataSpec, places: Mapping[str, Any]) -> Extractor:
    from jaxgen.evaluate.extractors.lpips_vgg import perceptual

    return perceptual(spec, *(places.get(name) for name in ("weights", "heads", "data_dir")))


def _described(spec: DataSpec) -> str:
    return f"{spec.unit} of {'x'.join(map(str, spec.shape))} with {spec.levels} grey levels"


KINDS: dict[str, Callable[[str, DataSpec, Mapping[str, Any]], Extractor]] = {
    "classifier": _classifier,
    "inception": _inception("inception"),
    "inception_clean": _inception("inception_clean"),
    "lpips_vgg": _perceptual,
    "pixels": _pixels,
}
