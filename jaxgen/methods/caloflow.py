"""Showers in two steps: a flow of the energies of layers, and one of cells that are given them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxgen.bijectors.base import Bijector
from jaxgen.config import ConfigError
from jaxgen.methods.givens import Givens, chosen
from jaxgen.methods.player import Player
from jaxgen.ops.calorimeter import CELLS, LAYERS, LEAST, SIZES, layers
from jaxgen.ops.densities import normal_log_prob, sum_event
from jaxgen.types import Array, Batch, DataSpec, Given, Metrics, Params, State, Turn, Vars

LOG_ENERGY = 3.6  # about the mean of the logarithms of energies, in GeV


@dataclasses.dataclass(frozen=True)
class CaloFlow:
    """Two flows, trained side by side, each by its own likelihood.

    Empty cells take uniform noise below what a cell has to have to be read, so that all is
    continuous. The first flow is of the logarithm of the response and the logits of the first
    layer's share and of the second's share of what is left; the second of log(1 + cell / least),
    given the energies of layers. A sample's cells below the least are empty; what a layer has
    beyond noise is scaled to its energy, so that energies are the first flow's.

    Cells and their sums are no independent numbers, so the second likelihood is of a density that
    could grow without bound, as in the paper: it is a loss, and no density is declared.

    Source: Krause & Shih 2021, CaloFlow (arXiv:2106.05285), section 3. There cells are logits of
    shares of their layer's energy, and the noise is below 1 keV.

    Attributes:
        energies: bijector of three numbers.
        cells: bijector of 504.
        spec: of showers that are given their energy.
        given: fields beside it, as ("label",).
    """

    energies: Bijector
    cells: Bijector
    spec: DataSpec
    given: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Checks the data."""
        object.__setattr__(self, "given", chosen(self.given, self.spec))
        if self.spec.shape != (CELLS,) or self.spec.context != ("energy",):
            raise ConfigError(
                f"config.method: {self.spec.name} are no showers in three layers with their "
                "energy: expected --config.data.name=showers"
            )

    @property
    def turns(self) -> Sequence[Turn]:
        """One of each flow."""
        return (Turn("energies", self.energies_loss), Turn("cells", self.cells_loss))

    @property
    def first(self) -> Player:
        """The flow of layers' energies."""
        return Player("energies", self.energies.conditioned())

    @property
    def second(self) -> Player:
        """The flow of cells."""
        return Player("cells", self.cells.conditioned())

    @property
    def givens(self) -> Givens:
        """The energy, and maybe the particle."""
        return Givens(self.spec, self.given)

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Vars]:
        """Initialises both flows on a batch."""
        noise, first, second = jax.random.split(rng, 3)
        x, known = noisy(noise, batch["x"]), self._known(batch)
        sums = layer_sums(x)
        made = {
            "energies": self.first.init(first, shares(sums, batch["context"]), known),
            "cells": self.second.init(second, jnp.log1p(x / LEAST), beside(known, sums)),
        }
        return {k: v[0] for k, v in made.items()}, {k: v[1] for k, v in made.items()}

    def energies_loss(
        self, state: State, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[Vars, Metrics]]:
        """Mean nats of the three numbers."""
        nats = jnp.mean(self._nats(state, batch, rng)["energies_nll"])
        return nats, (state.vars, {"nll": nats})

    def cells_loss(
        self, state: State, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[Vars, Metrics]]:
        """Mean nats of a cell."""
        nats = jnp.mean(self._nats(state, batch, rng)["cells_nll"])
        return nats / CELLS, (state.vars, {"nll": nats})

    def evaluate(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """Per example, [B] each: `energies_nll` and `cells_nll`, nats, see the class."""
        return self._nats(state, batch, rng)

    def sample(self, state: State, rng: Array, num: int, given: Given = None) -> Array:
        """Showers [num, 504], GeV.

        Args:
            state: of both flows.
            rng: a key.
            num: number of showers.
            given: the energy as "context", GeV; particles that are not given are drawn evenly.
        """
        classes, first, second = jax.random.split(rng, 3)
        cond = self.givens.of_call(given, num, classes)
        assert cond is not None  # the energy is given
        known, energy = logged(cond), cond[:, -1:]
        z = jax.random.normal(first, (num, len(LAYERS)))
        sums = from_shares(self.first.apply(state, z, known, method="inverse")[0], energy)
        z = jax.random.normal(second, (num, CELLS))
        v, _ = self.second.apply(state, z, beside(known, sums), method="inverse")
        return read_out(LEAST * jnp.expm1(jnp.maximum(v, 0)), sums)

    def _known(self, batch: Batch) -> Array:
        cond = self.givens.of_batch(batch)
        assert cond is not None  # the energy is given
        return logged(cond)

    def _nats(self, state: State, batch: Batch, rng: Array) -> dict[str, Array]:
        x, known = noisy(rng, batch["x"]), self._known(batch)
        sums = layer_sums(x)
        found = {}
        for name, player, values, cond in (
            ("energies_nll", self.first, shares(sums, batch["context"]), known),
            ("cells_nll", self.second, jnp.log1p(x / LEAST), beside(known, sums)),
        ):
            z, logdet = player.apply(state, values, cond)
            found[name] = -sum_event(normal_log_prob(z)) - logdet
        return found


def logged(cond: Array) -> Array:
    """A condition whose last number, an energy, is a logarithm about zero."""
    return jnp.concatenate([cond[:, :-1], jnp.log(cond[:, -1:]) - LOG_ENERGY], axis=1)


def beside(known: Array, sums: Array) -> Array:
    """What the second flow is given: what is known, and logarithms of layers' energies."""
    return jnp.concatenate([known, 0.25 * jnp.log(sums / LEAST) - 1], axis=1)


def noisy(rng: Array, x: Array) -> Array:
    """Showers whose empty cells have uniform noise below the least that is read."""
    u = jax.random.uniform(rng, x.shape, minval=1e-3, maxval=1 - 1e-3)
    return jnp.where(x >= LEAST, x, LEAST * u)


def layer_sums(x: Array) -> Array:
    """[B, 504] -> [B, 3]."""
    return jnp.stack([jnp.sum(part, axis=(1, 2)) for part in layers(x)], axis=1)


def shares(sums: Array, energy: Array) -> Array:
    """Energies of layers [B, 3], of what came in [B, 1], to three numbers of the real line."""
    first, second, third = (sums[:, i : i + 1] for i in range(3))
    rest = second + third
    return jnp.concatenate(
        [jnp.log((first + rest) / energy), jnp.log(first / rest), jnp.log(second / third)], axis=1
    )


def from_shares(w: Array, energy: Array) -> Array:
    """The inverse of `shares`."""
    total, first, second = (w[:, i : i + 1] for i in range(3))
    total = energy * jnp.exp(jnp.clip(total, -5, 1))
    rest = total * jax.nn.sigmoid(-first)
    parts = [total * jax.nn.sigmoid(first)]
    parts += [rest * jax.nn.sigmoid(second), rest * jax.nn.sigmoid(-second)]
    return jnp.concatenate(parts, axis=1)


def read_out(x: Array, sums: Array) -> Array:
    """Cells without noise, scaled so that each layer with its noise has its energy [B, 3]."""
    bright = jnp.where(x >= LEAST, x, 0)
    lit, noise = layer_sums(bright), layer_sums(x - bright)
    factor = jnp.maximum(sums - noise, 0) / jnp.maximum(lit, LEAST)
    repeats = jnp.asarray(SIZES)
    scaled = bright * jnp.repeat(factor, repeats, axis=1, total_repeat_length=CELLS)
    return jnp.where(scaled >= LEAST, scaled, 0)
