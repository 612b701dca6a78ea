"""`jaxgen models`: what a config may name, found in the code and not in a list."""

from __future__ import annotations

import ast
import importlib.util
import pathlib

from jaxgen.names import modules


def report() -> str:
    """One line for each paper's file, objective, config and embedded data set."""
    lines = []
    for title, package in (("models", "jaxgen.models"), ("methods", "jaxgen.methods")):
        lines.append(f"{title}:")
        for name in modules(package):
            lines.append(f"  {name:<24} {_headline(_source(f'{package}.{name}'))}")
    configs = sorted(pathlib.Path("configs").rglob("*.py"))
    if configs:
        lines.append("configs:")
        lines += [f"  {str(path):<24} {_headline(path)}" for path in configs]
    return "\n".join(lines)


def _source(module: str) -> pathlib.Path:
    return pathlib.Path(importlib.util.find_spec(module).origin)


def _headline(path: pathlib.Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
