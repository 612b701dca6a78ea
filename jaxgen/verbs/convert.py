"""`jaxgen convert`: what is said in a sound by another speaker; a sheet of test utterances."""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Sequence
from typing import Any

from jaxgen.config import ConfigError
from jaxgen.tools.arguments import add_places, add_run, load_run, places
from jaxgen.tools.outputs import STILL, add_out, kind, output
from jaxgen.tools.ranges import SIDE

SOUND = ".wav"
PYTHON = ("jaxgen.run.Run.convert", "jaxgen.run.Run.conversions", "jaxgen.run.Run.codes")


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    command = commands.add_parser("convert", help="speech by another speaker")
    command.set_defaults(command=run)
    add_run(command)
    text = f"{SOUND} files, or folders of them, which keep their lengths; default: test utterances"
    command.add_argument("sounds", nargs="*", metavar="sound", help=text)
    command.add_argument("--speaker", metavar="NAME", help="who speaks: a name, or a number from 0")
    text = "of the sheet: speakers who spoke, a row each; default: 12"
    command.add_argument("--num", type=SIDE, default=12, help=text)
    text = "print how often each code stands for each class instead"
    command.add_argument("--codes", action="store_true", help=text)
    add_places(command)
    text = f"{SOUND} of one sound, FOLDER/ of several; of test utterances a sheet, .png or .npz"
    add_out(command, text, *STILL, SOUND, folder=True)


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Converts sounds, each to a file of its own; or draws the sheet; or prints the table."""
    out: pathlib.Path | None = arguments.out
    if arguments.sounds and arguments.codes:
        raise ConfigError("--codes is of test utterances: name no sounds")
    if arguments.sounds:
        files = _files(arguments.sounds)
        _convert(arguments, files, _outputs(files, out))
        return
    if arguments.speaker is not None:
        raise ConfigError(f"--speaker={arguments.speaker} is of sounds: name some after the run")
    if out is not None and kind(out) not in STILL:
        raise ConfigError(f"--out={out}: of test utterances there is one sheet, .png or .npz")
    found = load_run(arguments)
    if arguments.codes:
        print("\n".join(_table(found.codes(**places(arguments)))))
        return
    out = output(arguments, found, "conversions", ".png", num=arguments.num)
    sheet = found.conversions(arguments.num, **places(arguments))
    print(f"conversions of step {found.step}: {sheet.save(out)}")


def _files(paths: Sequence[str]) -> list[pathlib.Path]:
    """Sounds that are named, and those in folders, in order."""
    found: list[pathlib.Path] = []
    for text in paths:
        path = pathlib.Path(text).expanduser()
        own = [path]
        if path.is_dir():
            own = sorted(p for p in path.iterdir() if kind(p) == SOUND)
            if not own:
                raise ConfigError(f"{path} holds no {SOUND} files")
        elif kind(path) != SOUND or not path.exists():
            raise ConfigError(f"{path}: expected a {SOUND} file or a folder of them")
        found += own
    names = [path.name for path in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise ConfigError(f"two sounds are called {twice}: convert them one by one")
    return found


def _outputs(files: Sequence[pathlib.Path], out: pathlib.Path | None) -> list[pathlib.Path]:
    """Where each goes."""
    if out is None:
        raise ConfigError(f"name a file or folder: --out=x{SOUND}, or of several --out=FOLDER/")
    if kind(out) in STILL:
        raise ConfigError(f"--out={out}: of sounds, expected a {SOUND} file, or FOLDER/ of several")
    if kind(out) != SOUND:
        return [out / file.name for file in files]
    if len(files) > 1:
        raise ConfigError(f"{len(files)} sounds: name a folder for them with --out=FOLDER/")
    return [out]


def _convert(
    arguments: argparse.Namespace, files: Sequence[pathlib.Path], outs: Sequence[pathlib.Path]
) -> None:
    from jaxgen.data import spoken

    if arguments.speaker is None:
        raise ConfigError("who is to speak? add --speaker=NAME, or a number from 0")
    for out in outs:
        if out.exists() and not arguments.force:
            raise ConfigError(f"--out: {out} exists: name another, or add --force")
    found = load_run(arguments)
    for file, out in zip(files, outs, strict=True):
        x, rate = spoken.read(file)
        made = found.convert(x, arguments.speaker, rate, **places(arguments))
        spoken.write(out, made, rate)
    print(f"{len(files)} converted by step {found.step}: {arguments.out}")


def _table(counts: Any) -> list[str]:
    """Rows of text: of each group and code, its shares of classes in percent, and its number."""
    groups, codes, classes = counts.shape
    lines = [f"{'code':>8} {'times':>7}" + "".join(f" {i:>4}" for i in range(classes))]
    for group in range(groups):
        for code in range(codes):
            row = counts[group, code]
            shares = "".join(f" {100 * n / max(row.sum(), 1):4.0f}" for n in row)
            name = f"{group}:{code}" if groups > 1 else str(code)
            lines.append(f"{name:>8} {row.sum():7,}" + shares)
    return lines
