"""Images that grow while one trains: the level at a step, and images as a level sees them.

A level is the binary logarithm of a side: 4x4 is level 2. Between two levels the new one is faded
in: `alpha` is its share.

Source: Karras et al. 2018, "Progressive Growing of GANs", section 2 and appendix A.1, with the
official code (tkarras/progressive_growing_of_gans, `train.py`) where the paper is silent.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

Images = Float[Array, "b h w c"]
Resized = Float[Array, "b h2 w2 c"]


@dataclasses.dataclass(frozen=True)
class Growth:
    """Every level but the last is trained for `stable` steps, then the next faded in for `fade`.

    Attributes:
        first: level at step 0.
        last: the highest.
        stable: train steps.
        fade: train steps; 0 for none.
    """

    first: int
    last: int
    stable: int
    fade: int

    @property
    def levels(self) -> range:
        """All of them."""
        return range(self.first, self.last + 1)

    def at(self, step: Any) -> tuple[Array, Array]:
        """The level at a train step, int32, and the share of its own images, in (0, 1].

        A level is alone for one step more than `stable`: that at which the next one's share is 0.
        """
        phase, within = self._phase(step)
        fading = self._fading(phase, within)
        level = self.first + jnp.minimum(phase + fading, self.last - self.first)
        share = (within - self.stable).astype(jnp.float32) / max(self.fade, 1)
        return level, jnp.where(fading, share, 1.0)

    def changes(self, step: Any) -> Array:
        """Whether a fade begins or has ended at a train step: bool."""
        before, now = (
            jnp.stack([phase, self._fading(phase, within)])
            for phase, within in (self._phase(step - 1), self._phase(step))
        )
        return (step > 0) & jnp.any(before != now)

    def _phase(self, step: Any) -> tuple[Array, Array]:
        """Phases done, as many as there are levels to come at most, and steps since."""
        length = max(self.stable + self.fade, 1)
        phase = jnp.minimum(jnp.asarray(step, jnp.int32) // length, self.last - self.first)
        return phase, step - phase * length

    def _fading(self, phase: Array, within: Array) -> Array:
        return (phase < self.last - self.first) & (within > self.stable)


def top_level(size: Sequence[int]) -> int:
    """The lowest level, 2 or more, that holds an image of [H, W]."""
    return max(2, math.ceil(math.log2(max(size))))


def shrunk(x: Images, factor: int) -> Resized:
    """Means of blocks of `factor` by `factor` pixels."""
    b, h, w, c = x.shape
    return jnp.mean(x.reshape(b, h // factor, factor, w // factor, factor, c), axis=(2, 4))


def enlarged(x: Images, factor: int) -> Resized:
    """Every pixel as a block of `factor` by `factor`."""
    b, h, w, c = x.shape
    shape = (b, h, factor, w, factor, c)
    wide = jnp.broadcast_to(x[:, :, None, :, None], shape)
    return wide.reshape(b, h * factor, w * factor, c)


def padded(x: Images, side: int) -> Resized:
    """Zeros around, to `side` by `side`."""
    missing = [side - n for n in x.shape[1:3]]
    pads = [(0, 0), *((n // 2, n - n // 2) for n in missing), (0, 0)]
    return jnp.pad(x, pads) if any(missing) else x


def cut(x: Images, size: tuple[int, int]) -> Resized:
    """The middle, [H, W]: what `padded` was given."""
    top, left = ((n - m) // 2 for n, m in zip(x.shape[1:3], size, strict=True))
    return x[:, top : top + size[0], left : left + size[1]]


def faded(old: Images, new: Images, alpha: Any) -> Images:
    """`old` at 0, `new` at 1, exactly."""
    return (1 - alpha) * old + alpha * new


def coarse(x: Num[Array, "b h w c"], level: int, alpha: Any) -> Images:
    """Images of the same size with the details of a level, `alpha` of them where it fades in.

    Blocks at the border of images whose side is not a power of two are means of what is inside.

    Args:
        x: images.
        level: what they are brought to.
        alpha: of the level's own details; the rest is of the one below.
    """
    size = x.shape[1], x.shape[2]
    top = top_level(size)
    inside = np.pad(
        np.ones(size, np.float32),
        [((2**top - n) // 2, 2**top - n - (2**top - n) // 2) for n in size],
    )
    wide = padded(x.astype(jnp.float32), 2**top)

    def blocks(factor: int) -> Array:
        sides = inside.reshape(2**top // factor, factor, 2**top // factor, factor)
        weight = np.maximum(sides.mean((1, 3)), np.float32(1e-6))
        means = shrunk(wide, factor) / weight.reshape(1, *weight.shape, 1)
        return cut(enlarged(means, factor), size)

    own = blocks(2 ** (top - level))
    if level == 2:
        return own
    return faded(blocks(2 ** (top - level + 1)), own, alpha)


def switched(
    index: Any, losses: Sequence[Callable[..., Any]], params: Any, *rest: Any
) -> tuple[Array, Any]:
    """`losses[index](params, *rest)`, one of several functions of one signature.

    The gradient by `params` is taken inside of the chosen branch: nothing of the others is
    computed or kept, where autodiff of a `lax.switch` keeps what every branch would need. It is
    of first order, and by `params` alone.

    Args:
        index: int32 scalar.
        losses: (params, *rest) -> (scalar, whatever).
        params: what one differentiates by.
        *rest: whatever the losses take.
    """

    @jax.custom_vjp
    def choose(params: Any, index: Any, rest: Any) -> Any:
        return jax.lax.switch(index, losses, params, *rest)

    def forward(params: Any, index: Any, rest: Any) -> Any:
        branches = [jax.value_and_grad(loss, has_aux=True) for loss in losses]
        return jax.lax.switch(index, branches, params, *rest)

    def backward(slope: Any, cotangents: Any) -> Any:
        scale = functools.partial(jnp.multiply, cotangents[0])
        return jax.tree.map(scale, slope), None, None

    choose.defvjp(forward, backward)
    return choose(params, index, rest)
