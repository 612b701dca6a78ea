"""What steadies a game beside its losses: penalties, lazy or not, and what remembers, as one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from jaxgen import schedules
from jaxgen.methods.memory import Memory
from jaxgen.ops import penalties
from jaxgen.schedules import Scheduled
from jaxgen.types import Array, Metrics, PyTree


class Move(NamedTuple):
    """What a move of a player was made on.

    Attributes:
        params: of the player.
        critic: x -> logits of a discriminator, as this move sees them; None in others' moves.
        real: examples that the critic takes for real; None where there is no critic.
        fake: examples that were generated; None where there is no critic.
        real_logits: of the critic; None in a lazy term's own move.
        fake_logits: of the critic; None in a lazy term's own move.
    """

    params: PyTree
    critic: Callable[[Array], Any] | None = None
    real: Any = None
    fake: Any = None
    real_logits: Any = None
    fake_logits: Any = None


class Regularizer(Protocol):
    """A term of a player's loss, which may remember."""

    @property
    def name(self) -> str:
        """Of its metric."""
        ...

    @property
    def weight(self) -> Scheduled:
        """That multiplies the term."""
        ...

    @property
    def every(self) -> int:
        """1 for each move; else the term is a turn of its own on every so many steps.

        It then counts so many times (Karras et al. 2020, StyleGAN2, appendix B).
        """
        ...

    def start(self, memory: Memory, params: PyTree, logits: Any) -> Memory:
        """The memory with what this one remembers at first.

        Args:
            memory: of all.
            params: of the player.
            logits: of the critic at initialisation, or their shapes.
        """
        ...

    def __call__(self, move: Move, memory: Memory, rng: Array) -> tuple[Array, Memory]:
        """The term, a scalar without the weight, and the memory after the move."""
        ...


@dataclasses.dataclass(frozen=True)
class Penalty:
    """One of `ops.penalties.PENALTIES`, of a critic.

    Attributes:
        name: of it.
        weight: of it.
        every: steps.
        options: of it.
    """

    name: str
    weight: Scheduled
    every: int = 1
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def start(self, memory: Memory, params: PyTree, logits: Any) -> Memory:
        """Nothing is remembered."""
        return memory

    def __call__(self, move: Move, memory: Memory, rng: Array) -> tuple[Array, Memory]:
        """The penalty."""
        penalty = penalties.PENALTIES[self.name]
        return penalty(move.critic, move.real, move.fake, rng, **self.options), memory


@dataclasses.dataclass(frozen=True)
class LeCam:
    """`ops.penalties.lecam` of a critic.

    Attributes:
        weight: of it.
        name: of it, and of its memory.
        every: steps.
    """

    weight: Scheduled
    name: str = "lecam"
    every: int = 1

    def start(self, memory: Memory, params: PyTree, logits: Any) -> Memory:
        """Means of zero, of each scale."""
        zeros = jax.tree.map(lambda _: jnp.float32(0), logits)
        return {**memory, self.name: {"real": zeros, "fake": zeros}}

    def __call__(self, move: Move, memory: Memory, rng: Array) -> tuple[Array, Memory]:
        """The distance, and the means moved."""
        means = memory[self.name]
        value, means = penalties.lecam(move.real_logits, move.fake_logits, means)
        return value, {**memory, self.name: means}


@dataclasses.dataclass(frozen=True)
class History:
    """`ops.penalties.history` of a player.

    Attributes:
        weight: of it.
        player: whose parameters.
        name: of it, and of its memory.
        every: steps.
    """

    weight: Scheduled
    player: str
    name: str = "history"
    every: int = 1

    def start(self, memory: Memory, params: PyTree, logits: Any) -> Memory:
        """The parameters, of no move."""
        return self._with(memory, {"mean": params, "moves": jnp.float32(0)})

    def __call__(self, move: Move, memory: Memory, rng: Array) -> tuple[Array, Memory]:
        """The distance, and the mean moved."""
        value, own = penalties.history(move.params, memory[self.name][self.player])
        return value, self._with(memory, own)

    def _with(self, memory: Memory, own: Any) -> Memory:
        return {**memory, self.name: {**memory.get(self.name, {}), self.player: own}}


@dataclasses.dataclass(frozen=True)
class Orthogonality:
    """`ops.penalties.orthogonality` of a player's kernels.

    Attributes:
        weight: of it.
        name: of it.
        every: steps.
    """

    weight: Scheduled
    name: str = "orthogonality"
    every: int = 1

    def start(self, memory: Memory, params: PyTree, logits: Any) -> Memory:
        """Nothing is remembered."""
        return memory

    def __call__(self, move: Move, memory: Memory, rng: Array) -> tuple[Array, Memory]:
        """The sum of squares."""
        return penalties.orthogonality(move.params), memory


def regularized(
    loss: Array, terms: Sequence[Regularizer], move: Move, memory: Memory, rng: Array, step: Array
) -> tuple[Array, Memory, Metrics]:
    """A loss with all terms that are of each move, the memory after it, and a metric of each.

    Args:
        loss: a scalar.
        terms: of the player; lazy ones are left out.
        move: the player's.
        memory: before it.
        rng: a key; that of the i-th term is folded out of it.
        step: train steps done, which scheduled weights follow.
    """
    metrics: Metrics = {}
    for i, term in enumerate(terms):
        if term.every == 1:
            value, memory = term(move, memory, jax.random.fold_in(rng, i))
            weight = schedules.value(term.weight, step)
            loss, metrics[term.name] = loss + weight * value, value
    return loss, memory, metrics
