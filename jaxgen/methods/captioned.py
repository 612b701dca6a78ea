"""Maximum likelihood of codes given a caption, and of the caption."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from jaxgen.config import ConfigError
from jaxgen.methods.autoregressive import Autoregressive
from jaxgen.types import Array, Batch, Metrics, State, Vars


@dataclasses.dataclass(frozen=True)
class Captioned(Autoregressive):
    """Minimises the mean of -log p of a caption's tokens and of a picture's codes, weighted.

    The network, as `models.autoregressive.dalle`, says both. The bits/dim are of the codes alone,
    given the caption.

    Source: Ramesh et al. 2021, Zero-shot text-to-image generation, section 2.2: weights 1 to 7.

    Attributes:
        text_weight: of the mean over the caption's tokens.
        image_weight: of the mean over the codes.
    """

    text_weight: float = 1.0
    image_weight: float = 7.0

    def __post_init__(self) -> None:
        """Checks the options."""
        super().__post_init__()
        kinds = [self.spec.fields[name].kind for name in self.given]
        if kinds != ["tokens"]:
            raise ConfigError(
                "config.method.prior.given: expected the one field of text, as given=text, got "
                f"{', '.join(self.given) or 'none'}"
            )
        if min(self.text_weight, self.image_weight) < 0 or not self.text_weight + self.image_weight:
            raise ConfigError("text_weight, image_weight: expected 0 or more, and not both 0")

    def loss(self, state: State, batch: Batch, rng: Array) -> tuple[Array, tuple[Vars, Metrics]]:
        """Weighted mean nats of a token, with dropout."""
        dropout, drop = jax.random.split(rng)
        x, cond = batch["x"], self.dropped(self.givens.of_batch(batch), drop)
        (theta, logits), state = self.player.train(
            state, x, self.head, cond, train=True, rngs={"dropout": dropout}, method="both"
        )
        values = self.values_of(self.log_prob_of(x, theta))
        metrics = {name: jnp.mean(value) for name, value in values.items()}
        words = self._text_nll(state, x, cond, logits)
        metrics["text_nll"] = jnp.mean(words)
        text, image = metrics["text_nll"] / logits.shape[1], metrics["nll"] / self.spec.dims
        total = self.text_weight * text + self.image_weight * image
        return total / (self.text_weight + self.image_weight), (state.vars, metrics)

    def evaluate(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """As `Autoregressive.evaluate`, of the codes, and `text_nll` [B], of captions in nats.

        A caption is counted with its padding.
        """
        x, cond = batch["x"], self.givens.of_batch(batch)
        theta, logits = self.player.apply(state, x, self.head, cond, method="both")
        values = self.values_of(self.log_prob_of(x, theta))
        return values | {"text_nll": self._text_nll(state, x, cond, logits)}

    def _text_nll(self, state: State, x: Array, cond: Array | None, logits: Array) -> Array:
        targets = self.player.apply(state, x, cond, method="targets")
        log_p = jax.nn.log_softmax(logits)
        return -jnp.sum(jnp.take_along_axis(log_p, targets[..., None], axis=-1), axis=(1, 2))
