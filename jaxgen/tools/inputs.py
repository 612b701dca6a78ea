"""Arrays that a user gives to a run, checked against what the run's data and latents are.

Under a transformation of JAX, as `jax.grad`, values are not known yet: shapes and types are
checked then, values are not.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.config import ConfigError
from jaxgen.types import DataSpec, PyTree


def is_traced(tree: PyTree) -> bool:
    """Whether any leaf is what JAX hands to a function that it transforms."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tree))


def check_data(x: Any, spec: DataSpec, call: str = "x") -> Any:
    """Examples [B, ...] in the units of the data, of the dtype of their field.

    Args:
        x: anything that NumPy makes an array of.
        spec: of the data.
        call: what it was given to, for the message.

    Raises:
        ConfigError: for another shape, type or range.
    """
    x = x if isinstance(x, jax.core.Tracer) else _array(x, call)
    wanted = f"examples [B, {', '.join(map(str, spec.shape))}] of {spec.name}"
    if x.shape == spec.shape:
        raise ConfigError(f"{call}: one example, shape {x.shape}, expected {wanted}: give x[None]")
    if x.ndim == 0 or x.shape[1:] != spec.shape or not len(x):
        raise ConfigError(f"{call}: shape {x.shape}, expected {wanted}")
    if spec.x.values is None:
        return _continuous(x, spec, wanted, call)
    return _integers(x, spec.x.values, spec.x.dtype, wanted, call)


def _integers(x: Any, values: int, dtype: str, wanted: str, call: str) -> Any:
    wanted = f"expected {wanted}, integers from 0 to {values - 1}"
    if x.dtype.kind not in "iu":
        raise ConfigError(f"{call}: {x.dtype} values, {wanted}, not scaled")
    if isinstance(x, jax.core.Tracer):
        return x.astype(dtype)
    low, high = int(x.min()), int(x.max())
    if low < 0 or high >= values:
        raise ConfigError(f"{call}: values from {low} to {high}, {wanted}")
    return x.astype(dtype)


def _continuous(x: Any, spec: DataSpec, wanted: str, call: str) -> Any:
    """float32 in the units of batches."""
    if not (jnp.issubdtype(x.dtype, jnp.floating) or x.dtype.kind in "iu"):
        raise ConfigError(f"{call}: {x.dtype} values, expected {wanted}, floating-point numbers")
    if isinstance(x, jax.core.Tracer):
        return spec.x.units.inward(x) if spec.x.units else x.astype(jnp.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        found = spec.x.units.inward(np.asarray(x)) if spec.x.units else np.asarray(x, np.float32)
    bad = int((~np.isfinite(found)).reshape(len(found), -1).any(1).sum())
    if bad:
        raise ConfigError(
            f"{call}: {bad} of {len(found)} examples hold NaN, infinity or what float32 cannot hold"
        )
    return found


def check_latents(z: PyTree, shapes: PyTree, call: str = "z") -> tuple[PyTree, int]:
    """Latents as the method's own pytree of float32 [B, ...], and B.

    Args:
        z: a pytree with as many leaves; lists may stand for tuples.
        shapes: of latents, as `encode` gives them, with any B.
        call: what they were given to, for the message.

    Raises:
        ConfigError: for other leaves, or leaves of different B.
    """
    expected, tree = jax.tree.flatten(shapes)
    wanted = "latents as encode gives them: " + ", ".join(
        f"[{', '.join(['B', *map(str, leaf.shape[1:])])}]" for leaf in expected
    )
    # a list of arrays is a pytree, a list of numbers an array
    leaves = [z] if tree.num_leaves == 1 and not _holds_arrays(z) else jax.tree.leaves(z)
    traced = is_traced(leaves)
    leaves = [x if isinstance(x, jax.core.Tracer) else _array(x, call) for x in leaves]
    given = ", ".join(str(list(leaf.shape)) for leaf in leaves) or "nothing"
    fits = len(leaves) == len(expected) and all(
        leaf.ndim and leaf.shape[1:] == of.shape[1:] and len(leaf) == len(leaves[0]) > 0
        for leaf, of in zip(leaves, expected, strict=True)
    )
    if not fits:
        raise ConfigError(f"{call}: {given}, expected {wanted}")
    for leaf in leaves:
        if not (jnp.issubdtype(leaf.dtype, jnp.floating) or leaf.dtype.kind in "iu"):
            raise ConfigError(f"{call}: {leaf.dtype} values, expected {wanted}, of numbers")
    if not traced:
        leaves = [np.asarray(leaf, np.float32) for leaf in leaves]
        if not all(np.isfinite(leaf).all() for leaf in leaves):
            raise ConfigError(f"{call}: NaN or infinity, expected {wanted}, of finite numbers")
    return tree.unflatten(leaves), len(leaves[0])


def _holds_arrays(z: Any) -> bool:
    return not isinstance(z, np.ndarray | jax.Array) and any(
        isinstance(leaf, np.ndarray | jax.Array) for leaf in jax.tree.leaves(z)
    )


def _array(x: Any, call: str) -> np.ndarray:
    if isinstance(x, np.ma.MaskedArray) and np.ma.is_masked(x):
        raise ConfigError(f"{call}: values that are masked, expected all of them")
    try:
        return np.asarray(x)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{call}: no array: {str(error).splitlines()[0]}") from None
