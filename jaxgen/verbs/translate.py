"""`jaxgen translate`: pictures of one's own, or test examples, in another domain."""

from __future__ import annotations

import argparse
import pathlib
from typing import Any

from jaxgen.config import ConfigError
from jaxgen.tools.arguments import add_places, add_run, add_seed, load_run, places
from jaxgen.tools.outputs import STILL, add_out, kind, output
from jaxgen.tools.ranges import SIDE, Whole

PIXELS, OVERLAP = Whole(1, 2**16), Whole(0, 2**15)
PYTHON = ("jaxgen.run.Run.translate", "jaxgen.run.Run.translations")


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    command = commands.add_parser(
        "translate",
        help="pictures of another domain, or of a layout",
        epilog="Further --NAME=VALUE are the method's own knobs, as --temperature=0.9.",
    )
    command.set_defaults(command=run, takes_knobs=True)
    add_run(command)
    text = "image files, folders or .zip, which keep their sizes; default: test examples"
    command.add_argument("pictures", nargs="*", metavar="picture", help=text)
    command.add_argument("--to", metavar="DOMAIN", help="as b or a; needed where there are several")
    command.add_argument("--num", type=SIDE, default=8, help="test examples; default: 8")
    add_seed(command, "of what is drawn")
    text = "image whose style pictures of your own are to have; default: one is drawn"
    command.add_argument("--like", metavar="PICTURE", help=text)
    text = "side in pixels of the tiles that large pictures are cut into; default: whole pictures"
    command.add_argument("--tile", type=PIXELS, help=text)
    text = "pixels that two tiles share, in which one fades into the other; default: 32"
    command.add_argument("--overlap", type=OVERLAP, help=text)
    add_places(command)
    text = ".png of one picture, FOLDER/ of several; of test examples a sheet, .png or .npz"
    add_out(command, text, *STILL, folder=True)


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Translates; one picture is written as one, several into a folder under their own names."""
    from jaxgen.evaluate.translation import direction
    from jaxgen.evaluate.validation import options_of
    from jaxgen.views.translations import translating

    out: pathlib.Path | None = arguments.out
    found = load_run(arguments, 0 if arguments.pictures else 4 * arguments.num)
    method = translating(found)
    to = direction(method, arguments.to)
    options_of(method.translate, 3, {"to": to, **knobs})  # before any work
    knobs |= _tiles(arguments)
    if arguments.pictures:
        _translate_own(arguments, found, to, knobs)
        return
    if arguments.like:
        raise ConfigError("--like: is of pictures of your own: name them after the run")
    if out is not None and kind(out) not in STILL:
        raise ConfigError(f"--out={out}/: of test examples there is one sheet: name a .png or .npz")
    asked = {"to": to, "num": arguments.num, **dict(sorted(knobs.items()))}
    out = output(arguments, found, "translations", ".png", **asked, seed=arguments.seed)
    sheet = found.translations(to, arguments.num, arguments.seed, **places(arguments), **knobs)
    print(f"translations of step {found.step}: {sheet.save(out)}")


def _tiles(arguments: argparse.Namespace) -> dict[str, int]:
    """The options of tiles that were given."""
    from jaxgen.evaluate.tiles import check_tiles

    asked = {"tile": arguments.tile, "overlap": arguments.overlap}
    asked = {name: pixels for name, pixels in asked.items() if pixels is not None}
    if asked:
        if arguments.tile is None:
            raise ConfigError("--overlap: is of tiles: add --tile=256")
        check_tiles(arguments.tile, arguments.overlap)
    return asked


def _translate_own(
    arguments: argparse.Namespace, found: Any, to: str, knobs: dict[str, Any]
) -> None:
    from jaxgen.pictures import save_png, to_uint8
    from jaxgen.tools.own import named
    from jaxgen.views.translations import own

    source, target = found.method.translations[to]
    field = found.spec.fields[target]
    pictures = list(own(found.spec, source, arguments.pictures))
    asked, lent = {"of": named(arguments.pictures), "to": to, **dict(sorted(knobs.items()))}, {}
    if arguments.like:
        asked["like"] = named([arguments.like])
        styles = list(own(found.spec, target, [arguments.like]))
        if len(styles) > 1:
            raise ConfigError(f"--like={arguments.like}: {len(styles)} pictures, expected one")
        lent = {target: styles[0][1]}
    single, out = len(pictures) == 1, arguments.out
    if single and (out is None or kind(out) == ".png"):
        places = [output(arguments, found, "translation", ".png", **asked, seed=arguments.seed)]
    elif out is None or kind(out) in STILL:
        raise ConfigError(f"{len(pictures)} pictures: name a folder for them with --out=FOLDER/")
    else:
        places = [out / f"{stem}.png" for stem, _ in pictures]
    for (_, x), place in zip(pictures, places, strict=True):
        if place.exists() and arguments.out is not None and not arguments.force:
            raise ConfigError(f"--out: {place} exists: name another, or add --force")
        given = {source: x, **lent} if lent else x
        made = found.translate(given, to, arguments.seed, **knobs)
        save_png(place, to_uint8(made[0], field.levels, field.range))
    print(f"{len(pictures)} translated by step {found.step}: {places[0] if single else out}")
