"""Reconstruction: autoencoders, and denoising ones that see a corrupted input."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.methods.elbo import ELBO
from jaxgen.types import Array, Batch, Metrics, State

CORRUPTIONS = ("none", "gaussian", "masking", "salt_and_pepper")


@dataclasses.dataclass(frozen=True)
class Reconstruction(ELBO):
    """Minimises -log p(x | code of a corrupted x), in nats per example; see `ELBO`.

    Only the encoder's input is corrupted, the target never is. There is no likelihood of x here,
    and so no `log_prob`.

    Source: Vincent et al. 2010, Stacked denoising autoencoders, section 3.3.

    Attributes:
        corruption: "gaussian" adds noise, "masking" sets elements to 0, "salt_and_pepper" to the
            least or the largest value.
        amount: the noise's standard deviation as a fraction of the range of integer data (in the
            units of continuous data), or the share of elements that are replaced.
    """

    corruption: str = "none"
    amount: float = 0.3

    def __post_init__(self) -> None:
        """Checks the options."""
        super().__post_init__()
        if self.corruption not in CORRUPTIONS:
            raise ValueError(f"corruption={self.corruption!r}, expected one of {CORRUPTIONS}")
        if self.amount < 0 or (self.corruption != "gaussian" and self.amount > 1):
            raise ValueError(f"amount={self.amount}, expected a share in [0, 1]")
        if self.corruption == "salt_and_pepper" and self.spec.levels is None:
            raise ValueError("corruption='salt_and_pepper': continuous data have no largest value")

    log_prob: Any = None  # the abilities `Density` and `BitsBack` are taken away
    latent_laws: Any = None

    def corrupt(self, x: Array, rng: Array) -> Array:
        """x with noise or with elements replaced, in the units of the data."""
        most = 1.0 if self.spec.levels is None else float(self.spec.levels - 1)
        if self.corruption == "none":
            return x
        if self.corruption == "gaussian":
            return x + self.amount * most * jax.random.normal(rng, x.shape)
        share, side = jax.random.split(rng)
        replaced = jax.random.bernoulli(share, self.amount, x.shape)
        value = jnp.zeros(x.shape)
        if self.corruption == "salt_and_pepper":
            value = most * jax.random.bernoulli(side, 0.5, x.shape)
        return jnp.where(replaced, value, x)

    def evaluate(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """`reconstruction` [B], nats, of the clean input; with a corruption also `denoising`."""
        x, cond = batch["x"], self.condition(batch)

        def nats(seen: Array) -> Array:
            draw = self.draw_posterior(state, seen, cond, rng)
            return -self.decoder.log_prob(x, draw.theta)

        values = {"reconstruction": nats(x)}
        if self.corruption != "none":
            values["denoising"] = nats(self.corrupt(x, rng))
        return values

    def columns(self, nelbo: Array) -> Metrics:
        """None: there is no bound."""
        return {}
