"""Examples in docstrings: each does what it says, in a folder that has a finished run."""

import doctest
import importlib
import pathlib
import shutil

import pytest

ROOT = pathlib.Path(__file__).parents[1] / "jaxgen"
LANDED = pathlib.Path(__file__).parent / "fixtures/landed/finished"
MODULES = sorted(
    ".".join(("jaxgen", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
    for path in ROOT.rglob("*.py")
    if ">>> " in path.read_text()
)


@pytest.fixture
def place(tmp_path, data_root, monkeypatch):
    shutil.copytree(LANDED, tmp_path / "runs/nice-digits")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAXGEN_DATA_DIR", str(data_root))


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, place):
    import jaxgen.data

    names = {"jaxgen": jaxgen, "load": jaxgen.data.load} if name != "jaxgen" else {}
    results = doctest.testmod(importlib.import_module(name), extraglobs=names)
    assert results.attempted and not results.failed
