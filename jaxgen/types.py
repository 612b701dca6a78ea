"""The contract between data, methods and the trainer: DataSpec, State, Turn, Method.

Nothing here knows a family of models. A method is a sequence of turns; the trainer plays them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import flax.struct
import jax

from jaxgen.config import ConfigError, unknown
from jaxgen.fields import DataSpec as DataSpec
from jaxgen.fields import Field as Field
from jaxgen.fields import Units as Units

Array = jax.Array
PyTree = Any
FROZEN = "frozen"  # in the vars of a run that holds stages, and in its directory
Batch = Mapping[str, Array]  # field -> [B, ...], as the `DataSpec` says
Given = Mapping[str, Array] | None  # field -> [B, ...], of what the examples of a call are given
Metrics = dict[str, Array]
Steps = int | Array  # a knob: a whole number that programs are given as a value, see `Stepped`
Params = dict[str, PyTree]  # player -> Flax params
Vars = dict[str, PyTree]  # player -> all that training moves without a gradient


class State(flax.struct.PyTreeNode):
    """All that a checkpoint holds, as one pytree. No random key is in it: keys derive from step.

    Attributes:
        step: int32 scalar, train steps done.
        params: player -> Flax params.
        vars: player -> what training moves without a gradient (statistics, codebooks, means).
        opt: player -> optimiser state.
        ema: name -> averaged params of a player: the one of that name, or that of `players`.
        players: (name, player) of the averages that do not have their player's name.
    """

    step: Array
    params: Params
    vars: Vars
    opt: dict[str, PyTree]
    ema: Params
    players: tuple[tuple[str, str], ...] = flax.struct.field(pytree_node=False, default=())

    def averaged(self, name: str | None = None) -> State:
        """The state with averaged params where they exist: what one samples and evaluates.

        Args:
            name: see `averages`.
        """
        chosen = {p: self.ema[name] for p, name in self.averages(name).items()}
        return self.replace(params=self.params | chosen)

    def averages(self, name: str | None = None) -> dict[str, str]:
        """player -> name of the average that stands for its params.

        Args:
            name: of the average to take for its player. For other players, or without, it is the
                one named as the player, else the first in the order of the alphabet; "none"
                takes no average of any.

        Raises:
            ConfigError: for a name that there is not.
        """
        if name == "none":
            return {}
        if name is not None and name not in self.ema:
            raise ConfigError(unknown("average", name, [*self.ema, "none"]))
        players = dict(self.players)
        chosen: dict[str, str] = {}
        for own in sorted(self.ema):
            player = players.get(own, own)
            if own == player or player not in chosen:
                chosen[player] = own
        if name is not None:
            chosen[players.get(name, name)] = name
        return chosen

    def only(self, name: str | None = None) -> State:
        """The state with the averages that `averages` chooses alone, by the name of their player.

        Args:
            name: see `averages`.
        """
        chosen = self.averages(name)
        return self.replace(ema={p: self.ema[own] for p, own in chosen.items()}, players=())


def unfrozen(state: PyTree) -> PyTree:
    """A state without the stages that it holds, as checkpoints have it; other trees as they are."""
    if not isinstance(state, State):
        return state
    return state.replace(vars={k: v for k, v in state.vars.items() if k != FROZEN})


Loss = Callable[[State, Batch, Array], tuple[Array, tuple[Vars, Metrics]]]


class Turn(NamedTuple):
    """One player's move: one optimiser step on `params[player]` down the gradient of `loss`.

    Attributes:
        player: whose params are moved.
        loss: (state, batch, rng) -> (scalar loss, (vars, metrics)); the metrics are scalars.
        every: the move is made on steps with step % every == 0 (lazy regularisation). A loss
            that stands for `every` steps multiplies itself.
        times: that many moves a step, each on fresh examples (the critic of a WGAN).
        name: prefix of the metrics, the player's name by default.
        after: moves whose examples it leaves out: those of a turn before it with so many `times`.
    """

    player: str
    loss: Loss
    every: int = 1
    times: int = 1
    name: str = ""
    after: int = 0

    @property
    def label(self) -> str:
        """The name under which the turn reports."""
        return self.name or self.player


def batches_per_step(turns: Sequence[Turn]) -> int:
    """Batches that a step with such turns consumes; those without `after` see the same ones."""
    return max(turn.after + turn.times for turn in turns)


class Method(Protocol):
    """Modules and an objective: a frozen dataclass of pure functions.

    What else a method can do is in `jaxgen.abilities`.
    """

    @property
    def turns(self) -> Sequence[Turn]:
        """The moves of one train step, in order."""
        ...

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Vars]:
        """Params and vars. Sees the first global batch, for data-dependent initialisation."""
        ...

    def evaluate(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """Per-example values, [B] each."""
        ...

    def sample(self, state: State, rng: Array, num: int, **knobs: Any) -> Array:
        """`num` samples in the units of the data: [num, H, W, C] or [num, D].

        One of the knobs is `given`, a `Given`, where the method is given fields of a batch.
        """
        ...
