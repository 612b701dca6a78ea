"""A prior over the latents that a frozen stage finds: any likelihood model there, data here.

The second of two stages: the first, an autoencoder or VAE, is trained and frozen, and the aggregate
of its codes is modelled by a density of its own, from which one samples and then decodes.

Source: Ghosh et al. 2020, "From Variational to Deterministic Autoencoders" (ICLR), section 4,
ex-post density estimation, there with mixtures of Gaussians; Xiao et al. 2019, "Generative Latent
Flow" (arXiv:1905.10485), with a flow, as here by default.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import jax

from jaxgen.abilities import Decodes, Encodes, Restores, given
from jaxgen.config import ConfigError, build, check_options
from jaxgen.methods.handing import handing
from jaxgen.names import resolve
from jaxgen.types import Array, Batch, DataSpec, Given, Metrics, Params, State, Turn, Vars

LIKELIHOOD = {"name": "likelihood.Likelihood"}


def check_prior(section: Mapping[str, Any] | None, where: str = "config.method.prior") -> None:
    """Refuses an objective of a prior that there is not, or options that it does not take.

    Raises:
        ConfigError: naming the first.
    """
    if section is not None:
        options = dict(section)
        target = resolve(options.pop("name", None), "jaxgen.methods")
        check_options(target, where.removeprefix("config."), options, given=("model", "spec"))


@dataclasses.dataclass(frozen=True)
class LatentPrior:
    """Trains `prior` on the field that the stage gives; samples are decoded by the stage.

    What the prior is given, the stage is not: there `given` changes nothing.

    Attributes:
        model: network of the prior.
        first: the frozen stage, see `train.frozen`.
        spec: of the data, with the stage's field.
        field: of the latents.
        prior: the objective: `name` of a class in `jaxgen.methods`, and its options.
    """

    model: Any
    first: Any
    spec: DataSpec
    field: str = "z"
    prior: Annotated[Mapping[str, Any], check_prior] = dataclasses.field(
        default_factory=lambda: LIKELIHOOD
    )

    def __post_init__(self) -> None:
        """Checks that the stages fit."""
        if self.field not in self.spec.fields:
            raise ConfigError(
                f"method.field={self.field!r} is no field of the data: "
                f"config.frozen.first.field={self.field}"
            )
        stage = self.first.method
        if not (isinstance(stage, Encodes) and isinstance(stage, Decodes)):
            raise ConfigError(f"{type(stage).__name__} cannot encode and decode: no first stage")
        if given(stage):
            raise ConfigError(f"config.frozen.first is conditional on {', '.join(given(stage))}")

    @functools.cached_property
    def inner(self) -> Any:
        """The objective of the latents."""
        options = dict(self.prior)
        target = resolve(options.pop("name", None), "jaxgen.methods")
        fields = {k: v for k, v in self.spec.fields.items() if k not in ("x", self.field)}
        spec = DataSpec(
            f"latents of {self.spec.name}", {"x": self.spec.fields[self.field], **fields}
        )
        return build(target, "method.prior", model=self.model, spec=spec, **options)

    @property
    def given(self) -> tuple[str, ...]:
        """What the prior is given."""
        return given(self.inner)

    @property
    def turns(self) -> Sequence[Turn]:
        """Those of the prior, which sees the latents as its x."""

        def of_latents(loss: Any) -> Any:
            return lambda state, batch, rng: loss(state, self._latents(batch), rng)

        return tuple(turn._replace(loss=of_latents(turn.loss)) for turn in self.inner.turns)

    def _latents(self, batch: Batch) -> Batch:
        return {k: v for k, v in batch.items() if k != self.field} | {"x": batch[self.field]}

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Vars]:
        """Initialises the prior."""
        return self.inner.init(rng, self._latents(batch))

    def evaluate(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """What the prior says of the latents, [B] each, `latent_` before every name."""
        values = self.inner.evaluate(state, self._latents(batch), rng)
        return {f"latent_{name}": value for name, value in values.items()}

    @handing(lambda self: [self.inner.sample])
    def sample(
        self, state: State, rng: Array, num: int, given: Given = None, **knobs: Any
    ) -> Array:
        """Draws latents from the prior, then decodes them.

        Args:
            state: of the prior, which holds the stage.
            rng: a key.
            num: number of samples.
            given: field -> values of all samples, or [num, ...], of what the prior is given.
            knobs: of the prior's `sample`.
        """
        more = {"given": given} if given else {}
        return self.outward(state, self.inner.sample(state, rng, num, **more, **knobs))

    def outward(self, state: State, z: Array) -> Array:
        """Latents as the prior draws them to data."""
        units = self.spec.fields[self.field].units
        return self.decode(state, units.outward(z) if units else z)

    def encode(self, state: State, x: Array, rng: Array, given: Given = None) -> Any:
        """Data to latents in the stage's own units."""
        return self.first.method.encode(self.first.state(state), x, rng)

    def decode(self, state: State, z: Any, given: Given = None, rounded: bool = True) -> Array:
        """Latents in the stage's own units to data."""
        if not isinstance(z, tuple | dict | list):  # as the stage's own encode has them
            x = self.spec.batch(1)["x"]
            found = jax.eval_shape(self.encode, state, x, jax.random.key(0))
            z = jax.tree.unflatten(jax.tree.structure(found), [z])
        return self.first.method.decode(self.first.state(state), z, rounded=rounded)

    def reconstruct(self, state: State, x: Array, rng: Array, given: Given = None) -> Array:
        """What the stage restores of x."""
        stage = self.first.method
        if isinstance(stage, Restores):
            return stage.reconstruct(self.first.state(state), x, rng)
        return self.decode(state, self.encode(state, x, rng))
