"""Schedules: their closed forms, units, mistakes; a constant one is its number, bit by bit."""

import functools
import math
import runpy

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command import ROOT
from tiny import config_of

from jaxgen.config import ConfigError, build
from jaxgen.data import load
from jaxgen.methods.critic import Views
from jaxgen.methods.elbo import ELBO
from jaxgen.nn.latents import Draw
from jaxgen.schedules import counted, extremes, in_steps, scaled, value
from jaxgen.session import as_json
from jaxgen.train.assemble import assemble
from jaxgen.train.optim import average
from jaxgen.train.sections import check
from jaxgen.train.step import init_state, train_step
from jaxgen.types import DataSpec

START, END, STEPS, BEGIN = 3.0, 0.25, 40, 7
WAY = {"start": START, "end": END, "steps": STEPS, "begin": BEGIN}
FORMS = {
    "linear": lambda t: START + (END - START) * t,
    "cosine": lambda t: END + (START - END) * (1 + math.cos(math.pi * t)) / 2,
    "exponential": lambda t: math.exp(math.log(START) + t * math.log(END / START)),
}


def at(section, steps):
    return np.asarray(jax.jit(jax.vmap(functools.partial(value, section)))(jnp.int32(steps)))


@pytest.mark.parametrize("name", FORMS)
def test_closed_forms(name):
    section = {"name": name, **WAY}
    steps, later = [0, 3, BEGIN, 8, 20, 27, 46], [BEGIN + STEPS, 1000, 2**30]
    expected = [FORMS[name](min(max(step - BEGIN, 0) / STEPS, 1)) for step in steps]
    found = at(section, steps + later)
    np.testing.assert_allclose(found[: len(steps)], expected, rtol=1e-6)
    assert (found[len(steps) :] == np.float32(END)).all()


def test_pieces():
    section = {"name": "steps", "start": 0.5, "values": [[10, 0.1], [20, 0.0]]}
    found = at(section, [0, 9, 10, 19, 20, 500])
    np.testing.assert_allclose(found, [0.5, 0.5, 0.1, 0.1, 0.0, 0.0], rtol=1e-6)


def test_a_number_is_itself():
    for field in (0.7, 2, {"name": "constant", "start": 0.7}):
        found = value(field, jnp.int32(5))
        assert type(found) in (int, float) and found == (2 if field == 2 else 0.7)


@pytest.mark.parametrize("name", [*FORMS, "steps"])
def test_images_are_counted_by_the_batch(name):
    batch, values = 16, [[160, 0.1], [480, 0.0]]
    section = {"name": name, **WAY} if name in FORMS else {"start": 0.5, "values": values}
    section |= {"name": name, "unit": "images"}
    nested = in_steps({"penalties": {"r1": {"weight": section}}, "size": (1, 2)}, batch)
    found, plain = nested["penalties"]["r1"]["weight"], {**section, "unit": "steps"}
    assert nested["size"] == (1, 2)
    steps = np.arange(0, 60, 3)
    np.testing.assert_allclose(at(found, steps), at(plain, batch * steps), rtol=1e-5, atol=1e-6)
    with pytest.raises(ConfigError, match="unit='images' is of a config"):
        value(section, jnp.int32(0))


def test_extremes_and_shares():
    moving = {"name": "linear", **WAY}
    pieces = {"name": "steps", "start": 0.5, "values": [[10, 0.1]]}
    assert sorted(extremes(1.0, moving, pieces)) == [0.1, END, 0.5, 1.0, START]
    for field in (2.0, moving, pieces):
        found = at(scaled(field, 0.8), [0, 15, 99])
        np.testing.assert_allclose(found, 0.8 * at(field, [0, 15, 99]), rtol=1e-6)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"start": 1.0}, r"config\.method\.beta misses name, one of constant, linear"),
        ({"name": "liner", **WAY}, r"name in config\.method\.beta 'liner': did you mean 'linear'"),
        ({"name": "linear", "start": 1.0, "end": 0.0}, r"config\.method\.beta misses steps"),
        ({"name": "linear", **WAY, "stop": 3}, r"option of config\.method\.beta 'stop'"),
        ({"name": "linear", **WAY, "steps": 0}, r"config\.method\.beta: steps=0, expected more"),
        ({"name": "linear", **WAY, "start": -1.0}, r"beta\.start=-1\.0, expected 0 or more"),
        ({"name": "linear", **WAY, "unit": "kimg"}, r"unit in config\.method\.beta 'kimg'"),
        ({"name": "exponential", **WAY, "end": 0.0}, r"config\.method\.beta: .* has no zero"),
        ({"name": "steps", "start": 1.0, "values": [[9, 1.0], [3, 0.5]]}, "a rising step"),
        ({"name": "steps", "start": 1.0, "values": [[9]]}, "expected pairs of a rising step"),
        ("linear", r"config\.method\.beta=linear, expected a number"),
    ],
)
def test_mistakes_are_named(section, message):
    config = config_of("vae")
    config["method"]["beta"] = section
    with pytest.raises(ConfigError, match=message):
        check(config)


WEIGHT = {"name": "linear", "start": 0.0, "end": 4.0, "steps": 10}
KL = (np.full((5, 3), 0.7, np.float32), np.full((5, 2), 1.3, np.float32))
DRAW = Draw(theta=None, z=(), kl=KL, log_q=None, log_p=None)


@pytest.mark.parametrize("name", ["beta", "free_nats", "capacity"])
def test_fields_of_the_bound(name):
    spec = DataSpec.of("points", (2,), None)
    moving = ELBO(None, spec, **{"observation": "gaussian", "beta": 2.0, name: WEIGHT})
    for step in (0, 3, 30):
        options = {"observation": "gaussian", "beta": 2.0, name: min(0.4 * step, 4.0)}
        expected = ELBO(None, spec, **options).divergence(DRAW, jnp.int32(step))[0]
        np.testing.assert_allclose(moving.divergence(DRAW, jnp.int32(step))[0], expected, rtol=1e-6)
    with pytest.raises(ValueError, match="expected 0 or more"):
        ELBO(None, spec, observation="gaussian", beta={**WEIGHT, "end": -1.0})


def test_noise_and_half_lives():
    views = Views(noise=WEIGHT)
    assert [float(views.noise_at(jnp.int32(s))) for s in (0, 5, 20)] == [0.0, 2.0, 4.0]
    decay = average({**WEIGHT, "start": 2.0}).decay
    for step, half_life in ((0, 2.0), (5, 3.0), (50, 4.0)):
        assert float(decay(jnp.int32(step))) == pytest.approx(0.5 ** (1 / half_life), rel=1e-6)
    assert average(WEIGHT).decay(jnp.int32(0)) == 0  # no half-life at all: the parameters
    for wrong in (0.0, {**WEIGHT, "end": 0.0}, {**WEIGHT, "start": -1.0}):
        with pytest.raises(ConfigError, match="expected a positive number"):
            average(wrong)


def constants(config, *paths):
    """The config with constant schedules in the place of these numbers."""
    for path in paths:
        *sections, last = path.split(".")
        section = functools.reduce(dict.__getitem__, sections, config)
        section[last] = {"name": "constant", "start": section[last]}
    return config


def trained(config, data_root, steps=3):
    dataset = build(load, "data", **config["data"] | {"data_dir": str(data_root)})
    method, optimizers, emas = assemble(config, dataset.spec)
    keywords = {"method": method, "optimizers": optimizers, "emas": emas}
    most = max(turn.times for turn in method.turns)
    rows = np.arange(8 * most, dtype=np.int64)
    batch = {k: jnp.asarray(v) for k, v in dataset.splits["train"].take(rows).items()}
    state = jax.jit(functools.partial(init_state, **keywords))(jax.random.key(0), batch)
    step = jax.jit(functools.partial(train_step, **keywords))
    for _ in range(steps):
        state, _ = step(state, batch, jax.random.key(1))
    return state


CONSTANT = {
    "vae": ("method.beta", "optim.model.learning_rate", "ema.model.half_life_steps"),
    "gan": (
        "method.instance_noise",
        "method.lecam",
        "method.orthogonal",
        "optim.generator.learning_rate",
        "optim.discriminator.learning_rate",
        "optim.generator.l2",
    ),
}


@pytest.mark.parametrize("name", CONSTANT)
def test_a_constant_schedule_is_its_number(name, data_root):
    config, other = config_of(name), config_of(name)
    for c in (config, other):
        c["ema"] = {p: {"half_life_steps": 10.0} for p in c["optim"]}
        for options in c["optim"].values():
            options |= {"schedule": "constant", "final_rate": 0.0}
        if name == "gan":
            c["method"] |= {"instance_noise": 0.1, "lecam": 0.3, "orthogonal": 0.01}
            c["optim"]["generator"]["l2"] = 0.1
    found = trained(constants(other, *CONSTANT[name]), data_root)
    chex.assert_trees_all_equal(found, trained(config, data_root))


OFFICIAL = {  # at 0, 1/4, 1/2, 1 and 2 of the bend of 20 million images
    "method.penalties.r1.weight": (0.05, 0.043410, 0.0275, 0.005, 0.005),
    "optim.generator.learning_rate": (2e-4, 1.7803e-4, 1.25e-4, 5e-5, 5e-5),
    "optim.discriminator.b2": (0.9, 0.913180, 0.945, 0.99, 0.99),
    "ema.generator.half_life_steps": (0, 732_233 / 512, 2.5e6 / 512, 5e6 / 512, 5e6 / 512),
    "method.augment.fixed": (0, 0.080546, 0.275, 0.55, 0.55),
}


@pytest.mark.parametrize("path", OFFICIAL)
def test_the_official_schedules_of_r3gan(path):
    """brownvc/R3GAN, `train.py`, CIFAR-10; of both players and both penalties alike."""
    whole = runpy.run_path(str(ROOT / "configs" / "r3gan.py"))["get_config"]("cifar10")
    config = counted(as_json(whole.to_dict()))

    def field(path):
        return functools.reduce(dict.__getitem__, path.split("."), config)

    steps = np.float32([0, 0.25, 0.5, 1, 2]) * 2e7 / 512  # 39,062.5 at the end of the bend
    found = [value(field(path), jnp.float32(step)) for step in steps]
    np.testing.assert_allclose(found, OFFICIAL[path], rtol=2e-5, atol=1e-9)
    other = path.replace("generator", "discriminator").replace("r1", "r2")
    if not path.startswith("ema"):
        assert field(other) == field(path)
