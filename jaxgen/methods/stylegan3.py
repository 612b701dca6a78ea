"""What StyleGAN3 changes in the game: averages of the generator, and images that are moved."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp

from jaxgen.methods.stylegan2 import StyleGAN2
from jaxgen.methods.styles import Styles
from jaxgen.ops.ranges import real_levels
from jaxgen.types import Array, Batch, Metrics, State, Vars


@dataclasses.dataclass(frozen=True)
class Magnitudes(Styles):
    """Styles whose synthesis has averages of its own, which move in training."""

    def train(self, state: State, rng: Array, num: int, cond: Any) -> tuple[Array, State]:
        """As of every source."""
        styles, state = self.mixed(state, rng, num, cond)
        return self.player.train(state, styles, self.size(num), "none", method="synthesize")


@dataclasses.dataclass(frozen=True)
class StyleGAN3(StyleGAN2):
    """The game of StyleGAN2 for `models.gans.stylegan3.Generator`, without mixing or path length.

    The averages of magnitudes and of w move in the discriminator's turn alone. The generator's turn
    sees them as its own pass would move them, by a thousandth of the difference, where the official
    code sees them as they were; either leaves them there.

    Source: Karras et al. 2021, Alias-free generative adversarial networks (NeurIPS), appendix F;
    NVlabs/stylegan3, `training/loss.py`.
    """

    mixing: float = 0.0
    path_weight: float = 0.0

    @property
    def source(self) -> Magnitudes:
        """The generator, whose magnitudes move."""
        made = super().source
        return Magnitudes(made.player, made.shape, made.prior, made.mixing)

    def generator_loss(
        self, state: State, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[Vars, Metrics]]:
        """As of the game; the averages stay."""
        paid, (variables, shown) = super().generator_loss(state, batch, rng)
        return paid, (variables | {"generator": state.vars["generator"]}, shown)

    def moved(self, state: State, w: Array, transforms: Array, rounded: bool = True) -> Array:
        """Images of w [B, style], moved; as `render`.

        Args:
            state: of both players.
            w: styles.
            transforms: [B, 3, 3] or [3, 3], of coordinates around the middle in sides of the image,
                x and y: from places of the result to those of the image.
            rounded: to the levels of the data.
        """
        every = jnp.broadcast_to(transforms, (w.shape[0], 3, 3))
        player, size = self.source.player, self.source.size(w.shape[0])
        options: Any = {"transforms": every, "method": "synthesize"}
        x = player.apply(state, self.source.spread(w), size, "none", **options)
        return self.unscaled(x) if rounded else real_levels(x, self.spec.levels)
