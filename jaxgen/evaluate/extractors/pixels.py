"""The values themselves as features."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxgen.evaluate.extractors import Extractor, checked
from jaxgen.types import DataSpec


def make(rest: str, spec: DataSpec, places: Mapping[str, Any]) -> Extractor:
    """See `extractors.extractor`."""
    return Pixels(spec)


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

    def of_real_levels(self, x: np.ndarray) -> np.ndarray:
        """Features [B, D] of images whose grey levels need not be whole; others are cut off."""
        rows = np.asarray(x, np.float32).reshape(len(x), -1)
        return rows if self.spec.levels is None else np.clip(rows / (self.spec.levels - 1), 0, 1)
