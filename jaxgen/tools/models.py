"""`jaxgen models`: what a config may name, found in the code and not in a list."""

from __future__ import annotations

import ast
import importlib.util
import pathlib
import textwrap

from jaxgen import shipped
from jaxgen.config import ConfigError, unknown
from jaxgen.names import modules

INDENT = " " * 27


def report() -> str:
    """One line for each paper's file, objective and config, with its presets."""
    lines = []
    for title, package in (("models", "jaxgen.models"), ("methods", "jaxgen.methods")):
        lines.append(f"{title}:")
        for name in modules(package):
            lines.append(f"  {name:<24} {shipped.headline(_source(f'{package}.{name}'))}")
    lines.append(
        "configs, and their presets, as jaxgen train glow:cifar10 or --config=glow:cifar10:"
    )
    for name, path in shipped.configs().items():
        lines.append(f"  {name:<24} {shipped.headline(path)}")
        if presets := shipped.presets(path):
            lines.append(
                textwrap.fill(
                    " ".join(presets), 96, initial_indent=INDENT, subsequent_indent=INDENT
                )
            )
    return "\n".join(lines)


def describe(name: str) -> str:
    """What a config says of itself and of its presets, and where it is.

    Raises:
        ConfigError: for a name that none has.
    """
    known = shipped.configs()
    if name not in known:
        raise ConfigError(unknown("config", name, known))
    path = known[name]
    lines = [ast.get_docstring(ast.parse(path.read_text())) or "", "", "presets:"]
    for preset, said in shipped.presets(path).items():
        lines.append(f"  {name + ':' + preset:<30} {said.partition(chr(10))[0]}".rstrip())
    return "\n".join([*lines, "", f"file: {path}"])


def _source(module: str) -> pathlib.Path:
    return pathlib.Path(importlib.util.find_spec(module).origin)
