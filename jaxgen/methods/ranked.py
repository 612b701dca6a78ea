"""A prior over codes with a player beside it that says which sample fits its caption best."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp

from jaxgen.config import ConfigError
from jaxgen.methods.code_prior import CodePrior
from jaxgen.methods.givens import Givens
from jaxgen.methods.handing import handing
from jaxgen.methods.player import Player
from jaxgen.ops.pairs import contradicted, matching_nats
from jaxgen.ops.ranges import symmetric
from jaxgen.types import Array, Batch, Given, Metrics, Params, State, Turn, Vars


@dataclasses.dataclass(frozen=True)
class Ranked(CodePrior):
    """As `CodePrior`, with a contrastive model of pictures and captions, trained on the same pairs.

    Of `best_of` samples of a caption the one is kept whose vector is nearest to the caption's.

    Source: Ramesh et al. 2021, Zero-shot text-to-image generation, section 2.6; the loss is that of
    Radford et al. 2021 (CLIP), figure 3.

    Attributes:
        ranker: network, as `models.autoregressive.ranker`.
        text: field of the captions.
    """

    ranker: Any = None
    text: str = "text"

    def __post_init__(self) -> None:
        """Checks the options."""
        super().__post_init__()
        if self.ranker is None:
            raise ConfigError("config.model.ranker: expected a network, or code_prior.CodePrior")
        if self.text not in self.given:
            raise ConfigError(f"config.method.text={self.text!r}: the prior is not given it")

    @property
    def judge(self) -> Player:
        """The ranker."""
        return Player("ranker", self.ranker)

    @property
    def turns(self) -> Sequence[Turn]:
        """Those of the priors, and the ranker's."""
        return (*super().turns, Turn("ranker", self.contrast))

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Vars]:
        """Initialises all players."""
        params, variables = super().init(rng, batch)
        own = self.judge.init(jax.random.fold_in(rng, len(params)), *self._pair(batch))
        return params | {"ranker": own[0]}, variables | {"ranker": own[1]}

    def _pair(self, batch: Batch) -> tuple[Array, Array | None]:
        """What the ranker sees."""
        return symmetric(batch["x"], self.spec.levels), self.captions.of_batch(batch)

    @property
    def captions(self) -> Givens:
        """The text alone."""
        return Givens(self.spec, (self.text,))

    def contrast(
        self, state: State, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[Vars, Metrics]]:
        """Mean nats by which a picture is known among the batch's, and a caption."""
        pictures, captions, scale = self.judge.apply(state, *self._pair(batch))
        products = scale * pictures @ captions.T
        nats, right = matching_nats(products, contradicted((), len(products)))
        return nats, (state.vars, {"nats": nats, "accuracy": right})

    @handing(lambda self: [cast(Any, super(Ranked, self)).sample])  # noqa: UP008
    def sample(
        self,
        state: State,
        rng: Array,
        num: int,
        given: Given = None,
        best_of: int = 1,
        **knobs: Any,
    ) -> Array:
        """As `CodePrior.sample`, the best of several.

        Args:
            state: of all players.
            rng: a key.
            num: number of samples.
            given: see `CodePrior.sample`, as the other knobs.
            best_of: samples of each, of which the ranker chooses one.
            knobs: of `CodePrior.sample`.

        Raises:
            ConfigError: for less than one.
        """
        if best_of < 1:
            raise ConfigError(f"best_of={best_of}, expected 1 or more")
        if best_of == 1:
            return super().sample(state, rng, num, given, **knobs)
        fields = {k: self.spec.fields[k].shape for k in given or {}}
        rows = {k: jnp.broadcast_to(v, (num, *fields[k])) for k, v in (given or {}).items()}
        rows = {k: jnp.repeat(v, best_of, axis=0) for k, v in rows.items()}
        x = super().sample(state, rng, num * best_of, rows, **knobs)
        seen = symmetric(jnp.asarray(x, jnp.float32), self.spec.levels)
        pictures, captions, _ = self.judge.apply(
            state, seen, self.captions.of_batch({self.text: rows[self.text]})
        )
        nearest = jnp.argmax(jnp.sum(pictures * captions, -1).reshape(num, best_of), axis=1)
        return x.reshape(num, best_of, *x.shape[1:])[jnp.arange(num), nearest]
