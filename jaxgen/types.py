"""The contract between data, methods and the trainer: State, Turn, Method, DataSpec.

Nothing here knows a family of models. A method is a sequence of turns; the trainer plays them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array
PyTree = Any
# "x": [B, H, W, C] or [B, D]; where the data have them "label": [B] int32, "context": [B, C]
Batch = Mapping[str, Array]
Metrics = dict[str, Array]
Params = dict[str, PyTree]  # player -> Flax params
Vars = dict[str, PyTree]  # player -> all that training moves without a gradient


@dataclasses.dataclass(frozen=True)
class Units:
    """Columns in units in which each has mean zero and unit deviation, and back.

    Attributes:
        shift: of each column, in its own units.
        scale: the same; above zero.
    """

    shift: tuple[float, ...]
    scale: tuple[float, ...]

    @property
    def log_volume(self) -> float:
        """Log of what a unit cube measures in the own units: densities are lower by it, in nats."""
        return sum(map(math.log, self.scale))

    def inward(self, x: Any) -> Any:
        """[..., D] in the columns' own units to float32, by way of float64 unless it is JAX's."""
        if isinstance(x, Array):
            return (x - jnp.asarray(self.shift, x.dtype)) / jnp.asarray(self.scale, x.dtype)
        x = np.asarray(x, np.float64)
        return ((x - np.asarray(self.shift)) / np.asarray(self.scale)).astype(np.float32)

    def outward(self, x: Any) -> Any:
        """[..., D] to the columns' own units, float64 unless it is JAX's."""
        if isinstance(x, Array):
            return x * jnp.asarray(self.scale, x.dtype) + jnp.asarray(self.shift, x.dtype)
        return np.asarray(x, np.float64) * np.asarray(self.scale) + np.asarray(self.shift)


@dataclasses.dataclass(frozen=True)
class DataSpec:
    """What a model may know of its data. It is written into the run directory.

    Attributes:
        name: the name of the data set.
        shape: of one example: (H, W, C) for images, (D,) for points.
        levels: number of grey levels of integer data, whose values are 0 .. levels - 1
            (256 for 8-bit images, 17 for the digits scans); None for continuous data.
        num_classes: number of labels, 0 if there are none.
        entropy: differential entropy of the true density in nats, None if unknown.
        range: (lowest, highest) value of continuous images, for pictures of them.
        columns: names of the D numbers of a point; () where they have none.
        context: names of the numbers that every example is given, "context" [B, C] of a batch.
        units: in which batches hold the points; None for their own.
        context_units: of the context.
    """

    name: str
    shape: tuple[int, ...]
    levels: int | None
    num_classes: int = 0
    entropy: float | None = None
    range: tuple[float, float] | None = None
    columns: tuple[str, ...] = ()
    context: tuple[str, ...] = ()
    units: Units | None = None
    context_units: Units | None = None

    @property
    def log_volume(self) -> float:
        """What a log-density per unit of the batches is above that per unit of the data, nats."""
        return self.units.log_volume if self.units else 0.0

    def as_json(self) -> dict[str, Any]:
        """Plain values, without what the data do not have."""
        found = dataclasses.asdict(self)
        always = [f.name for f in dataclasses.fields(self)][:5]
        return {k: _plain(v) for k, v in found.items() if k in always or v not in (None, ())}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> DataSpec:
        """The inverse of `as_json`.

        Raises:
            TypeError: for a field that there is not, or one that is missing.
            ValueError: for values that cannot be.
        """
        found: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
        }
        for name in ("units", "context_units"):
            if found.get(name) is not None:
                shift, scale = (tuple(map(float, found[name][k])) for k in ("shift", "scale"))
                wide = found["shape"][-1] if name == "units" else len(found.get("context", ()))
                fits = len(shift) == len(scale) == wide and all(map(math.isfinite, shift))
                if not fits or not all(0 < s < math.inf for s in scale):
                    raise ValueError(f"{name}: expected {wide} shifts and scales above zero")
                found[name] = Units(shift, scale)
        if (ends := found.get("range")) is not None:
            if len(ends) != 2 or not 0 < ends[1] - ends[0] < math.inf:
                raise ValueError(f"range: expected a lower and a higher end, got {ends}")
        return cls(**found)

    @property
    def unit(self) -> str:
        """What examples are called: "images" or "points"."""
        return "images" if len(self.shape) == 3 else "points"

    @property
    def dims(self) -> int:
        """Number of dimensions of one example, for bits/dim."""
        count = 1
        for size in self.shape:
            count *= size
        return count


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return list(value) if isinstance(value, tuple) else value


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

    Optional abilities are found by presence and are named exactly so:
    `log_prob(state, x, rng)`, `encode(state, x, rng)`, `decode(state, z)`, `reconstruct`,
    `latents(rng, num)` (draws of the prior), `posterior(state, rng, x, num)`,
    `restarts(step)`: whether optimisers begin anew before that train step, a bool scalar, and
    `alarms(values)`: from the metrics of a log interval, `turn/name` -> number, to what a user
    should be warned of, name -> one line.
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
