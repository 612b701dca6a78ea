"""Weight decay: of which parameters, by their paths, and how much, as a function of the step."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence
from typing import Any

import jax
import optax

from jaxgen.config import ConfigError
from jaxgen.schedules import Scheduled, value
from jaxgen.types import PyTree

Mask = Callable[[PyTree], PyTree]


def decayed(patterns: Sequence[str], where: str) -> Mask | None:
    """Params to a tree of booleans: False where the path of a leaf fits one of `patterns`.

    Args:
        patterns: of `fnmatch`, over paths as "block_0/conv/bias"; "*" reaches over "/".
        where: the config section, for messages.

    Returns:
        The function, None where there is no pattern. It raises a ConfigError for a pattern that
        fits no path.
    """
    if not patterns:
        return None

    def mask(params: PyTree) -> PyTree:
        leaves, tree = jax.tree_util.tree_flatten_with_path(params)
        paths = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves]
        for pattern in patterns:
            if not fnmatch.filter(paths, pattern):
                raise ConfigError(
                    f"config.{where}.no_decay: {pattern!r} fits none of the parameters "
                    f"{', '.join(paths)}"
                )
        kept = [not any(fnmatch.fnmatchcase(p, pattern) for pattern in patterns) for p in paths]
        return tree.unflatten(kept)

    return mask


def add_decayed(
    weight: Scheduled, mask: Mask | None, sign: float = 1.0
) -> optax.GradientTransformationExtraArgs:
    """Adds `weight` at the train step times the parameters; optax's own would count moves.

    Args:
        weight: a schedule.
        mask: from `decayed`.
        sign: 1 for gradients, -1 for updates of a unit rate.
    """

    def update(updates: PyTree, state: Any, params: Any = None, **given: Any) -> Any:
        by = sign * value(weight, given["step"])
        kept = mask(params) if mask else jax.tree.map(lambda _: True, params)
        moved = jax.tree.map(
            lambda u, p, keep: u + (by * p).astype(u.dtype) if keep else u, updates, params, kept
        )
        return moved, state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)
