"""A game whose generator also pays for energy that it loses or makes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp

from jaxgen.config import ConfigError
from jaxgen.methods.adversarial import Adversarial
from jaxgen.types import Array, Batch, Metrics, State, Turn


@dataclasses.dataclass(frozen=True)
class Conserving(Adversarial):
    """The elements of x are energies, and the context is what came in; see `Adversarial`.

    The generator pays for the mean distance of the sum of a sample from the energy that it is
    given, too. Energies, and classes, of generated examples are those of the batch, where the
    official code draws them anew from the same distribution.

    Source: Paganini et al. 2018, CaloGAN (arXiv:1712.10321), section 3.3.

    Attributes:
        energy: weight of that term; per unit of energy.
        generator_steps: moves of the generator a step, each on fresh examples.
    """

    energy: float = 0.05
    generator_steps: int = 2

    def __post_init__(self) -> None:
        """Checks the options, and that there is one energy to conserve."""
        super().__post_init__()
        if len(self.spec.context) != 1 or self.spec.x.kind != "vector":
            raise ConfigError(
                f"config.method: {self.spec.name} is no vector of energies with the one that came "
                "in as its context: expected showers, as --config.data.name=showers"
            )
        if self.energy < 0 or self.generator_steps < 1:
            raise ConfigError("config.method: energy is 0 or more, generator_steps 1 or more")

    @property
    def turns(self) -> Sequence[Turn]:
        """Those of the game, with so many moves of the generator."""
        *others, last = super().turns
        return (*others, last._replace(times=self.generator_steps))

    def owed(self, batch: Batch, fake: Array) -> tuple[Array, Metrics]:
        """The weighted error; the metric `energy_error` is without the weight."""
        error = jnp.mean(_errors(fake, batch))
        return self.energy * error, {"energy_error": error}

    def evaluate(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """As `Adversarial`, and `energy_error` [B] of samples, in the units of x."""
        x = self.scaled(batch["x"])
        fake = self.source.apply(state, rng, self.latents(rng, x.shape[0]), self.condition(batch))
        found = super().evaluate(state, batch, rng)
        return found | {"energy_error": _errors(fake, batch)}


def _errors(x: Array, batch: Batch) -> Array:
    """How far the sum of each example is from the energy that came in, [B]."""
    return jnp.abs(jnp.sum(x, axis=1) - batch["context"][:, 0])
