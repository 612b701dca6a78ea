"""A command line that cannot be parsed, explained in terms of what was typed."""

from __future__ import annotations

import importlib.util
import inspect
import json
import pathlib
import traceback
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from absl import flags

from jaxgen import shipped
from jaxgen.config import RENAMED, ConfigError, unknown

EXAMPLE = "configs/glow.py"
WHAT = f"a config is a Python file with a function get_config(arg), as {EXAMPLE}"


def explain(argv: Sequence[str], error: BaseException) -> str:
    """One line for a failed parse.

    Args:
        argv: what was typed.
        error: of absl, of ml_collections, or of the config's own code.
    """
    typed = _typed(argv)
    value = next((value for name, value in typed if name == "config"), None)
    overrides = {name: value for name, value in typed if name.startswith("config.")}
    if value is None and overrides:
        return f"--{next(iter(overrides))} needs a config: add --config=configs/NAME.py before it"
    if value is not None:
        try:
            config = load(*value.partition(":")[::2])
        except ConfigError as mistake:
            return str(mistake)
        for name, text in overrides.items():
            if message := _override(config, name, text, error):
                return message
    for name, text in typed:
        if isinstance(error, flags.IllegalFlagValueError) and f"--{name}={text}" in str(error):
            if "int()" in str(error):
                return f"--{name}={text}, expected a whole number"
    return " ".join(" ".join(str(a) for a in error.args or [error]).split())


def _typed(argv: Sequence[str]) -> list[tuple[str, str]]:
    """Names and values of the flags; a value may be the next word."""
    found = []
    for i, word in enumerate(argv[1:], 1):
        if word.startswith("-"):
            name, equals, value = word.lstrip("-").partition("=")
            follows = i + 1 < len(argv) and not argv[i + 1].startswith("-")
            found.append((name, value if equals or not follows else argv[i + 1]))
    return found


def load(path: str, arg: str) -> Any:
    """The ConfigDict of `path:arg`.

    Raises:
        ConfigError: saying what is wrong with the file, and where.
    """
    file = pathlib.Path(path).expanduser()
    if not path:
        raise ConfigError(f"--config= names no file: add one, as --config={EXAMPLE}")
    if file.is_dir():
        if (file / "config.json").is_file():
            raise ConfigError(_of_run(file))
        raise ConfigError(f"{path} is a folder: name a file in it, as --config={EXAMPLE}")
    if not file.is_file():
        known = [f"{shipped.FOLDER}/{name}.py" for name in shipped.configs()]
        raise ConfigError(unknown("config file", path, known))
    if file.suffix != ".py":
        if file.name == "config.json" and (file.parent / "manifest.json").is_file():
            raise ConfigError(_of_run(file.parent))
        raise ConfigError(f"{path} is no Python file: {WHAT}")
    make = getattr(_module(path), "get_config", None)
    if not callable(make):
        raise ConfigError(f"{path} has no get_config: {WHAT}")
    if arg and not inspect.signature(make).parameters:
        raise ConfigError(f"{path} has no presets: its get_config takes no argument, got {arg!r}")
    try:
        config = make(arg) if arg else make()
    except ConfigError as mistake:
        raise ConfigError(f"{path}: {mistake}") from None
    except (Exception, SystemExit) as error:
        raise ConfigError(_raised(path, error)) from error
    if not hasattr(config, "to_dict"):
        raise ConfigError(
            f"{path}: get_config returned {_kind(config)}, expected an ml_collections.ConfigDict"
        )
    return config


def _module(path: str) -> ModuleType:
    """The file's code, run."""
    spec = importlib.util.spec_from_file_location("jaxgen_config", path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ConfigError as mistake:
        raise ConfigError(f"{path}: {mistake}") from None
    except (Exception, SystemExit) as error:
        raise ConfigError(_raised(path, error)) from error
    return module


def _raised(path: str, error: BaseException) -> str:
    """What the code of a config ended in, and on which of its lines."""
    if isinstance(error, SyntaxError):
        where = f", line {error.lineno}" if error.lineno else ""
        return f"{path}{where}: {error.msg}: {WHAT}"
    own = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == path]
    where = f", line {own[-1]}" if own else ""
    text = " ".join(str(error).split())[:200]
    return f"{path}{where}: {type(error).__name__}: {text}".rstrip(": ")


def _of_run(run: pathlib.Path) -> str:
    """What to type for the config that a run directory keeps."""
    text = f"{run} is a run directory, which keeps its own config"
    try:
        command = json.loads((run / "manifest.json").read_text())["command"]
    except (OSError, ValueError, KeyError, TypeError):
        return f"{text}: to resume it, repeat the command that began it"
    return f"{text}: to resume it, type again {str(command)[:300]}"


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


def _override(config: Any, name: str, text: str, error: BaseException) -> str | None:
    """What is wrong with `--name=text`, None if it is not what `error` is about."""
    *sections, field = name.split(".")[1:]
    where = "config"
    for section in sections:
        if not isinstance(config.get(section), Mapping | type(config)):
            return unknown("config section", f"{where}.{section}", _known(where, config))
        config, where = config[section], f"{where}.{section}"
    if field not in config:
        if new := RENAMED.get(name.removeprefix("config.")):
            return f"unknown config field {name!r}: it is --config.{new} now"
        return unknown("config field", name, _known(where, config))
    if not isinstance(error, flags.IllegalFlagValueError) or f"--{name}=" not in str(error):
        return None
    kind, now = config.get_type(field), config[field]
    if isinstance(now, type(config)):
        fields = _known(name, now) or [f"{name}.NAME"]
        return f"--{name}={text}: expected one of its fields, as --{fields[0]}=..."
    example = "" if now is None else f", as {now}"
    return f"--{name}={text}: expected {kind.__name__}{example}"


def _known(where: str, config: Any) -> list[str]:
    return [f"{where}.{key}" for key in config]
