"""Bits back: coding with latents, whose choice costs nothing because it holds what came before.

To encode, latents are popped off the stack by their posterior, group by group from the top; the
example is pushed given them, then they by their prior. The decoder pops and pushes the other way
round. What is paid is the negative evidence lower bound. Each latent is one of 2^precision parts of
its conditional prior that have equal mass, and stands at the median of its part.

Source: Townsend, Bird & Barber 2019, Practical lossless compression with latent variables using
bits back coding, section 2; Townsend et al. 2020, HiLLoC, section 3.2 and 3.3 (parts of the
conditional prior, of a hierarchy).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.abilities import BitsBack, Encodes
from jaxgen.coding.archive import Chunk
from jaxgen.coding.network import Network, mark
from jaxgen.coding.stack import Stack
from jaxgen.coding.tables import centres, masses, probabilities, snapped, steps_of
from jaxgen.config import ConfigError
from jaxgen.evaluate.sampling import filled
from jaxgen.types import Array, State

PRECISION = 10  # bits of a latent
RANGE = (4, 14)  # of that
POP = 24  # bits that a symbol may take, at most


class Latents:
    """A model's laws of latents and values for a stack.

    Attributes:
        network: of the run.
        batch: examples whose latents are popped together: each wants bits of the start.
        precision: bits of a latent.
    """

    kind, usual_batch, lossless = "bits-back", 1, True
    takes = ("precision",)

    def __init__(self, network: Network, batch: int, precision: int = PRECISION):
        """Of a method that is `BitsBack`.

        Raises:
            ConfigError: for a model whose latents or values cannot be coded.
        """
        self.network, self.batch, self.precision = network, batch, precision
        if not RANGE[0] <= precision <= RANGE[1]:
            raise ConfigError(f"precision={precision}, expected {RANGE[0]} to {RANGE[1]} bits")
        self.method: Any = network.method
        spec = network.spec
        self.channels = spec.shape[-1]
        self._blank = np.zeros((batch, *spec.shape), spec.x.dtype)
        try:
            z = network.shapes(self.method.encode, self._blank, jax.random.key(0))
            self.zeros = [np.zeros(leaf.shape) for leaf in z]
            _, theta = network.shapes(self.method.latent_laws, self._blank, self.zeros)
            value = self.method.value_log_probs
            network.shapes(lambda state, t, x: value(t, x, 0), theta, self._blank)
        except ConfigError as error:
            raise ConfigError(f"{network.run.directory.path} cannot compress: {error}") from error
        self._laws = network.compiled(self._relative)
        self._masses = [
            network.compiled(lambda state, t, x, c=c: value(t, x, c)) for c in range(self.channels)
        ]
        self._start = -(-batch * POP * sum(z[0].size for z in self.zeros) // 32) + 64

    @staticmethod
    def fits(method: Any) -> bool:
        """Whether the method says what is needed."""
        return isinstance(method, BitsBack) and isinstance(method, Encodes)

    def _relative(self, state: State, x: Array, z: Sequence[Array]) -> Any:
        """Of each group mean and deviation of the prior, and the posterior in units of it."""
        laws, theta = self.method.latent_laws(state, x, tuple(z))
        out = []
        for prior, posterior in laws:
            mean = (posterior.mean - prior.mean) * jnp.exp(-prior.log_std)
            log_std = posterior.log_std - prior.log_std
            out.append([prior.mean, jnp.exp(prior.log_std), mean, log_std])
        return out, theta

    def _look(self, x: np.ndarray, z: Sequence[np.ndarray]) -> tuple[list[Any], np.ndarray]:
        """As `_relative`."""
        laws, theta = self._laws(x, list(z))
        return [[np.asarray(part) for part in law] for law in laws], np.asarray(theta)

    def _tables(self, law: Any, real: int) -> np.ndarray:
        """Of the posterior, [real * latents, 2^precision]."""
        mean, log_std = (part[:real].ravel() for part in law[2:])
        return masses(mean, log_std, self.precision)

    def _place(self, z: np.ndarray, law: Any, parts: np.ndarray) -> None:
        """Writes the latents of parts [real * latents] into z."""
        real = parts.size // z[0].size
        at = centres(self.precision)[parts].reshape(real, *z.shape[1:])
        z[:real] = law[0][:real] + law[1][:real] * at

    def canary(self) -> str:
        """Digest of the tables of an example of zeros, with latents at zero."""
        laws, theta = self._look(self._blank, self.zeros)
        parts = [snapped(part) for law in laws for part in law[2:]]
        log_p = np.asarray(self._masses[0](theta, self._blank))
        return mark(*parts, probabilities(steps_of(log_p)))

    def encode(self, x: np.ndarray) -> Chunk:
        """Of examples [N, ...]."""
        stack = Stack(self._start)
        for start in range(0, len(x), self.batch):
            part = x[start : start + self.batch]
            self._push(stack, filled(part, 0, self.batch), len(part))
        return stack.chunk()

    def _push(self, stack: Stack, x: np.ndarray, real: int) -> None:
        z, chosen = [zero.copy() for zero in self.zeros], []
        for group, own in enumerate(z):
            laws, _ = self._look(x, z)
            tables = self._tables(laws[group], real)
            chosen.append(stack.pop(len(tables), stack.categorical, tables))
            self._place(own, laws[group], chosen[-1])
        _, theta = self._look(x, z)
        seen = x.reshape(self.batch, -1, self.channels)
        for channel in reversed(range(self.channels)):
            rows = np.asarray(self._masses[channel](theta, x))[:real]
            tables = probabilities(steps_of(rows)).reshape(-1, rows.shape[-1])
            stack.push(seen[:real, :, channel].ravel(), stack.categorical, tables)
        for parts in reversed(chosen):
            stack.push_bits(parts, np.full(len(parts), self.precision))

    def decode(self, chunk: Chunk, count: int) -> np.ndarray:
        """The examples [count, ...]."""
        stack, spec = Stack(self._start, chunk), self.network.spec
        out = np.zeros((count, *spec.shape), spec.x.dtype)
        for start in reversed(range(0, count, self.batch)):
            real = min(self.batch, count - start)
            out[start : start + real] = self._pop(stack, real)
        stack.check_empty()
        return out

    def _pop(self, stack: Stack, real: int) -> np.ndarray:
        z, chosen, x = [zero.copy() for zero in self.zeros], [], self._blank.copy()
        for group, own in enumerate(z):
            laws, _ = self._look(x, z)
            size = real * own[0].size
            chosen.append(stack.pop_bits(np.full(size, self.precision)))
            self._place(own, laws[group], chosen[-1])
        _, theta = self._look(x, z)
        seen = x.reshape(self.batch, -1, self.channels)
        for channel in range(self.channels):
            rows = np.asarray(self._masses[channel](theta, x))[:real]
            tables = probabilities(steps_of(rows)).reshape(-1, rows.shape[-1])
            values = stack.pop(len(tables), stack.categorical, tables)
            seen[:real, :, channel] = values.reshape(real, -1)
        # the encoder's last batch was filled up with its last example
        laws, _ = self._look(filled(x[:real], 0, self.batch), z)
        for law, parts in zip(reversed(laws), reversed(chosen), strict=True):
            stack.push(parts, stack.categorical, self._tables(law, real))
        return x[:real]

    def nats(self, x: np.ndarray) -> float:
        """The negative bound of all examples, the mean of several draws."""
        return self.network.bound(x)

    @property
    def options(self) -> dict[str, int]:
        """What a decoder has to know."""
        return {"precision": self.precision}
