"""The evidence lower bound of texts that are written character by character, and of properties."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.config import ConfigError
from jaxgen.methods.elbo import ELBO
from jaxgen.methods.givens import sized
from jaxgen.methods.raster import Raster
from jaxgen.nn.heads import Head
from jaxgen.nn.latents import Draw
from jaxgen.ops import choice
from jaxgen.types import Array, Batch, Given, Metrics, State, Vars


@dataclasses.dataclass(frozen=True)
class TextELBO(ELBO):
    """The bound of `ELBO`, of texts; a network predicts properties from the posterior's mean.

    log p(x | z) is the sum over characters of log p(x_t | x_<t, z): in training and evaluation the
    true characters before each are given, in use those that were drawn. The loss adds `weight`
    times the squared error of the properties, averaged over them, in nats.

    Source: Gomez-Bombarelli et al. 2018, Automatic chemical design using a data-driven continuous
    representation of molecules, sections 2 and 3. Their code takes means where sums belong: over
    T characters of the reconstruction, over latents of the divergence. With `beta` = T / latents
    and `weight` = T the loss here is T times theirs.

    Attributes:
        observation: "categorical", of the characters.
        properties: field of numbers that are predicted; "" for none.
        weight: see above.
    """

    observation: str = "categorical"
    properties: str = ""
    weight: float = 1.0

    def __post_init__(self) -> None:
        """Checks the options against the data."""
        super().__post_init__()
        spec = self.spec
        if spec.x.kind != "tokens" or self.observation != "categorical" or self.given:
            raise ConfigError(
                f"config.method: of texts with observation=categorical, given nothing; {spec.name} "
                f"has {spec.x.kind}, observation={self.observation!r}, given={self.given}"
            )
        words = sized(self.model, "vocabulary", spec.x.vocabulary, "model", spec.name)
        object.__setattr__(self, "model", words)
        known = spec.fields.get(self.properties)
        if self.properties and (known is None or known.kind != "vector"):
            raise ConfigError(
                f"config.method.properties={self.properties}: {spec.name} has no such numbers, "
                f"expected '' or a vector of {', '.join(spec.fields)}"
            )
        if self.properties:
            numbers = sized(self.model, "properties", spec.fields[self.properties].dims, *_WHERE)
            object.__setattr__(self, "model", numbers)

    def penalty(
        self, state: State, batch: Batch, moved: Vars, draw: Draw, rng: Array
    ) -> tuple[Array, Metrics]:
        """The squared error of the properties; moves the statistics of their network."""
        if not self.properties:
            return jnp.float32(0), {}
        assert draw.posterior is not None
        state = self.player.moved(state, moved)
        said, more = self.player.apply(
            state,
            draw.posterior.mean,
            method="predict",
            mutable=self.player.moving(state),
            rngs={"dropout": rng},
        )
        moved.update(more)
        error = jnp.mean(jnp.square(said - batch[self.properties]))
        return self.weight * error, {"property_error": error}

    def evaluate(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """As `ELBO`; and the absolute error of each property, in its own units, as `qed_error`."""
        found = super().evaluate(state, batch, rng)
        if not self.properties:
            return found
        field = self.spec.fields[self.properties]
        said = self.player.apply(state, self._mean(state, batch["x"]), method="predict")
        scale = jnp.asarray(field.units.scale if field.units else (1.0,) * field.dims)
        errors = jnp.abs(said - batch[self.properties]) * scale[None]
        names = field.names or tuple(map(str, range(field.dims)))
        return found | {f"{name}_error": errors[:, i] for i, name in enumerate(names)}

    def encode(self, state: State, x: Array, rng: Array, given: Given = None) -> Any:
        """The mean of the posterior, in a tuple of one."""
        return (self._mean(state, x),)

    def decode(self, state: State, z: Any, given: Given = None, rounded: bool = True) -> Array:
        """The text of latents, the likeliest character at each place; `rounded` changes nothing."""
        (z,) = z
        return self._written(state, z, jax.random.key(0), 0.0)

    def reconstruct(
        self,
        state: State,
        x: Array,
        rng: Array,
        given: Given = None,
        temperature: float = 0.0,
    ) -> Array:
        """The text of the posterior's mean.

        Args:
            state: of the model.
            x: texts.
            rng: a key.
            given: nothing.
            temperature: of the characters; 0 takes the likeliest.
        """
        return self._written(state, self._mean(state, x), rng, temperature)

    def sample(
        self,
        state: State,
        rng: Array,
        num: int,
        given: Given = None,
        temperature: float = 1.0,
        top_p: float | None = None,
    ) -> Array:
        """Draws latents from the prior, then characters, each given those before it.

        Args:
            state: of the model.
            rng: a key.
            num: number of samples.
            given: nothing.
            temperature: of the characters; 0 takes the likeliest.
            top_p: draw among the likeliest characters that have this share.
        """
        latent, rng = jax.random.split(rng)
        z = jax.random.normal(latent, (num, self.model.latent))
        return self._written(state, z, rng, temperature, top_p)

    def _mean(self, state: State, x: Array) -> Array:
        return self.player.apply(state, x, method="bottom_up").posterior.mean

    def _written(
        self, state: State, z: Array, rng: Array, temperature: Any, top_p: Any = None
    ) -> Array:
        """Texts [B, T] of latents."""
        field = self.spec.x
        raster = Raster(self.player, Head(*2 * (field.values or 0,)), field.shape, field.shape, 1)

        def pick(key: Array, theta: Array) -> Array:
            return choice.draw(key, theta, temperature, None, top_p)[:, None]

        x = jnp.zeros((z.shape[0], *field.shape, 1), field.dtype)
        return raster.draw(state, rng, x, pick, z)[..., 0]


_WHERE = ("model", "the field of properties")
