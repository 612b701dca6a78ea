"""Conditional GAN: dense players that first look at the example and at the class apart.

Source: Mirza & Osindero 2014, "Conditional Generative Adversarial Nets" (arXiv:1411.1784), section
4.1: rectifiers in the generator, maxout in the discriminator, half of all hidden units dropped in
training. Images are in [-1, 1], so the generator ends in a hyperbolic tangent where the paper has
a sigmoid for [0, 1].
"""

from __future__ import annotations

import math

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array

from jaxgen.nn.arrays import Codes, Examples, Logits, Rows
from jaxgen.nn.condition import Condition

INIT = nn.initializers.he_normal()


class Dropped(nn.Module):
    """Hidden units, of which some are left out where the stream "dropout" is there.

    Attributes:
        rate: share that is left out.
    """

    rate: float

    @nn.compact
    def __call__(self, x: Rows) -> Rows:
        """[B, D] -> the same."""
        still = not self.has_rng("dropout")
        return nn.Dropout(self.rate, deterministic=still)(x)


class Generator(nn.Module):
    """z [B, latent] and the class to images in [-1, 1] or to points.

    Attributes:
        latent: width of z.
        of_latent: hidden units that see z.
        of_class: hidden units that see the class.
        joint: hidden units that see both.
        dropout: share of hidden units left out in training.
    """

    latent: int = 100
    of_latent: int = 200
    of_class: int = 1000
    joint: int = 1200
    dropout: float = 0.5

    @nn.compact
    def __call__(self, z: Codes, size: tuple[int, ...], cond: Condition | None = None) -> Examples:
        """[B, latent] -> `size`; without a class, z alone is looked at."""
        h = self._layer(z, self.of_latent, "of_latent")
        if cond is not None:
            h = jnp.concatenate([h, self._layer(cond, self.of_class, "of_class")], axis=-1)
        h = self._layer(h, self.joint, "joint")
        x = nn.Dense(math.prod(size[1:]), name="out")(h).reshape(size)
        return jnp.tanh(x) if len(size) == 4 else x

    def _layer(self, x: Array, width: int, name: str) -> Array:
        return Dropped(self.dropout)(nn.relu(nn.Dense(width, kernel_init=INIT, name=name)(x)))


class Maxout(nn.Module):
    """The largest of several affine functions (Goodfellow et al. 2013, Maxout networks).

    Attributes:
        width: units.
        pieces: functions of each.
    """

    width: int
    pieces: int

    @nn.compact
    def __call__(self, x: Rows) -> Array:
        """[B, D] -> [B, width]."""
        h = nn.Dense(self.width * self.pieces, kernel_init=INIT)(x)
        return jnp.max(h.reshape(x.shape[0], self.width, self.pieces), axis=-1)


class Discriminator(nn.Module):
    """Images or points and the class to logits.

    Attributes:
        of_example: maxout units that see the example.
        of_class: maxout units that see the class.
        joint: maxout units that see both.
        pieces: affine functions of each unit of the former two.
        joint_pieces: affine functions of each joint unit.
        dropout: share of hidden units left out in training.
    """

    of_example: int = 240
    of_class: int = 50
    joint: int = 240
    pieces: int = 5
    joint_pieces: int = 4
    dropout: float = 0.5

    @nn.compact
    def __call__(self, x: Examples, cond: Condition | None = None) -> Logits:
        """[B, ...] -> [B]; without a class, the example alone is looked at."""
        x = x.reshape(x.shape[0], -1)
        h = Dropped(self.dropout)(Maxout(self.of_example, self.pieces, name="of_example")(x))
        if cond is not None:
            c = Maxout(self.of_class, self.pieces, name="of_class")(cond)
            h = jnp.concatenate([h, Dropped(self.dropout)(c)], axis=-1)
        h = Dropped(self.dropout)(Maxout(self.joint, self.joint_pieces, name="joint")(h))
        return nn.Dense(1, name="logit")(h)[:, 0]
