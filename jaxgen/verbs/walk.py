"""`jaxgen walk`: a film of a random walk of the latents."""

from __future__ import annotations

import argparse
from typing import Any

from jaxgen.tools.arguments import add_latents, add_run, chosen_class, load_run, places, shown_class
from jaxgen.tools.outputs import MOVING, add_timing, output, told_timing
from jaxgen.tools.ranges import SHARE, SIDE

PYTHON = "jaxgen.run.Run.walk"


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    command = commands.add_parser("walk", help="a film of a random walk of the latents")
    command.set_defaults(command=run)
    add_run(command)
    add_latents(command, *MOVING, default=".webp")
    command.add_argument("--num", type=SIDE, default=16, help="side by side; default: 16")
    command.add_argument("--frames", type=SIDE, default=60, help="of the film; default: 60")
    text = "move the first group of latents alone, and hold the noise of the others"
    command.add_argument("--top", action="store_true", help=text)
    text = "of the groups, from the first on, as 0.7,1; the last is that of all that follow"
    command.add_argument("--temperatures", metavar="LIST", default="", help=text)
    text = "of styles: this share of their distance from the mean"
    command.add_argument("--truncation", type=SHARE, metavar="PSI", help=text)
    add_timing(command)


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Draws the film, which ends where it began."""
    found = load_run(arguments, arguments.num * arguments.frames)
    label = chosen_class(arguments, found)
    asked = {"class": label} | {k: getattr(arguments, k) for k in ("num", "frames", "seed")}
    more = {k: getattr(arguments, k) for k in ("top", "temperatures", "truncation")}
    timing = arguments.timing
    told = {k: v or None for k, v in more.items()} | {"timing": told_timing(timing)}
    out = output(arguments, found, "walk", ".webp", **asked, **told)
    sizes = (arguments.num, arguments.frames, arguments.seed)
    picture = found.walk(*sizes, label, **more, timing=timing, **places(arguments))
    print(f"walk of step {found.step}{shown_class(label)}: {picture.save(out)}")
