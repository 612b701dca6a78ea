"""Config files that are none: one line that says what is wrong with them, and on which line."""

import json

import pytest

from jaxgen.mistakes import explain, load

GOOD = """
from ml_collections import ConfigDict

def get_config(arg=''):
    return ConfigDict({'a': 1})
"""
MAKE = "def get_config(arg=''):\n    "
FILES = {
    "json": ("c.json", '{"model": {}}', "c.json is no Python file: a config is a Python file with"),
    "yaml": ("c.yaml", "model:\n  depth: 3\n", "c.yaml is no Python file"),
    "toml": ("c.toml", "[model]\n", "c.toml is no Python file"),
    "no suffix": ("c", GOOD, "c is no Python file"),
    "binary": ("c.py", b"\x00\x01\xff\xfe", "c.py"),
    "latin 1": ("c.py", "# caf\xe9\n".encode("latin-1"), "c.py"),
    "empty": ("c.py", "", "c.py has no get_config: a config is a Python file with a function"),
    "no function": ("c.py", "get_config = 3", "c.py has no get_config"),
    "syntax": ("c.py", "\ndef get_config(:\n", "c.py, line 2: "),
    "import": ("c.py", "\nimport no_such_module\n", "c.py, line 2: ModuleNotFoundError: No module"),
    "at import": ("c.py", "\n\n1 / 0\n", "c.py, line 3: ZeroDivisionError: division by zero"),
    "exit": ("c.py", "raise SystemExit(3)", "c.py, line 1: SystemExit: 3"),
    "raises": (
        "c.py",
        "def get_config(arg=''):\n    return {}['x']",
        "c.py, line 2: KeyError: 'x'",
    ),
    "dict": (
        "c.py",
        MAKE + "return {}",
        "get_config returned a dict, expected an",
    ),
    "none": ("c.py", MAKE + "pass", "get_config returned nothing, expected an"),
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_no_configs(tmp_path, name):
    file, content, message = FILES[name]
    path = tmp_path / file
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    text = explain(["main", f"--config={path}"], ValueError("of absl"))
    assert message in text and str(path) in text and "\n" not in text


def test_values_in_the_next_word(tmp_path):
    path = tmp_path / "c.json"
    path.write_text("{}")
    assert "is no Python file" in explain(["main", "--config", str(path)], ValueError())


def test_preset_of_a_config_without_presets(tmp_path):
    path = tmp_path / "c.py"
    path.write_text(GOOD.replace("arg=''", ""))
    assert "c.py has no presets" in explain(["main", f"--config={path}:tiny"], ValueError())
    path.write_text(GOOD)
    assert load(str(path), "").to_dict() == {"a": 1}


def test_config_of_a_run(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "manifest.json").write_text(json.dumps({"command": "python -m jaxgen.main --x"}))
    for path in (tmp_path, tmp_path / "config.json"):
        text = explain(["main", f"--config={path}"], ValueError())
        assert f"{tmp_path} is a run directory" in text and "type again python -m jaxgen.m" in text
    (tmp_path / "manifest.json").write_text("[]")
    assert "repeat the command" in explain(["main", f"--config={tmp_path}"], ValueError())


def test_numbers_of_flags():
    from absl import flags

    error = flags.IllegalFlagValueError("flag --process_id=²: invalid literal for int() with")
    assert explain(["main", "--process_id=²"], error) == "--process_id=², expected a whole number"
