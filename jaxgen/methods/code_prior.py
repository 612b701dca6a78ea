"""A prior over the codes that a frozen stage finds, and bits/dim of both together.

The first of two stages, an autoencoder with discrete codes, is trained and frozen; here its codes
are data of any model of integers. One draws codes, and the stage makes examples of them.

Source: van den Oord et al. 2017, Neural discrete representation learning, section 4.1; Razavi et
al. 2019, Generating diverse high-fidelity images with VQ-VAE-2, section 3.2, for codes of two maps.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from jaxgen.abilities import Coded, Completes, Decodes, Density, DensityOf, Encodes, Restores, given
from jaxgen.config import ConfigError, build
from jaxgen.methods.handing import handing
from jaxgen.methods.latent_prior import check_prior
from jaxgen.names import resolve
from jaxgen.ops.densities import nats_to_bits_per_dim
from jaxgen.ops.ranges import nearest_levels
from jaxgen.types import (
    Array,
    Batch,
    DataSpec,
    Field,
    Given,
    Metrics,
    Params,
    PyTree,
    State,
    Turn,
    Vars,
)

AUTOREGRESSIVE = {"name": "autoregressive.Autoregressive"}
OWN = "model"  # as priors call their only player


@dataclasses.dataclass(frozen=True)
class CodePrior:
    """Trains models of the stage's codes; samples are decoded by the stage.

    Of two maps of codes, the first is drawn by `model`, the second by `lower`, which is given the
    first.

    Attributes:
        model: network of the prior.
        first: the frozen stage, see `train.frozen`.
        spec: of the data, with the stage's codes.
        lower: network of the second map; None where there is one.
        prior: the objective: `name` of a class in `jaxgen.methods`, and its options.
        lower_prior: that of `lower`; None takes `prior`.
    """

    model: Any
    first: Any
    spec: DataSpec
    lower: Any = None
    prior: Annotated[Mapping[str, Any], check_prior] = dataclasses.field(
        default_factory=lambda: AUTOREGRESSIVE
    )
    lower_prior: Annotated[Mapping[str, Any] | None, check_prior] = None

    def __post_init__(self) -> None:
        """Checks that the stages fit."""
        stage, who = self.first.method, type(self.first.method).__name__
        if not (isinstance(stage, Encodes) and isinstance(stage, Decodes)):
            raise ConfigError(
                f"config.frozen.first: {who} cannot encode and decode: no first stage"
            )
        if not isinstance(stage, Coded):
            raise ConfigError(
                f"config.frozen.first: {who} has no codes; over latents that are real numbers: "
                "config.method.name=latent_prior.LatentPrior"
            )
        if given(stage):
            raise ConfigError(f"config.frozen.first is conditional on {', '.join(given(stage))}")
        names = tuple(stage.latent_fields)
        if missing := [name for name in names if name not in self.spec.fields]:
            raise ConfigError(
                f"config.frozen.first.field: expected {','.join(names)}, {missing[0]} is not there"
            )
        if len(names) != (1 if self.lower is None else 2):
            raise ConfigError(
                f"config.frozen.first has {len(names)} maps of codes, {', '.join(names)}, and "
                f"config.model {1 if self.lower is None else 2} networks: model, and lower of two"
            )

    @property
    def fields(self) -> Mapping[str, str]:
        """player -> the codes that it models."""
        return dict(zip((OWN, "lower"), self.first.method.latent_fields, strict=False))

    @functools.cached_property
    def inners(self) -> Mapping[str, Any]:
        """player -> its objective."""
        found = {}
        options = {OWN: self.prior, "lower": self.lower_prior or self.prior}
        networks = {OWN: self.model, "lower": self.lower}
        for player, name in self.fields.items():
            codes = self.spec.fields[name]
            others = {k: f for k, f in self.spec.fields.items() if k not in ("x", *self.codes)}
            above = self._above(player)
            spec = DataSpec(f"codes of {self.spec.name}", {"x": codes, **others, **above})
            own = dict(options[player])
            target = resolve(own.pop("name", None), "jaxgen.methods")
            if above:
                own["given"] = (*own.get("given", ()), *above)
            inner = build(target, "method.prior", model=networks[player], spec=spec, **own)
            players = [turn.player for turn in inner.turns]
            if players != [OWN] or not isinstance(inner, Density):
                raise ConfigError(f"config.method.prior: {target.__name__} is no likelihood")
            found[player] = inner
        return found

    @property
    def codes(self) -> tuple[str, ...]:
        """Names of the fields of codes."""
        return tuple(self.fields.values())

    def _above(self, player: str) -> dict[str, Field]:
        """The codes that a player is given, one layout each group of them."""
        if player == OWN:
            return {}
        name = self.fields[OWN]
        *size, groups = self.spec.fields[name].shape
        classes = self.spec.fields[name].levels
        layout = Field("layout", tuple(size), "int32", classes=classes)
        return {_layer(name, g, groups): layout for g in range(groups)}

    def _layers(self, player: str, z: Mapping[str, Array]) -> dict[str, Array]:
        """What `_above` says, of codes."""
        if player == OWN:
            return {}
        name = self.fields[OWN]
        groups = z[name].shape[-1]
        return {_layer(name, g, groups): z[name][..., g].astype(jnp.int32) for g in range(groups)}

    @property
    def given(self) -> tuple[str, ...]:
        """What the priors are given of the data."""
        names = (n for player, inner in self.inners.items() for n in given(inner))
        known = {name for name in self.spec.fields if name not in self.codes}
        return tuple(dict.fromkeys(n for n in names if n in known))

    @property
    def turns(self) -> Sequence[Turn]:
        """Those of the priors, which see codes as their x."""
        return tuple(
            turn._replace(player=player, loss=self._of_codes(player, turn.loss))
            for player, inner in self.inners.items()
            for turn in inner.turns
        )

    def _of_codes(self, player: str, loss: Any) -> Any:
        def of_codes(state: State, batch: Batch, rng: Array) -> tuple[Array, tuple[Vars, Metrics]]:
            value, (moved, metrics) = loss(
                self._own(state, player), self._batch(player, batch), rng
            )
            return value, (state.vars | {player: moved[OWN]}, metrics)

        return of_codes

    def _own(self, state: State, player: str) -> State:
        """A prior's own state."""
        return state.replace(params={OWN: state.params[player]}, vars={OWN: state.vars[player]})

    def _batch(self, player: str, batch: Batch) -> Batch:
        rest = {k: v for k, v in batch.items() if k not in ("x", *self.codes)}
        return {"x": batch[self.fields[player]], **rest, **self._layers(player, batch)}

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Vars]:
        """Initialises the priors."""
        params: Params = {}
        variables: Vars = {}
        for i, (player, inner) in enumerate(self.inners.items()):
            made = inner.init(jax.random.fold_in(rng, i), self._batch(player, batch))
            params[player], variables[player] = (tree[OWN] for tree in made)
        return params, variables

    @property
    def of_x(self) -> bool:
        """Whether the stage says how probable x is given codes."""
        stage = self.first.method
        kinds = stage.likelihoods.values() if isinstance(stage, Density) else ()
        return any(of.measure == "mass" for of in kinds)

    @property
    def density(self) -> DensityOf:
        """Of x, a bound, where the stage's decoder is a mass of integers; else of the codes."""
        columns = self.inners[OWN].density.given
        kinds = dict.fromkeys(inner.density.kind for inner in self.inners.values())
        bounds = "-".join(kind for kind in kinds if kind != "exact")
        if self.of_x:
            dims, levels = self.spec.dims, self.spec.levels
            kind = f"codes-{bounds}" if bounds else "codes"
            return DensityOf(kind, "mass", dims, given=columns, levels=levels)
        dims = sum(self.spec.fields[name].dims for name in self.codes)
        return DensityOf(bounds or "exact", "mass", dims, of="codes", given=columns)

    @property
    def likelihoods(self) -> Mapping[str, DensityOf]:
        """Of the columns of `evaluate`."""
        return {"bpd" if self.of_x else "code_nll": self.density}

    def evaluate(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """Per example, [B] each: `code_nll`, -log p(codes) in nats, and of two maps each one's.

        Where the stage's decoder is a mass of integers, also `bpd` = `code_bpd` + `pixel_bpd`:
        -log2 p(codes) - log2 p(x | codes) over the dimensions of x. It is one term of the sum over
        codes, and so an upper bound. Codes are the kept ones of the batch.
        """
        nats = self._nats(state, batch, rng)
        total = sum(nats.values(), jnp.float32(0))
        values = {"code_nll": total}
        if len(nats) > 1:
            values |= {f"{name}_nll": value for name, value in nats.items()}
        if not self.of_x:
            return values
        z = {name: batch[name] for name in self.codes}
        pixels = -self.code_log_prob(state, batch["x"], z)
        parts = {"bpd": total + pixels, "code_bpd": total, "pixel_bpd": pixels}
        dims = self.spec.dims
        return {k: nats_to_bits_per_dim(v, dims) for k, v in parts.items()} | values

    def _nats(self, state: State, batch: Batch, rng: Array) -> dict[str, Array]:
        """name of codes -> -log p [B], given those before them."""
        found = {}
        for player, inner in self.inners.items():
            own = self._batch(player, batch)
            more = {"given": {k: own[k] for k in given(inner)}} if given(inner) else {}
            log_p = inner.log_prob(self._own(state, player), own["x"], rng, **more)
            found[self.fields[player]] = -log_p
        return found

    def log_prob(self, state: State, x: Array, rng: Array, given: Given = None) -> Array:
        """[B], in nats, of what `density` says, with the codes that the stage finds now."""
        z = self.encode(state, x, rng)
        nats = self._nats(state, {"x": x, **z, **(given or {})}, rng)
        total = -sum(nats.values(), jnp.float32(0))
        if self.of_x:
            total += self.code_log_prob(state, x, z)
        return total

    @handing(lambda self: [inner.sample for inner in self.inners.values()])
    def sample(
        self,
        state: State,
        rng: Array,
        num: int,
        given: Given = None,
        mean: bool = False,
        **knobs: Any,
    ) -> Array:
        """Draws codes, then examples of them.

        Args:
            state: of the priors, which holds the stage.
            rng: a key.
            num: number of samples.
            given: field -> values of all samples, or [num, ...], of what the priors are given.
            mean: show what is expected of the codes instead of a draw.
            knobs: of the priors' `sample`.
        """
        *keys, last = jax.random.split(rng, len(self.fields) + 2)
        z = self._codes(state, keys, num, given, knobs)
        return self._shown(state, z, last, mean)

    @handing(lambda self: [i.complete for i in self.inners.values() if isinstance(i, Completes)])
    def complete(
        self,
        state: State,
        x: Array,
        known: Array,
        rng: Array,
        given: Given = None,
        mean: bool = False,
        **knobs: Any,
    ) -> Array:
        """x with what is not known drawn, by way of codes.

        A code is known where all pixels are that it stands for; it is that of x with the least
        value where x is not known. The others are drawn, and known pixels put back.

        Args:
            state: of the priors, which holds the stage.
            x: [B, ...] in the units of the data.
            known: bool, as x: what stays.
            rng: a key.
            given: see `sample`.
            mean: see there.
            knobs: of the priors' `complete`.
        """
        *keys, last = jax.random.split(rng, len(self.fields) + 2)
        there = self.encode(state, jnp.where(known, x, 0), last)
        z = self._codes(state, keys, x.shape[0], given, knobs, (there, known))
        drawn = self._shown(state, z, last, mean)
        return jnp.where(known, x, nearest_levels(drawn.astype(jnp.float32), self.spec.levels))

    def _shown(self, state: State, z: Mapping[str, Array], rng: Array, mean: bool) -> Array:
        """Data of codes."""
        if mean or not self.of_x:
            return self.decode(state, z, rounded=False)
        return self.code_sample(state, z, rng)

    def _codes(
        self,
        state: State,
        keys: Sequence[Array],
        num: int,
        asked: Given,
        knobs: Mapping[str, Any],
        there: tuple[Mapping[str, Array], Array] | None = None,
    ) -> dict[str, Array]:
        """name -> codes that are drawn one after another, but for those that are there."""
        z: dict[str, Array] = {}
        labels = dict(asked or {})
        field = self.spec.fields.get("label")
        if "label" in self.given and "label" not in labels and field is not None:
            labels["label"] = jax.random.randint(keys[-1], (num,), 0, field.classes or 0)
        for key, (player, inner) in zip(keys, self.inners.items(), strict=False):
            own = {**labels, **self._layers(player, z)}
            more = {"given": {k: own[k] for k in given(inner)}} if given(inner) else {}
            name, state_of = self.fields[player], self._own(state, player)
            if there is None:
                z[name] = inner.sample(state_of, key, num, **more, **knobs)
                continue
            if not isinstance(inner, Completes):
                raise ConfigError(f"{type(inner).__name__} has no complete")
            codes, known = there
            stays = jnp.broadcast_to(_all_known(known, codes[name].shape), codes[name].shape)
            z[name] = inner.complete(state_of, codes[name], stays, key, **more, **knobs)
        return z

    @property
    def latent_fields(self) -> Mapping[str, Field]:
        """Those of the stage."""
        return self.first.method.latent_fields

    def code_log_prob(self, state: State, x: Array, z: PyTree, given: Given = None) -> Array:
        """As the stage says it."""
        return self.first.method.code_log_prob(self.first.state(state), x, z)

    def code_sample(self, state: State, z: PyTree, rng: Array, given: Given = None) -> Array:
        """As the stage draws it."""
        return self.first.method.code_sample(self.first.state(state), z, rng)

    def encode(self, state: State, x: Array, rng: Array, given: Given = None) -> PyTree:
        """Data to codes, name -> [B, ...]."""
        return self.first.method.encode(self.first.state(state), x, rng)

    def decode(self, state: State, z: PyTree, given: Given = None, rounded: bool = True) -> Array:
        """Codes to data."""
        return self.first.method.decode(self.first.state(state), z, rounded=rounded)

    def reconstruct(self, state: State, x: Array, rng: Array, given: Given = None) -> Array:
        """What the stage restores of x."""
        stage = self.first.method
        if isinstance(stage, Restores):
            return stage.reconstruct(self.first.state(state), x, rng)
        return self.decode(state, self.encode(state, x, rng))


def _all_known(known: Array, shape: tuple[int, ...]) -> Array:
    """bool [B, h, w, 1]: whether all pixels of a code are known, of [B, H, W, C]."""
    num, height, width = len(known), *shape[1:3]
    parts = known.reshape(num, height, known.shape[1] // height, width, -1)
    return jnp.all(parts, axis=(2, 4))[..., None]


def _layer(name: str, group: int, groups: int) -> str:
    return name if groups == 1 else f"{name}_{group}"
