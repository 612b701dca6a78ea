"""The configs that come with jaxgen, found by name wherever it is installed."""

from __future__ import annotations

import ast
import pathlib

from jaxgen.config import unknown
from jaxgen.errors import ConfigError

FOLDER = "configs"


def configs() -> dict[str, pathlib.Path]:
    """Name -> file, sorted: `jaxgen/configs/` of an installation, `configs/` of a checkout."""
    package = pathlib.Path(__file__).parent
    for folder in (package / FOLDER, package.parent / FOLDER):
        if (folder / "glow.py").is_file():
            files = sorted(folder.glob("*.py"))
            return {file.stem: file for file in files if file.stem != "__init__"}
    return {}


def located(config: str) -> str:
    """The value of `--config` with the place of the file in front of its preset.

    A file that is there is taken as it is; else `glow`, `glow.py` and `configs/glow.py` are those
    that come with jaxgen.

    Args:
        config: `NAME:PRESET` or `PATH:PRESET`.

    Raises:
        ConfigError: for a plain word that is no name of one.
    """
    name, colon, arg = config.partition(":")
    path = pathlib.Path(name)
    if path.expanduser().is_file():
        return config
    known = configs()
    asked = name.removeprefix(f"{FOLDER}/").removesuffix(".py")
    if asked in known:
        return f"{known[asked]}{colon}{arg}"
    if name and name == path.stem and not path.exists():
        raise ConfigError(unknown("config", name, known))
    return config


def headline(path: pathlib.Path) -> str:
    """The first line of a file's docstring; nothing is run."""
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]


def presets(path: pathlib.Path) -> dict[str, str]:
    """Keys of a config's table PRESETS -> docstrings of its functions; nothing is run."""
    body = ast.parse(path.read_text()).body
    said = {n.name: ast.get_docstring(n) or "" for n in body if isinstance(n, ast.FunctionDef)}
    for node in body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            if "PRESETS" in names:
                pairs = zip(node.value.keys, node.value.values, strict=True)
                return {
                    k.value: said.get(v.id, "") if isinstance(v, ast.Name) else ""
                    for k, v in pairs
                    if isinstance(k, ast.Constant)
                }
    return {}
