"""What to type for the picture that a page shows."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from jaxgen.explorer.controls import MOVE

PICTURE = "PICTURE.png"  # for the name of a file that the server was never told


def command(
    run: Sequence[str],
    seed: int | None,
    knobs: Mapping[str, float | int],
    changes: Mapping[str, float],
    groups: int,
    searches: bool,
) -> dict[str, Any]:
    """The line under "command", or None and "why"; "exact" where it writes the same bytes.

    Args:
        run: "jaxgen", the run directory, and options of both.
        seed: of a sample; None of an uploaded picture.
        knobs: of `jaxgen sample`.
        changes: of codes, by the names of their controls.
        groups: of latents that are kept, 0 for all.
        searches: codes are found by a search.
    """
    program, place, *options = run
    words = [program, "sample", place, *options]
    words += ["--num=1", f"--seed={seed}", *(f"--{k}={v!r}" for k, v in knobs.items())]
    digest = hashlib.sha256(repr((words, dict(changes), groups)).encode()).hexdigest()[:8]
    folder = f"explored-{digest}"
    sampled = shlex.join([*words, f"--out={folder}/"])
    if seed is not None and not changes and not groups:
        return {"command": sampled, "exact": True, "why": None}
    verb, more = ("project" if searches else "reconstruct"), []
    if len(changes) == 1 and not groups and (name := next(iter(changes))).startswith(MOVE):
        strength = f"{changes[name]!r}..{changes[name]!r}"
        verb = "edit"
        more = [f"--attribute={name.removeprefix(MOVE)}", f"--strength={strength}", "--steps=1"]
    elif groups and not changes:
        more = [f"--groups={groups}"]
    elif changes:
        why = "No one command draws this: jaxgen edit changes one attribute, and no level."
        return {"command": None, "exact": False, "why": why}
    picture = PICTURE if seed is None else f"{folder}/000000.png"
    line = shlex.join([program, verb, place, picture, *options, *more, f"--out={folder}.png"])
    return {
        "command": line if seed is None else f"{sampled} && {line}",
        "exact": False,
        "why": None,
    }
