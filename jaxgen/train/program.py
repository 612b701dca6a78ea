"""The compiled functions of one run: initialise, step, evaluate, sample."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from importlib import metadata
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxgen import sharding
from jaxgen.config import ConfigError
from jaxgen.train.frozen import Stages, variables, with_shapes
from jaxgen.train.memory import check_device, state_bytes
from jaxgen.train.step import (
    NONFINITE,
    Averages,
    Optimizers,
    init_state,
    many_steps,
    train_step,
    watched,
)
from jaxgen.types import FROZEN, Array, Method, PyTree, State, batches_per_step

LESS = "lower config.train.batch_size, or raise config.train.accum"
SMALLER = "take smaller networks (config.model), or split them with config.mesh.fsdp"


@dataclasses.dataclass(frozen=True)
class Record:
    """Metrics of one dispatch, on the device until somebody reads them.

    Attributes:
        values: [N, M, 2] sums and weights.
        bad: [N, T] codes of non-finite tensors, one per turn.
    """

    values: Array
    bad: Array


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """What the loop calls. Everything is compiled once; the state is donated to each step.

    Attributes:
        method: what is trained.
        mesh: where.
        target: shapes, types and shardings of the state.
        names: of the metrics, in the order of `Record.values`.
        watched: turn -> names of the tensors that the codes in `Record.bad` count.
        rng: the run's key.
        room: steps that one dispatch may take.
        stages: that the state holds, see `frozen`.
    """

    method: Method
    mesh: Mesh
    target: State
    names: tuple[str, ...]
    watched: Mapping[str, list[str]]
    rng: Array
    room: int
    stages: Stages
    _init: Any
    _lowered: Any

    def init(self, batch: Mapping[str, np.ndarray]) -> State:
        """The state before the first step, from this process's rows of the first batch."""
        state = self._init(self.rng, sharding.put(batch, sharding.batch_sharding(self.mesh)))
        return self.holding(state)

    def frozen(self) -> PyTree:
        """`vars["frozen"]` on the devices: fresh copies, for a train step donates its own."""
        return variables(self.stages, self.mesh)

    def holding(self, state: State) -> State:
        """A state with its frozen stages."""
        held = {FROZEN: self.frozen()} if self.stages else {}
        return state.replace(vars=state.vars | held)

    def compile(self) -> Any:
        """The train step, ahead of time.

        Raises:
            ConfigError: where XLA's estimate of its memory is beyond what there is.
        """
        compiled = self._lowered.compile()
        if (need := peak_bytes(compiled)) is not None:
            check_device(need, "a train step", LESS)
        return compiled

    def put(self, batches: list[Mapping[str, np.ndarray]]) -> Any:
        """Local rows of up to `room` batches, as the compiled step takes them."""
        if self.room == 1:
            return sharding.put(batches[0], sharding.batch_sharding(self.mesh))
        filled = batches + [batches[0]] * (self.room - len(batches))
        stacked = {k: np.stack([b[k] for b in filled]) for k in batches[0]}
        return sharding.put(stacked, sharding.batch_sharding(self.mesh, stacked=True))

    def parameter_counts(self) -> dict[str, int]:
        """player -> number of parameters."""
        counted = self.target.params.items()
        return {k: sum(x.size for x in jax.tree.leaves(v)) for k, v in counted}

    def nonfinite(self, bad: np.ndarray) -> tuple[str, str] | None:
        """(turn, tensor) of the first non-finite tensor of one step's codes [T], or None."""
        for turn, code in zip(self.watched, bad, strict=True):
            if code:
                return turn, self.watched[turn][int(code) - 1]
        return None


def build_program(
    method: Method,
    optimizers: Optimizers,
    emas: Averages,
    mesh: Mesh,
    batch: Mapping[str, np.ndarray],
    *,
    seed: int,
    accum: int = 1,
    room: int = 1,
    stages: Stages = MappingProxyType({}),
    min_size: int = sharding.MIN_SIZE,
) -> Program:
    """Traces and lowers everything; compiles nothing yet.

    Args:
        method: what is trained.
        optimizers: player -> optimiser.
        emas: name -> average.
        mesh: from `make_mesh`.
        batch: this process's rows of a batch, for shapes and types.
        seed: of the run.
        accum: microbatches per move.
        room: steps per dispatch.
        stages: that the method holds.
        min_size: of a leaf that is split, in elements.

    Raises:
        ConfigError: for a batch that the devices or microbatches do not divide, and a state that
            does not fit on a device.
    """
    rng = jax.random.key(seed)
    rows, whole = sharding.batch_sharding(mesh), sharding.replicated(mesh)
    shapes = _global_shapes(batch, rows)
    _check_division(next(iter(shapes.values())).shape[0], method, mesh, accum)
    init = functools.partial(init_state, method=method, optimizers=optimizers, emas=emas)
    init = jax.jit(init, inline=True)  # as the step: what is traced for its shapes is traced once
    state = jax.eval_shape(init, rng, shapes)
    made = sharding.state_sharding(state, mesh, min_size)
    state = with_shapes(state, stages)
    where = sharding.state_sharding(state, mesh, min_size)
    check_device(state_bytes(state, where), "parameters, averages and optimiser", SMALLER)
    step = functools.partial(
        train_step,
        method=method,
        optimizers=optimizers,
        emas=emas,
        accum=accum,
        gather=lambda params: jax.lax.with_sharding_constraint(params, whole),
    )
    step = jax.jit(step, inline=True)
    target = sharding.abstract(state, where)
    metrics = jax.eval_shape(step, target, shapes, rng)[1]
    names = tuple(sorted(k for k in metrics if not k.endswith(f"/{NONFINITE}")))
    placed = sharding.batch_sharding(mesh, stacked=room > 1)
    compiled = jax.jit(
        _dispatch(step, names, [turn.label for turn in method.turns], room),
        in_shardings=(where, placed, whole, whole),
        out_shardings=(where, whole),
        donate_argnums=0,
    )
    return Program(
        method=method,
        mesh=mesh,
        target=target,
        names=names,
        watched={t.label: watched(target.params[t.player]) for t in method.turns},
        rng=rng,
        room=room,
        stages=stages,
        _init=jax.jit(
            init, in_shardings=(whole, rows), out_shardings=made, compiler_options=_once(mesh)
        ),
        _lowered=compiled.lower(
            target, _stacked(shapes, room, placed), rng, jax.ShapeDtypeStruct((), jnp.int32)
        ),
    )


def _once(mesh: Mesh) -> dict[str, Any] | None:
    """XLA's options for what runs once: on CPU the compiler that is quickest done.

    Values move by their rounding at most.
    """
    if mesh.devices.flat[0].platform != "cpu":
        return None
    options: dict[str, Any] = {"xla_backend_optimization_level": 0}
    if metadata.version("jaxlib").startswith("0.10."):  # later ones have no other emitters
        options["xla_cpu_use_fusion_emitters"] = False
    return options


def _check_division(examples: int, method: Method, mesh: Mesh, accum: int) -> None:
    parts = mesh.size * accum * batches_per_step(method.turns)
    if examples % parts:
        raise ConfigError(
            f"a batch of {examples} examples cannot be divided over {mesh.size} devices x "
            f"{accum} microbatches: config.train.batch_size must be a multiple of "
            f"{mesh.size * accum}"
        )


def _dispatch(step: Any, names: tuple[str, ...], turns: list[str], room: int) -> Any:
    """Up to `room` steps as one function, whose metrics are the fields of `Record`."""

    def pack(metrics: Mapping[str, Array]) -> tuple[Array, Array]:
        values = jnp.stack([metrics[k] for k in names], axis=-2)
        bad = jnp.stack([metrics[f"{t}/{NONFINITE}"] for t in turns], axis=-1)
        return (values, bad) if room > 1 else (values[None], bad[None])

    def run(state: State, batches: Any, rng: Array, count: Array) -> tuple[State, Any]:
        if room > 1:
            state, metrics = many_steps(state, batches, rng, count, step=step)
        else:
            state, metrics = step(state, batches, rng)
        return state, pack(metrics)

    return run


def _global_shapes(batch: Mapping[str, np.ndarray], rows: Any) -> dict[str, Any]:
    count = jax.process_count()
    return {
        k: jax.ShapeDtypeStruct((v.shape[0] * count, *v.shape[1:]), v.dtype, sharding=rows)
        for k, v in batch.items()
    }


def _stacked(shapes: Mapping[str, Any], room: int, placed: Any) -> dict[str, Any]:
    """Of `room` batches, as `Program.put` makes them."""
    more = (room,) if room > 1 else ()
    return {
        k: jax.ShapeDtypeStruct((*more, *s.shape), s.dtype, sharding=placed)
        for k, s in shapes.items()
    }


def peak_bytes(compiled: Any) -> int | None:
    """XLA's estimate of the step's memory on one device, in bytes; None where it has none."""
    analysis = compiled.memory_analysis()
    if analysis is None:
        return None
    used = analysis.argument_size_in_bytes + analysis.temp_size_in_bytes
    return used + analysis.output_size_in_bytes - analysis.alias_size_in_bytes
