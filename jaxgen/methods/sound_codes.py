"""Autoencoders of discrete codes whose decoders draw a sound sample by sample."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from jaxgen.config import ConfigError
from jaxgen.methods.quantized import Codes, QuantizedAutoencoder
from jaxgen.methods.raster import Raster
from jaxgen.nn.heads import Head
from jaxgen.types import Array, Given, State


@dataclasses.dataclass(frozen=True)
class SoundCodes(QuantizedAutoencoder):
    """As `QuantizedAutoencoder`, of sounds; log p(x | q) is a sum over samples x_t given x_<t, q.

    In training and evaluation the true samples before each are given, in use those that were drawn.
    So `distortion` in `evaluate` is of the sample that is expected after true ones, and what stands
    for the expected sound elsewhere, as in `decode`, is a draw with a fixed key: a sound has no
    mean that is one.

    Source: van den Oord et al. 2017, Neural discrete representation learning, section 4.3.
    """

    KINDS: ClassVar[tuple[str, ...]] = ("sequence",)

    def __post_init__(self) -> None:
        """Checks the options against the data and the model."""
        super().__post_init__()
        own, levels = self.model.levels, self.spec.levels
        if own != levels:
            raise ConfigError(
                f"config.model.levels={own}, and {self.spec.name} has {levels or 'no'} levels"
            )

    def theta_of(self, state: State, x: Array, z: Codes, given: Given) -> Array:
        """Parameters of the observation of x, of its codes and of the samples before each."""
        cond = self.beside(given, len(x)).get("cond")
        size = self.size(len(x))
        return self.player.apply(state, self.whole(z), size, cond, x, method="decode")

    def expected(self, state: State, z: Codes, given: Given) -> Array:
        """A sound of codes, which stands for the expected one."""
        return self.drawn(state, z, jax.random.key(0), 1.0, given).astype(jnp.float32)

    def drawn(self, state: State, z: Codes, rng: Array, temperature: Any, given: Given) -> Array:
        """Sounds of codes, sample by sample; the temperature multiplies the noise."""
        ids = self.whole(z)
        num = len(next(iter(ids.values())))
        shape, width = self.spec.shape, self.decoder.width(self.spec.shape[-1])
        head = Head(self.spec.levels or 0, width)
        raster = Raster(self.player, head, shape, shape[:-1], shape[-1])

        def pick(key: Array, theta: Array) -> Array:
            return self.decoder.sample(key, theta[:, None], temperature)[:, 0]

        x = jnp.zeros((num, *shape), self.spec.x.dtype)
        cond = ids, self.beside(given, num).get("cond")
        return raster.draw(state, rng, x, pick, cond)
