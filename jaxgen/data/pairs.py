"""Simulated pairs of parameters and observation, as a .npz of `theta` and `x` holds them."""

from __future__ import annotations

import numpy as np

from jaxgen.data.dataset import DataError

THETA = "theta"


def joined(theta: np.ndarray, x: np.ndarray, where: str) -> tuple[np.ndarray, list[str]]:
    """Rows of parameters, then observation, float32 [N, D + E], and notes.

    Simulations that failed, with a value of `x` that is not finite, are left out.

    Args:
        theta: numbers [N, D] or [N].
        x: numbers [N, E] or [N].
        where: for messages.

    Raises:
        DataError: for other shapes or counts, parameters that are not finite, or where every
            simulation failed.
    """
    parts = {}
    for name, array in ((THETA, theta), ("x", x)):
        flat = array[:, None] if array.ndim == 1 else array
        if flat.ndim != 2 or 0 in flat.shape or flat.dtype.kind not in "fiu":
            raise DataError(
                f"{where}: {name} is {array.dtype} {list(array.shape)}, expected numbers, a row "
                f"for each simulation: {THETA} [N, D] and x [N, E]"
            )
        with np.errstate(over="ignore"):  # what is beyond float32 is found below
            parts[name] = flat.astype(np.float32)
    counts = {name: len(part) for name, part in parts.items()}
    if len(set(counts.values())) > 1:
        raise DataError(f"{where}: expected as many of {THETA} as of x, got {counts}")
    bad = np.argwhere(~np.isfinite(parts[THETA]))
    if len(bad):
        raise DataError(f"{where}: {THETA}[{bad[0][0]}, {bad[0][1]}] is not finite in float32")
    whole = np.isfinite(parts["x"]).all(1)
    if not whole.any():
        raise DataError(f"{where}: every simulation of x has a value that is not finite")
    failed = int((~whole).sum())
    notes = [f"{failed:,} of {len(whole):,} simulations failed, left out"] if failed else []
    return np.concatenate([parts[THETA], parts["x"]], 1)[whole], notes


def columns(theta: np.ndarray, x: np.ndarray) -> tuple[str, ...]:
    """Names of the columns of these rows."""
    sizes = ((name, 1 if a.ndim == 1 else a.shape[1]) for name, a in ((THETA, theta), ("x", x)))
    return tuple(f"{name} {i + 1}" for name, size in sizes for i in range(size))
