"""An autoencoder of normal latents that hardly cost: the first stage of latent diffusion."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxgen.config import ConfigError
from jaxgen.methods.judging import Judging
from jaxgen.methods.player import Player
from jaxgen.nn.latents import Normal, standard_normal
from jaxgen.ops.densities import sum_event
from jaxgen.ops.ranges import real_levels, symmetric, to_levels
from jaxgen.schedules import Scheduled, extremes, value
from jaxgen.types import Array, Batch, Metrics, Params, State, Turn, Vars


@dataclasses.dataclass(frozen=True)
class KLAutoencoder(Judging):
    """Minimises KL(q(z | x) || N(0, 1)) a little, and the losses of `Judging`.

    Without a discriminator there is no game. Latents are the means of the posterior, whose
    deviations training makes small; the paper's diffusion model is trained on draws.

    Source: Rombach et al. 2022, High-resolution image synthesis with latent diffusion models,
    equation 25, and the official code, whose sums over the dimensions of an image are means here.

    Attributes:
        kl_weight: of the divergence in nats per dimension of the image.
    """

    kl_weight: Scheduled = 1e-6

    def __post_init__(self) -> None:
        """Checks the options."""
        if self.discriminator is not None:
            super().__post_init__()
        elif self.spec.x.kind != "image" or self.spec.levels is None:
            raise ConfigError(f"{self.spec.name} has no images of grey levels")
        elif self.perceptual != "none":
            raise ConfigError("config.method.perceptual: a discriminator belongs to it here")
        if min(extremes(self.kl_weight)) < 0:
            raise ValueError(f"kl_weight={self.kl_weight}, expected 0 or more")

    @property
    def turns(self) -> Sequence[Turn]:
        """The autoencoder, then the discriminator, if there is one."""
        return super().turns if self.discriminator is not None else (Turn("model", self.loss),)

    @property
    def levels(self) -> int | None:
        """Grey levels of the data."""
        return self.spec.levels

    @property
    def player(self) -> Player:
        """The autoencoder."""
        return Player("model", self.model)

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Vars]:
        """Initialises the players on the first batch."""
        self.model.latent_shape(self.spec.shape)
        x = symmetric(batch["x"], self.spec.levels)
        params, variables = self.player.init({"params": rng}, x)
        params, variables = {"model": params}, {"model": variables}
        if self.discriminator is None:
            return params, variables
        return self.with_judge(params, variables, batch, rng)

    def loss(self, state: State, batch: Batch, rng: Array) -> tuple[Array, tuple[Vars, Metrics]]:
        """What the autoencoder pays."""
        x = symmetric(batch["x"], self.spec.levels)
        rngs = {"latent": rng, "dropout": jax.random.fold_in(rng, 1)}

        def show(state: State) -> tuple[Array, tuple[Normal, State]]:
            (fake, posterior), moved = self.player.train(state, x, train=True, rngs=rngs)
            return fake, (posterior, moved)

        if self.discriminator is None:
            fake, (posterior, moved) = show(state)
            near = jnp.mean(jnp.abs(x - fake))
            loss = value(self.reconstruction_weight, state.step) * near
            metrics, others = {"absolute": near}, {}
        else:
            found = self.judged(state, batch["x"], show)
            (posterior, moved), loss, metrics = found.aux, found.loss, found.metrics
            others = {"discriminator": found.moved}
        kl = jnp.mean(self._divergence(posterior))
        loss = loss + value(self.kl_weight, state.step) * kl / self.spec.dims
        own = {"model": moved.vars["model"]} | others
        return loss, (state.vars | own, metrics | {"kl": kl})

    def _divergence(self, posterior: Normal) -> Array:
        """[B], in nats."""
        return sum_event(posterior.kl(standard_normal(posterior.mean.shape)))

    def shown(self, state: State, x: Array) -> Array:
        """See `Judging`."""
        return self.player.apply(state, symmetric(x, self.spec.levels))[0]

    def evaluate(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """See `Judging.errors`; also `kl` [B], in nats."""
        fake, posterior = self.player.apply(state, symmetric(batch["x"], self.spec.levels))
        return self.errors(batch["x"], fake) | {"kl": self._divergence(posterior)}

    def encode(self, state: State, x: Array, rng: Array) -> Array:
        """Data to the means of their latents, [B, h, w, C]."""
        x = symmetric(x, self.spec.levels)
        return self.player.apply(state, x, method="posterior").mean

    def decode(self, state: State, z: Array, rounded: bool = False) -> Array:
        """Latents to data, in their units: to the nearest grey levels where `rounded`."""
        size = (z.shape[0], *self.spec.shape)
        fake = self.player.apply(state, z, size, method="decode")
        return (to_levels if rounded else real_levels)(fake, self.spec.levels)

    def reconstruct(self, state: State, x: Array, rng: Array) -> Array:
        """What the latents keep of x, in real grey levels."""
        return real_levels(self.shown(state, x), self.spec.levels)

    def latents(self, rng: Array, num: int) -> Array:
        """Standard normal ones, which are no prior here: a second model is."""
        return jax.random.normal(rng, (num, *self.model.latent_shape(self.spec.shape)))

    def sample(self, state: State, rng: Array, num: int, temperature: float = 1.0) -> Array:
        """Data of standard normal latents: there is no prior here.

        Args:
            state: of the model.
            rng: a key.
            num: number of samples.
            temperature: multiplies the latents.
        """
        return self.decode(state, temperature * self.latents(rng, num), rounded=True)
