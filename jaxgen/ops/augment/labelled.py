"""Augmentation of training data whose labels tell a network what was done: nothing leaks.

Source: Karras et al. 2022, "Elucidating the Design Space of Diffusion-Based Generative Models"
(NeurIPS), appendix F.2 and table 6, with the official code's strengths; mirroring at the vertical
axis is always on, as in its runs on CIFAR-10, FFHQ and AFHQ. Between the borders the geometry is a
map of the image at twice the resolution, through the filter of Karras et al. 2020 (StyleGAN2 with
ADA), appendix B; beyond them the image is mirrored.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.ops.augment.ada import affine, happens, warped
from jaxgen.ops.upfirdn import upfirdn

Images = Float[Array, "b h w c"]
Each = Float[Array, " b"]
LABELS = 9
SCALE, STRETCH, SHIFT, TURNED = 0.2, 0.2, 0.125, 0.5
# The low-pass filter of the symlet of order 6 (Daubechies 1992, Ten lectures on wavelets, 8.1).
SYMLET = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)
ROOM = len(SYMLET) // 4  # pixels around the result that the filter needs


class Change(NamedTuple):
    """What is done to each image, [B] each; all 0 is nothing.

    Attributes:
        mirrored: 1 where left and right are exchanged.
        flipped: 1 where top and bottom are.
        scale: size, in steps of 2^0.2.
        angle: of rotation, in radians.
        stretch: along an axis, and by as much less across it, in steps of 2^0.2.
        axis: its direction, in radians.
        right: shift in eighths of the width.
        down: in eighths of the height.
    """

    mirrored: Each
    flipped: Each
    scale: Each
    angle: Each
    stretch: Each
    axis: Each
    right: Each
    down: Each


def drawn(rng: Array, p: float, num: int) -> Change:
    """Changes of `num` images: each kind with probability p, mirroring in half of the images."""
    keys = iter(jax.random.split(rng, 13))

    def normal(chosen: Array) -> Array:
        return chosen * jax.random.normal(next(keys), (num,))

    def turn(chosen: Array) -> Array:
        return chosen * jax.random.uniform(next(keys), (num,), minval=-math.pi, maxval=math.pi)

    moved = happens(next(keys), p, num)
    return Change(
        happens(next(keys), 0.5, num),
        happens(next(keys), 0.5 * p, num),
        normal(happens(next(keys), p, num)),
        turn(happens(next(keys), p, num)),
        normal(happens(next(keys), p, num)),
        turn(happens(next(keys), TURNED, num)),
        normal(moved),
        normal(moved),
    )


def labels(change: Change) -> Float[Array, "b 9"]:
    """What a network is told: 0 of what was not done."""
    c = change
    turned = [jnp.cos(c.angle) - 1, jnp.sin(c.angle)]
    stretched = [c.stretch * jnp.cos(c.axis), c.stretch * jnp.sin(c.axis)]
    return jnp.stack(
        [c.mirrored, c.flipped, c.scale, *turned, *stretched, c.right, c.down], axis=-1
    )


def changed(x: Images, change: Change) -> Images:
    """Images as `change` says: mirrored, then scaled, turned, stretched and shifted."""
    h, w = x.shape[1:3]
    x = jnp.where(_each(change.mirrored) > 0, x[:, :, ::-1], x)
    x = jnp.where(_each(change.flipped) > 0, x[:, ::-1], x)
    maps = geometry(change, h, w)
    x = jnp.pad(x, ((0, 0), (h - 1, h - 1), (w - 1, w - 1), (0, 0)), mode="reflect")
    before = len(SYMLET) // 2
    x = upfirdn(x, SYMLET, up=2, pad=(before, before - 1))
    # twice as large, and pixels lie half a pixel off the centre, as the filter is of even length
    half = jnp.full(len(x), 0.5)
    maps = maps.at[:, :2, 2].multiply(2)
    maps = _shift(-half, -half) @ maps @ _shift(half, half)
    x = warped(x, maps, (2 * (h + 2 * ROOM), 2 * (w + 2 * ROOM)))
    x = upfirdn(x, SYMLET, down=2, pad=(before - 1, before - 1), flip=True)
    return x[:, ROOM : ROOM + h, ROOM : ROOM + w]


def geometry(change: Change, height: int, width: int) -> Float[Array, "b 3 3"]:
    """Maps from pixels of the result to pixels of the image, around the centre."""
    c = change
    scale, stretch = jnp.exp2(-SCALE * c.scale), jnp.exp2(-STRETCH * c.stretch)
    zero = jnp.zeros_like(scale)
    across = affine(stretch, zero, zero, 1 / stretch, zero, zero)
    parts = (
        affine(scale, zero, zero, scale, zero, zero),
        _rotation(c.angle),
        _rotation(-c.axis) @ across @ _rotation(c.axis),
        _shift(-SHIFT * width * c.right, -SHIFT * height * c.down),
    )
    total = parts[0]
    for part in parts[1:]:
        total = total @ part
    return total


def _rotation(angle: Each) -> Float[Array, "b 3 3"]:
    zero, cos, sin = jnp.zeros_like(angle), jnp.cos(angle), jnp.sin(angle)
    return affine(cos, -sin, sin, cos, zero, zero)


def _shift(x: Each, y: Each) -> Float[Array, "b 3 3"]:
    one, zero = jnp.ones_like(x), jnp.zeros_like(x)
    return affine(one, zero, zero, one, x, y)


def _each(v: Each) -> Float[Array, "b 1 1 1"]:
    return v.reshape(-1, 1, 1, 1)
