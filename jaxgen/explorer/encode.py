"""Pictures as the content of files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxgen.files import image_bytes
from jaxgen.pictures import as_pillow

FILMS = {"gif": "image/gif", "webp": "image/webp"}
QUALITY = 90  # of JPEG, while a slider is dragged
FRAME = 60  # milliseconds
LEAST = 256  # pixels of the larger side of a film


def png(image: np.ndarray) -> bytes:
    """[H, W, C] uint8, byte for byte as `pictures.save_png` writes it."""
    return image_bytes(as_pillow(image), format="png")


def jpeg(image: np.ndarray) -> bytes:
    """[H, W, C] uint8 of at most 3 channels."""
    return image_bytes(as_pillow(image), format="jpeg", quality=QUALITY, subsampling=0)


def film(frames: Sequence[np.ndarray], kind: str) -> bytes:
    """Frames [H, W, C] uint8, there and back without end, small ones enlarged.

    Args:
        frames: of one size.
        kind: one of `FILMS`.
    """
    zoom = max(1, -(-LEAST // max(frames[0].shape[:2])))
    large = [as_pillow(f.repeat(zoom, 0).repeat(zoom, 1)).convert("RGB") for f in frames]
    first, *others = [*large, *large[-2:0:-1]]
    exact = {"lossless": True} if kind == "webp" else {}
    return image_bytes(
        first,
        format=kind,
        save_all=True,
        append_images=others,
        duration=FRAME,
        loop=0,
        **exact,
    )
