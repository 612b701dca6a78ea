"""Autoencoders of discrete codes of sounds: decoders that draw frames, or sample by sample."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from jaxgen.config import ConfigError
from jaxgen.methods.quantized import Codes, QuantizedAutoencoder
from jaxgen.methods.raster import Raster
from jaxgen.nn.heads import Head
from jaxgen.ops.observations import Gaussian
from jaxgen.ops.shared_gaussian import SharedGaussian
from jaxgen.types import Array, Given, State


@dataclasses.dataclass(frozen=True)
class FrameCodes(QuantizedAutoencoder):
    """As `QuantizedAutoencoder`, of log-mel frames: an image, whose columns are frames.

    The density is that of `ops.shared_gaussian`. Its means are learned as those of a normal density
    with deviations of one, so that codes are worth most where the squared error is large; and its
    deviations by its own likelihood, which moves no means: learned together, deviations grow first
    and leave codes idle. What stands for the expected frames elsewhere, as in `decode`, has the
    fluctuation over time that real ones have, drawn by a key that the codes are: means alone are of
    no voice.

    Source: Seitzer et al. 2022, On the pitfalls of heteroscedastic uncertainty estimation with
    probabilistic neural networks, section 3, for why.

    Attributes:
        fluctuation: share of the deviations with which frames fluctuate that stand for the expected
            ones. Deviations are root mean squares, of utterances some of which are far less even.
    """

    observation: str = "gaussian"
    fluctuation: float = 0.65

    def __post_init__(self) -> None:
        """Checks the options against the data."""
        super().__post_init__()
        if self.observation != "gaussian":
            raise ConfigError(f"config.method.observation={self.observation!r}: omit it")
        if self.spec.levels is not None:
            raise ConfigError(
                f"{self.spec.name} has grey levels, expected frames: speech_mel:FOLDER"
            )

    @property
    def decoder(self) -> SharedGaussian:
        """What the decoder says about frames."""
        return SharedGaussian(self.spec.x.log_volume)

    def expected(self, state: State, z: Codes, given: Given) -> Array:
        """The expected frames, and how such frames fluctuate."""
        theta = self.theta(state, z, given)

        def fluctuating(theta: Array, key: Array) -> Array:
            return self.decoder.sample(key, theta[None], self.fluctuation, of_rows=0.0)[0]

        return jax.vmap(fluctuating)(theta, keys_of(self.whole(z)))

    def paid(self, x: Array, theta: Array) -> Array:
        """What the loss takes of an observation, [B], in nats; see the class."""
        means, deviations = jnp.split(theta, [x.shape[-1]], axis=-1)
        own = jnp.concatenate([jax.lax.stop_gradient(means), deviations], axis=-1)
        return -Gaussian(None).log_prob(x, means) - self.decoder.log_prob(x, own)


@dataclasses.dataclass(frozen=True)
class SoundCodes(QuantizedAutoencoder):
    """As `QuantizedAutoencoder`, of sounds; log p(x | q) is a sum over samples x_t given x_<t, q.

    In training and evaluation the true samples before each are given, in use those that were drawn.
    So `distortion` in `evaluate` is of the sample that is expected after true ones, and what stands
    for the expected sound elsewhere, as in `decode`, is a draw by a key that the codes are: a
    sound has no mean that is one.

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
        cond = self.beside(given, x.shape[0]).get("cond")
        size = self.size(x.shape[0])
        return self.player.apply(state, self.whole(z), size, cond, x, method="decode")

    def expected(self, state: State, z: Codes, given: Given) -> Array:
        """A sound of codes, which stands for the expected one."""
        return self._written(state, z, None, 1.0, given).astype(jnp.float32)

    def drawn(self, state: State, z: Codes, rng: Array, temperature: Any, given: Given) -> Array:
        """Sounds of codes, sample by sample; the temperature multiplies the noise."""
        return self._written(state, z, rng, temperature, given)

    def _written(
        self, state: State, z: Codes, rng: Array | None, temperature: Any, given: Given
    ) -> Array:
        """Sounds of codes; without a key, of keys that the codes are."""
        ids = self.whole(z)
        num = next(iter(ids.values())).shape[0]
        shape, width = self.spec.shape, self.decoder.width(self.spec.shape[-1])
        head = Head(self.spec.levels or 0, width)
        raster = Raster(self.player, head, shape, shape[:-1], shape[-1])

        own = keys_of(ids)

        def pick(key: Array, theta: Array) -> Array:
            if rng is None:
                keys = jax.vmap(jax.random.fold_in, (0, None))(own, jax.random.bits(key))
                return jax.vmap(one)(keys, theta)
            return self.decoder.sample(key, theta[:, None], temperature)[:, 0]

        def one(key: Array, theta: Array) -> Array:
            return self.decoder.sample(key, theta[None, None], temperature)[0, 0]

        x = jnp.zeros((num, *shape), self.spec.x.dtype)
        cond = ids, self.beside(given, num).get("cond")
        return raster.draw(state, jax.random.key(0) if rng is None else rng, x, pick, cond)


def keys_of(ids: Codes) -> Array:
    """A random key [B] of the codes of each example, whatever else is in the batch."""
    flat = jnp.concatenate([of.reshape(of.shape[0], -1) for of in ids.values()], axis=1)

    def folded(key: Array, value: Array) -> tuple[Array, None]:
        return jax.vmap(jax.random.fold_in)(key, value), None

    start = jnp.broadcast_to(jax.random.key(0), len(flat))
    return jax.lax.scan(folded, start, flat.T)[0]
