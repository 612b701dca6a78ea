"""What a method can do beyond training and sampling, one small protocol an ability.

Code asks by type, `isinstance(method, Encodes)`, and never for names or signatures. A method has
an ability when it has all that the protocol lists; None in a derived class takes it away again.
`contract.check` refuses a method that has an ability in part, or with other arguments.

`given` holds the fields that the method is given, see `Conditional`: name -> [B, ...]. A method
that is given nothing needs no such parameter.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from jaxgen.abilities.coding import Bijective, BitsBack, Enumerates
from jaxgen.abilities.styles import (
    Factorises,
    Mixes,
    Moves,
    Projects,
    SampleStyles,
    StyleChannels,
    Styles,
    Truncates,
)
from jaxgen.types import Array, Batch, DataSpec, Field, Given, Metrics, PyTree, State


@dataclasses.dataclass(frozen=True)
class DensityOf:
    """What a log-probability is of. Numbers of unlike ones are never ranked.

    Attributes:
        kind: "exact"; or how it bounds what it is of: "elbo", "iwae-K", "udq" and "vdq" (uniform
            and variational dequantisation), these with "-iw-K" for the mean density of K draws;
            "codes" (one term of a sum over latents: the codes that the encoder finds); "masked-N"
            (N sets of masks), also of the codes, "codes-masked-N"; "vlb" (the bound of a chain of
            noises), "vdm-N" (that of noise in continuous time, at N times); "ode-S" (what an ODE
            in S steps makes of a normal density, of integers with uniform dequantisation), and
            "ode-R", "ode-probed-R" (in steps of the relative tolerance R; with a divergence that
            is estimated), of integers after "udq-".
        measure: "mass" of integers, or "density".
        dims: of an event: bits/dim are nats over so many.
        of: "x", an example, or the part of it that is modelled.
        given: names of what it is conditional on.
        levels: grey levels of the integers that are modelled; None of continuous data.
        per: the unit of x by whose volume a density is measured; "" of a mass.
    """

    kind: str
    measure: str
    dims: int
    of: str = "x"
    given: tuple[str, ...] = ()
    levels: int | None = None
    per: str = ""

    def fingerprint(self) -> dict[str, str | int | None]:
        """All of it, flat."""
        return dataclasses.asdict(self) | {"given": ", ".join(self.given)}


@runtime_checkable
class Density(Protocol):
    """Says how probable an example is."""

    def log_prob(self, state: State, x: Array, rng: Array, given: Given = None) -> Array:
        """[B], in nats, of what `density` says; `rng` draws the noise of a bound."""
        ...

    @property
    def density(self) -> DensityOf:
        """What `log_prob` is of."""
        ...

    @property
    def likelihoods(self) -> Mapping[str, DensityOf]:
        """Column of `evaluate` -> what it is the negative logarithm of.

        In nats, or in bits/dim where the name ends in "bpd".
        """
        ...


@runtime_checkable
class Weighted(Density, Protocol):
    """Averages densities over draws: a field `importance_samples` that may be replaced."""

    @property
    def importance_samples(self) -> int:
        """Draws of the bounds in `evaluate`."""
        ...


@runtime_checkable
class Conditional(Protocol):
    """May be given more of an example than x."""

    @property
    def given(self) -> tuple[str, ...]:
        """Fields of a batch that calls are given, as ("label",); () for none."""
        ...


@runtime_checkable
class Levels(Protocol):
    """Models grey levels, maybe fewer than the data have."""

    @property
    def levels(self) -> int | None:
        """How many; None for continuous data."""
        ...


@runtime_checkable
class Encodes(Protocol):
    """Finds the latents of an example."""

    def encode(self, state: State, x: Array, rng: Array, given: Given = None) -> PyTree:
        """Data to latents, a pytree of [B, ...]."""
        ...


@runtime_checkable
class Decodes(Protocol):
    """Makes an example of latents."""

    def decode(self, state: State, z: PyTree, *, rounded: bool, given: Given = None) -> Array:
        """Latents to data, in their units: whole grey levels if `rounded`, else real ones.

        Between the real ones there are paths. The default of `rounded` is the method's own.
        """
        ...


@runtime_checkable
class Restores(Protocol):
    """Shows what of an example its latents keep."""

    def reconstruct(self, state: State, x: Array, rng: Array, given: Given = None) -> Array:
        """The expected data given latents of x, in their units."""
        ...


@runtime_checkable
class Completes(Protocol):
    """Draws what is not known of an example."""

    def complete(
        self, state: State, x: Array, known: Array, rng: Array, given: Given = None
    ) -> Array:
        """x [B, ...] in the units of the data, drawn where the bool `known`, of its shape, is not.

        What is known stays as it is.
        """
        ...


@runtime_checkable
class Translates(Protocol):
    """Makes of what one field holds what another could."""

    @property
    def translations(self) -> Mapping[str, tuple[str, str]]:
        """Name of a direction -> (field that is translated, field of what is made)."""
        ...

    def translate(self, state: State, batch: Batch, rng: Array, to: str) -> Array:
        """What is made, [B, ...] in the units of its field.

        The batch has the field that is translated, and where that is one of `Conditional.given`,
        all of these. Its pictures may be of another size than the data, where the method can.
        """
        ...


@runtime_checkable
class Describes(Protocol):
    """Says in words what pictures show: x is text, and the method is given one field, an image."""

    def describe(self, state: State, pictures: Array, rng: Array, num: int, beam: int) -> Array:
        """Tokens [B, num, T] of pictures [B, H, W, C]: drawn, or by a beam search of that width."""
        ...


@runtime_checkable
class Latents(Protocol):
    """Draws latents without an example."""

    def latents(self, rng: Array, num: int) -> PyTree:
        """Draws of the prior, as `decode` takes them."""
        ...


@runtime_checkable
class Coded(Protocol):
    """Finds codes: latents that are integers, which a second model may draw.

    `Encodes.encode` gives them as a mapping, name -> [B, ...] of the field's dtype, and
    `Decodes.decode` takes them so.
    """

    @property
    def latent_fields(self) -> Mapping[str, Field]:
        """Name -> what `encode` gives of an example."""
        ...

    def code_log_prob(self, state: State, x: Array, z: PyTree, given: Given = None) -> Array:
        """log p(x | z), [B], in nats of the integers of x; ConfigError where there is none."""
        ...

    def code_sample(self, state: State, z: PyTree, rng: Array, given: Given = None) -> Array:
        """A draw of p(x | z), in the units of the data."""
        ...


@runtime_checkable
class Descends(Protocol):
    """Has groups of latents, each drawn given those before it."""

    def descend(
        self,
        state: State,
        z: Sequence[Array],
        rng: Array,
        *,
        num: int,
        temperatures: Sequence[float],
        given: Given = None,
    ) -> tuple[Sequence[Array], Array]:
        """All groups of `num` examples, the first of which are z, and the expected data.

        The noise of those that are drawn is of `rng` alone. Deviations of each group are multiplied
        by its temperature, from the first on; the last one is that of all that follow.
        """
        ...


@runtime_checkable
class Bounds(Descends, Protocol):
    """Bounds log p(x) with latents of the first groups alone."""

    def bounds(
        self,
        state: State,
        x: Array,
        rng: Array,
        groups: Sequence[int],
        given: Given = None,
    ) -> Array:
        """[B, len(groups)], in nats: estimates of bounds that keep so many groups each.

        E log p(x | z) - KL of the groups that are kept, from the first on; they are drawn from the
        posterior, the others from their prior given those. All groups give the ELBO, and L^{>k} of
        Havtorn et al. 2021, Hierarchical VAEs know what they don't know, keeps all but the last k.
        """
        ...


@runtime_checkable
class Infers(Protocol):
    """Infers parameters of observations."""

    def posterior(
        self, state: State, rng: Array, x: Array, num: int
    ) -> tuple[Array, Array, Array, Array]:
        """Rows' own parameters, their log-density but for a constant of the row, draws, theirs."""
        ...


@runtime_checkable
class Stratified(Protocol):
    """Spreads several draws for an example, as of its time in diffusion, over their range."""

    def evaluate_stratum(
        self, state: State, batch: Batch, rng: Array, stratum: Array, strata: int
    ) -> Metrics:
        """As `Method.evaluate`, drawn from the share `stratum` of as many equally likely ones."""
        ...


@runtime_checkable
class Stepped(Protocol):
    """Has calls with a knob of the type `types.Steps`, which one program serves whatever it is."""

    @property
    def most_steps(self) -> int:
        """The largest number."""
        ...


@runtime_checkable
class Alarms(Protocol):
    """Knows what a user should be warned of."""

    def alarms(self, values: Mapping[str, float]) -> Mapping[str, str]:
        """From metrics of a log interval, `turn/name` -> number, to name -> one line."""
        ...


@runtime_checkable
class Restarts(Protocol):
    """Lets optimisers begin anew."""

    def restarts(self, step: Array) -> Array:
        """Whether they do before that train step, a bool scalar."""
        ...


ABILITIES = (Density, Weighted, Conditional, Levels, Encodes, Decodes, Restores, Latents, Styles)
ABILITIES += (Coded, Completes, Enumerates, Mixes, Projects, Infers, Stratified, Alarms)
ABILITIES += (Restarts, Stepped, Translates, Describes, Moves, Truncates, Descends, Factorises)
ABILITIES += (BitsBack, Bijective, SampleStyles, StyleChannels, Bounds)


def given(method: Any) -> tuple[str, ...]:
    """Fields of a batch that the method's calls are given; () for none."""
    return method.given if isinstance(method, Conditional) else ()


def levels_of(method: Any, spec: DataSpec) -> int | None:
    """Grey levels that a method models: those of the data, unless it says otherwise."""
    return method.levels if isinstance(method, Levels) else spec.levels
