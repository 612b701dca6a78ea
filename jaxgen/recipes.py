"""What configs of some families share beyond `config.common`."""

from __future__ import annotations

from typing import Any

from ml_collections import config_dict

from jaxgen.config import ConfigError


def two_players(c: Any, half_life_steps: float = 500.0, **adam: Any) -> None:
    """What configs of a generator and a discriminator share.

    Averages the generator, and judges by samples, on test examples alone.

    Args:
        c: its sections `optim`, `ema` and `evaluate` are changed.
        half_life_steps: of the average.
        **adam: options of each player's own Adam; without any, presets say how players move.
    """
    c.optim = {k: dict(name="adam", **adam) for k in ("generator", "discriminator") if adam}
    c.ema = dict(generator=dict(half_life_steps=half_life_steps))
    c.evaluate.update(splits=("test",), max_examples=2048, best="test/energy_score")


def falling(c: Any, steps: int, **rates: float) -> None:
    """Rates that are constant, then fall in a straight line to zero over the second half.

    Args:
        c: its section `optim` is changed.
        steps: of the training.
        **rates: of each player, at the start.
    """
    for player, rate in rates.items():
        half = dict(name="linear", start=rate, end=0.0, steps=steps // 2, begin=steps // 2)
        del c.optim[player].learning_rate  # a number cannot become a section
        c.optim[player].learning_rate = half


def inference(c: Any, best: str) -> None:
    """What configs of simulation-based inference share: rows in their own units, Adam, an average.

    Args:
        c: the config, whose model is one network.
        best: what the best checkpoint is chosen by.
    """
    c.data.standardize = False  # the networks do; the prior is in the own units
    c.optim = dict(
        model=dict(
            name="adam",
            learning_rate=1e-3,
            warmup_steps=0,
            schedule="cosine",
            decay_steps=3000,
            clip_norm=5.0,
        )
    )
    c.ema = dict(model=dict(half_life_steps=50.0, ramp_up=0.05))
    c.train.update(
        steps=3000,
        batch_size=256,
        steps_per_dispatch=20,
        log_every_steps=500,
        save_every_steps=1500,
    )
    c.evaluate.update(
        every_steps=1500,
        batch_size=2000,
        splits=("test",),
        best=best,
        sample_every_steps=1500,
        num_samples=4000,
    )
    c.evaluate.sample = dict(observation=config_dict.placeholder(tuple))


def task(c: Any, dims: int, observed: int, steps: int, **prior: float) -> None:
    """A simulator whose parameters have the same prior each, and zeros as what was observed.

    Args:
        c: the config, after `inference`.
        dims: parameters.
        observed: numbers of an observation.
        steps: of the training.
        **prior: low and high, or mean and std, of one parameter.
    """
    c.method.parameters = dims
    c.method.update({name: (value,) * dims for name, value in prior.items()})
    c.evaluate.sample.observation = (0.0,) * observed
    c.train.steps = c.optim.model.decay_steps = steps


def few_pairs(c: Any) -> None:
    """Makes a config of simulation-based inference train 20 steps on few pairs, for tests."""
    c.train.update(steps=20, batch_size=16, log_every_steps=5, save_every_steps=10)
    c.train.steps_per_dispatch = 4
    c.evaluate.update(every_steps=10, sample_every_steps=20, num_samples=64, max_examples=512)
    c.evaluate.batch_size = 512


def shorten(c: Any, **sizes: Any) -> None:
    """Makes a config train 20 steps on few examples, for tests.

    Args:
        c: the config.
        **sizes: values of fields of the networks of `c.model`, of each that has the field.
    """
    c.train.update(steps=20, batch_size=16, log_every_steps=5, save_every_steps=10)
    c.evaluate.update(every_steps=10, sample_every_steps=20, num_samples=4, max_examples=64)
    for name, size in sizes.items():
        networks = [network for network in c.model.values() if name in network]
        if not networks:
            raise ConfigError(f"shorten: no network of config.model has {name!r}")
        for network in networks:
            network[name] = size
