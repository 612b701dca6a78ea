"""Values of a config, a model and its data, sizes and memory: one line before any work."""

import importlib.util
import json

import pytest
from command import ROOT

from jaxgen.config import ConfigError, check_sections, flatten
from jaxgen.data import load
from jaxgen.session import prepare
from jaxgen.train import sections


def get_config(text):
    path, _, arg = text.partition(":")
    spec = importlib.util.spec_from_file_location("config", ROOT / "configs" / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module, json.loads(json.dumps(module.get_config(arg).to_dict()))


def changed(config, key, value):
    """The config with one field of a dotted name changed."""
    out = json.loads(json.dumps(config))
    *parents, last = key.split(".")
    section = out
    for name in parents:
        section = section[name]
    section[last] = value
    return out


GLOW = get_config("glow.py:digits,tiny")[1]
GAN = get_config("gan.py:r1,tiny")[1]
VAE = get_config("vae.py:digits,tiny")[1]
WHOLE, REAL = "expected a whole number", "expected a finite number"
WRONG = [
    (GLOW, "seed", -1, "config.seed=-1: expected an integer from 0 to 4294967295"),
    (GLOW, "seed", 2**32, "config.seed=4294967296: expected"),
    (GLOW, "optim.model.learning_rate", -1e-3, "learning_rate=-0.001, expected 0 or more"),
    (GLOW, "optim.model.learning_rate", "fast", "learning_rate=fast, expected a number"),
    (GLOW, "optim.model.learning_rate", True, "learning_rate=True, expected a number"),
    (GLOW, "optim.model.warmup_steps", -1, "warmup_steps=-1, expected 0 or more"),
    (GLOW, "optim.model.b1", 1.5, "config.optim.model.b1=1.5, expected at most 1"),
    (GLOW, "optim.model.eps", -1.0, "config.optim.model.eps=-1.0, expected 0 or more"),
    (GLOW, "optim.model", 3, "config.optim.model=3, expected a section of its own"),
    (GLOW, "optim", 3, "config.optim=3, expected a section of its own"),
    (GLOW, "ema.model.half_life_steps", 0.0, "half_life_steps=0.0, expected a positive number"),
    (GLOW, "ema.model", 3, "config.ema.model=3, expected a section of its own"),
    (GLOW, "mesh.fsdp", 0, "config.mesh.fsdp=0, expected 1 or more"),
    (GLOW, "mesh.data", 0, "config.mesh: data=0 x fsdp=1 is not the number of devices"),
    (GLOW, "train.max_rollbacks", -1, "config.train.max_rollbacks=-1, expected 0 or more"),
    (GLOW, "train.steps", 2.5, f"config.train.steps=2.5, {WHOLE}"),
    (GLOW, "train.steps", 10**12, "config.train.steps=1000000000000, expected at most"),
    (GLOW, "train.batch_size", "16", f"config.train.batch_size=16, {WHOLE}"),
    (GLOW, "train.accum", 0, "config.train.accum=0, expected 1 or more"),
    (GLOW, "train.save_every_minutes", -1.0, "save_every_minutes=-1.0, expected 0 or more"),
    (GLOW, "checkpoint.keep_last", 0, "config.checkpoint.keep_last=0, expected 1 or more"),
    (GLOW, "checkpoint.keep_best", 1, "config.checkpoint.keep_best=1, expected True or False"),
    (GLOW, "checkpoint.say", 1, "config.checkpoint.say is given by the rest of the config"),
    (GLOW, "evaluate.batch_size", 0, "config.evaluate.batch_size=0, expected 1 or more"),
    (GLOW, "evaluate.num_samples", -4, "config.evaluate.num_samples=-4, expected 0 or more"),
    (GLOW, "evaluate.splits", "test", "config.evaluate.splits=test, expected several values"),
    (GLOW, "evaluate.sample.temperature", -1.0, "config.evaluate.sample: temperature=-1.0: exp"),
    (GLOW, "evaluate.sample.temprature", 1.0, "did you mean 'temperature'?"),
    (GLOW, "evaluate.mesh", 1, "config.evaluate.mesh is given by the rest of the config"),
    (GLOW, "data.test_fraction", "some", "config.data.test_fraction=some, expected a number"),
    (GLOW, "data.name", 3, "config.data.name=3, expected a text"),
    (GLOW, "model.width", 0, "config.model.width=0, expected 1 or more"),
    (GLOW, "model.width", 2**21, "config.model.width=2097152, expected at most 1,048,576"),
    (GLOW, "model.dropout", 2.0, "config.model.dropout=2.0, expected at most 1"),
    (GLOW, "model.edge", "no", "config.model.edge=no, expected True or False"),
    (GLOW, "model.coupling", 3, "config.model.coupling=3, expected a text"),
    (GLOW, "model", 3, "config.model=3, expected a section of its own"),
    (GLOW, "method.shift", -0.1, "config.method.shift=-0.1, expected 0 or more"),
    (GLOW, "method.n_bits", 2.5, f"config.method.n_bits=2.5, {WHOLE}"),
    (GLOW, "method.spec", 1, "config.method.spec is given by the rest of the config"),
    (VAE, "model.latent", 0, "config.model.latent=0, expected 1 or more"),
    (VAE, "model.hidden", 0, "config.model.hidden=0, expected several values, as 64,64"),
    (VAE, "model.hidden", [16, 0], "config.model.hidden=0, expected 1 or more"),
    (GAN, "model.generator.latent", -2, "config.model.generator.latent=-2, expected 1 or more"),
    (GAN, "method.real_target", [0.9], "config.method.real_target=[0.9], expected 2 values"),
    (GAN, "method.penalties", 3, "config.method.penalties=3, expected a section of its own"),
    (GAN, "method.penalties.r1.weight", -1.0, "penalties.r1.weight=-1.0, expected 0 or more"),
    (GAN, "method.penalties.r1", 3, "config.method.penalties.r1=3, expected a section"),
    (GAN, "method.penalties.r1.every", 0, "penalties.r1.every=0, expected 1 or more"),
    (GAN, "method.penalties.r1.weight", float("nan"), f"penalties.r1.weight=nan, {REAL}"),
]


@pytest.mark.parametrize(
    ("config", "key", "value", "message"), WRONG, ids=[f"{key}={v}" for _, key, v, _ in WRONG]
)
def test_values(config, key, value, message):
    with pytest.raises(ConfigError) as error:
        sections.check(changed(config, key, value))
    assert message in str(error.value) and "\n" not in str(error.value)


FILES = sorted(p.name for p in (ROOT / "configs").glob("*.py"))


def refusal(config):
    """What is said against a config, "" for nothing."""
    try:
        sections.check(config)
    except ConfigError as error:
        return str(error)
    return ""


SEEN = set()  # fields that were tried in another config
# may be negative, or have a range that is checked against the data
SIGNED = {"method.low", "method.high", "method.real_target"}
SIGNED |= {"method.log_mean", "method.logit_mean", "method.prior.logit_mean"}
SIGNED |= {"method.mean", "method.std", "method.observation"}
SIGNED |= {"evaluate.sample.observation", "evaluate.sample.truncation"}


@pytest.mark.parametrize("name", FILES)
def test_every_number_of_every_config(name):
    """As they are all presets pass; no number may become NaN, a text or enormously negative."""
    module, config = get_config(name)
    for preset in module.PRESETS:
        sections.check(get_config(f"{name}:{preset},tiny")[1])
    for key, value in flatten(config).items():
        values = value if isinstance(value, list) else [value]
        of = (key, config["method"]["name"], str(config["model"]) if key[:5] == "model" else "")
        if of in SEEN or not all(type(v) in (int, float) for v in values) or not values:
            continue
        SEEN.add(of)
        for wrong in (float("nan"), "many", -(10**9)):
            if wrong == -(10**9) and key in SIGNED:
                continue
            bad = [wrong] * len(values) if isinstance(value, list) else wrong
            assert key.rpartition(".")[2] in refusal(changed(config, key, bad)), (key, bad)


def test_numbers_that_are_not_finite_are_refused_before_jax():
    for value in (float("nan"), float("inf"), [1.0, float("nan")], {"deep": float("-inf")}):
        with pytest.raises(ConfigError, match="optim.model.learning_rate.*expected a finite"):
            check_sections(changed(GLOW, "optim.model.learning_rate", value))


def unprepared(config, data, data_root):
    """What is said before a model is compiled, in words of the user's."""
    with pytest.raises(ConfigError) as error:
        prepare(config, load(data, data_dir=str(data_root)))
    text = str(error.value)
    assert "\n" not in text
    for word in ("unpack", "ufunc", "squeeze first", "axis"):
        assert word not in text
    return text


@pytest.mark.parametrize(
    ("config", "data", "message"),
    [
        (
            "glow.py",
            "ring8",
            "flows.glow.Glow does not fit ring8, points of 2: it is a model of im",
        ),
        ("dcgan.py:mnist", "ring8", "does not fit ring8, points of 2: it is a model of images"),
        ("vae.py:digits", "digits", "type --config.method.observation=logistic_mixture"),
        ("vae.py:digits", "ring8", "type --config.method.observation=gaussian"),
    ],
)
def test_kinds_of_data(data_root, config, data, message):
    path, _, arg = config.partition(":")
    assert message in unprepared(get_config(f"{path}:{arg},tiny")[1], data, data_root)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("train.batch_size", 10**9, "config.train.batch_size=1000000000: 1"),
        ("train.steps_per_dispatch", 10**9, "and steps_per_dispatch=1000000000: "),
        ("model.width", 10**6, "parameters, averages and optimiser: "),
    ],
)
def test_sizes_that_fit_no_memory(data_root, key, value, message):
    config = changed(get_config("glow.py:digits,tiny")[1], key, value)
    text = unprepared(config, "digits", data_root)
    assert message in text and "are available; take " in text
