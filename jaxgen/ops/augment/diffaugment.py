"""Differentiable augmentation: the same random changes for all that a discriminator sees.

Source: Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training" (NeurIPS),
section 4 and the official code (mit-han-lab/data-efficient-gans), whose ranges these are.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Images = Float[Array, "b h w c"]
POLICIES = ("color", "translation", "cutout")


def color(rng: Array, x: Images) -> Images:
    """Brightness by -0.5 to 0.5, saturation by a factor of 0 to 2, contrast by 0.5 to 1.5."""
    keys = jax.random.split(rng, 3)
    brightness, saturation, contrast = (
        jax.random.uniform(key, (len(x), 1, 1, 1), x.dtype) for key in keys
    )
    x = x + brightness - 0.5
    grey = jnp.mean(x, axis=3, keepdims=True)
    x = grey + 2 * saturation * (x - grey)
    mean = jnp.mean(x, axis=(1, 2, 3), keepdims=True)
    return mean + (contrast + 0.5) * (x - mean)


def translation(rng: Array, x: Images) -> Images:
    """By up to an eighth of either side, whole pixels; what comes into view is 0."""
    b, h, w, _ = x.shape
    keys = jax.random.split(rng)
    for key, axis, side in ((keys[0], 1, h), (keys[1], 2, w)):
        most = int(side / 8 + 0.5)
        offset = jax.random.randint(key, (b, 1), -most, most + 1)
        index = jnp.arange(side)[None] - offset
        inside = (index >= 0) & (index < side)
        shape = (b, side, 1, 1) if axis == 1 else (b, 1, side, 1)
        index = jnp.clip(index, 0, side - 1).reshape(shape)
        x = jnp.take_along_axis(x, index, axis) * inside.reshape(shape)
    return x


def cutout(rng: Array, x: Images) -> Images:
    """A rectangle of half of either side is 0; parts of it may lie outside."""
    b, h, w, _ = x.shape
    keys = jax.random.split(rng)
    inside = []
    for key, side in ((keys[0], h), (keys[1], w)):
        size = int(side / 2 + 0.5)
        start = jax.random.randint(key, (b, 1), 0, side + 1 - size % 2) - size // 2
        place = jnp.arange(side)[None]
        inside.append((place >= start) & (place < start + size))
    hole = inside[0][:, :, None, None] & inside[1][:, None, :, None]
    return jnp.where(hole, 0.0, x)


@dataclasses.dataclass(frozen=True)
class DiffAugment:
    """The augmentations of a policy, one after the other; nothing adapts.

    Attributes:
        policy: names among `POLICIES`, separated by commas.
    """

    policy: str = "color,translation,cutout"

    def __post_init__(self) -> None:
        """Checks the policy."""
        for name in self.policy.split(","):
            if name not in POLICIES:
                raise ValueError(f"policy {name!r}, expected some of {', '.join(POLICIES)}")

    def start(self) -> dict[str, Array]:
        """Nothing is remembered."""
        return {}

    def apply(self, rng: Array, x: Images, kept: Any) -> Images:
        """Augmented images, differentiable by x."""
        functions = {"color": color, "translation": translation, "cutout": cutout}
        for i, name in enumerate(self.policy.split(",")):
            x = functions[name](jax.random.fold_in(rng, i), x)
        return x

    def move(self, kept: Any, real: Any, step: Array) -> Any:
        """Nothing is remembered."""
        return kept

    def shown(self, kept: Any) -> dict[str, Array]:
        """No metrics."""
        return {}
