"""All bijectors can be imported from the package, which imports none by itself."""

import importlib
import inspect
import pathlib
import subprocess
import sys

import pytest

from jaxgen import bijectors
from jaxgen.bijectors.base import Bijector

FILES = sorted(p.stem for p in pathlib.Path(bijectors.__file__).parent.glob("[a-z]*.py"))


@pytest.mark.parametrize("file", FILES)
def test_every_bijector_has_its_name_in_the_package(file):
    module = importlib.import_module(f"jaxgen.bijectors.{file}")
    for name, found in inspect.getmembers(module, inspect.isclass):
        if issubclass(found, Bijector) and found.__module__ == module.__name__:
            assert getattr(bijectors, name) is found
            assert name in dir(bijectors)


def test_all_names_are_there():
    assert all(inspect.isclass(getattr(bijectors, name)) for name in bijectors.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        bijectors.Nothing  # noqa: B018


def test_nothing_is_imported_before_it_is_used():
    code = "import sys, jaxgen, jaxgen.bijectors; print('jax' in sys.modules)"
    run = [sys.executable, "-c", code]
    assert subprocess.run(run, capture_output=True, text=True).stdout == "False\n"
