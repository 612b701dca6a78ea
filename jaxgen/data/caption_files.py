"""Files of captions: lines of JSON, an image each, or one JSON of annotations as COCO has it.

File names are relative to the folder in which the file of captions lies, and stay below it.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from jaxgen.data.dataset import DataError
from jaxgen.data.layout import LABELS
from jaxgen.data.limits import utf8
from jaxgen.data.trees import Tree, printable, read_bytes
from jaxgen.stored import parse
from jaxgen.words import words_of

LARGEST = 2**28  # bytes of a file of captions; COCO's largest has 92 MB
FILE_KEYS = ("file", "file_name")
CAPTION_KEYS = ("captions", "caption", "text")
_ABSOLUTE = re.compile("/|[A-Za-z]:")


@dataclasses.dataclass(frozen=True)
class Line:
    """What a file says of one image.

    Attributes:
        where: it says so, for messages.
        name: of the image, as it stands there.
        captions: of it, one or more.
    """

    where: str
    name: str
    captions: tuple[str, ...]


def find(tree: Tree) -> list[str]:
    """The files of captions of a tree: one of all images, or one in each folder of a split.

    Raises:
        DataError: for none, or two in one folder.
    """
    found: dict[str, str] = {}
    for file in tree.files:
        folder, _, name = file.rpartition("/")
        if not name.lower().endswith((".jsonl", ".json")) or name == LABELS:
            continue
        if folder in found:
            raise DataError(
                f"{tree.root} has two files of captions in one folder, {printable(found[folder])} "
                f"and {printable(file)}: move one away"
            )
        found[folder] = file
    if not found:
        raise DataError(
            f"{tree.root} has no file of captions: expected one .jsonl file with lines like "
            '{"file": "a.png", "captions": ["a red bird"]}, or one .json as of COCO'
        )
    return list(found.values())


def read(tree: Tree, file: str) -> dict[str, list[list[str]]]:
    """Path in the tree -> words of each caption, in the order of the file, without marks.

    Raises:
        DataError: in one line, for whatever is wrong: the first that is not UTF-8 or JSON, that has
            no file or no caption, an empty caption, a file twice, or one outside of the folder or
            not there.
    """
    lines = _lines if file.lower().endswith(".jsonl") else _annotated
    folder, known = file.rpartition("/")[0], set(tree.files)
    found: dict[str, list[list[str]]] = {}
    said: dict[str, str] = {}
    absent = []
    for line in lines(tree.where(file), _text(tree, file)):
        path = _path(folder, line)
        if path in said:
            raise DataError(
                f"{line.where}: {line.name!r} is there already, in {said[path]}: list all captions "
                "of an image at once"
            )
        said[path] = line.where.rpartition(", ")[2]
        if path not in known:
            absent.append(line)
        found[path] = [words_of(caption) for caption in line.captions]
        if [] in found[path]:
            raise DataError(f"{line.where}: an empty caption of {line.name!r}: write or delete it")
    if absent:
        raise DataError(
            f"{absent[0].where}: no file {absent[0].name!r} in {_home(tree, folder)} "
            f"({len(absent):,} such): add it, or delete its captions"
        )
    return found


def _home(tree: Tree, folder: str) -> str:
    return tree.where(folder) if folder else printable(str(tree.root))


def _text(tree: Tree, file: str) -> str:
    """The content of a file."""
    if tree.size(file) > LARGEST:
        raise DataError(
            f"{tree.where(file)} has {tree.size(file):,} bytes, expected at most {LARGEST:,}"
        )
    return utf8(read_bytes(tree, file), tree.where(file))


def _parsed(text: str, where: str) -> Any:
    try:
        return parse(text)
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if "\n" in text else ""
        raise DataError(f"{where}: not JSON: {error.msg} ({line}column {error.colno})") from None
    except RecursionError:
        raise DataError(f"{where}: not JSON: nested too deeply") from None
    except ValueError as error:
        raise DataError(f"{where}: not JSON of captions: {error}") from None


def _lines(where: str, text: str) -> Iterator[Line]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        here = f"{where}, line {number}"
        row = _parsed(line.strip(), here)
        if not isinstance(row, dict):
            raise DataError(f'{here}: expected {{"file": ..., "captions": [...]}}')
        name = _one_of(row, FILE_KEYS, here)
        captions = _one_of(row, CAPTION_KEYS, here)
        captions = [captions] if isinstance(captions, str) else captions
        if not isinstance(name, str) or not _are_texts(captions):
            raise DataError(f"{here}: expected a file's name, and its caption or a list of them")
        if not captions:
            raise DataError(f"{here}: no caption of {name!r}")
        yield Line(here, name, tuple(captions))


def _one_of(row: Mapping[str, Any], keys: tuple[str, ...], here: str) -> Any:
    found = [key for key in keys if key in row]
    if len(found) != 1:
        has = ", ".join(repr(key[:40]) for key in row) or "nothing"
        raise DataError(f"{here}: expected one of {', '.join(keys)}; it has {has}")
    return row[found[0]]


def _are_texts(captions: Any) -> bool:
    return isinstance(captions, list) and all(isinstance(c, str) for c in captions)


def _annotated(where: str, text: str) -> Iterator[Line]:
    """As COCO has it: images with ids, and annotations that name one."""
    content = _parsed(text, where)
    parts = ("images", "annotations")
    if not isinstance(content, dict) or not all(isinstance(content.get(k), list) for k in parts):
        raise DataError(
            f'{where}: expected {{"images": [{{"id", "file_name"}}], "annotations": '
            '[{"image_id", "caption"}]}, as COCO has it'
        )
    names: dict[Any, str] = {}
    for number, image in enumerate(content["images"], 1):
        key, name = _pair(f"{where}, image {number}", image, "id", "file_name")
        if key in names:
            raise DataError(f"{where}, image {number}: the id {key!r} is there already")
        names[key] = name
    captions: dict[Any, list[str]] = {key: [] for key in names}
    for number, annotation in enumerate(content["annotations"], 1):
        here = f"{where}, annotation {number}"
        key, caption = _pair(here, annotation, "image_id", "caption")
        if key not in names:
            raise DataError(f"{here}: there is no image of the id {key!r}")
        captions[key].append(caption)
    for number, (key, name) in enumerate(names.items(), 1):
        if captions[key]:
            yield Line(f"{where}, image {number}", name, tuple(captions[key]))


def _pair(here: str, row: Any, key: str, text: str) -> tuple[Any, str]:
    found = (row.get(key), row.get(text)) if isinstance(row, dict) else (None, None)
    if type(found[0]) not in (int, str) or not isinstance(found[1], str):
        raise DataError(f'{here}: expected {{"{key}": a number, "{text}": a text}}')
    return found


def _path(folder: str, line: Line) -> str:
    """Of an image in the tree.

    Raises:
        DataError: for one that would lie elsewhere.
    """
    name = line.name.replace("\\", "/")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if _ABSOLUTE.match(name) or ".." in parts or not parts:
        raise DataError(
            f"{line.where}: {line.name!r} is no file below the folder of the captions: name it "
            "relative to that"
        )
    return "/".join([folder, *parts] if folder else parts)
