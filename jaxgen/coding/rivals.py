"""What general lossless formats make of the same examples, for comparison."""

from __future__ import annotations

import io
import math

import numpy as np
import PIL.Image

from jaxgen.config import ConfigError

OPTIONS: dict[str, dict[str, object]] = {
    "PNG": {"optimize": True},
    "WEBP": {"lossless": True, "quality": 100},
    "JXL": {"lossless": True, "effort": 9},
}


def tiled(x: np.ndarray) -> PIL.Image.Image:
    """Images [N, H, W, C] as one picture of so many rows of them that it is about square.

    That favours a format over a file an image. The rest is black.
    """
    columns = math.ceil(math.sqrt(len(x)))
    rows = math.ceil(len(x) / columns)
    blank = np.zeros((rows * columns - len(x), *x.shape[1:]), x.dtype)
    sheet = np.concatenate([x, blank]).reshape(rows, columns, *x.shape[1:]).swapaxes(1, 2)
    sheet = sheet.reshape(rows * x.shape[1], columns * x.shape[2], -1)
    return PIL.Image.fromarray(sheet[..., 0] if sheet.shape[-1] == 1 else sheet)


def formats() -> list[str]:
    """Those that are installed: JPEG XL needs `pip install pillow-jxl-plugin`."""
    try:
        import pillow_jxl  # noqa: F401
    except ImportError:
        return ["PNG", "WEBP"]
    return ["PNG", "WEBP", "JXL"]


def size(picture: PIL.Image.Image, name: str) -> int:
    """Bytes of a file, which opens to the same pixels.

    Raises:
        ConfigError: where it does not.
    """
    out = io.BytesIO()
    picture.save(out, name, **OPTIONS[name])
    back = PIL.Image.open(io.BytesIO(out.getvalue())).convert(picture.mode)
    if (np.asarray(back) != np.asarray(picture)).any():
        raise ConfigError(f"{name} of this Pillow is not lossless")
    return len(out.getvalue())


def sizes(x: np.ndarray) -> dict[str, int]:
    """Format -> bytes, of images [N, H, W, 1 or 3] of 8 bits; {} of other examples."""
    if x.dtype != np.uint8 or x.ndim != 4 or x.shape[-1] not in (1, 3):
        return {}
    return {name: size(tiled(x), name) for name in formats()}
