"""Options that messages, docstrings and docs name are there; what a loader takes can be said."""

import inspect
import pathlib
import re

import pytest

from jaxgen.config import common
from jaxgen.data import load

ROOT = pathlib.Path(__file__).parents[2]
CONFIG = common("digits")
SECTIONS = "data|train|checkpoint|mesh|evaluate"
NAMED = re.compile(
    rf"\b(?:config\.)?({SECTIONS})\.([a-z_]+[a-z])=|\bconfig\.({SECTIONS})\.(\w*[a-z])(?![\w{{])"
)
FILES = [
    *ROOT.glob("jaxgen/**/*.py"),
    *ROOT.glob("configs/*.py"),
    *ROOT.glob("docs/**/*.md"),
    ROOT / "README.md",
]


def named(text):
    """(section, field) of each option."""
    return {(m[1] or m[3], m[2] or m[4]) for m in NAMED.finditer(text)}


def test_options_that_are_named_are_fields():
    assert named("give --config.data.sizes=3 or train.step=1") == {
        ("data", "sizes"),
        ("train", "step"),
    }
    found = {}
    for path in FILES:
        for section, field in named(path.read_text()):
            if field not in CONFIG[section]:
                found[f"{section}.{field}"] = str(path.relative_to(ROOT))
    assert not found


@pytest.mark.parametrize("option", sorted(inspect.signature(load).parameters))
def test_what_the_loader_takes_is_a_field(option):
    """But for the seed, which is the run's, and the rules of version 0.1, which a run finds."""
    assert (option in CONFIG.data) == (option not in ("seed", "earlier"))
