"""Adaptive discriminator augmentation: how often images change follows the discriminator.

Source: Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data" (NeurIPS),
section 3 and appendix B, with the strengths of the official code's "bgc" (blits, geometry,
colours). All geometry is one affine map, bilinear, with mirrored borders; the official code
filters at twice the resolution around it, which differs for steep rotations of fine detail.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Annotated

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.ops.games import Maps, per_example
from jaxgen.schedules import Scheduled, value

Images = Float[Array, "b h w c"]
LUMA = 1 / math.sqrt(3)  # the grey axis, each colour


def happens(rng: Array, p: Array | float, num: int) -> Float[Array, " b"]:
    """1 with probability p, else 0, for each image."""
    return (jax.random.uniform(rng, (num,)) < p).astype(jnp.float32)


def _eye(num: int, size: int) -> Array:
    return jnp.broadcast_to(jnp.eye(size)[None], (num, size, size))


def affine(a: Array, b: Array, c: Array, d: Array, x: Array, y: Array) -> Array:
    """[[a, b, x], [c, d, y], [0, 0, 1]] of each image, from [B] each."""
    zero, one = jnp.zeros_like(a), jnp.ones_like(a)
    rows = [jnp.stack(row, -1) for row in ((a, b, x), (c, d, y), (zero, zero, one))]
    return jnp.stack(rows, axis=1)


def geometry(rng: Array, p: Array, num: int, height: int, width: int) -> Float[Array, "b 3 3"]:
    """Maps from pixels of the result to pixels of the image, around the centre.

    In the official order: mirror, quarter turns, whole shifts, scale, rotation, stretch, rotation,
    fractional shift. The probability of either rotation is 1 - sqrt(1 - p).

    Args:
        rng: a key.
        p: probability of each change.
        num: images.
        height: of an image.
        width: of an image.
    """
    keys = iter(jax.random.split(rng, 20))
    zero, one = jnp.zeros(num), jnp.ones(num)
    total = _eye(num, 3)

    def compose(matrix: Array) -> None:
        nonlocal total
        total = total @ matrix

    def normal(scale: float) -> Array:
        return scale * jax.random.normal(next(keys), (num,))

    mirror = happens(next(keys), p, num) * jax.random.bernoulli(next(keys), 0.5, (num,))
    compose(affine(1 - 2 * mirror, zero, zero, one, zero, zero))
    turns = happens(next(keys), p, num) * jax.random.randint(next(keys), (num,), 0, 4)
    quarter = jnp.round(turns)
    cos, sin = jnp.round(jnp.cos(quarter * math.pi / 2)), jnp.round(jnp.sin(quarter * math.pi / 2))
    compose(affine(cos, -sin, sin, cos, zero, zero))
    whole = happens(next(keys), p, num)
    shift = jax.random.uniform(next(keys), (2, num), minval=-0.125, maxval=0.125)
    compose(
        affine(
            one,
            zero,
            zero,
            one,
            jnp.round(whole * shift[0] * width),
            jnp.round(whole * shift[1] * height),
        )
    )
    scale = jnp.exp2(-happens(next(keys), p, num) * normal(0.2))
    compose(affine(scale, zero, zero, scale, zero, zero))
    rotates = 1 - jnp.sqrt(1 - jnp.minimum(p, 1.0))

    def rotation() -> Array:
        turned = happens(next(keys), rotates, num)
        angle = turned * jax.random.uniform(next(keys), (num,), minval=-math.pi, maxval=math.pi)
        return affine(jnp.cos(angle), jnp.sin(angle), -jnp.sin(angle), jnp.cos(angle), zero, zero)

    compose(rotation())
    stretch = jnp.exp2(-happens(next(keys), p, num) * normal(0.2))
    compose(affine(stretch, zero, zero, 1 / stretch, zero, zero))
    compose(rotation())
    moved = happens(next(keys), p, num)
    compose(
        affine(one, zero, zero, one, moved * normal(0.125) * width, moved * normal(0.125) * height)
    )
    return total


def warped(
    x: Images, maps: Float[Array, "b 3 3"], size: tuple[int, int] | None = None
) -> Float[Array, "b h2 w2 c"]:
    """Each image at the places that its map says, bilinear, mirrored beyond the borders.

    Args:
        x: images.
        maps: from pixels of the result, measured from the centre, to those of x.
        size: height and width of the result; None: those of x.
    """
    b, h, w, _ = x.shape
    size = size or (h, w)
    middle = jnp.array([(w - 1) / 2, (h - 1) / 2])
    rows, columns = jnp.meshgrid(*map(jnp.arange, size), indexing="ij")
    centre = jnp.array([(size[1] - 1) / 2, (size[0] - 1) / 2])
    places = jnp.stack([columns, rows], -1).reshape(-1, 2) - centre[None]
    at = jnp.einsum("bij,nj->bni", maps[:, :2, :2], places) + maps[:, None, :2, 2]
    at = at + middle.reshape(1, 1, 2)
    low = jnp.floor(at)
    part = at - low
    low = low.astype(jnp.int32)

    def taken(dx: int, dy: int) -> Array:
        column, row = _mirrored(low[..., 0] + dx, w), _mirrored(low[..., 1] + dy, h)
        flat = x.reshape(b, h * w, -1)
        return jnp.take_along_axis(flat, (row * w + column)[..., None], axis=1)

    fx, fy = part[..., :1], part[..., 1:]
    top = (1 - fx) * taken(0, 0) + fx * taken(1, 0)
    bottom = (1 - fx) * taken(0, 1) + fx * taken(1, 1)
    return ((1 - fy) * top + fy * bottom).reshape(b, *size, -1)


def _mirrored(index: Array, size: int) -> Array:
    """Reflected at the first and the last pixel, which are not repeated."""
    period = max(2 * (size - 1), 1)
    folded = jnp.mod(index, period)
    return jnp.where(folded >= size, period - folded, folded)


def colours(rng: Array, p: Array, num: int) -> Float[Array, "b 4 4"]:
    """Maps of homogeneous colours: brightness, contrast, luma flip, hue, saturation.

    Args:
        rng: a key.
        p: probability of each change.
        num: images.
    """
    keys = iter(jax.random.split(rng, 10))
    grey = jnp.array([LUMA, LUMA, LUMA, 0.0])
    along = jnp.outer(grey, grey)  # the projection on the grey axis
    total, eye = _eye(num, 4), jnp.eye(4)

    def each(v: Array) -> Array:
        return v.reshape(num, 1, 1)

    def step(matrix: Array) -> None:
        nonlocal total
        total = matrix @ total

    def normal(scale: float) -> Array:
        return happens(next(keys), p, num) * scale * jax.random.normal(next(keys), (num,))

    added = jnp.zeros((4, 4)).at[:3, 3].set(1.0)
    step(eye[None] + each(normal(0.2)) * added[None])
    contrast = jnp.exp2(normal(0.5))
    three = jnp.diag(jnp.array([1.0, 1.0, 1.0, 0.0]))
    step(eye[None] + each(contrast - 1) * three[None])
    both = jax.random.split(next(keys))
    flip = happens(both[0], p, num) * jax.random.bernoulli(both[1], 0.5, (num,))
    step(eye[None] - 2 * each(flip) * along[None])
    both = jax.random.split(next(keys))
    angle = jax.random.uniform(both[1], (num,), minval=-math.pi, maxval=math.pi)
    step(_turned(happens(both[0], p, num) * angle, along, three))
    saturation = jnp.exp2(normal(1.0))
    step(eye[None] + each(saturation - 1) * (three - along)[None])
    return total


def _turned(angle: Array, along: Array, three: Array) -> Array:
    """Rotations around the grey axis (Rodrigues)."""
    cross = LUMA * jnp.array(
        [[0.0, -1.0, 1.0, 0.0], [1.0, 0.0, -1.0, 0.0], [-1.0, 1.0, 0.0, 0.0], [0.0] * 4]
    )
    angle = angle.reshape(-1, 1, 1)
    rest = (jnp.eye(4) - three)[None]
    return (
        along[None] + jnp.cos(angle) * (three - along)[None] + jnp.sin(angle) * cross[None] + rest
    )


def coloured(x: Images, maps: Float[Array, "b 4 4"]) -> Images:
    """Colours through their maps; of grey images the mean of the three colours they stand for."""
    if x.shape[-1] == 3:
        return jnp.einsum("bij,bhwj->bhwi", maps[:, :3, :3], x) + maps[:, None, None, :3, 3]
    gain = jnp.sum(maps[:, :3, :3], axis=(1, 2)) / 3
    shift = jnp.mean(maps[:, :3, 3], axis=1)
    return gain.reshape(-1, 1, 1, 1) * x + shift.reshape(-1, 1, 1, 1)


def window(rng: Array, p: Array, num: int, height: int, width: int) -> Float[Array, "b h w 1"]:
    """0 in a square of half the sides, centred anywhere, with probability p; else 1."""
    which, where = jax.random.split(rng)
    centres = jax.random.uniform(where, (2, num, 1))
    far = [
        jnp.abs((jnp.arange(side) + 0.5)[None] / side - centre) >= 0.25
        for side, centre in zip((height, width), centres, strict=True)
    ]
    keep = far[0][:, :, None] | far[1][:, None] | (happens(which, p, num) == 0)[:, None, None]
    return keep[..., None].astype(jnp.float32)


@dataclasses.dataclass(frozen=True)
class ADA:
    """Augmentation with a probability p that is adapted.

    Every `interval` steps p moves by the sign of r - `target`, r the mean sign of the
    discriminator's logits of real images since then, at a speed that takes p from 0 to 1 in
    `images` images. It does not fall below 0; above 1 it has no more effect.

    Attributes:
        target: of r; beyond -1 p always rises.
        interval: train steps between adaptations.
        images: that move p by one.
        fixed: this p instead, of a train step; None adapts.
        colour: times p is the probability of changes of colours.
        cutout: times p is that of a grey square of half the sides anywhere.
    """

    target: Annotated[float, -math.inf] = 0.6
    interval: int = 4
    images: int = 500_000
    fixed: Scheduled | None = None
    colour: float = 1.0
    cutout: float = 0.0

    def start(self) -> dict[str, Array]:
        """p, and the signs seen since it moved."""
        first = 0.0 if self.fixed is None else value(self.fixed, jnp.int32(0))
        return {"p": jnp.float32(first), "signs": jnp.float32(0), "seen": jnp.float32(0)}

    def apply(self, rng: Array, x: Images, kept: dict[str, Array]) -> Images:
        """Augmented images, differentiable by x; where p is 0 they are the images, bit by bit."""
        place, colour = jax.random.split(rng)
        b, h, w, _ = x.shape
        p = kept["p"]

        def change(x: Array) -> Array:
            changed = warped(x, geometry(place, p, b, h, w))
            changed = coloured(changed, colours(colour, self.colour * p, b))
            if self.cutout:
                changed *= window(jax.random.fold_in(rng, 2), self.cutout * p, b, h, w)
            return changed

        return jnp.where(p > 0, change(x), x)

    def move(self, kept: dict[str, Array], real: Maps, step: Array) -> dict[str, Array]:
        """After a move of the discriminator on real images with these logits.

        Of logits of patches and scales, an image's sign is the mean of theirs.
        """
        if self.fixed is not None:
            moving = isinstance(self.fixed, Mapping)
            return kept | {"p": value(self.fixed, step + 1)} if moving else kept
        sign = per_example(jax.tree.map(jnp.sign, real))
        signs, seen = kept["signs"] + jnp.sum(sign), kept["seen"] + len(sign)
        due = step % self.interval == 0
        r = signs / seen
        p = jnp.maximum(kept["p"] + jnp.sign(r - self.target) * seen / self.images, 0.0)
        moved = {"p": p, "signs": jnp.zeros_like(signs), "seen": jnp.zeros_like(seen)}
        still = {"p": kept["p"], "signs": signs, "seen": seen}
        return jax.tree.map(lambda a, b: jnp.where(due, a, b), moved, still)

    def shown(self, kept: dict[str, Array]) -> dict[str, Array]:
        """p."""
        return {"augment_p": kept["p"]}
