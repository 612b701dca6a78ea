"""Abilities are asked for by type, and one that is there in part or in another shape is refused."""

import ast
import dataclasses
import pathlib

import pytest

from jaxgen import abilities
from jaxgen.abilities import (
    Conditional,
    Decodes,
    Density,
    DensityOf,
    Encodes,
    Latents,
    Levels,
    Weighted,
    check,
    given,
    levels_of,
)
from jaxgen.errors import ConfigError
from jaxgen.types import DataSpec

ROOT = pathlib.Path(__file__).parents[1] / "jaxgen"
EXACT = DensityOf("exact", "density", 2, per="unit of x")


class Whole:
    """Has every ability of these, given a class."""

    given = ("label",)
    density = EXACT
    likelihoods = {"nll": EXACT}
    levels = 5

    def log_prob(self, state, x, rng, label):
        return x

    def encode(self, state, x, rng, label=None):
        return x

    def decode(self, state, z, label, rounded=True):
        return z

    def latents(self, rng, num):
        return num


HAS = {Density, Encodes, Decodes, Latents, Levels, Conditional}


def test_abilities_are_told_by_type():
    check(Whole())
    assert {a for a in abilities.ABILITIES if isinstance(Whole(), a)} == HAS
    assert not any(isinstance(object(), a) for a in abilities.ABILITIES)
    assert given(Whole()) == ("label",) and given(object()) == ()
    spec = DataSpec.of("scans", (8, 8, 1), 17)
    assert levels_of(Whole(), spec) == 5 and levels_of(object(), spec) == 17


def test_none_takes_an_ability_away():
    class Silent(Whole):
        log_prob = None

    check(Silent())
    assert {a for a in abilities.ABILITIES if isinstance(Silent(), a)} == HAS - {Density}


def test_draws_are_of_densities_alone():
    class Sampled:
        importance_samples = 5

    check(Sampled())
    assert not isinstance(Sampled(), Weighted)
    both = type("Both", (Sampled, Whole), {})()
    check(both)
    assert isinstance(both, Weighted) and isinstance(both, Density)


def without(name):
    return {k: v for k, v in vars(Whole).items() if k != name and not k.startswith("__")}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (without("likelihoods"), r"Other has log_prob, density and no likelihoods: jaxgen\.abil"),
        (without("log_prob"), r"Other has density, likelihoods and no log_prob: .*\.Density asks"),
        (
            {"encode": lambda self, x: x},
            r"Other\.encode: expected to be called as \(state, x, rng\), see .*\.Encodes",
        ),
        (
            {"given": ("label",), "encode": lambda self, state, x, rng: x},
            r"Other\.encode: .* \(state, x, rng, label=\)",
        ),
        (
            {"decode": lambda self, state, z: z},
            r"Other\.decode: .* \(state, z, rounded=\), see .*\.Decodes",
        ),
        ({"latents": lambda self, rng, num, state: 0}, r"Other\.latents: .* \(rng, num\)"),
        ({"alarms": True}, r"Other\.alarms: .* \(values\), see .*\.Alarms"),
        ({"restarts": lambda self: True}, r"Other\.restarts: .* \(step\), see .*\.Restarts"),
        ({"given": "label"}, r"Other\.given='label': expected a tuple of str"),
        (vars(Whole) | {"density": "exact"}, r"Other says 'exact', expected a DensityOf"),
        (vars(Whole) | {"likelihoods": {"nll": None}}, r"Other says None, expected a DensityOf"),
    ],
)
def test_another_shape_is_refused(members, message):
    members = {k: v for k, v in members.items() if not k.startswith("__")}
    with pytest.raises(ConfigError, match=message):
        check(type("Other", (), members)())


def test_a_fingerprint_holds_every_field():
    """Flat, and unlike for every field that differs."""
    base = DensityOf("elbo", "mass", 64, levels=17)
    others = [
        dict(kind="iwae-5"),
        dict(measure="density"),
        dict(dims=32),
        dict(of="parameters"),
        dict(given=("label",)),
        dict(given=("label", "context")),
        dict(levels=256),
        dict(per="16 levels"),
    ]
    prints = [dataclasses.replace(base, **o).fingerprint() for o in ({}, *others)]
    assert {next(iter(o)) for o in others} == {f.name for f in dataclasses.fields(DensityOf)}
    assert all(a != b for i, a in enumerate(prints) for b in prints[:i])
    scalars = (str, int, type(None))
    assert all(isinstance(v, scalars) for print_of in prints for v in print_of.values())


# what `getattr` may be asked of, where methods pass: no method and no network is among them
ASKED = {"arguments", "self", "optax", "shapes", "target", "flag.parser", "value", "x", "error"}
ASKED |= {"restored", "_module(path)", "config", "os", "stream", "importlib.import_module(module)"}
# whose own signature is the list of its options: knobs.py of `sample` and the like, optim.py and
# sections.py of functions that a config section is handed to
SIGNATURES = {"evaluate/knobs.py", "train/optim.py", "train/sections.py", "mistakes.py"}
ROOMS = ("evaluate", "tools", "train", "methods", "session.py", "cli.py", "main.py", "mistakes.py")


def asks(source, path):
    """Lines of a file that look for an ability by its name or by a signature."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        of = ast.unparse(node.args[0]) if node.args else ""
        if called in ("getattr", "hasattr") and of not in ASKED:
            yield f"{path}:{node.lineno}: {ast.unparse(node)}"
        if called.startswith("inspect.") and path not in SIGNATURES:
            yield f"{path}:{node.lineno}: {ast.unparse(node)}"


def test_no_ability_is_found_by_its_name():
    files = [
        p
        for room in ROOMS
        for p in ((ROOT / room).rglob("*.py") if room[-3:] != ".py" else [ROOT / room])
    ]
    assert len(files) > 80
    offenders = [o for p in files for o in asks(p.read_text(), str(p.relative_to(ROOT)))]
    assert offenders == []


@pytest.mark.parametrize(
    "line",
    [
        "callable(getattr(method, 'decode', None))",
        "hasattr(run.method, 'posterior')",
        "getattr(self._method, name)",
        "'rounded' in inspect.signature(method.decode).parameters",
    ],
)
def test_what_is_looked_for_is_found(line):
    assert len(list(asks(line, "tools/any.py"))) == 1
    assert not list(asks("getattr(arguments, 'out', '')", "tools/any.py"))
