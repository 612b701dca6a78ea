"""The parser of `jaxgen`: a mistake is one line that names what was probably meant."""

from __future__ import annotations

import argparse
import ast
import difflib
import math
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from jaxgen.config import ConfigError, unknown
from jaxgen.tools.ranges import CLASS, shown

LABEL = ("class", "label")  # the first is what people type, Python takes the second as a name
GIVEN = "given"


class Parser(argparse.ArgumentParser):
    """Raises what is wrong as a ConfigError; takes no abbreviations."""

    def __init__(self, *args: Any, **options: Any):
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(*args, allow_abbrev=False, **options)
        self.verbs: dict[str, Parser] = {}

    def error(self, message: str) -> NoReturn:
        """Raises a ConfigError.

        Args:
            message: of argparse.
        """
        message = re.sub(r"^argument (\S+): (=?)", lambda m: m[1] + (m[2] or ": "), message)
        see = "" if "expected" in message else f" (see {self.prog} --help)"
        raise ConfigError(message + see)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            name = action.option_strings[0] if action.option_strings else action.dest
            raise ConfigError(unknown(name, shown(str(value)), action.choices))

    @property
    def options(self) -> dict[str, argparse.Action]:
        """`--name` -> what takes it."""
        return self._option_string_actions

    def add_subparsers(self, **options: Any) -> Any:
        """As argparse does; they are found in `verbs`."""
        commands = super().add_subparsers(**options)
        self.verbs = commands.choices
        return commands


def parse(top: Parser, argv: Sequence[str]) -> tuple[argparse.Namespace, dict[str, Any]]:
    """The arguments of a command, and the knobs that it hands on to a method.

    Args:
        top: the parser with all commands.
        argv: without the program's name.

    Raises:
        ConfigError: naming the nearest command or option.
    """
    name, *rest = argv
    if not name.startswith("-") and name not in top.verbs:
        raise ConfigError(unknown("command", name, top.verbs))
    if name.startswith("-") and name not in top.options:
        raise ConfigError(_unrecognised(name, top))
    verb = top.verbs.get(name, top)
    words = _joined(verb, rest)
    takes = verb.get_default("takes_knobs") or any(w.startswith("--metrics") for w in words)
    strange = [w for w in words if w.startswith("-") and w.partition("=")[0] not in verb.options]
    if not takes and strange:
        raise ConfigError(_unrecognised(strange[0], verb))
    if name not in top.verbs:
        arguments, extra = top.parse_known_args(argv)
    else:  # intermixed: files may follow options
        arguments, extra = verb.parse_known_intermixed_args(words)
    if not takes and extra:
        raise ConfigError(_unrecognised(extra[0], verb))
    return arguments, _knobs(extra, verb)


def _joined(verb: Parser, words: Sequence[str]) -> list[str]:
    """`--temperature 0.5` of a knob as one word, so that 0.5 is not taken for the run."""
    out: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*out, word, *rest]
        knob = word.startswith("--") and "=" not in word and word not in verb.options
        if knob and rest and not re.match(r"-[^\d.]", rest[0]):
            word = f"{word}={rest.pop(0)}"
        out.append(word)
    return out


def _unrecognised(word: str, verb: Parser) -> str:
    """The message for a word that the command does not take."""
    name = word.partition("=")[0]
    if not name.startswith("-"):
        return f"unexpected argument {shown(word)!r} (see {verb.prog} --help)"
    known = [option for option in verb.options if option.startswith("--")]
    near = difflib.get_close_matches(name, known, 1, cutoff=0.5)
    hint = f": did you mean {near[0]}?" if near else f" (see {verb.prog} --help)"
    return f"unrecognized arguments: {shown(word)}{hint}"


def _knobs(words: Sequence[str], verb: Parser) -> dict[str, Any]:
    """`--name=value` to Python values, those of `--given.name` in a dictionary of their own.

    Raises:
        ConfigError: for other words, numbers that are not finite, a class that is no number.
    """
    knobs: dict[str, Any] = {}
    for word in words:
        name, equals, text = word[2:].partition("=")
        if not word.startswith("--") or not equals or not name:
            raise ConfigError(
                f"expected --NAME=VALUE, got {shown(word)!r} (see {verb.prog} --help)"
            )
        name = name.replace("-", "_")
        into = knobs
        if name.startswith(f"{GIVEN}."):
            into, name = knobs.setdefault(GIVEN, {}), name.removeprefix(f"{GIVEN}.")
        try:
            value = ast.literal_eval(text.strip())
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            value = math.nan if text.strip().lower().lstrip("+-") in ("nan", "inf") else text
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"--{name}={text}, expected a finite number")
        if name in LABEL:
            several = isinstance(value, list | tuple)  # one each
            try:
                value = [CLASS(str(v)) for v in value] if several else CLASS(text)
            except argparse.ArgumentTypeError as error:
                raise ConfigError(f"--{name}{error}") from None
            name = LABEL[1]
        into[name] = value
    return knobs
