"""Files as methods of a run."""

from __future__ import annotations

import os
from typing import Any

import numpy as np


class Files:
    """What a run is asked for files, and of files."""

    def compress(
        self,
        pictures: Any = None,
        num: int | None = None,
        batch: int | None = None,
        fit: str | None = None,
        chunk: int | None = None,
        verify: bool = True,
        precision: int | None = None,
        groups: int | None = None,
        fineness: int | None = None,
        seed: int | None = None,
        **places: Any,
    ) -> bytes:
        """A file of test examples or one's own: see `coding.chosen` and `coding.compress`.

        It is without loss, but with `groups` of latents, of which it keeps the first.
        """
        from jaxgen import coding

        x = coding.chosen(self, pictures, num, fit, **places)
        options = {"precision": precision, "groups": groups, "fineness": fineness, "seed": seed}
        return coding.compress(self, x, batch, chunk or coding.CHUNK, verify, **options)

    def decompress(self, file: bytes | str | os.PathLike[str]) -> np.ndarray:
        """The examples [N, ...] of what `compress` gave, or of a path of it."""
        from jaxgen import coding

        return coding.decompress(self, coding.contents(file))
