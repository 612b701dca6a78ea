"""Numbers that are functions of the train step, as a config has them: where a float is expected.

    c.method.beta = dict(name="linear", start=0.0, end=1.0, steps=10_000)
    c.optim.model.learning_rate = dict(name="cosine", start=1e-3, end=0.0, steps=5_000_000,
                                       unit="images")

Images seen are counted by the batch of a move, `config.train.batch_size` a step. Nothing of a
schedule is stored: its value is a function of `state.step`, so that a resumed run goes on with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from jaxgen.config import check_options, unknown
from jaxgen.errors import ConfigError

UNITS = ("steps", "images")
SECTIONS = ("method", "optim", "ema")  # of a config, that have schedules

Array = jax.Array
Schedule = Callable[[Array], Any]  # int32 step -> float32 value


def constant(start: float) -> Schedule:
    """`start`, as a plain number."""
    return lambda step: start


def linear(start: float, end: float, steps: float, begin: float = 0.0) -> Schedule:
    """From `start`, which it has until step `begin`, to `end` in so many more, in a straight line.

    Raises:
        ConfigError: for no steps.
    """
    return _way(steps, begin, lambda left: end + (start - end) * left)


def cosine(start: float, end: float, steps: float, begin: float = 0.0) -> Schedule:
    """As `linear`, along half a period of the cosine.

    Source: Loshchilov & Hutter 2017, SGDR, equation 5, without restarts.
    """

    def shape(left: Array) -> Array:
        return end + (start - end) * (0.5 - 0.5 * jnp.cos(jnp.pi * left))

    return _way(steps, begin, shape)


def exponential(start: float, end: float, steps: float, begin: float = 0.0) -> Schedule:
    """As `linear`, by equal factors in equal times.

    Raises:
        ConfigError: for a `start` or an `end` of zero, or no steps.
    """
    if min(start, end) <= 0:
        raise ConfigError(f"start={start}, end={end}: an exponential schedule has no zero")
    return _way(steps, begin, lambda left: end * (start / end) ** left)


def _way(steps: float, begin: float, shape: Callable[[Array], Array]) -> Schedule:
    """`shape` of the share of the way that is left: 1 until `begin`, 0 after `steps` more."""
    if steps <= 0:
        raise ConfigError(f"steps={steps}, expected more than 0")

    def at(step: Array) -> Array:
        return shape(jnp.clip((begin + steps - step.astype(jnp.float32)) / steps, 0.0, 1.0))

    return at


def pieces(start: float, values: Sequence[Sequence[float]]) -> Schedule:
    """`start`, then the second number of each pair from the step on that is its first.

    Raises:
        ConfigError: for steps that do not rise, or what is no pair.
    """
    pairs = [tuple(pair) for pair in values if isinstance(pair, Sequence) and len(pair) == 2]
    steps = [step for step, _ in pairs]
    if not pairs or len(pairs) < len(values) or sorted(set(steps)) != steps:
        raise ConfigError(f"values={values}, expected pairs of a rising step and a number")

    def at(step: Array) -> Array:
        now = jnp.float32(start)
        for begin, value in pairs:
            now = jnp.where(step >= begin, value, now)
        return now

    return at


SCHEDULES: Mapping[str, Callable[..., Schedule]] = {
    "constant": constant,
    "linear": linear,
    "cosine": cosine,
    "exponential": exponential,
    "steps": pieces,
}


def check_schedule(section: Any, where: str) -> None:
    """Refuses a section that is no schedule; other values are none of its business.

    Raises:
        ConfigError: naming the field, what it has and what is expected.
    """
    if not isinstance(section, Mapping):
        return
    options = {k: v for k, v in section.items() if k != "unit"}
    name = options.pop("name", None)
    if name is None:
        raise ConfigError(f"{where} misses name, one of {', '.join(SCHEDULES)}; or a number")
    if name not in SCHEDULES:
        raise ConfigError(unknown(f"name in {where}", str(name), SCHEDULES))
    if section.get("unit", "steps") not in UNITS:
        raise ConfigError(unknown(f"unit in {where}", str(section["unit"]), UNITS))
    check_options(SCHEDULES[name], where.removeprefix("config."), options)
    try:
        SCHEDULES[name](**options)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


Scheduled = Annotated[Mapping[str, Any] | float, check_schedule]


def value(field: Any, step: Array) -> Any:
    """What a field is at a train step: a number as it is, a schedule's value in float32.

    Args:
        field: of a method, an optimiser or an average.
        step: int32 scalar, as `State.step`.
    """
    return schedule(field)(step) if isinstance(field, Mapping) else field


def schedule(section: Mapping[str, Any]) -> Schedule:
    """The function that a section in steps describes.

    Raises:
        ConfigError: for one in images: see `in_steps`.
    """
    options = {k: v for k, v in section.items() if k not in ("name", "unit")}
    if section.get("unit", "steps") != "steps":
        raise ConfigError(f"unit={section['unit']!r} is of a config, which says how many a step")
    return SCHEDULES[section["name"]](**options)


def scaled(field: Any, share: float) -> Any:
    """`share` times a field."""
    if not isinstance(field, Mapping):
        return field * share
    found = {k: field[k] * share for k in ("start", "end") if k in field}
    if "values" in field:
        found["values"] = [(at, number * share) for at, number in field["values"]]
    return {**field, **found}


def extremes(*fields: Any) -> list[float]:
    """The numbers that fields are between: each itself, or what its schedule goes through."""
    found: list[float] = []
    for field in fields:
        if isinstance(field, Mapping):
            found += [field[key] for key in ("start", "end") if key in field]
            found += [number for _, number in field.get("values", ())]
        else:
            found.append(field)
    return found


def counted(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config in which all schedules count steps."""
    images = config["train"]["batch_size"]
    return {**config, **{k: in_steps(config[k], images) for k in SECTIONS}}


def in_steps(section: Any, batch_size: int) -> Any:
    """A section of a config in which all schedules count steps.

    Args:
        section: or any value in one.
        batch_size: images seen a step.
    """
    if isinstance(section, list | tuple):
        return type(section)(in_steps(item, batch_size) for item in section)
    if not isinstance(section, Mapping):
        return section
    if section.get("unit") != "images" or section.get("name") not in SCHEDULES:
        return {k: in_steps(v, batch_size) for k, v in section.items()}
    found = {k: v for k, v in section.items() if k != "unit"}
    found |= {k: section[k] / batch_size for k in ("steps", "begin") if k in section}
    if "values" in section:
        found["values"] = [(at / batch_size, number) for at, number in section["values"]]
    return found


def ramp(step: Array, steps: int) -> Array:
    """From 0 to 1 in so many steps."""
    return jnp.minimum(step.astype(jnp.float32) / steps, 1.0) if steps else jnp.float32(1)
