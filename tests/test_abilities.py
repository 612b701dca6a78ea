"""Abilities are asked for by type, and one that is there in part or in another shape is refused."""

import ast
import dataclasses
import pathlib
import re

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
    given,
    levels_of,
)
from jaxgen.contract import check
from jaxgen.errors import ConfigError
from jaxgen.train.assemble import assemble
from jaxgen.types import DataSpec

ROOT = pathlib.Path(__file__).parents[1] / "jaxgen"
EXACT = DensityOf("exact", "density", 2, per="unit of x")


class Whole:
    """Has every ability of these, given a class."""

    given = ("label",)
    density = EXACT
    likelihoods = {"nll": EXACT}
    levels = 5

    def log_prob(self, state, x, rng, given):
        return x

    def encode(self, state, x, rng, given=None):
        return x

    def decode(self, state, z, given, rounded=True):
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
            r"Other\.encode: .* \(state, x, rng, given=\)",
        ),
        (
            {"decode": lambda self, state, z: z},
            r"Other\.decode: .* \(state, z, rounded=\), see .*\.Decodes",
        ),
        ({"latents": lambda self, rng, num, state: 0}, r"Other\.latents: .* \(rng, num\)"),
        ({"alarms": True}, r"Other\.alarms: .* \(values\), see .*\.Alarms"),
        ({"restarts": lambda self: True}, r"Other\.restarts: .* \(step\), see .*\.Restarts"),
        ({"given": "label"}, r"Other\.given='label': expected a tuple of str"),
        (
            vars(Whole) | {"density": "exact"},
            r"Other says 'exact' of a likelihood, expected a DensityOf",
        ),
        (
            vars(Whole) | {"likelihoods": {"nll": None}},
            r"Other says None of a likelihood, expected a DensityOf",
        ),
    ],
)
def test_another_shape_is_refused(members, message):
    members = {k: v for k, v in members.items() if not k.startswith("__")}
    with pytest.raises(ConfigError, match=message):
        check(type("Other", (), members)())


def test_a_run_does_not_begin_with_half_an_ability(monkeypatch):
    half = type("Half", (), without("likelihoods"))()
    monkeypatch.setattr("jaxgen.train.assemble.build_method", lambda *_: half)
    with pytest.raises(ConfigError, match="Half has log_prob, density and no likelihoods"):
        config = {"train": {"batch_size": 1}, "method": {}, "optim": {}, "ema": {}}
        assemble(config, DataSpec.of("points", (2,)))


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


# file -> what it may ask by name, or the signature of. Never a method, a model or a network, but in
# `check`, and in `knobs`: a function's own signature is where its options are declared
ASKED = {
    "__init__.py": {"importlib.import_module(COMMANDS[name])"},
    "contract.py": {"method", "members[name]", "wanted", "call"},
    "bijectors/__init__.py": {"importlib.import_module(f'{__name__}.{WHERE[name]}')"},
    "bijectors/autoregressive.py": {"self"},
    "boundary.py": {"stream"},
    "config.py": {"target", "known[name]"},
    "evaluate/extractors/__init__.py": {"room"},
    "evaluate/metrics/__init__.py": {"room"},
    "evaluate/validation.py": {"function", "value"},
    "evaluate/measurement.py": {"value"},
    "fetch.py": {"error"},
    "fields.py": {"self"},
    "files.py": {"self._file"},
    "main.py": {"flag.parser"},
    "methods/adversarial.py": {"self"},  # a player, by its name
    "methods/handing.py": {"self.function", "call", "[*own, *more]"},
    "methods/progressive.py": {"self"},
    "mistakes.py": {"_module(path)", "make", "config"},
    "models/vaes/vdvae.py": {"self"},
    "names.py": {"value", "target"},  # whether a class is a method, and with which stages
    "nn/conv.py": {"jax.config"},
    "platform.py": {"os"},
    "progress.py": {"self._stream"},
    "sharding.py": {"shapes"},
    "stored.py": {"os"},
    "tools/arguments.py": {"arguments"},
    "tools/outputs.py": {"arguments"},
    "tools/import_stylegan2.py": {"target"},
    "measure.py": {"self"},
    "train/checkpoint.py": {"restored"},
    "train/faults.py": {"error"},
    "train/integrity.py": {"x"},
    "train/loop.py": {"self"},
    "train/optim.py": {"optax", "optimizer", "make"},
    "methods/givens.py": {"network"},
    "train/sections.py": {"Checkpoints"},
    "values.py": {"target", "owner"},
    "views/films.py": {"view"},  # a function of `jaxgen.views`, whose options are noted
}


def asks(source, path):
    """What a file looks for by its name, or in a signature, and may not."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and node.args:
            called, of = ast.unparse(node.func), ast.unparse(node.args[0])
            looks = re.fullmatch(r"getattr|hasattr|signature|inspect\.\w+", called)
            own = {"arguments"} if path.startswith("verbs/") else ASKED.get(path, ())
            if looks and of not in own:
                yield f"{path}:{node.lineno}: {ast.unparse(node)}"
        if isinstance(node, ast.Attribute) and node.attr == "__dataclass_fields__":
            yield f"{path}:{node.lineno}: {ast.unparse(node)}"


def test_no_ability_is_found_by_its_name():
    files = {str(p.relative_to(ROOT)): p for p in ROOT.rglob("*.py")}
    offenders = [
        found
        for path, file in sorted(files.items())
        if not path.startswith("data/")  # where no method is
        for found in asks(file.read_text(), path)
    ]
    assert offenders == []


@pytest.mark.parametrize(
    "line",
    [
        "callable(getattr(method, 'decode', None))",
        "hasattr(run.method, 'posterior')",
        "getattr(self._method, name)",
        "'rounded' in inspect.signature(method.decode).parameters",
        "'given' in model.__dataclass_fields__",
    ],
)
def test_what_is_looked_for_is_found(line):
    assert all(len(list(asks(line, path))) == 1 for path in ("tools/any.py", "cli.py"))
    assert not list(asks("getattr(arguments, 'out', '')", "tools/arguments.py"))
