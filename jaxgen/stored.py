"""What is read of a run directory, which may be a stranger's: its files and their JSON.

Nothing here trusts a file: kind, size, encoding, depth, numbers and types are checked before
anything else sees them, and whatever is wrong is one line that names the file.
"""

from __future__ import annotations

import json
import math
import os
import pathlib
import re
import stat
from collections.abc import Iterable, Mapping
from typing import Any

from jaxgen.config import OPTIONAL, SECTIONS, ConfigError

MOST_BYTES = 8 * 2**20  # of a JSON file; the largest that a run writes have some 100 KiB
MOST_DEPTH = 32
MOST_INT = 2**64
MOST_SIZE = 2**20  # of a whole number in `config.model`: no layer is as wide, no stack as deep
MOST_FILES = 500_000
MOST_PATH = 4096  # characters

# file -> its shape, see `check`; unknown entries are left to whoever reads them
UNITS = {"shift": [float], "scale": [float]}
FIELD = {
    "kind": str,
    "shape": [int],
    "dtype": str,
    "levels?": (int, None),
    "classes?": (int, None),
    "vocabulary?": (int, None),
    "words?": [str],
    "names?": [str],
    "range?": [float],
    "units?": UNITS,
}
SPEC = {
    "name": str,
    "fields?": {"*": FIELD},
    "entropy?": (float, None),
    # of version 0.1, in place of fields
    "shape?": [int],
    "levels?": (int, None),
    "num_classes?": int,
    "range?": [float],
    "columns?": [str],
    "context?": [str],
    "units?": UNITS,
    "context_units?": UNITS,
}
FINGERPRINT = {
    "name?": str,
    "shape?": [int],
    "levels?": (int, None),
    "splits?": {"*": {"count?": int, "sha256?": str}},
}
SHAPES: dict[str, Any] = {
    "config.json": {"seed?": int} | {f"{section}?": dict for section in (*SECTIONS, *OPTIONAL)},
    "manifest.json": {
        "data?": {"spec?": SPEC, "fingerprint?": FINGERPRINT},
        "frozen?": {"*": {"run": str, "step": int, "digest": str, "gives?": {"*": FIELD}}},
        "command?": str,
        "devices?": str,
        "versions?": dict,
        "resumed?": [dict],
    },
    "summary.json": dict,
    "measurements.json": {"source": dict, "measurements": [dict]},
}
NOT_FINITE = ("measurements.json",)  # other tools write NaN there, which counts as not measured


def read_bytes(path: pathlib.Path, most: int = MOST_BYTES) -> bytes:
    """The content of a regular file.

    Raises:
        ConfigError: for a pipe, a device or the like, and for more than `most` bytes.
        OSError: where it cannot be read.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with open(handle, "rb") as file:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            raise ConfigError(f"{path} is no regular file")
        if about.st_size > most:
            raise ConfigError(
                f"{path} is damaged: it has {about.st_size:,} bytes, expected at most {most:,}"
            )
        return file.read(most + 1)


def read_json(path: pathlib.Path) -> Any:
    """The value of a JSON file, of the shape that `SHAPES` has for its name.

    Raises:
        ConfigError: in one line, for whatever is wrong with it.
        OSError: where it cannot be read.
    """
    try:
        value = parse(read_bytes(path), finite=path.name not in NOT_FINITE)
        if path.name in SHAPES:
            check(value, SHAPES[path.name])
        if path.name == "config.json":
            value = upgraded(value)
    except ConfigError:
        raise
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise ConfigError(f"{path} is damaged: {reason}") from None
    return value


def upgraded(config: dict[str, Any]) -> dict[str, Any]:
    """A stored config in today's terms: `method.conditional` of version 0.1 is `method.given`."""
    method = config.get("method", {})
    if not isinstance(method.get("conditional"), bool):
        return config
    given = ["label"] if method["conditional"] else []
    rest = {k: v for k, v in method.items() if k != "conditional"}
    return {**config, "method": {"given": given} | rest}


def parse(text: bytes | str, finite: bool = True) -> Any:
    """The value of JSON: keys once, no control characters, numbers of a computer's size.

    Args:
        text: UTF-8.
        finite: refuse NaN and infinities.

    Raises:
        ValueError: in one line, for anything else.
        RecursionError: for JSON nested beyond Python's own limit.
    """
    options = {"parse_constant": _no_constant} if finite else {}
    try:
        value = json.loads(text, object_pairs_hook=_once, **options)
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8") from None
    level = [value]
    for _ in range(MOST_DEPTH):
        inner: list[Any] = []
        for part in level:
            _check_leaf(part, finite)
            if isinstance(part, dict):
                inner += [*part, *part.values()]
            elif isinstance(part, list):
                inner += part
        if not inner:
            return value
        level = inner
    raise ValueError(f"it is nested more than {MOST_DEPTH} deep")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice[:80]!r} is there twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"it holds {name}, which is no number of JSON")


def _check_leaf(value: Any, finite: bool) -> None:
    if isinstance(value, str) and not value.isprintable():
        if any(ord(c) < 32 and c not in "\n\t\r" or 0xD800 <= ord(c) < 0xE000 for c in value):
            raise ValueError(f"a string holds characters that are no text: {value[:80]!a}")
    if isinstance(value, int) and abs(value) > MOST_INT:
        raise ValueError("it holds a whole number of more than 64 bits")
    if finite and isinstance(value, float) and not math.isfinite(value):
        raise ValueError("it holds a number beyond a computer's range")


def check(value: Any, shape: Any, where: str = "") -> None:
    """Compares a value of JSON with a shape.

    Args:
        value: any.
        shape: a type, None, a tuple of alternatives, [shape of all entries], or a dictionary
            key -> shape, whose keys must be there unless they end in "?"; "*" is any key.
        where: dotted, for the message.

    Raises:
        ValueError: saying where and what was expected.
    """
    if isinstance(shape, dict):
        check(value, dict, where)
        for key, inner in shape.items():
            name = key.removesuffix("?")
            if key == "*":
                for other, part in value.items():
                    check(part, inner, f"{where}.{other[:40]}")
            elif name in value:
                check(value[name], inner, f"{where}.{name}" if where else name)
            elif name == key:
                raise ValueError(f"{where or 'it'} misses {name}")
    elif isinstance(shape, list):
        check(value, list, where)
        for part in value:
            check(part, shape[0], f"an entry of {where}")
    elif not _is(value, shape):
        shapes = shape if isinstance(shape, tuple) else (shape,)
        names = " or ".join("null" if s is None else NAMES[s] for s in shapes)
        raise ValueError(f"{where or 'it'} is {str(value)[:60]!r}, expected {names}")


NAMES = {
    bool: "true or false",
    str: "a string",
    int: "a whole number",
    float: "a number",
    dict: "a dictionary",
    list: "a list",
}


def _is(value: Any, shape: Any) -> bool:
    if isinstance(shape, tuple):
        return any(_is(value, alternative) for alternative in shape)
    if shape is None:
        return value is None
    if shape in (int, float) and isinstance(value, bool):
        return False
    return isinstance(value, (int, float) if shape is float else shape)


def check_sizes(model: Mapping[str, Any], where: str = "config.model") -> None:
    """Refuses a stored network whose sizes no network has, before it is traced.

    Raises:
        ConfigError: naming the number.
    """
    for key, value in model.items():
        if isinstance(value, Mapping):
            check_sizes(value, f"{where}.{key}")
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, int) and abs(number) > MOST_SIZE:
                raise ConfigError(f"{where}.{key}={number}, expected at most {MOST_SIZE:,}")


def check_contained(run: pathlib.Path, allow: Iterable[str] = ()) -> None:
    """Refuses a run directory that reaches out of itself: by links, pipes or devices in it.

    Args:
        run: its path, which may be a link itself.
        allow: folders into which links may lead.

    What vanishes meanwhile, as checkpoints of a run that trains, and what may not be read are
    nothing to be afraid of.

    Raises:
        ConfigError: naming the first such entry.
    """
    roots = [pathlib.Path(os.path.realpath(pathlib.Path(p).expanduser())) for p in (run, *allow)]
    seen, folders = 0, [str(roots[0])]
    while folders:
        try:
            with os.scandir(folders.pop()) as found:
                entries = list(found)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        for entry in entries:
            if entry.is_symlink():
                end = pathlib.Path(os.path.realpath(entry.path))
                if not any(end.is_relative_to(root) for root in roots):
                    raise ConfigError(
                        f"{entry.path} is a link that leads out of the run, to {end}: copy what it "
                        f"points to, or add --allow={end} if you made it"
                    )
            elif entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            elif not entry.is_file(follow_symlinks=False) and os.path.lexists(entry.path):
                raise ConfigError(f"{entry.path} is a pipe or a device: no run has one")
        seen += len(entries)
        if seen > MOST_FILES:
            raise ConfigError(f"{run} holds more than {MOST_FILES:,} files: that is no run")


def data_options(
    section: Mapping[str, Any], given: Iterable[str] = ()
) -> tuple[dict[str, Any], list[str]]:
    """What of a stored config's section `data` is followed when the run is opened.

    Nothing is downloaded, and a folder for prepared data is used only where it holds such data
    already: nothing is written where a stranger says so.

    Args:
        section: of the config.
        given: names of options that the user gives himself.

    Returns:
        The options, and what of the disk they name, for the user to see.

    Raises:
        ConfigError: for a name or a path that is none.
    """
    options, shown = dict(section), []
    given = set(given)
    if options.get("download"):
        options["download"] = False
    for key in ("name", "manual_dir", "data_dir"):
        value = options.get(key)
        if key in given or (value is None and key != "name"):
            continue
        if not isinstance(value, str) or not value or len(value) > MOST_PATH or "\0" in value:
            raise ConfigError(
                f"config.data.{key} is {str(value)[:60]!r}, expected a name or a path"
            )
    if "data_dir" not in given and options.get("data_dir") is not None:
        name = str(options.get("name")).removeprefix("tfds:")
        first = re.split(r"[/:]", name, maxsplit=1)[0]
        place = pathlib.Path(options["data_dir"]).expanduser() / first
        if not re.fullmatch(r"\w+", first) or not place.is_dir():
            del options["data_dir"]
    for key in ("name", "manual_dir", "data_dir"):
        value = options.get(key)
        is_path = isinstance(value, str) and (
            key != "name" or bool(re.search(r"[/\\.~]|^folder:", value))
        )
        if key not in given and is_path:
            shown.append(f"{key}={value}")
    return options, shown
