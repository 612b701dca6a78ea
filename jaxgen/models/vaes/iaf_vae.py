"""The ResNet VAE with inverse autoregressive posteriors.

Source: Kingma, Salimans, Jozefowicz, Chen, Sutskever & Welling 2016, "Improving Variational
Inference with Inverse Autoregressive Flow" (NeurIPS), section 3 and appendix C, and the official
code (openai/iaf, `tf_train.py`, `tf_utils/layers.py`), which we follow in the layers, the residual
weight of 0.1 and the flow z = (z0 - m(z0)) / exp(s(z0)). Where ours differs:

- The observation model is the method's. With "logistic" it is a discretised logistic whose scale
  is of the position and channel and whose mean is of the channels before; the code has one scale
  for all. The code's bins have no tails at the edges, so that its mass does not sum to one: its
  figures are of a valid bound, a little too pessimistic, and not quite ours.
- Data-dependent initialisation is that of Salimans & Kingma 2016, section 3: outputs start with
  mean 0 and the code's standard deviations, but smaller ones are not amplified: the top of the
  decoder starts at zero. The code stores a third of the log-scale that it computes, so that its
  first step is not of the model that it has initialised.
- Transposed convolutions are normalised per output channel; in the code per input channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from jaxgen.nn.arrays import Batched, Features, Images, Resized, Wide
from jaxgen.nn.condition import Condition
from jaxgen.nn.conv import conv, conv_transpose
from jaxgen.nn.latents import (
    Draw,
    GivenLatents,
    Group,
    Normal,
    Temperature,
    channels,
    joined,
)
from jaxgen.nn.weight_norm import DIRECTIONS, unit_kernel
from jaxgen.ops.densities import sum_event
from jaxgen.values import Natural

Posterior = tuple[Batched, Batched, Batched]  # mean, log-std, context
Known = tuple[Batched, Bool[Array, "..."] | None]  # latents, and which to take: None for all
MEMORY = ("store", "remat")
RESIDUAL = 0.1  # weight of what a block adds, and of what the flow's network gives


class WeightNormConv(nn.Module):
    """Convolution with kernels exp(log_scale) v / |v|, started on the first batch.

    Source: Salimans & Kingma 2016, Weight normalization, equations 2 and 4 to 6.

    Attributes:
        features: channels out.
        size: height and width of the kernel.
        stride: of the convolution.
        up: transposed: makes the image `stride` times as large.
        std: of the outputs on the first batch, at most.
        mask: [size, size, C, features], what of the kernel there is; None for all.
    """

    features: int
    size: int = 3
    stride: int = 1
    up: bool = False
    std: float = 0.1
    mask: np.ndarray | None = None

    @nn.compact
    def __call__(self, x: Images) -> Resized:
        """[B, H, W, C] -> [B, H', W', features]."""
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("direction", DIRECTIONS, shape, x.dtype)
        if self.mask is not None:
            kernel = kernel * jnp.asarray(self.mask, x.dtype)
        y = (conv_transpose if self.up else conv)(x, unit_kernel(kernel), self.stride)

        def scale() -> Array:
            return self.std / jnp.maximum(jnp.std(y, (0, 1, 2)), self.std)

        log_scale = self.param("log_scale", lambda _: jnp.log(scale()))
        bias = self.param("bias", lambda _: -jnp.mean(y, (0, 1, 2)) * scale())
        return y * jnp.exp(log_scale)[None, None, None] + bias[None, None, None]


def causal_mask(size: int, inputs: int, outputs: int, latent: int, strict: bool) -> np.ndarray:
    """[size, size, inputs, outputs] of an autoregressive convolution, 0 and 1.

    The last pixel comes first: a position sees the rows below it and, of its own row, what is to
    its right, as in the official code; NVAE's order is the opposite one. Channels of a position
    have degrees 0 .. latent - 1, spread evenly, and see those of smaller degree, or without
    `strict` also of the same.
    """
    before, after = (np.arange(n) * latent // n for n in (inputs, outputs))
    middle = size // 2
    mask = np.ones((size, size, inputs, outputs), np.float32)
    mask[:middle], mask[middle, :middle] = 0, 0
    mask[middle, middle] = before[:, None] < after[None] + (0 if strict else 1)
    return mask


class Flow(nn.Module):
    """z = (z0 - m(z0)) / exp(s(z0)), m and s of each latent from those before it in z0.

    What comes before is said by `causal_mask`.

    Attributes:
        hidden: channels of the hidden layers, each at least as many as latents.
    """

    hidden: Sequence[int]

    @nn.compact
    def __call__(self, z: Features, context: Wide) -> tuple[Features, Features]:
        """z0 [B, H, W, K] and context [B, H, W, hidden[0]] to z, and log q(z) - log q(z0)."""
        latent, h = z.shape[-1], z
        for i, width in enumerate(self.hidden):
            mask = causal_mask(3, h.shape[-1], width, latent, strict=False)
            h = WeightNormConv(width, std=1.0, mask=mask, name=f"layer_{i}")(h)
            h = nn.elu(h + context if i == 0 else h)
        mask = causal_mask(3, h.shape[-1], latent, latent, strict=True)
        mean, log_scale = (
            WeightNormConv(latent, std=1.0, mask=mask, name=name)(h)
            for name in ("mean", "log_scale")
        )
        log_scale = RESIDUAL * log_scale
        return (z - RESIDUAL * mean) * jnp.exp(-log_scale), log_scale


class Up(nn.Module):
    """A block of the upward pass, which gives what its group's posterior needs.

    Attributes:
        latent: channels of z.
        stride: 2 halves the image.
    """

    latent: int
    stride: int = 1

    @nn.compact
    def __call__(self, x: Images, _: None) -> tuple[Resized, Posterior]:
        """[B, H, W, C] to the next x, and (mean, log-std, context)."""
        width, k = x.shape[-1], self.latent
        h = WeightNormConv(2 * k + 2 * width, stride=self.stride, name="first")(nn.elu(x))
        mean, log_std, context, h = jnp.split(h, [k, 2 * k, 2 * k + width], -1)
        h = WeightNormConv(width, name="second")(nn.elu(h))
        x = x[:, :: self.stride, :: self.stride]  # the nearest neighbour of the official code
        return x + RESIDUAL * h, (mean, log_std, context)


class Down(nn.Module):
    """A block of the downward pass: one group of latents.

    Attributes:
        latent: channels of z.
        hidden: of the flow's network; () leaves the posterior normal.
        stride: 2 doubles the image after the latents.
    """

    latent: int
    hidden: Sequence[int]
    stride: int = 1

    @nn.compact
    def __call__(
        self, x: Images, up: Posterior | None, given: Known | None, temperature: Temperature
    ) -> tuple[Resized, Group]:
        """x [B, H, W, C] to the next x, and the group.

        Args:
            x: from the top.
            up: what `Up` gave, None to draw from the prior.
            given: None, or (z, known): latents and whether to take them.
            temperature: of draws from the prior.
        """
        width, k = x.shape[-1], self.latent
        h = WeightNormConv(4 * k + 2 * width, name="first")(nn.elu(x))
        mean, log_std, added_mean, added_log_std, context, h = jnp.split(
            h, [k, 2 * k, 3 * k, 4 * k, 4 * k + width], -1
        )
        prior = Normal(mean, log_std)
        if up is None:
            z = self._from_prior(prior, given, temperature)
            log_p = sum_event(prior.log_prob(z))
            group = Group(z, None, jnp.zeros_like(log_p), log_p)
        else:
            base = Normal(added_mean + up[0], added_log_std + up[1])
            z, log_q = self._from_posterior(base, context + up[2])
            log_p = prior.log_prob(z)
            group = Group(z, channels(log_q - log_p), sum_event(log_q), sum_event(log_p))
        h = nn.elu(jnp.concatenate([group.z, h], -1))
        h = WeightNormConv(width, stride=self.stride, up=self.stride > 1, name="second")(h)
        x = jnp.repeat(jnp.repeat(x, self.stride, 1), self.stride, 2)
        return x + RESIDUAL * h, group

    def _from_prior(self, prior: Normal, given: Known | None, temperature: Temperature) -> Features:
        if given is None:
            return prior.sample(self.make_rng("latent"), temperature)
        z, known = given
        if known is None:
            return z
        return jnp.where(known, z, prior.sample(self.make_rng("latent"), temperature))

    def _from_posterior(self, base: Normal, context: Features) -> tuple[Wide, Wide]:
        """A draw, and its log-density elementwise."""
        z = base.sample(self.make_rng("latent"))
        log_q = base.log_prob(z)
        if self.hidden:
            z, more = Flow(self.hidden, name="flow")(z, context)
            log_q = log_q + more
        return z, log_q


class IAFVAE(nn.Module):
    """The model; see `nn.latents`. The divergence is that of the draw, log q - log p.

    The first convolution halves the image. Of each level but the first, the first block halves it
    once more; the other blocks have their parameters stacked on a first axis and run in a scan.
    Groups are drawn from the last level to the first, and in a level from the last block.

    Attributes:
        levels: number of resolutions.
        blocks: of each level, a group of latents each.
        width: channels.
        latent: channels of z.
        flow_layers: hidden layers of the flow's network, `width` channels each; 0 leaves the
            posterior normal.
        memory: "store" keeps all activations for the backward pass, "remat" one per block.
    """

    levels: int = 1
    blocks: int = 20
    width: int = 160
    latent: int = 32
    flow_layers: Natural = 2
    memory: str = "store"

    def _check(self, shape: Sequence[int], cond: Condition | None) -> None:
        """Raises ValueError where the options, the image or the condition do not fit."""
        height, wide = shape[1:3]
        if cond is not None:
            raise ValueError("IAFVAE takes no condition: leave method.given empty")
        if self.memory not in MEMORY:
            raise ValueError(f"memory={self.memory!r}, expected one of {MEMORY}")
        if min(self.levels, self.blocks) < 1:
            raise ValueError(
                f"levels={self.levels}, blocks={self.blocks}: expected 1 or more of each"
            )
        if self.flow_layers and self.width < self.latent:
            raise ValueError(f"width={self.width}: expected at least latent={self.latent}")
        if height % 2**self.levels or wide % 2**self.levels:
            raise ValueError(
                f"levels={self.levels}: expected images whose sides {2**self.levels} divides, "
                f"got {height}x{wide}"
            )

    def _parts(self) -> list[tuple[str, int, int]]:
        """(name, blocks, stride) of the runs of equal blocks, in the order of the upward pass."""
        parts = [("0", self.blocks, 1)]
        for i in range(1, self.levels):
            parts.append((f"{i}_first", 1, 2))
            if self.blocks > 1:
                parts.append((str(i), self.blocks - 1, 1))
        return parts

    def _scan(self, block: Any, length: int, stride: int, in_axes: Any) -> Any:
        """So many blocks in a scan; the one that changes the size of the image is no scan."""
        if self.memory == "remat":
            block = nn.remat(block, prevent_cse=False)
        if stride > 1:
            return block
        return nn.scan(
            block,
            variable_axes={"params": 0},
            split_rngs={"params": True, "latent": True},
            in_axes=in_axes,
            out_axes=1,
            length=length,
        )

    def setup(self) -> None:
        """Names the blocks."""
        self.enter = WeightNormConv(self.width, 5, 2)
        self.top = self.param("top", nn.initializers.zeros, (self.width,))
        hidden, axes = (self.width,) * self.flow_layers, (1, 1, nn.broadcast)
        self.up = [
            self._scan(Up, n, stride, 1)(self.latent, stride, name=f"up_{name}")
            for name, n, stride in self._parts()
        ]
        self.down = [
            self._scan(Down, n, stride, axes)(self.latent, hidden, stride, name=f"down_{name}")
            for name, n, stride in self._parts()
        ]

    def __call__(self, x: Images, size: tuple[int, ...], cond: Condition | None = None) -> Draw:
        """x [B, H, W, C] in [0, 1] to a draw whose theta has shape `size`."""
        return self.top_down(self.bottom_up(x, cond), size, cond)

    def bottom_up(self, x: Images, cond: Condition | None = None) -> tuple[Posterior, ...]:
        """What the posteriors need, [B, blocks, H, W, ...] of each part, in drawing order."""
        self._check(x.shape, cond)
        h, seen = self.enter(x - 0.5), []
        for part, (_, _, stride) in zip(self.up, self._parts(), strict=True):
            h, out = part(h, None)
            out = _as_run(out) if stride > 1 else out
            seen.append(jax.tree.map(lambda v: jnp.flip(v, 1), out))
        return tuple(seen[::-1])

    def top_down(
        self,
        h: tuple[Posterior, ...] | None,
        size: tuple[int, ...],
        cond: Condition | None = None,
        given: GivenLatents | None = None,
        temperature: Temperature = 1.0,
    ) -> Draw:
        """See `nn.latents`.

        `given` goes with the prior only: a posterior's density of it would take the inverse of
        the flow.
        """
        self._check(size, cond)
        if h is not None and given is not None:
            raise ValueError("given: expected h=None, the flow of the posterior is not inverted")
        left: GivenLatents = given or [None] * (self.levels * self.blocks)
        shape = (size[0], *(n // 2**self.levels for n in size[1:3]), self.width)
        x, drawn = jnp.broadcast_to(self.top[None, None, None], shape), []
        for i, (_, n, stride) in enumerate(self._parts()[::-1]):
            part, inputs = self.down[::-1][i], (None if h is None else h[i], _stacked(left[:n]))
            left = left[n:]
            if stride > 1:
                inputs = jax.tree.map(lambda v: v[:, 0], inputs)
            x, run = part(x, *inputs, temperature)
            run = _as_run(run) if stride > 1 else run
            drawn += [jax.tree.map(lambda v, j=j: v[:, j], run) for j in range(n)]
        return joined(self._theta(x, size[-1]), drawn)

    @nn.compact
    def _theta(self, x: Images, features: int) -> Resized:
        return WeightNormConv(features, 5, 2, up=True, name="theta")(nn.elu(x))


def _as_run(tree: Any) -> Any:
    """What one block gives, as a scan of one would: [B, 1, ...]."""
    return jax.tree.map(lambda v: v[:, None], tree)


def _stacked(given: GivenLatents) -> Known | None:
    """Latents of a part, [B, n, ...], and which are known: None if all are. None if none is."""
    known = [z is not None for z in given]
    if not any(known):
        return None
    like = next(z for z in given if z is not None)
    z = jnp.stack([jnp.zeros_like(like) if z is None else z for z in given], 1)
    return z, None if all(known) else jnp.array(known).reshape(1, -1, 1, 1, 1)
