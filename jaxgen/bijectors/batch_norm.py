"""Batch normalisation as a bijector, with the statistics of the batch or running ones."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxgen.bijectors.base import Bijector, LogDet, per_channel, zero_logdet
from jaxgen.bijectors.masks import Mask
from jaxgen.ops.densities import sum_event

X = Float[Array, "b *event c"]
Channels = Float[Array, " c"]


class BatchNorm(Bijector):
    """x -> (x - mean) / sqrt(var + eps), of each channel over the batch and all positions.

    `forward` trains where the collection "batch_stats" is mutable: it then uses the moments of
    this batch, through which the gradient passes, and moves the running ones towards them. The
    log-determinant counts them as constants. Everywhere else, and in `inverse` always, the
    running moments are used, and what becomes of an example does not depend on the others. They
    start as the moments of the first batch.

    Source: Dinh et al. 2017, RealNVP, section 3.7 and appendix E. As in the official code's
    default (`DEFAULT_BN_LAG = 0`) training uses the batch alone, not the appendix's mixture
    with running moments. Moments are of the elements that the mask does not keep; the official
    code's include a zero for every kept element. `learned` is that of Papamakarios et al. 2017,
    MAF, section 3.1 and appendix B.

    Attributes:
        mask: elements that stay as they are; None normalises all.
        momentum: of the running moments.
        eps: added to the variance.
        learned: then multiply by a learned exp(log_scale) and add a learned bias.
    """

    mask: Mask | None = None
    momentum: float = 0.9
    eps: float = 1e-4
    learned: bool = False

    @property
    def reversible(self) -> bool:
        """No: while training, `inverse` is of other moments than `forward`."""
        return False

    def _changed(self, x: X) -> Bool[np.ndarray, "*event c"]:
        shape = x.shape[1:]
        return np.ones(shape, bool) if self.mask is None else ~self.mask.kept(shape)

    @nn.compact
    def _params(self, x: X, training: bool) -> tuple[Channels, Channels, Channels]:
        """Mean, logarithm of what multiplies x - mean, and what is added then."""
        changed = self._changed(x)
        mean = self.variable("batch_stats", "mean", lambda: _moments(x, changed)[0])
        var = self.variable("batch_stats", "var", lambda: _moments(x, changed)[1])
        used = mean.value, var.value
        if training and not self.is_initializing():
            used = _moments(x, changed)
            for running, moment in zip((mean, var), used, strict=True):
                running.value = self.momentum * running.value + (1 - self.momentum) * moment
        log_scale, bias = -0.5 * jnp.log(used[1] + self.eps), jnp.zeros_like(used[0])
        if self.learned:
            zeros = nn.initializers.zeros
            log_scale += self.param("log_scale", zeros, x.shape[-1:], x.dtype)
            bias = self.param("bias", zeros, x.shape[-1:], x.dtype)
        return used[0], log_scale, bias

    def forward(self, x: X, cond: Any = None) -> tuple[X, LogDet]:
        """Normalises."""
        training = self.is_mutable_collection("batch_stats")
        mean, log_scale, bias = (per_channel(v, x.ndim) for v in self._params(x, training))
        y = (x - mean) * jnp.exp(log_scale) + bias
        return jnp.where(self._changed(x)[None], y, x), self._logdet(x, log_scale)

    def inverse(self, y: X, cond: Any = None) -> tuple[X, LogDet]:
        """Undoes what `forward` does outside of training."""
        mean, log_scale, bias = (per_channel(v, y.ndim) for v in self._params(y, False))
        x = (y - bias) * jnp.exp(-log_scale) + mean
        return jnp.where(self._changed(y)[None], x, y), -self._logdet(y, log_scale)

    def _logdet(self, x: X, log_scale: Float[Array, "..."]) -> LogDet:
        return zero_logdet(x) + sum_event(jnp.where(self._changed(x)[None], log_scale, 0))


def _moments(x: X, changed: Bool[np.ndarray, "*event c"]) -> tuple[Channels, Channels]:
    """Mean and variance of each channel, over the batch and the positions that count."""
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    axes = tuple(range(x.ndim - 1))
    changed = changed[None]
    count = np.maximum(len(x) * changed.sum(axes), 1)
    mean = jnp.sum(jnp.where(changed, x, 0), axes) / count
    square = jnp.square(jnp.where(changed, x - per_channel(mean, x.ndim), 0))
    return mean, jnp.sum(square, axes) / count
