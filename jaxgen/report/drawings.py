"""Arrays of images as PNG pictures inside the page, pixel for pixel: the browser enlarges them."""

from __future__ import annotations

import base64
import dataclasses
import io

import numpy as np

from jaxgen.pictures import to_uint8

GAP = 1  # transparent pixels between the images of a sheet


@dataclasses.dataclass(frozen=True)
class Sheet:
    """Images in rows and columns.

    Attributes:
        url: a data: address of the PNG.
        width: of the PNG, pixels.
        height: of the PNG, pixels.
        rows: of images.
        columns: of images.
        count: of images; the last row may be short.
        cell: height and width of one image, pixels.
    """

    url: str
    width: int
    height: int
    rows: int
    columns: int
    count: int
    cell: tuple[int, int]


def sheet(images: np.ndarray, levels: int | None, columns: int) -> Sheet:
    """Images [N, H, W, C] in the units of the data, row by row.

    Args:
        images: one channel is drawn grey; of two channels the first, of more the first three.
        levels: number of grey levels; None takes continuous images in [0, 1].
        columns: of the sheet.
    """
    n, h, w, _ = images.shape
    pixels = rgb(images, levels)
    rows = -(-n // columns)
    out = np.zeros((rows * (h + GAP) - GAP, columns * (w + GAP) - GAP, 4), np.uint8)
    for i, image in enumerate(pixels):
        top, left = (i // columns) * (h + GAP), (i % columns) * (w + GAP)
        out[top : top + h, left : left + w, :3] = image
        out[top : top + h, left : left + w, 3] = 255
    return Sheet(png(out), out.shape[1], out.shape[0], rows, columns, n, (h, w))


def rgb(images: np.ndarray, levels: int | None) -> np.ndarray:
    """[N, H, W, C] in the units of the data to [N, H, W, 3] uint8; NaN is black."""
    known = np.nan_to_num(np.asarray(images, np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    levels8 = to_uint8(known, levels)
    return np.repeat(levels8[..., :1], 3, -1) if levels8.shape[-1] < 3 else levels8[..., :3]


def png(image: np.ndarray) -> str:
    """[H, W, 3 or 4] uint8 as a data: address."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def zoom(width: int, target: int = 288) -> int:
    """The whole factor by which a picture is enlarged to be about `target` pixels wide."""
    return max(1, target // width)
