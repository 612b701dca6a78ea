"""Inception's features of images that were resized as clean-fid does.

Source: Parmar et al. 2022, On aliased resizing and surprising subtleties in GAN evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxgen.evaluate.extractors import Extractor
from jaxgen.evaluate.extractors.inception import inception
from jaxgen.types import DataSpec


def make(rest: str, spec: DataSpec, places: Mapping[str, Any]) -> Extractor:
    """See `extractors.extractor`."""
    return inception("inception_clean", spec, places.get("weights"), places.get("data_dir"))
