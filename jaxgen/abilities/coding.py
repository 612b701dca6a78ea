"""What a method says so that a coder can work; see `jaxgen.abilities`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from jaxgen.types import Array, Given, PyTree, State


@runtime_checkable
class Enumerates(Protocol):
    """Says the probability of each value of an entry given the entries before it.

    It is what a coder needs. The D entries of an example are in raster order, channels last, and
    have K values each.
    """

    def entry_log_probs(self, state: State, x: Array, given: Given = None) -> Array:
        """[B, D, K], in nats, of examples that are known."""
        ...

    def entry_start(self, state: State, x: Array, given: Given = None) -> PyTree:
        """What `entry_next` remembers, before the first entry."""
        ...

    def entry_next(
        self, state: State, memory: PyTree, x: Array, entry: Array, given: Given = None
    ) -> tuple[Array, PyTree]:
        """[B, K] of entry number `entry`, before which all of x is there; and the memory."""
        ...


@runtime_checkable
class BitsBack(Protocol):
    """Says what each group of its latents is drawn from: what coding by bits back needs.

    Latents are as `Encodes.encode` gives them: a tuple, one array [B, ...] a group, the first
    drawn first.
    """

    def latent_laws(
        self, state: State, x: Array, z: PyTree, given: Given = None
    ) -> tuple[Sequence[Any], Array]:
        """(prior, posterior) of each group, and theta.

        Both are `(mean, log_std)` of independent normals; those of a group look at x and at the
        groups of z before it alone, the prior not at x. theta is that of all groups. ConfigError
        where the latents are none of normals.
        """
        ...

    def value_log_probs(self, theta: Array, seen: Array, channel: int) -> Array:
        """[B, P, K], in nats, of the values of a channel at all positions.

        Of `seen` [B, ...] the channels before it are looked at. ConfigError where a density is
        modelled, not a mass.
        """
        ...


@runtime_checkable
class Bijective(Protocol):
    """Maps integer data, made real by noise in [0, 1), to as many real numbers and back."""

    @property
    def base_density(self) -> str:
        """Name of the standard density of what they are mapped to: "normal", "logistic"..."""
        ...

    def to_base(self, state: State, x: Array) -> Array:
        """Reals [B, ...], in units of grey levels, to [B, D]; in the precision of the params.

        ConfigError where no such map is there, or none that can be inverted.
        """
        ...

    def from_base(self, state: State, z: Array) -> Array:
        """Back, to [B, ...]."""
        ...
