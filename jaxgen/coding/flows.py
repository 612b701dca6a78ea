"""Local bits back: coding with a map of real numbers, exact though no float is.

Grey levels become points of a fine grid, by low bits that are popped off the stack. The map's image
of such a point is popped from a narrow normal around it, whose covariance is what the map's
Jacobian makes of a normal of deviation sigma around the point; the point is pushed under that
normal around what the image is mapped back to, and the image under the base density. Whatever the
errors of the map, what was popped is pushed again and the point is coded exactly; they cost bits,
no more. What is paid is the negative bound of uniform dequantisation and a term of order sigma.

The Jacobian is found whole, so that any map will do.

Source: Ho, Lohn & Abbeel 2019, Compression with flows via local bits-back coding, section 3.2,
algorithm 1 and equations 9 to 12; section 3.4.1 (the factor of the covariance, row by row).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

from jaxgen.abilities import Bijective
from jaxgen.coding.archive import Chunk
from jaxgen.coding.integers import (
    FINE,
    Bins,
    normal,
    pop_far,
    pop_near,
    push_far,
    push_near,
    steps,
    table,
)
from jaxgen.coding.network import Network, mark
from jaxgen.coding.stack import Stack
from jaxgen.coding.tables import snapped
from jaxgen.config import ConfigError
from jaxgen.types import Array, State

GRID = 16  # bits of a point below a grey level, and of its image below one
SIGMA = 2.0**-12  # of the local normals, in grey levels
FURTHEST = 32  # image that the table of the base density holds
MOST_DIMS = 2048  # a Jacobian of which has 32 MB
START = 4  # words for a dimension: at most two symbols and their low bits
BASES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "normal": scipy.special.ndtr,
    "logistic": scipy.special.expit,
    "uniform": lambda z: np.clip(z, 0.0, 1.0),
}


class Flows:
    """A map of a model, for a stack.

    Attributes:
        network: of the run.
        batch: 1: no two examples are coded beside each other.
    """

    kind, usual_batch, lossless = "local-bits-back", 1, True
    takes = ()

    def __init__(self, network: Network, batch: int):
        """Of a method that is `Bijective`.

        Raises:
            ConfigError: for a model that is no exact map, has too many dimensions, or no inverse.
        """
        method, spec = network.method, network.spec
        place = network.run.directory.path
        self.network, self.batch = network, batch
        self.dims = spec.dims
        if batch != 1:
            raise ConfigError(f"batch={batch}: flows code one example after the other, omit it")
        if spec.dims > MOST_DIMS:
            raise ConfigError(
                f"{place} cannot compress: its Jacobian has {spec.dims:,}^2 numbers, and "
                f"{MOST_DIMS:,}^2 are what is taken"
            )
        if method.base_density not in BASES:
            raise ConfigError(f"{place} cannot compress: its base is {method.base_density!r}")
        self._base, self._low = _of_base(method.base_density, spec.dims), np.full(spec.dims, GRID)

        def forward(state: State, x: Array) -> tuple[Array, Array]:
            def flat(v: Array) -> Array:
                return method.to_base(state, v.reshape(1, *spec.shape))[0]

            r = jnp.linalg.qr(jax.jacrev(flat)(x).T, mode="r")
            return flat(x), (r * jnp.sign(jnp.diagonal(r))[:, None]).T

        def backward(state: State, z: Array) -> Array:
            return method.from_base(state, z[None]).reshape(-1)

        self._forward, self._back = network.compiled(forward), network.compiled(backward)
        blank = np.zeros(self.dims)
        try:
            network.shapes(forward, blank)
            network.shapes(backward, blank)
        except (ConfigError, NotImplementedError) as error:
            raise ConfigError(f"{place} cannot compress: {error}") from error

    @staticmethod
    def fits(method: Any) -> bool:
        """Whether the method says what is needed."""
        return isinstance(method, Bijective)

    def canary(self) -> str:
        """Digest of the map of a middle example, its Jacobian, and the map back."""
        z, lower = self._forward(np.full(self.dims, 0.5))
        return mark(*(snapped(np.asarray(part)) for part in (z, lower, self._back(np.asarray(z)))))

    def encode(self, x: np.ndarray) -> Chunk:
        """Of examples [N, ...]."""
        stack = Stack(self._start)
        for row in x.reshape(len(x), -1).astype(np.int64):
            point = (row << GRID) + stack.pop_bits(self._low)
            image = self._pop_image(stack, point)
            back = self._back_steps(image)
            push_far(stack, point - _whole(back), self._narrow(back))
            push_far(stack, image, self._base)
        return stack.chunk()

    def decode(self, chunk: Chunk, count: int) -> np.ndarray:
        """The examples [count, ...]."""
        stack, spec = Stack(self._start, chunk), self.network.spec
        out = np.zeros((count, self.dims), spec.x.dtype)
        for i in reversed(range(count)):
            image = pop_far(stack, self._base)
            back = self._back_steps(image)
            point = _whole(back) + pop_far(stack, self._narrow(back))
            self._push_image(stack, point, image)
            stack.push_bits(point & (2**GRID - 1), self._low)
            out[i] = point >> GRID
        stack.check_empty()
        return out.reshape(count, *spec.shape)

    @property
    def _start(self) -> int:
        return START * self.dims + 64

    def _back_steps(self, image: np.ndarray) -> np.ndarray:
        """Where the map back takes an image."""
        return steps(np.asarray(self._back((image + 0.5) / 2**GRID)) * 2.0**GRID - 0.5)

    def _local(self, point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the map takes a point, and the factor of the covariance there, both in steps."""
        z, lower = (np.asarray(part) for part in self._forward((point + 0.5) / 2**GRID))
        if not (np.isfinite(z).all() and np.isfinite(lower).all()):
            raise ConfigError("the map gives no finite number of an example, or has no derivative")
        return z * 2.0**GRID - 0.5, lower * (SIGMA * 2.0**GRID)

    def _pop_image(self, stack: Stack, point: np.ndarray) -> np.ndarray:
        """A draw around the image of the point."""
        (middle, lower), image = self._local(point), np.zeros(self.dims, np.int64)
        noise = np.zeros(self.dims)
        for i in range(self.dims):
            mean = steps(middle[i : i + 1] + lower[i, :i] @ noise[:i])
            image[i] = (_whole(mean) + pop_near(stack, normal(mean, lower[i, i : i + 1])))[0]
            noise[i] = (image[i] - mean[0]) / lower[i, i]
        return image

    def _push_image(self, stack: Stack, point: np.ndarray, image: np.ndarray) -> None:
        """The same backwards."""
        (middle, lower), rows, noise = self._local(point), [], np.zeros(self.dims)
        for i in range(self.dims):
            mean = steps(middle[i : i + 1] + lower[i, :i] @ noise[:i])
            rows.append((image[i : i + 1] - _whole(mean), normal(mean, lower[i, i : i + 1])))
            noise[i] = (image[i] - mean[0]) / lower[i, i]
        for row in reversed(rows):
            push_near(stack, *row)

    def _narrow(self, mean: np.ndarray) -> Bins:
        """Of points, around means in steps."""
        return normal(mean, np.full(self.dims, SIGMA * 2**GRID))

    def nats(self, x: np.ndarray) -> float:
        """The negative bound of all examples, the mean of several draws."""
        return self.network.bound(x)

    @property
    def options(self) -> dict[str, int]:
        """What a decoder has to know: nothing."""
        return {}


def _whole(x: np.ndarray) -> np.ndarray:
    return np.rint(x).astype(np.int64)


def _of_base(name: str, dims: int) -> Bins:
    """Of images, in steps, under a standard density."""
    at = np.arange(-FURTHEST - 0.5 / 2**FINE, FURTHEST + 1 / 2**FINE, 1 / 2**FINE)
    below, above = BASES[name](at), 1 - BASES[name](at)
    if name != "uniform":
        above = BASES[name](-at)
    # of the upper half by the other tail: near one a difference of probabilities has no digits
    found = np.where(at[:-1] > 0, above[:-1] - above[1:], below[1:] - below[:-1])
    return table(np.maximum(found, 2.0**-40), np.full(dims, GRID - FINE))
