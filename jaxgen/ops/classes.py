"""Classes that samples are asked for, as one-hot rows."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float


def one_hot(label: Any, num: int, classes: int, rng: Any = None) -> Float[Array, "b k"]:
    """Rows of `num` classes.

    Args:
        label: of all rows, or [num]; None draws them, or without a key takes the first class.
        num: rows.
        classes: there are.
        rng: a key.

    Raises:
        ValueError: for a class that there is not, where the label is known before tracing.
    """
    if label is None:
        label = 0 if rng is None else jax.random.randint(rng, (num,), 0, classes)
    elif not isinstance(label, Tracer):
        if np.min(label) < 0 or np.max(label) >= classes:
            raise ValueError(f"expected classes 0 to {classes - 1}")
    return jax.nn.one_hot(jnp.broadcast_to(jnp.asarray(label, jnp.int32), (num,)), classes)
