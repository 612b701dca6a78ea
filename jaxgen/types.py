"""The contract between data, methods and the trainer: DataSpec, State, Turn, Method.

Nothing here knows a family of models. A method is a sequence of turns; the trainer plays them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import flax.struct
import jax

from jaxgen.fields import DataSpec as DataSpec
from jaxgen.fields import Field as Field
from jaxgen.fields import Units as Units

Array = jax.Array
PyTree = Any
FROZEN = "frozen"  # in the vars of a run that holds stages, and in its directory
Batch = Mapping[str, Array]  # field -> [B, ...], as the `DataSpec` says
Metrics = dict[str, Array]
Params = dict[str, PyTree]  # player -> Flax params
Vars = dict[str, PyTree]  # player -> all that training moves without a gradient


class State(flax.struct.PyTreeNode):
    """All that a checkpoint holds, as one pytree. No random key is in it: keys derive from step.

    Attributes:
        step: int32 scalar, train steps done.
        params: player -> Flax params.
        vars: player -> what training moves without a gradient (statistics, codebooks, means).
        opt: player -> optimiser state.
        ema: player -> averaged params, for the players that have an average.
    """

    step: Array
    params: Params
    vars: Vars
    opt: dict[str, PyTree]
    ema: Params

    def averaged(self) -> State:
        """The state with averaged params where they exist: what one samples and evaluates."""
        return self.replace(params=self.params | self.ema)


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
    """

    player: str
    loss: Loss
    every: int = 1
    times: int = 1
    name: str = ""

    @property
    def label(self) -> str:
        """The name under which the turn reports."""
        return self.name or self.player


class Method(Protocol):
    """Modules and an objective: a frozen dataclass of pure functions.

    What else a method can do is in `abilities.py`.
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
        """`num` samples in the units of the data: [num, H, W, C] or [num, D]."""
        ...
