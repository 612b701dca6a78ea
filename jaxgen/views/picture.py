"""What is shown of a run, written as the name of its file says: still, moving, or as arrays."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxgen.config import ConfigError
from jaxgen.files import write_arrays
from jaxgen.pictures import save_gif, save_mp4, save_png, save_pngs, save_webp
from jaxgen.rundir import write_json

FILMS = {".webp": save_webp, ".gif": save_gif, ".mp4": save_mp4}


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """What is shown of a run.

    Attributes:
        arrays: name -> what was computed, in the units of the data.
        draw: gives it as one picture, [H, W, 3] uint8.
        film: gives the frames, [H, W, 3] uint8 each; None where nothing moves.
        milliseconds: of a frame.
        about: what else is known of it.
        recipe: gives what a film is of, which is written beside it; {} where that is not known.
    """

    arrays: Mapping[str, np.ndarray]
    draw: Callable[[], np.ndarray]
    film: Callable[[], Sequence[np.ndarray]] | None = None
    milliseconds: int = 100
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    recipe: Callable[[], Mapping[str, Any]] = dict

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
        """Writes what the suffix says, atomically; returns the path.

        `.png` of the picture, `.npz` of the arrays; of what moves `.webp` and `.gif`, of which the
        first loses nothing, `.mp4`, or a folder of frames where there is no suffix. Beside a film
        is `NAME.film.json`, in a folder `film.json`: its recipe and the sha256 of every frame.

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
        elif kind in FILMS:
            frames = self.frames
            FILMS[kind](path, frames, self.milliseconds)
            self._note(path.with_suffix(".film.json"), frames)
        elif not kind:
            frames = self.frames
            save_pngs(path, frames)
            self._note(path / "film.json", frames)
        else:
            known = ".png, .npz, " + ", ".join(FILMS)
            raise ConfigError(f"{path}, expected a name that ends in {known}, or of a folder")
        return path

    def _note(self, path: pathlib.Path, frames: list[np.ndarray]) -> None:
        """Writes what a film is of."""
        height, width = frames[0].shape[:2]
        sums = [hashlib.sha256(np.ascontiguousarray(frame).data).hexdigest() for frame in frames]
        size = {"height": height, "width": width, "milliseconds": self.milliseconds}
        write_json(path, dict(self.recipe()) | size | {"frames_sha256": sums})

    def _repr_png_(self) -> bytes:
        """Of notebooks."""
        import io

        from PIL import Image

        buffer = io.BytesIO()
        Image.fromarray(self.image).save(buffer, format="png")
        return buffer.getvalue()
