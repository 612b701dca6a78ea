"""Elementwise transform by the distribution function of a mixture of logistics."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.ops.roots import invert_increasing

X = Float[Array, "*shape"]
Theta = Float[Array, "*shape features"]
Components = Float[Array, "*shape k"]

WIDEST = 7.0  # of a component's log-scale


@dataclasses.dataclass(frozen=True)
class MixtureLogistic:
    """x -> logit(F(x)) * exp(a) + b, with F the distribution function of a mixture of logistics.

    Computed in the logarithms of F and 1 - F, so that both tails are exact; there the map is a
    straight line. Its inverse is found by Newton's method, between the solutions of the single
    components.

    Source: Ho et al. 2019, Flow++, section 3.2, equations 12 and 13; a = tanh(raw) and the
    narrowest component are those of the official code. That no component is wider than e^7 is
    ours.

    Attributes:
        components: K.
        narrowest: least log-scale of a component.
    """

    components: int = 8
    narrowest: float = -7.0

    @property
    def features(self) -> int:
        """Log-scale and shift; K logits, means and log-scales."""
        return 2 + 3 * self.components

    @property
    def reversible(self) -> bool:
        """False: the inverse is a search."""
        return False

    def _params(self, theta: Theta) -> tuple[X, X, Components, Components, Components]:
        logits, means, log_scales = jnp.split(theta[..., 2:], 3, axis=-1)
        log_scales = jnp.clip(log_scales, self.narrowest, WIDEST)
        return jnp.tanh(theta[..., 0]), theta[..., 1], logits, means, log_scales

    def forward(self, x: X, theta: Theta) -> tuple[X, X]:
        """Equation 12 and its affine map."""
        scale, shift, *mixture = self._params(theta)
        z, log_slope = logit_mixture(x, *mixture)
        return z * jnp.exp(scale) + shift, log_slope + scale

    def inverse(self, y: X, theta: Theta) -> tuple[X, X]:
        """By a search between the components' own inverses, of which F's is an average."""
        scale, shift, logits, means, log_scales = self._params(theta)
        z = (y - shift) * jnp.exp(-scale)
        single = means + jnp.exp(log_scales) * z[..., None]
        x = invert_increasing(
            lambda x: logit_mixture(x, logits, means, log_scales),
            z,
            jnp.min(single, axis=-1),
            jnp.max(single, axis=-1),
        )
        return x, -logit_mixture(x, logits, means, log_scales)[1] - scale


def logit_mixture(
    x: X, logits: Components, means: Components, log_scales: Components
) -> tuple[X, X]:
    """logit(F(x)) of a mixture of logistics, and the logarithm of its slope."""
    t = (x[..., None] - means) * jnp.exp(-log_scales)
    log_weights = jax.nn.log_softmax(logits, axis=-1)
    below, above = jax.nn.log_sigmoid(t), jax.nn.log_sigmoid(-t)
    log_cdf = jax.nn.logsumexp(log_weights + below, axis=-1)
    log_rest = jax.nn.logsumexp(log_weights + above, axis=-1)
    # With r_k the share of component k in F, the slope f / (F (1 - F)) is the sum over k of
    # r_k (1 - F_k) / (1 - F) / scale_k: in the left tail a ratio of ones. Mirrored, in the right.
    left = (log_cdf < log_rest)[..., None]
    ratio = jnp.where(left, above - log_rest[..., None], below - log_cdf[..., None])
    share = jax.nn.log_softmax(log_weights + jnp.where(left, below, above), axis=-1)
    return log_cdf - log_rest, jax.nn.logsumexp(share + ratio - log_scales, axis=-1)
