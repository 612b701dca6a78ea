"""A command line that cannot be parsed, explained in terms of what was typed."""

from __future__ import annotations

import importlib.util
import pathlib
from collections.abc import Mapping
from typing import Any

from absl import flags

from jaxgen.config import ConfigError, unknown


def explain(argv: list[str], error: Exception) -> str:
    """One line for a failed parse.

    Args:
        argv: what was typed.
        error: of absl or of ml_collections.
    """
    typed = [a.lstrip("-").partition("=") for a in argv[1:] if a.startswith("-")]
    value = next((value for name, _, value in typed if name == "config"), "")
    overrides = {name: value for name, _, value in typed if name.startswith("config.")}
    path, _, arg = value.partition(":")
    if overrides and not value:
        return f"--{next(iter(overrides))} needs a config: add --config=configs/NAME.py before it"
    if value and not pathlib.Path(path).is_file():
        known = [str(p) for p in sorted(pathlib.Path("configs").rglob("*.py"))]
        return unknown("config file", path, known)
    if value:
        try:
            config = _load(path, arg)
        except ConfigError as mistake:
            return f"{path}: {mistake}"
        for name, text in overrides.items():
            if message := _override(config, name, text, error):
                return message
    return " ".join(" ".join(str(a) for a in error.args or [error]).split())


def _load(path: str, arg: str) -> Any:
    spec = importlib.util.spec_from_file_location("jaxgen_config", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(arg) if arg else module.get_config()


def _override(config: Any, name: str, text: str, error: Exception) -> str | None:
    """What is wrong with `--name=text`, None if it is not what `error` is about."""
    *sections, field = name.split(".")[1:]
    where = "config"
    for section in sections:
        if not isinstance(config.get(section), Mapping | type(config)):
            return unknown("config section", f"{where}.{section}", _known(where, config))
        config, where = config[section], f"{where}.{section}"
    if field not in config:
        return unknown("config field", name, _known(where, config))
    if not isinstance(error, flags.IllegalFlagValueError) or f"--{name}=" not in str(error):
        return None
    kind, now = config.get_type(field), config[field]
    if isinstance(now, type(config)):
        return f"--{name}={text}: expected one of its fields, as --{_known(name, now)[0]}=..."
    example = "" if now is None else f", as {now}"
    return f"--{name}={text}: expected {kind.__name__}{example}"


def _known(where: str, config: Any) -> list[str]:
    return [f"{where}.{key}" for key in config]
