"""Autoencoders whose latents are discrete codes: reconstruction, and what quantisers ask for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from jaxgen.abilities import DensityOf
from jaxgen.config import ConfigError
from jaxgen.fields import UNITS
from jaxgen.methods.givens import Givens, chosen
from jaxgen.methods.player import Player
from jaxgen.nn.codes import VARS, Coding, Map, Tempered
from jaxgen.ops import quantize
from jaxgen.ops.alarms import few_codes
from jaxgen.ops.densities import nats_to_bits_per_dim, sum_event
from jaxgen.ops.observations import Observation, observation
from jaxgen.ops.ranges import nearest_levels
from jaxgen.schedules import Scheduled, extremes, value
from jaxgen.types import Array, Batch, DataSpec, Field, Given, Metrics, Params, State, Turn, Vars

Codes = Mapping[str, Array]  # name of a map -> ids [B, h, w, G]


@dataclasses.dataclass(frozen=True)
class QuantizedAutoencoder:
    """Minimises -log p(x | q) in nats per dimension, and the losses of the quantisers.

    A prior over the codes is a model of its own, trained afterwards. Until there is one codes are
    as if drawn evenly: samples are of such codes, and so are the likelihoods here. They are bounds:
    p(x) is the sum over all codes z of p(z) p(x | z), and the codes of the encoder are one term.

    Source: van den Oord et al. 2017, Neural discrete representation learning, section 3.2.

    Attributes:
        model: of `nn.codes`.
        spec: of the data, images.
        observation: of the decoder, one of `ops.observations.NAMES`: "categorical" is the paper's
            for integers, "gaussian" the squared error of most code.
        mixtures: of "logistic_mixture".
        reconstruction_weight: of the nats per dimension.
        codes_weight: of the losses of the quantisers.
        temperature: of codes that are drawn, those of Gumbel; None of others.
        given: fields of a batch that the decoder is given beside the codes, as ("label",), which
            then need not say it.
    """

    model: Any
    spec: DataSpec
    observation: str = "categorical"
    mixtures: int = 10
    reconstruction_weight: Scheduled = 1.0
    codes_weight: Scheduled = 1.0
    temperature: Scheduled | None = None
    given: tuple[str, ...] = ()

    KINDS: ClassVar[tuple[str, ...]] = ("image",)

    def __post_init__(self) -> None:
        """Checks the options against the data and the model."""
        if self.given:
            object.__setattr__(self, "given", chosen(self.given, self.spec))
        observation(self.observation, self.spec.levels, self.mixtures)
        if self.spec.x.kind not in self.KINDS:
            what = " or ".join(UNITS[kind] for kind in self.KINDS)
            raise ConfigError(f"maps of codes are of {what}, {self.spec.name} has {self.spec.unit}")
        if self.temperature is not None:
            if not isinstance(self.model, Tempered):
                name = type(self.model).__name__
                raise ConfigError(f"config.method.temperature: {name} draws no codes: omit it")
            if min(extremes(self.temperature)) <= 0:
                raise ValueError(f"temperature={self.temperature}, expected more than 0")

    @property
    def turns(self) -> Sequence[Turn]:
        """One: the model moves down its own loss."""
        return (Turn("model", self.loss),)

    @property
    def givens(self) -> Givens:
        """What the decoder is given."""
        return Givens(self.spec, self.given)

    @property
    def levels(self) -> int | None:
        """Grey levels that are modelled; None for continuous data."""
        return self.spec.levels

    @property
    def decoder(self) -> Observation:
        """What the decoder says about the data."""
        spec = self.spec
        return observation(self.observation, spec.levels, self.mixtures, spec.x.log_volume)

    @property
    def player(self) -> Player:
        """The model."""
        return Player("model", self.model)

    @property
    def maps(self) -> dict[str, Map]:
        """Of the codes of an example."""
        return self.model.maps(self.spec.shape)

    @property
    def latent_fields(self) -> Mapping[str, Field]:
        """Name -> the ids of a map: an image of as many grey levels as there are codes."""
        return {
            name: Field("image", tuple(of[:3]), _dtype(of.codes), levels=of.codes)
            for name, of in self.maps.items()
        }

    @property
    def density(self) -> DensityOf:
        """The bound of the encoder's codes, all codes equally likely."""
        mass, levels = self.decoder.is_mass, self.levels
        return DensityOf(
            "codes",
            "mass" if mass else "density",
            self.spec.dims,
            given=self.givens.columns,
            levels=levels,
            per="" if mass else "unit of x" if levels is None else f"{levels - 1} levels",
        )

    @property
    def likelihoods(self) -> Mapping[str, DensityOf]:
        """Of the columns of `evaluate`."""
        return {"uniform_bpd" if self.decoder.is_mass else "uniform_nll": self.density}

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Vars]:
        """Initialises the model on the first batch."""
        x = batch["x"]
        more = self.beside(batch, x.shape[0])
        params, variables = self.player.init(
            {"params": rng}, self.scaled(x), self.size(x.shape[0]), **more
        )
        return {"model": params}, {"model": variables}

    def loss(self, state: State, batch: Batch, rng: Array) -> tuple[Array, tuple[Vars, Metrics]]:
        """Weighted nats per dimension and losses of the quantisers."""
        coding, moved = self.coded(state, batch, rng)
        nll = jnp.mean(self.paid(batch["x"], coding.theta))
        codes = sum((of.loss for of in coding.codes.values()), jnp.float32(0))
        loss = value(self.reconstruction_weight, state.step) * nll / self.spec.dims
        loss = loss + value(self.codes_weight, state.step) * codes
        metrics = {"reconstruction": nll, "codes": codes} | code_metrics(coding)
        return loss, (moved.vars, metrics)

    def paid(self, x: Array, theta: Array) -> Array:
        """What the loss takes of an observation, [B]: -log p(x | theta) in nats."""
        return -self.decoder.log_prob(x, theta)

    def coded(self, state: State, batch: Batch, rng: Array) -> tuple[Coding, State]:
        """What the model makes of a batch in training, and the state with what moved."""
        x = batch["x"]
        more = self.beside(batch, x.shape[0])
        if self.temperature is not None:
            more["temperature"] = value(self.temperature, state.step)
        rngs, size = {VARS: rng, "dropout": jax.random.fold_in(rng, 1)}, self.size(x.shape[0])
        return self.player.train(state, self.scaled(x), size, train=True, rngs=rngs, **more)

    def alarms(self, values: Mapping[str, float]) -> Mapping[str, str]:
        """That most codes of a map are dead."""
        found: dict[str, str] = {}
        for name, of in self.maps.items():
            dead = values[f"model/{_named('dead', name, len(self.maps))}"]
            found |= few_codes(name, dead, of.groups * of.codes)
        return found

    def evaluate(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """Per example, [B] each.

        `reconstruction` is -log p(x | codes) in nats, `distortion` the mean squared error of the
        expected example, with the range of grey levels as 1; `uniform_bpd` of integers adds the
        bits of codes that are all equally likely (an upper bound, see `density`), and `uniform_nll`
        is the same in nats where the decoder is a density.
        """
        x = batch["x"]
        theta = self.theta_of(state, x, self.ids(state, x), batch)
        nll = -self.decoder.log_prob(x, theta)
        bound = nll + self.code_nats
        values = {"reconstruction": nll, "distortion": self.distortion(x, theta)}
        if self.decoder.is_mass:
            return values | {"uniform_bpd": nats_to_bits_per_dim(bound, self.spec.dims)}
        return values | {"uniform_nll": bound}

    @property
    def code_nats(self) -> float:
        """Of all codes of an example, where all are equally likely."""
        return sum(of.nats for of in self.maps.values())

    def distortion(self, x: Array, theta: Array) -> Array:
        """Mean squared error [B] of the expected example, in units of the range of the data."""
        low, high = self.spec.x.range or (0, 1)
        scale = high - low if self.levels is None else self.levels - 1
        error = (self.decoder.mean(theta) - x.astype(jnp.float32)) / scale
        return sum_event(jnp.square(error)) / self.spec.dims

    def log_prob(self, state: State, x: Array, rng: Array, given: Given = None) -> Array:
        """[B], in nats: log p(x | codes) of the encoder's codes, all equally likely; a bound."""
        theta = self.theta_of(state, x, self.ids(state, x), given)
        return self.decoder.log_prob(x, theta) - self.code_nats

    def code_log_prob(self, state: State, x: Array, z: Codes, given: Given = None) -> Array:
        """log p(x | z), [B], in nats, of the integers of x.

        Raises:
            ConfigError: for an observation that is a density.
        """
        if not self.decoder.is_mass:
            raise ConfigError(
                f"observation={self.observation!r} has no likelihood of integers: train with "
                "--config.method.observation=categorical or logistic_mixture"
            )
        return self.decoder.log_prob(x, self.theta_of(state, x, z, given))

    def code_sample(self, state: State, z: Codes, rng: Array, given: Given = None) -> Array:
        """A draw of p(x | z), in the units of the data."""
        return self.drawn(state, z, rng, 1.0, given)

    def encode(self, state: State, x: Array, rng: Array, given: Given = None) -> dict[str, Array]:
        """Data to ids, name -> [B, h, w, G], uint8 or wider; nothing is random."""
        return {k: ids.astype(_dtype(self.maps[k].codes)) for k, ids in self.ids(state, x).items()}

    def decode(self, state: State, z: Codes, rounded: bool = False, given: Given = None) -> Array:
        """Ids to the expected data, in their units.

        Args:
            state: of the model.
            z: name -> ids, as `encode` gives them.
            rounded: to the nearest grey levels, between which the expected data are.
            given: field -> [B, ...], of what the decoder is given.
        """
        mean = self.expected(state, z, given)
        return nearest_levels(mean, self.spec.levels) if rounded else mean

    def reconstruct(self, state: State, x: Array, rng: Array, given: Given = None) -> Array:
        """The expected data given the codes of x."""
        return self.expected(state, self.ids(state, x), given)

    def sample(
        self,
        state: State,
        rng: Array,
        num: int,
        given: Given = None,
        temperature: float = 1.0,
        mean: bool = False,
    ) -> Array:
        """Data of codes drawn evenly: there is no prior here, a second model replaces this.

        Args:
            state: of the model.
            rng: a key.
            num: number of samples.
            given: field -> values of all samples, or [num, ...]; classes that are not given are
                drawn evenly.
            temperature: multiplies the noise of the decoder.
            mean: show the expected data instead of a draw.
        """
        keys = jax.random.split(rng, len(self.maps) + 1)
        ids = {
            name: jax.random.randint(key, (num, *of[:3]), 0, of.codes)
            for key, (name, of) in zip(keys[1:], self.maps.items(), strict=True)
        }
        classes = jax.random.fold_in(rng, len(keys))
        given = self.givens.fields_of_call(given, num, classes)
        if mean:
            return self.expected(state, ids, given)
        return self.drawn(state, ids, keys[0], temperature, given)

    def theta_of(self, state: State, x: Array, z: Codes, given: Given) -> Array:
        """Parameters of the observation of x, of its codes."""
        return self.theta(state, z, given)

    def expected(self, state: State, z: Codes, given: Given) -> Array:
        """The expected data of codes, in their units."""
        return self.decoder.mean(self.theta(state, z, given))

    def drawn(self, state: State, z: Codes, rng: Array, temperature: Any, given: Given) -> Array:
        """Data of codes, in their units; the temperature multiplies the noise."""
        return self.decoder.sample(rng, self.theta(state, z, given), temperature)

    def beside(self, given: Given, num: int) -> dict[str, Array | None]:
        """What the network is called with, of what is given: of a batch, or of a call."""
        if not self.given:
            return {}
        own = {k: v for k, v in (given or {}).items() if k in self.given}
        return {"cond": self.givens.of_call(own, num)}

    def ids(self, state: State, x: Array) -> dict[str, Array]:
        """Of data in their units, int32."""
        return self.player.apply(state, self.scaled(x), method="encode")

    def theta(self, state: State, z: Codes, given: Given = None) -> Array:
        """Parameters of the observation, of ids."""
        ids = self.whole(z)
        num = next(iter(ids.values())).shape[0]
        more = self.beside(given, num)
        return self.player.apply(state, ids, self.size(num), method="decode", **more)

    def whole(self, z: Codes) -> dict[str, Array]:
        """Ids of the maps, int32."""
        return {name: jnp.asarray(z[name]).astype(jnp.int32) for name in self.maps}

    def size(self, num: int) -> tuple[int, ...]:
        """The shape of theta."""
        *positions, channels = self.spec.shape
        return (num, *positions, self.decoder.width(channels))

    def scaled(self, x: Array) -> Array:
        """Integer data to [0, 1]; continuous data as they are."""
        if self.spec.levels is None:
            return x
        return x.astype(jnp.float32) / (self.spec.levels - 1)


def code_metrics(coding: Coding) -> Metrics:
    """How the codes of a batch are used, scalars.

    `perplexity`, a mean over groups; `used`, the share of codes that were chosen; `dead`, how many
    are hardly chosen. Of several maps "_NAME" ends each.
    """
    found = {}
    for name, of in coding.codes.items():
        values = {
            "perplexity": jnp.mean(quantize.perplexity(of.usage)),
            "used": jnp.mean(quantize.used_share(of.usage)),
            "dead": jnp.sum(of.dead).astype(jnp.float32),
        }
        found |= {_named(key, name, len(coding.codes)): v for key, v in values.items()}
    return found


def _named(metric: str, name: str, maps: int) -> str:
    """A metric of one of so many maps."""
    return metric if maps == 1 else f"{metric}_{name}"


def _dtype(codes: int) -> str:
    """The smallest that holds their ids."""
    return "uint8" if codes <= 2**8 else "uint16" if codes <= 2**16 else "int32"
