"""What a run says of pictures."""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np

from jaxgen.abilities import Describes
from jaxgen.config import ConfigError
from jaxgen.data.loader import evenly
from jaxgen.evaluate.sampling import chunk_key, filled
from jaxgen.evaluate.validation import check_count, check_seed, is_whole
from jaxgen.rundir import RunDir
from jaxgen.types import DataSpec
from jaxgen.views.examples import Own, read_as

AT_ONCE = 32  # pictures
TEST = 4  # test pictures, where none are named


def caption(
    run: Any,
    pictures: Any = None,
    num: int = 5,
    beam: int = 0,
    seed: int = 0,
    fit: str | None = None,
    **places: Any,
) -> list[list[str]]:
    """Captions of each picture: draws, or the likeliest.

    Args:
        run: whose method has `describe`.
        pictures: an array [N, H, W, C] in the units of the data, or paths, see `examples.read`;
            None takes four of the test split.
        num: captions of each picture.
        beam: beginnings that a search for the likeliest keeps; 0 draws.
        seed: of the draws.
        fit: how pictures of another size are brought to the run's.
        **places: `data`, `manual_dir`, `data_dir` where the data have moved.

    Returns:
        Lists of `num` texts; of a beam the likeliest comes first.

    Raises:
        ConfigError: for a run that says nothing of pictures, what is no picture, or a beam that is
            smaller than the number of captions.
        DataError: for a damaged file.
    """
    check_describes(run)
    num, seed = check_count(num, "num"), check_seed(seed)
    if not is_whole(beam) or beam < 0 or 0 < beam < num:
        raise ConfigError(f"beam={beam!r}, expected {num} captions or more, or 0 to draw them")
    if pictures is None:
        split = run.dataset(**places).splits["test"]
        x = split.take(evenly(len(split), min(TEST, len(split))))[run.method.given[0]]
    else:
        x = read(run.directory, pictures, fit).x
    state, method = run.state.averaged(), run.method
    program = jax.jit(functools.partial(method.describe, num=num, beam=int(beam)))
    found: list[list[str]] = []
    for number, start in enumerate(range(0, len(x), AT_ONCE)):
        part, _ = filled((x, {}), start, AT_ONCE)
        key = chunk_key(jax.random.key(seed), np.uint32(number))
        tokens = np.asarray(program(state, part, rng=key))[: len(x) - start]
        found += [[_text(run.spec, t) for t in own] for own in tokens]
    return found


def check_describes(run: Any) -> None:
    """Refuses a run that has no captions to give.

    Raises:
        ConfigError: saying what it is.
    """
    if not isinstance(run.method, Describes):
        raise ConfigError(
            f"{run.directory.path} is of {type(run.method).__name__}, which says nothing of "
            "pictures: configs/caption_gan.py trains what does"
        )


def read(directory: RunDir, pictures: Any, fit: str | None = None) -> Own:
    """Pictures brought to the field of pictures of a run's data, see `examples.read`.

    Raises:
        ConfigError: where the data have no such field, or as `examples.read` does.
    """
    if isinstance(pictures, Own):
        return pictures
    spec = directory.spec()
    images = [field for name, field in spec.fields.items() if field.kind == "image"]
    if spec.x.kind != "tokens" or len(images) != 1:
        raise ConfigError(f"{directory.path}: {spec.name} has no captions of pictures")
    return read_as(DataSpec(spec.name, {"x": images[0]}), directory, pictures, fit)


def _text(spec: DataSpec, tokens: np.ndarray) -> str:
    """Words, or numbers where tokens have none."""
    return spec.x.text(tokens) if spec.x.words else " ".join(str(t) for t in tokens if t)
