"""`jaxgen models`: what a config may name, found in the code and not in a list."""

from __future__ import annotations

import ast
import importlib.util
import pathlib
import textwrap

from jaxgen.names import modules

INDENT = {"subsequent_indent": " " * 27}


def report() -> str:
    """One line for each paper's file, objective and config, with its presets."""
    lines = []
    for title, package in (("models", "jaxgen.models"), ("methods", "jaxgen.methods")):
        lines.append(f"{title}:")
        for name in modules(package):
            lines.append(f"  {name:<24} {_headline(_source(f'{package}.{name}'))}")
    configs = sorted(pathlib.Path("configs").rglob("*.py"))
    if configs:
        lines.append("configs, and their presets, as --config=configs/glow.py:cifar10:")
    for path in configs:
        lines.append(f"  {str(path):<24} {_headline(path)}")
        if presets := _presets(path):
            lines.append(textwrap.fill(" ".join(presets), 96, initial_indent=" " * 27, **INDENT))
    return "\n".join(lines)


def _presets(path: pathlib.Path) -> list[str]:
    """Names of the presets of a config: keys of its table PRESETS, which is not run."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            if "PRESETS" in names:
                return [key.value for key in node.value.keys if isinstance(key, ast.Constant)]
    return []


def _source(module: str) -> pathlib.Path:
    return pathlib.Path(importlib.util.find_spec(module).origin)


def _headline(path: pathlib.Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
