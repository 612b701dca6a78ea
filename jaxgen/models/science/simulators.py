"""Simulators as networks without parameters: what a config names, and a method calls as it trains.

A config names them as it names any network, so that those of one's own are looked for only where
the user allows, see `names.resolve`.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.config import ConfigError, unknown
from jaxgen.nn.arrays import Channels, Rows
from jaxgen.ops.simulators import SIMULATORS


class Embedded(nn.Module):
    """One of `ops.simulators.SIMULATORS`.

    Attributes:
        simulator: its name.
    """

    simulator: str

    @nn.compact
    def __call__(self, theta: Rows) -> Channels:
        """Parameters [N, D] to observations [N, E]; noise is of the stream "noise".

        Raises:
            ConfigError: for an unknown name.
        """
        if self.simulator not in SIMULATORS:
            raise ConfigError(unknown("simulator", self.simulator, SIMULATORS))
        return SIMULATORS[self.simulator].simulate(self.make_rng("noise"), theta)


class Called(nn.Module):
    """A simulator of one's own in NumPy, or in whatever Python can call: a class that extends this.

    It is called from within the compiled step, and has no other noise than that of `random`, so
    that a resumed run simulates the same. One in JAX is better a Flax module as `Embedded`.

    Attributes:
        observed: how many numbers an observation has.
    """

    observed: int = 1

    def simulate(self, random: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        """Observations [N, E] of parameters [N, D]; what failed has values that are not finite."""
        raise NotImplementedError

    @nn.compact
    def __call__(self, theta: Rows) -> Channels:
        """Parameters [N, D] to observations [N, E]; noise is of the stream "noise"."""
        shape = jax.ShapeDtypeStruct((len(theta), self.observed), jnp.float32)
        seed = jax.random.key_data(self.make_rng("noise"))
        return jax.pure_callback(self._on_host, shape, seed, theta)

    def _on_host(self, seed: Any, theta: Any) -> np.ndarray:
        theta = np.asarray(theta)
        random = np.random.default_rng([int(word) for word in np.asarray(seed)])
        found = np.asarray(self.simulate(random, theta))
        wanted = (len(theta), self.observed)
        if found.shape != wanted or found.dtype.kind not in "fiu":
            raise ConfigError(
                f"{type(self).__name__}.simulate gave {found.dtype} {list(found.shape)} of "
                f"{len(theta)} rows of parameters, expected numbers {list(wanted)}: return as "
                f"many rows, or add --config.model.simulator.observed={found.shape[-1:]}"
            )
        return found.astype(np.float32)
