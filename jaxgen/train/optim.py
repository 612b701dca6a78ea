"""Optimisers, learning-rate schedules and averages from their config sections."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxgen.config import ConfigError, build, check_options, unknown
from jaxgen.ops.optimizers import adamax_adam
from jaxgen.schedules import Scheduled, check_schedule, extremes, scaled, value
from jaxgen.train.decay import add_decayed, decayed
from jaxgen.train.moving import is_moving, moved_by
from jaxgen.train.step import Average, Averages, Optimizer, Optimizers
from jaxgen.types import Array, Method, Turn
from jaxgen.values import check_values

NAMES = ("adabelief", "adagrad", "adam", "adamax", "adamw", "lion", "nadam", "radam", "rmsprop")
OWN = {"adamax_adam": adamax_adam}  # what optax does not have
NAMES = (*NAMES, "sgd", *OWN)
SCHEDULES = ("constant", "cosine", "linear", "steps")
NAME = re.compile(r"[\w-]+", re.ASCII)  # of an average


def build_optimizers(section: Mapping[str, Any], method: Method) -> Optimizers:
    """One optimiser for every player of the method's turns.

    Args:
        section: player -> options of `optimizer`.
        method: whose players are served.

    Raises:
        ConfigError: for a player without optimiser, or an optimiser without player.
    """
    players = list(dict.fromkeys(turn.player for turn in method.turns))
    _check_players("optim", section, players)
    missing = [p for p in players if p not in section]
    if missing:
        raise ConfigError(f"config.optim misses the players {', '.join(missing)}")
    return {p: build_optimizer(p, section[p], method.turns) for p in players}


def build_optimizer(player: str, section: Any, turns: Sequence[Turn] = ()) -> Optimizer:
    """The optimiser of one player, from its section.

    Args:
        player: whose.
        section: options of `optimizer`.
        turns: of the method, for `lazy`.

    Raises:
        ConfigError: for an option that there is not, or a value out of range.
    """
    where = f"optim.{player}"
    if not isinstance(section, Mapping):
        raise ConfigError(f"config.{where}={section!r}, expected a section of its own")
    check_options(optimizer, where, section, given=("share", "where"))
    share = plain_share([turn for turn in turns if turn.player == player])
    return build(functools.partial(optimizer, where=where, share=share), where, **section)


def plain_share(turns: Sequence[Turn]) -> float:
    """The share of a player's moves that are of no lazy turn: k / (k + 1) with one in k steps.

    1 for a player without a turn of every step.
    """
    plain = sum(turn.times for turn in turns if turn.every == 1)
    lazy = sum(Fraction(turn.times, turn.every) for turn in turns if turn.every > 1)
    return float(plain / (plain + lazy)) if plain else 1.0


def build_averages(section: Mapping[str, Any], method: Method) -> Averages:
    """name -> average, of the player that its section names, or else of the one of its own name.

    Raises:
        ConfigError: for an average of no player of the method, or see `build_average`.
    """
    players = {turn.player for turn in method.turns}
    built = {name: build_average(name, options) for name, options in section.items()}
    for name, found in built.items():
        if found.player:
            _check_players(f"ema.{name}.player", [found.player], players)
    _check_players("ema", [name for name in built if not built[name].player], players)
    return built


def build_average(name: str, section: Any) -> Average:
    """One average, from its section.

    Args:
        name: of the average: letters, digits, "_" and "-".
        section: options of `average`.

    Raises:
        ConfigError: for an option that there is not, or a value out of range.
    """
    if not isinstance(section, Mapping):
        raise ConfigError(f"config.ema.{name}={section!r}, expected a section of its own")
    if name == "none" or not NAME.fullmatch(name):
        raise ConfigError(
            f"config.ema.{name}: an average is named by letters, digits, _ and -, not none"
        )
    return build(average, f"ema.{name}", **section)


def _check_players(where: str, section: Iterable[str], players: Any) -> None:
    for player in section:
        if player not in players:
            raise ConfigError(unknown(f"player in config.{where}", player, players))


def optimizer(
    name: str,
    learning_rate: Scheduled,
    warmup_steps: int = 0,
    schedule: str = "constant",
    decay_steps: int = 0,
    final_rate: float = 0.0,
    rates: Sequence[Sequence[float]] = (),
    clip_norm: float = 0.0,
    l2: Scheduled = 0.0,
    no_decay: Sequence[str] = (),
    skip_norm: float = 0.0,
    bound: float = 0.0,
    lazy: bool = False,
    share: float = 1.0,
    where: str = "optim",
    **options: Any,
) -> Optimizer:
    """An optimiser with a schedule and clipping.

    Args:
        name: of the function in optax, or in `jaxgen.ops.optimizers`.
        learning_rate: after the warm-up; of `jaxgen.schedules`, instead of `schedule`.
        warmup_steps: train steps over which the rate rises linearly from 0.
        schedule: "constant", "cosine" or "linear" to `final_rate` at `decay_steps`, or "steps".
        decay_steps: train step at which the rate reaches it.
        final_rate: the rate from there on.
        rates: of "steps": pairs of a train step and the rate from there on.
        clip_norm: bound of the gradient's global norm; 0 does not clip.
        l2: adds so many times each parameter to its gradient, after clipping: PyTorch's
            `weight_decay`, unlike that of "adamw", which no gradient sees.
        no_decay: patterns of `fnmatch` over paths of parameters, as ("*bias", "*scale"), whose
            parameters neither `l2` nor the `weight_decay` of adamw or lion moves.
        skip_norm: a gradient of this global norm or more, before it is clipped, or that is not
            finite moves nothing; 0 skips none.
        bound: brings every parameter to [-bound, bound] after each move (Arjovsky et al. 2017,
            Wasserstein GAN, algorithm 1); 0 leaves them.
        lazy: of an Adam whose player has lazy turns beside those of every step: with such a turn on
            every k steps and c = k / (k + 1), the rates are c times as large, and the decays b1 and
            b2 to the power of c (Karras et al. 2020, StyleGAN2, appendix B).
        share: c, from `Turn.every`: see `plain_share`.
        where: the config section, for messages.
        **options: of that function; numbers among them, as b2, may be schedules.

    Raises:
        ConfigError: for an unknown name or option.
    """
    if name not in NAMES:
        raise ConfigError(unknown(f"config.{where}.name", name, NAMES))
    _check_schedule(where, schedule, rates, warmup_steps, decay_steps, final_rate)
    if isinstance(learning_rate, Mapping) and schedule != "constant":
        raise ConfigError(
            f"config.{where}: learning_rate has a schedule: omit schedule={schedule!r}"
        )
    make = OWN.get(name) or getattr(optax, name)
    own = [
        k for k in inspect.signature(optimizer).parameters if k not in ("share", "where", "options")
    ]
    theirs = inspect.signature(make).parameters
    for key in options:
        if key not in theirs:
            raise ConfigError(unknown(f"option of config.{where}", key, {*own, *theirs}))
    known = {k: v for k, v in options.items() if not is_moving(theirs, k, v)}
    check_values(make, known, f"config.{where}")
    share = share if lazy else 1.0
    if lazy:
        options |= _decays(theirs, options, share, where)
    transform = _decaying(make, options, l2, no_decay, where)
    if clip_norm:
        transform = optax.chain(optax.clip_by_global_norm(clip_norm), transform)
    if skip_norm:
        transform = _skip(transform, skip_norm)
    steps = {"steps": decay_steps - warmup_steps, "begin": warmup_steps}
    described: Any = {"name": schedule, "start": learning_rate}
    if schedule == "constant":
        described = learning_rate
    else:
        described |= {"values": rates} if schedule == "steps" else {"end": final_rate, **steps}
    rate = functools.partial(_rate, of=scaled(described, share), warmup=warmup_steps)
    return Optimizer(transform, rate, functools.partial(_clip, bound=bound) if bound else None)


def _decaying(
    make: Callable[..., Any], options: dict[str, Any], l2: Any, no_decay: Sequence[str], where: str
) -> optax.GradientTransformation:
    """An optimiser of unit rate, with weight decay of its own kind and `l2`, of some parameters."""
    known = inspect.signature(make).parameters
    theirs = "weight_decay" in known
    if no_decay and not l2 and not theirs:
        raise ConfigError(f"config.{where}: no_decay needs l2, or weight_decay, which adamw has")
    mask, decay = decayed(no_decay, where), options.get("weight_decay")
    moving = {k: v for k, v in options.items() if is_moving(known, k, v)}
    for key, section in moving.items():
        check_schedule(section, f"config.{where}.{key}")
    if isinstance(decay, Mapping):
        options = options | {"weight_decay": 0.0}
    elif mask and theirs:
        options = options | {"mask": mask}
    moving.pop("weight_decay", None)
    # optax scales by the rate last, so unit rate and scaling outside are equal; but for rmsprop
    # with momentum, which accumulates scaled updates in optax, and unscaled ones here, as PyTorch
    make = functools.partial(make, learning_rate=1.0)
    transform = moved_by(make, options, moving) if moving else make(**options)
    if isinstance(decay, Mapping):
        transform = optax.chain(transform, add_decayed(decay, mask, sign=-1.0))
    if isinstance(l2, Mapping):
        return optax.chain(add_decayed(l2, mask), transform)
    return optax.chain(optax.add_decayed_weights(l2, mask), transform) if l2 else transform


def _check_schedule(
    where: str, schedule: str, rates: Any, warmup_steps: int, decay_steps: int, final_rate: float
) -> None:
    if schedule not in SCHEDULES:
        raise ConfigError(unknown(f"config.{where}.schedule", schedule, SCHEDULES))
    if (schedule == "steps") != bool(rates):
        raise ConfigError(f"config.{where}: schedule='steps' needs rates, and rates need it")
    if schedule not in ("constant", "steps") and decay_steps <= warmup_steps:
        raise ConfigError(
            f"config.{where}: schedule={schedule!r} needs decay_steps above warmup_steps="
            f"{warmup_steps}, got {decay_steps}"
        )
    if final_rate and schedule in ("constant", "steps"):
        raise ConfigError(f"config.{where}: final_rate={final_rate} needs a schedule")


def _decays(theirs: Any, options: Mapping[str, Any], share: float, where: str) -> dict[str, Any]:
    """b1 and b2 to the power of `share`."""
    if "b1" not in theirs or "b2" not in theirs:
        raise ConfigError(f"config.{where}: lazy=True needs an optimiser with b1 and b2, as adam")
    decays = {k: options.get(k, theirs[k].default) for k in ("b1", "b2")}
    if any(isinstance(decay, Mapping) for decay in decays.values()):
        raise ConfigError(f"config.{where}: lazy=True needs numbers for b1 and b2, not schedules")
    return {k: decay**share for k, decay in decays.items()}


def _clip(params: Any, bound: float) -> Any:
    return jax.tree.map(lambda p: jnp.clip(p, -bound, bound), params)


def _skip(
    transform: optax.GradientTransformation, most: float
) -> optax.GradientTransformationExtraArgs:
    """Leaves out the moves whose gradient's norm is not below `most`.

    Parameters stay where they are, weight decay included, and so does the optimiser's memory.
    Such a step is still reported as not finite where it is: see `train.on_nan`.

    Source: Child 2021, Very Deep VAEs; openai/vdvae, `training_step`.
    """
    transform = optax.with_extra_args_support(transform)

    def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> Any:
        keep = optax.tree.norm(updates) < most  # False for a norm that is not a number
        updates, moved = transform.update(updates, state, params, **extra)
        updates = jax.tree.map(lambda u: jnp.where(keep, u, jnp.zeros_like(u)), updates)
        return updates, jax.tree.map(lambda new, old: jnp.where(keep, new, old), moved, state)

    return optax.GradientTransformationExtraArgs(transform.init, update)


def _rate(step: Array, *, of: Any, warmup: int) -> Array:
    warm = jnp.minimum(1.0, (step.astype(jnp.float32) + 1) / warmup) if warmup else jnp.float32(1)
    return jnp.float32(value(of, step)) * warm


def average(half_life_steps: Scheduled, ramp_up: float = 0.0, player: str = "") -> Average:
    """An exponential moving average with the given half-life.

    Args:
        half_life_steps: train steps after which a parameter's weight has halved; where a schedule
            is at zero, the average is the parameters.
        ramp_up: bounds the half-life by this fraction of the steps done, so that early
            averages forget the initialisation; 0 does not bound it.
        player: that is averaged; by default the one that the average is named after.

    Source: Karras et al. 2022 (EDM), official code, `training_loop.py`, for the ramp-up.
    """
    if min(extremes(half_life_steps)) < 0 or max(extremes(half_life_steps)) <= 0:
        raise ConfigError(f"half_life_steps={half_life_steps}, expected a positive number")

    def decay(step: Array) -> Array:
        half_life = jnp.float32(value(half_life_steps, step))
        if ramp_up:
            half_life = jnp.minimum(half_life, (step.astype(jnp.float32) + 1) * ramp_up)
        return jnp.exp2(-1.0 / half_life)

    return Average(decay, player)
