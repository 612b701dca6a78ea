"""Pictures too large for a network at once: tiles that overlap, blended where they do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jaxgen.abilities import Translates
from jaxgen.config import ConfigError
from jaxgen.evaluate.translation import is_placed, sources
from jaxgen.types import DataSpec

OVERLAP = 32
MOST = 2**16  # a side of a tile, in pixels


def check_tiles(tile: Any, overlap: Any) -> tuple[int, int]:
    """The side of tiles and how many pixels two of them share.

    Raises:
        ConfigError: for what is no such number, or more than half of a tile.
    """
    if tile is None:
        raise ConfigError(f"overlap={overlap!r}: is of tiles: add tile, as 256")
    overlap = OVERLAP if overlap is None else overlap
    for name, number in (("tile", tile), ("overlap", overlap)):
        if not isinstance(number, int | np.integer) or isinstance(number, bool):
            raise ConfigError(f"{name}={number!r}, expected pixels, a whole number")
    if not 1 <= tile <= MOST:
        raise ConfigError(f"tile={tile}, expected 1 to {MOST:,} pixels")
    if not 0 <= overlap <= tile // 2:
        raise ConfigError(
            f"overlap={overlap}, expected pixels from 0 to {tile // 2}, half of tile={tile}"
        )
    return int(tile), int(overlap)


def tiled(
    method: Translates,
    spec: DataSpec,
    x: Any,
    to: str | None,
    size: tuple[int, int],
    translate: Callable[[Mapping[str, np.ndarray]], np.ndarray],
) -> np.ndarray:
    """What `translate` makes of tiles [B, tile, tile, ...], put together as [B, H, W, C].

    Sides that tiles do not fill are continued by their reflection, below and right, and what is
    made of that is cut off. Where two tiles overlap, the weight of each falls linearly to its edge.

    Args:
        method: that translates.
        spec: of the data.
        x: as `evaluate.translation.sources` takes it.
        to: name of the direction.
        size: of tiles and of what two of them share, see `check_tiles`.
        translate: of a mapping, field -> array.

    Raises:
        ConfigError: as `sources` does, and for an example that lends its style.
    """
    to, arrays = sources(method, spec, x, to)
    source, target = method.translations[to]
    if target in arrays:
        raise ConfigError(
            f"tile={size[0]}: {target} lends its style to a whole picture: omit {target} or tile"
        )
    tile, overlap = size
    height, width = arrays[source].shape[1:3]
    rows, columns = (starts(side, tile, overlap) for side in (height, width))
    short = (rows[-1] + tile - height, columns[-1] + tile - width)
    cut = {k for k in arrays if is_placed(spec.fields[k])}
    whole = {k: reflected(a, short) if k in cut else a for k, a in arrays.items()}
    total: np.ndarray | None = None
    made = np.zeros(0)
    for top in rows:
        for left in columns:
            part = {
                k: a[:, top : top + tile, left : left + tile] if k in cut else a
                for k, a in whole.items()
            }
            made = np.asarray(translate(part))
            if total is None:
                shape = (len(made), rows[-1] + tile, columns[-1] + tile, made.shape[-1])
                total = np.zeros(shape, np.float32)
            down = ramp(tile, overlap, top > 0, top < rows[-1])
            across = ramp(tile, overlap, left > 0, left < columns[-1])
            weight = (down[:, None] * across[None])[None, :, :, None]
            total[:, top : top + tile, left : left + tile] += weight * made
    assert total is not None, "a tile at least"
    found = total[:, :height, :width]
    return (np.rint(found) if made.dtype.kind in "iu" else found).astype(made.dtype)


def starts(side: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin, the first at 0, until they reach the end of a side or pass it."""
    step = tile - overlap
    count = max(1, -(-(side - overlap) // step))
    return [step * number for number in range(count)]


def ramp(tile: int, overlap: int, before: bool, after: bool) -> np.ndarray:
    """Weights [tile], which with those of the neighbours `before` and `after` sum to 1."""
    weights = np.ones(tile, np.float32)
    rise = (np.arange(overlap, dtype=np.float32) + 0.5) / max(overlap, 1)
    if before:
        weights[:overlap] = rise
    if after:
        weights[tile - overlap :] = rise[::-1]
    return weights


def reflected(x: np.ndarray, more: tuple[int, int]) -> np.ndarray:
    """x [B, H, W, ...] with so many more rows and columns, in a mirror at the last ones."""
    pads = [(0, 0), (0, more[0]), (0, more[1])] + [(0, 0)] * (x.ndim - 3)
    return np.pad(x, pads, mode="reflect")
