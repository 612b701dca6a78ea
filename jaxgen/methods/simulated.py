"""Rows of parameters and observation, as methods of simulation-based inference take them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from jaxgen.config import ConfigError
from jaxgen.methods.player import Player
from jaxgen.ops.priors import Normal, Uniform
from jaxgen.types import Array, DataSpec

PARAMETER = "theta "  # how columns are called that a .npz says are parameters


@dataclasses.dataclass(frozen=True)
class Simulated:
    """A network over simulated pairs, and the support of the prior they were drawn from.

    An example is a row of numbers, first the parameters and then the observation, as the
    simulators of `data.name`, an .npz of `theta` and `x` and a .npy file of one's own give it.

    Attributes:
        model: the network.
        spec: of the data.
        parameters: how many numbers of a row are parameters.
        low: lower ends of the prior's support; None where it has none.
        high: upper ends.
    """

    model: Any
    spec: DataSpec
    parameters: int
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None

    def __post_init__(self) -> None:
        """Checks the options against each other and against the data."""
        who = type(self).__name__
        if self.spec.levels is not None or len(self.spec.shape) != 1:
            raise ConfigError(f"{self.spec.name} does not hold rows of continuous numbers")
        if self.spec.x.units is not None:
            raise ConfigError(
                f"{self.spec.name} is standardised, and {who} takes rows in their own units: add "
                f"--config.data.standardize=False"
            )
        if not 0 < self.parameters < self.spec.dims:
            raise ValueError(
                f"parameters={self.parameters}, expected 1 to {self.spec.dims - 1}: rows of "
                f"{self.spec.name} have {self.spec.dims} numbers, and some are the observation"
            )
        known = sum(name.startswith(PARAMETER) for name in self.spec.x.names)
        if known not in (0, self.parameters):
            raise ConfigError(
                f"parameters={self.parameters}, and {self.spec.name} has {known} of them in "
                f"theta: add --config.method.parameters={known}"
            )
        if (self.low is None) != (self.high is None):
            raise ValueError("give both low and high, or none of them")
        if self.low is None or self.high is None:
            return
        if not (
            len(self.low) == len(self.high) == self.parameters
            and all(a < b for a, b in zip(self.low, self.high, strict=True))
        ):
            raise ValueError(
                f"low={self.low} and high={self.high}: expected {self.parameters} ends each, "
                f"the lower ones first"
            )

    @property
    def player(self) -> Player:
        """The model."""
        return Player("model", self.model)

    @property
    def observed(self) -> int:
        """Numbers of an observation, E."""
        return self.spec.dims - self.parameters

    def split(self, x: Array) -> tuple[Array, Array]:
        """Parameters [B, D] and observations [B, E] of rows [B, D + E]."""
        return x[:, : self.parameters], x[:, self.parameters :]

    def observations(self, value: Any, several: bool = False) -> Array:
        """What a user says was observed, [n, E]; n is 1 unless several are taken.

        Raises:
            ConfigError: for none, for other numbers of them, and for what is not finite.
        """
        given = jnp.asarray(() if value is None else value, jnp.float32)
        fits = given.shape == (self.observed,)
        if several and given.size:
            fits = given.shape[-1:] == (self.observed,) or given.size % self.observed == 0
        if not fits:
            raise ConfigError(
                f"observation={value}, expected {self.observed} numbers"
                f"{' for each of one or more observations' if several else ''}, as "
                f"--observation={','.join(['0.5'] * self.observed)}{',' * (self.observed == 1)}"
            )
        return given.reshape(-1, self.observed)


@dataclasses.dataclass(frozen=True)
class KnownPrior(Simulated):
    """What also draws from the prior: uniform where it has ends, else normal.

    Attributes:
        mean: of a normal prior, one a parameter; None of a uniform one.
        std: its deviations.
    """

    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None

    def __post_init__(self) -> None:
        """Checks the prior."""
        super().__post_init__()
        if (self.mean is None) != (self.std is None) or (self.mean is None) == (self.low is None):
            raise ConfigError(
                f"{type(self).__name__} draws from the prior: give low and high of a uniform one, "
                "or mean and std of a normal one"
            )
        if self.mean is not None and self.std is not None:
            whole = len(self.mean) == len(self.std) == self.parameters
            if not whole or min(self.std) <= 0:
                raise ConfigError(
                    f"mean={self.mean} and std={self.std}: expected {self.parameters} numbers "
                    "each, the deviations above 0"
                )

    @property
    def prior(self) -> Uniform | Normal:
        """Of the parameters."""
        if self.low is not None and self.high is not None:
            return Uniform(tuple(self.low), tuple(self.high))
        assert self.mean is not None and self.std is not None
        return Normal(tuple(self.mean), tuple(self.std))
