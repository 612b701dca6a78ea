"""Translation in three phases: at half of the size, then around that, then both."""

from __future__ import annotations

import dataclasses

import jax

from jaxgen.config import ConfigError
from jaxgen.methods.translation import Pair, Translation
from jaxgen.nn.gan_layers import shrunk
from jaxgen.types import Array, Batch, Metrics, State, Vars


@dataclasses.dataclass(frozen=True)
class CoarseToFine(Translation):
    """Trains a generator's `coarse` part on images of half of the size, then all of it.

    For `coarse_steps` the game is of halved images and planes, and `coarse` alone moves; then, for
    `fixed_steps`, what is around it. The official code trains three runs, and begins with new
    discriminators and optimisers where the phase changes. Here they go on: what an optimiser
    remembers of the slopes before moves a part for a few steps after it came to rest.

    Source: Wang et al. 2018 (pix2pixHD), section 3.2.

    Attributes:
        generator: as that of `Translation`, which is called with `coarse=True` for images of half
            of the size, and has that part's params under "coarse".
        coarse_steps: train steps of the first phase.
        fixed_steps: of the second.
    """

    coarse_steps: int = 0
    fixed_steps: int = 0

    def __post_init__(self) -> None:
        """Checks the options."""
        super().__post_init__()
        if min(self.coarse_steps, self.fixed_steps) < 0:
            raise ConfigError("config.method: coarse_steps and fixed_steps are 0 or more")
        if any(side % 2 for side in self.spec.shape[:2]):
            raise ConfigError(f"{self.spec.name}: expected even sides, got {self.spec.shape[:2]}")

    def generator_loss(
        self, state: State, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[Vars, Metrics]]:
        """What the generator pays in this phase."""
        pair = self.pair(batch)
        if not self.coarse_steps + self.fixed_steps:
            return self.generator_pays(state, pair, rng)
        own = state.params["generator"]
        moves = state.step >= self.coarse_steps + self.fixed_steps

        def part(leaf: Array) -> Array:
            still = jax.lax.stop_gradient(leaf)
            return still + moves * (leaf - still)

        held = own | {"coarse": jax.tree.map(part, own["coarse"])}
        fixed = state.replace(params=state.params | {"generator": held})
        return jax.lax.cond(
            state.step < self.coarse_steps,
            lambda: self.generator_pays(state, halved(pair), rng, coarse=True),
            lambda: self.generator_pays(fixed, pair, rng),
        )

    def discriminator_loss(
        self, state: State, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[Vars, Metrics]]:
        """What the discriminators pay in this phase."""
        pair = self.pair(batch)
        if not self.coarse_steps:
            return self.discriminator_pays(state, pair, rng)
        return jax.lax.cond(
            state.step < self.coarse_steps,
            lambda: self.discriminator_pays(state, halved(pair), rng, coarse=True),
            lambda: self.discriminator_pays(state, pair, rng),
        )


def halved(pair: Pair) -> Pair:
    """At half of the size; of numbers that tell objects apart there is no mean: every second."""
    maps = {name: numbers[:, ::2, ::2] for name, numbers in pair.maps.items()}
    return Pair(shrunk(pair.x), shrunk(pair.cond), maps)
