"""Elementwise transform by an unconstrained monotonic neural network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.ops.quadrature import integral
from jaxgen.ops.roots import invert_increasing

X = Float[Array, "*shape"]
Theta = Float[Array, "*shape features"]
MOST_DOUBLINGS = 60


class MonotonicNetwork(nn.Module):
    """x -> h_1 + the integral from 0 to x of f(t, h) dt, with f > 0 a network, h its embedding.

    A transform (`transforms.py`) that has weights of its own: those of f, shared by all
    elements; what a coupling or autoregressive network gives to each element is h. Starts as
    the identity, since f starts at 1. The inverse is found by bisection and Newton's method.

    Source: Wehenkel & Louppe 2019, Unconstrained monotonic neural networks, section 3; the
    activations and the offset h_1 are those of the official code (AWehenkel/UMNN). Its fixed
    scale is left out, and the bound `least` is ours: the paper's f may fall so fast that the
    integral does not reach every number.

    Attributes:
        hidden: widths of the hidden layers of f.
        embedding: number of elements of h.
        nodes: of the quadrature, beside one.
        least: f is never less.
    """

    hidden: Sequence[int] = (50, 50, 50, 50)
    embedding: int = 30
    nodes: int = 50
    least: float = 1e-3

    @property
    def features(self) -> int:
        """The embedding."""
        return self.embedding

    @property
    def reversible(self) -> bool:
        """False: the inverse is a search."""
        return False

    @nn.compact
    def _integrand(self, theta: Theta) -> Any:
        """What `_slope` is a function of, beside t: what the first layer makes of h, and weights.

        Of theta [*shape, E]: ([*shape, W], the first layer's row of t, [(kernel, bias), ...]).
        """
        zeros, scaled = nn.initializers.zeros, nn.initializers.lecun_normal()
        sizes = [self.embedding + 1, *self.hidden, 1]
        layers = []
        for i, (into, out) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
            init = zeros if i == len(self.hidden) else scaled
            kernel = self.param(f"kernel_{i}", init, (into, out), theta.dtype)
            layers.append((kernel, self.param(f"bias_{i}", zeros, (out,), theta.dtype)))
        (kernel, bias), *rest = layers
        given = theta @ kernel[1:] + bias.reshape((1,) * (theta.ndim - 1) + bias.shape)
        return given, kernel[0], jnp.asarray(self.least, theta.dtype), rest

    def forward(self, x: X, theta: Theta) -> tuple[X, X]:
        """The integral, and log f."""
        given = self._integrand(theta)
        y = theta[..., 0] + integral(_slope, jnp.zeros_like(x), x, given, self.nodes)
        return y, jnp.log(_slope(x, given))

    def inverse(self, y: X, theta: Theta) -> tuple[X, X]:
        """The limit of the integral that gives y."""
        given = self._integrand(theta)
        target = y - theta[..., 0]

        def total(x: X) -> tuple[X, X]:
            y = integral(_slope, jnp.zeros_like(x), x, given, self.nodes)
            return y, jnp.log(_slope(x, given))

        x = invert_increasing(total, target, *_bracket(lambda x: total(x)[0], target))
        return x, -jnp.log(_slope(x, given))


def _bracket(f: Callable[[X], X], y: X) -> tuple[X, X]:
    """(low, high) with f(low) <= y <= f(high), by doubling from [-1, 1]."""
    y = jax.lax.stop_gradient(y)

    def missed(low: X, high: X) -> tuple[Array, Array]:
        return f(low) > y, f(high) < y

    def body(carry: tuple[Any, ...]) -> tuple[Any, ...]:
        low, high, below, above, count = carry
        low, high = jnp.where(below, 2 * low, low), jnp.where(above, 2 * high, high)
        return low, high, *missed(low, high), count + 1

    def going(carry: tuple[Any, ...]) -> Array:
        return (carry[4] < MOST_DOUBLINGS) & jnp.any(carry[2] | carry[3])

    start = (-jnp.ones_like(y), jnp.ones_like(y))
    return jax.lax.while_loop(going, body, (*start, *missed(*start), 0))[:2]


def _slope(t: X, given: Any) -> X:
    """f: leaky ReLUs between the layers, and 1 + ELU at the end."""
    h, of_t, least, layers = given
    h = h + t[..., None] * of_t.reshape((1,) * t.ndim + of_t.shape)
    for kernel, bias in layers:
        h = jax.nn.leaky_relu(h) @ kernel + bias.reshape((1,) * t.ndim + bias.shape)
    return least + (1 - least) * (1 + jax.nn.elu(h[..., 0]))
