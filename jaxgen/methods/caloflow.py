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
EMPTY, SPREAD = 2.5, 0.8  # of the normal numbers below zero that stand for empty cells
BRIGHTEST = 8.0  # half a logarithm of 900 GeV over the least


@dataclasses.dataclass(frozen=True)
class CaloFlow:
    """Two flows, trained side by side, each by its own likelihood.

    The first flow is of the logarithm of the response and the logits of the first layer's share
    and of the second's share of what is left; an empty layer has uniform noise below what a cell
    has to have to be read. The second, given the energies of layers, is of half the logarithms of
    cells over that least, and of negative noise for empty ones. Cells of a sample are scaled, so
    that layers have the energies of the first flow.

    Cells and their sums are no independent numbers, so the second likelihood is of a density that
    could grow without bound, as in the paper: it is a loss, and no density is declared.

    Source: Krause & Shih 2021, CaloFlow (arXiv:2106.05285), section 3. There cells are logits of
    shares of their layer's energy, and all have uniform noise below 1 keV, which as a logarithm
    would fill a range of its own too, but with edges that splines would have to learn.

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
        cells, sums = noisy(noise, batch["x"])
        known = self._known(batch)
        made = {
            "energies": self.first.init(first, shares(sums, batch["context"]), known),
            "cells": self.second.init(second, cells, beside(known, sums)),
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
        cells, _ = self.second.apply(state, z, beside(known, sums), method="inverse")
        return read_out(cells, sums)

    def _known(self, batch: Batch) -> Array:
        cond = self.givens.of_batch(batch)
        assert cond is not None  # the energy is given
        return logged(cond)

    def _nats(self, state: State, batch: Batch, rng: Array) -> dict[str, Array]:
        cells, sums = noisy(rng, batch["x"])
        known, found = self._known(batch), {}
        for name, player, values, cond in (
            ("energies_nll", self.first, shares(sums, batch["context"]), known),
            ("cells_nll", self.second, cells, beside(known, sums)),
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


def noisy(rng: Array, x: Array) -> tuple[Array, Array]:
    """Showers, GeV, as numbers [B, 504], negative where nothing is read, and energies [B, 3]."""
    of_cells, of_layers = jax.random.split(rng)
    empty = -jnp.abs(EMPTY + SPREAD * jax.random.normal(of_cells, x.shape))
    cells = jnp.where(x >= LEAST, 0.5 * jnp.log(jnp.maximum(x, LEAST) / LEAST), empty)
    sums = layer_sums(x)
    noise = LEAST * jax.random.uniform(of_layers, sums.shape, minval=1e-3, maxval=1 - 1e-3)
    return cells, jnp.where(sums >= LEAST, sums, noise)


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


def read_out(cells: Array, sums: Array) -> Array:
    """The inverse of `noisy`, scaled so that each layer that has cells has its energy [B, 3]."""
    x = jnp.where(cells >= 0, LEAST * jnp.exp(2 * jnp.minimum(cells, BRIGHTEST)), 0)
    factor = jnp.where(sums >= LEAST, sums, 0) / jnp.maximum(layer_sums(x), LEAST)
    scaled = x * jnp.repeat(factor, jnp.asarray(SIZES), axis=1, total_repeat_length=CELLS)
    return jnp.where(scaled >= LEAST, scaled, 0)
