"""What is shown of a run, written as the name of its file says: still, moving, or as arrays."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxgen.config import ConfigError
from jaxgen.files import write_arrays
from jaxgen.pictures import save_gif, save_mp4, save_png


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """What is shown of a run.

    Attributes:
        arrays: name -> what was computed, in the units of the data.
        draw: gives it as one picture, [H, W, 3] uint8.
        film: gives the frames, [H, W, 3] uint8 each; None where nothing moves.
        milliseconds: of a frame.
        about: what else is known of it.
    """

    arrays: Mapping[str, np.ndarray]
    draw: Callable[[], np.ndarray]
    film: Callable[[], Sequence[np.ndarray]] | None = None
    milliseconds: int = 100
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def image(self) -> np.ndarray:
        """One picture, [H, W, 3] uint8."""
        return self.draw()

    @property
    def frames(self) -> list[np.ndarray]:
        """Pictures of one size, [H, W, 3] uint8 each.

        Raises:
            ConfigError: where nothing moves.
        """
        if self.film is None:
            raise ConfigError("nothing moves here: take .png, or .npz of the arrays")
        return list(self.film())

    def save(self, path: str | os.PathLike[str]) -> pathlib.Path:
        """Writes `.png`, `.gif`, `.mp4`, or `.npz` of the arrays, atomically; returns the path.

        Raises:
            ConfigError: for another suffix, or for one of what moves where nothing does.
            WriteError: see `files.atomic`.
        """
        path = pathlib.Path(path).expanduser()
        kind = path.suffix.lower()
        if kind == ".npz":
            arrays: dict[str, Any] = dict(self.arrays)
            write_arrays(path, **arrays)
        elif kind == ".png":
            save_png(path, self.image)
        elif kind == ".gif":
            save_gif(path, self.frames, self.milliseconds)
        elif kind == ".mp4":
            save_mp4(path, self.frames, self.milliseconds)
        else:
            raise ConfigError(f"{path}, expected a name that ends in .png, .gif, .mp4 or .npz")
        return path

    def _repr_png_(self) -> bytes:
        """Of notebooks."""
        import io

        from PIL import Image

        buffer = io.BytesIO()
        Image.fromarray(self.image).save(buffer, format="png")
        return buffer.getvalue()
