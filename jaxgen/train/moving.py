"""Options of an optimiser that are functions of the train step, as Adam's b2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import optax

from jaxgen.schedules import extremes, value
from jaxgen.types import PyTree


def is_moving(parameters: Mapping[str, Any], name: str, option: Any) -> bool:
    """Whether an option is a section where the function with these parameters has a number."""
    known = name in parameters and isinstance(parameters[name].default, float)
    return isinstance(option, Mapping) and known


def moved_by(
    make: Callable[..., optax.GradientTransformation],
    options: Mapping[str, Any],
    moving: Mapping[str, Any],
) -> optax.GradientTransformationExtraArgs:
    """An optimiser that is made anew at each step, with what its options are there.

    Its memory is the usual one, without the options: `optax.inject_hyperparams` would store them,
    and count moves in place of train steps. Corrections of averages that start at zero use the
    decay of the step, as in PyTorch.

    Args:
        make: of the optimiser.
        options: of it.
        moving: those that are schedules.
    """
    first = {name: extremes(section)[0] for name, section in moving.items()}  # any: init has none

    def update(updates: PyTree, state: Any, params: Any = None, **given: Any) -> Any:
        now = {name: value(section, given["step"]) for name, section in moving.items()}
        made = optax.with_extra_args_support(make(**{**options, **now}))
        return made.update(updates, state, params, **given)

    return optax.GradientTransformationExtraArgs(make(**{**options, **first}).init, update)
