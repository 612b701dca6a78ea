"""Networks that know the truth of Gaussian data, for tests of what denoises."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.types import DataSpec, State

KEY = jax.random.key(0)
V = 0.25  # variance of the data
ENTROPY = 0.5 * np.log(2 * np.pi * np.e * V)  # nats/dim, 0.725791
LINE, PLANE = (DataSpec.of("normal", (n,), None, num_classes=2) for n in (1, 2))
DIGITS = DataSpec.of("images", (4, 4, 1), 17, num_classes=3)


class Oracle(nn.Module):
    """`says` of (x, time), times a parameter that is 1 at first; a condition adds to it.

    Attributes:
        says: what it says.
        shift: added to what is said, per unit of the condition's sum.
    """

    says: Callable[[Any, Any], Any]
    shift: float = 0.0

    @nn.compact
    def __call__(self, x, time, cond=None, train=False):
        factor = self.param("factor", nn.initializers.ones, ())
        out = factor * self.says(x, time)
        if cond is not None:
            weights = jnp.arange(1.0, cond.shape[-1] + 1)
            out += self.shift * (cond @ weights).reshape(-1, *(1,) * (x.ndim - 1))
        return out


def state_of(method, x=None, batch=None):
    """Its first state, on examples x."""
    batch = batch or {"x": normal(8, method.spec.dims) if x is None else x}
    if "label" in method.given and "label" not in batch:
        batch |= {"label": jnp.zeros(len(batch["x"]), jnp.int32)}
    params, variables = method.init(KEY, batch)
    return State(jnp.int32(0), params, variables, {}, {})


def normal(num, dims, seed=0, variance=V):
    values = np.random.RandomState(seed).randn(num, dims) * np.sqrt(variance)
    return jnp.asarray(values, jnp.float32)


def integers(num, seed=0, spec=DIGITS):
    values = np.random.RandomState(seed).randint(0, spec.levels, (num, *spec.shape))
    return jnp.asarray(values, jnp.uint8)


def spread(values):
    """Mean and its standard error."""
    values = np.asarray(values, np.float64)
    return values.mean(), values.std(ddof=1) / np.sqrt(len(values))
