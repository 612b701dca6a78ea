"""The one train step that every method shares, pure and compiled once.

Randomness is a function of (seed, step, turn, move, microbatch): nothing random is stored, so a
run that was stopped goes on exactly as the run that was not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgen.abilities import Restarts
from jaxgen.ops.channels import channel_sum
from jaxgen.types import Array, Batch, Method, Metrics, PyTree, State, Turn, batches_per_step

NONFINITE = "nonfinite"


class Optimizer(NamedTuple):
    """A gradient transformation of unit learning rate, and the rate as a function of the step.

    The rate multiplies the update outside, so that it reads `state.step` and not a count of
    moves: lazy turns and several moves a step see the same schedule.

    Attributes:
        transform: from gradients to updates.
        learning_rate: that they are multiplied by.
        project: what the parameters of a move are brought to, None leaves them.
    """

    transform: optax.GradientTransformation
    learning_rate: Callable[[Array], Array]
    project: Callable[[PyTree], PyTree] | None = None


Optimizers = Mapping[str, Optimizer]


class Average(NamedTuple):
    """An exponential moving average of a player's params.

    Attributes:
        decay: as a function of the step.
        player: whose; empty for the one of the average's own name.
    """

    decay: Callable[[Array], Array]
    player: str = ""


Averages = Mapping[str, Average]  # by name


def init_state(
    rng: Array, batch: Batch, *, method: Method, optimizers: Optimizers, emas: Averages
) -> State:
    """The state before the first step. Jit it: op by op it is slow.

    Args:
        rng: a key.
        batch: the first global batch, for data-dependent initialisation.
        method: what is trained.
        optimizers: player -> optimiser; every player of `method.turns` needs one.
        emas: name -> average.
    """
    params, variables = method.init(rng, batch)
    players = {name: average.player or name for name, average in emas.items()}
    return State(
        step=jnp.zeros((), jnp.int32),
        params=params,
        vars=variables,
        opt={k: o.transform.init(params[k]) for k, o in optimizers.items()},
        ema={k: jax.tree.map(jnp.copy, params[player]) for k, player in players.items()},
        players=tuple(sorted((k, player) for k, player in players.items() if k != player)),
    )


def train_step(
    state: State,
    batch: Batch,
    rng: Array,
    *,
    method: Method,
    optimizers: Optimizers,
    emas: Averages,
    accum: int = 1,
    gather: Callable[[PyTree], PyTree] = lambda params: params,
) -> tuple[State, Metrics]:
    """Plays every turn once, in order, then moves the averages. Pure.

    Args:
        state: before the step; `state.step` says which step this is.
        batch: [n * B, ...] with n of `batches_per_step`; every move sees B of them.
        rng: the run's key; the step's own is folded out of it.
        method: what is trained.
        optimizers: player -> optimiser.
        emas: name -> average.
        accum: number of microbatches that a move's gradient is averaged over; divides B.
        gather: makes sharded params whole inside the loss.

    Returns:
        The state after the step, and metrics `turn/name`: [2] arrays (sum, weight), so that
        skipped turns weigh nothing and a host may add them up. `turn/nonfinite` is an int32
        instead: 0, or 1 + the index in `watched` of the first tensor that is not finite.
    """
    rng = jax.random.fold_in(rng, state.step)
    state = _restarted(state, method, optimizers)
    moves = _interleave(batch, batches_per_step(method.turns))
    metrics: Metrics = {}
    for i, turn in enumerate(method.turns):

        def play(state: State, i: int = i, turn: Turn = turn) -> tuple[State, Metrics]:
            key = jax.random.fold_in(rng, i)
            return _play(state, turn, optimizers[turn.player], moves, key, accum, gather)

        if turn.every == 1:
            state, out = play(state)
        else:
            play = jax.jit(play, inline=True)  # traced once, for its shapes and where it is due
            shapes = jax.eval_shape(play, state)[1]
            skipped = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
            due = state.step % turn.every == 0
            state, out = jax.lax.cond(due, play, lambda s, skipped=skipped: (s, skipped), state)
        metrics |= {f"{turn.label}/{k}": v for k, v in out.items()}
    ema = {
        k: _average(state.ema[k], state.params[average.player or k], average.decay(state.step))
        for k, average in emas.items()
    }
    return state.replace(step=state.step + 1, ema=ema), metrics


def many_steps(
    state: State, batches: Batch, rng: Array, count: Array, *, step: Callable[..., Any]
) -> tuple[State, Metrics]:
    """Up to N train steps in one dispatch, for models whose step is shorter than a dispatch.

    A loop of `count` trips over the same compiled body, whatever `count` is, so that the
    grouping of steps into dispatches does not change a bit of the result.

    Args:
        state: before the steps.
        batches: [N, B, ...]; the first `count` are used.
        rng: the run's key.
        count: int32 scalar, at most N.
        step: `train_step` with its options bound.

    Returns:
        The state after `count` steps, and the metrics of each, stacked on a first axis of N.
    """
    first = jax.tree.map(lambda x: x[0], batches)
    room = len(jax.tree.leaves(batches)[0])
    shapes = jax.eval_shape(step, state, first, rng)[1]
    record = jax.tree.map(lambda s: jnp.zeros((room, *s.shape), s.dtype), shapes)

    def body(i: Array, carry: tuple[State, Metrics]) -> tuple[State, Metrics]:
        state, record = carry
        batch = jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, i, 0, False), batches)
        state, metrics = step(state, batch, rng)
        put = jax.lax.dynamic_update_index_in_dim
        return state, jax.tree.map(lambda r, m: put(r, m, i, 0), record, metrics)

    return jax.lax.fori_loop(0, count, body, (state, record))


def _restarted(state: State, method: Method, optimizers: Optimizers) -> State:
    """With optimisers as at the start, where the method's `restarts` says so."""
    if not isinstance(method, Restarts):
        return state

    def anew() -> dict[str, PyTree]:
        return {k: o.transform.init(state.params[k]) for k, o in optimizers.items()}

    opt = jax.lax.cond(method.restarts(state.step), anew, lambda: state.opt)
    return state.replace(opt=opt)


def _average(average: PyTree, params: PyTree, decay: Array) -> PyTree:
    def move(a: Array, p: Array) -> Array:
        return a + ((1 - decay) * (p - a)).astype(a.dtype)

    return jax.tree.map(move, average, params)


def _interleave(batch: Batch, n: int) -> Batch:
    """[n * B, ...] -> [n, B, ...], every n-th example, so that shards of the batch stay local."""
    return jax.tree.map(lambda x: x.reshape(-1, n, *x.shape[1:]).swapaxes(0, 1), batch)


def _play(
    state: State,
    turn: Turn,
    optimizer: Optimizer,
    moves: Batch,
    rng: Array,
    accum: int,
    gather: Callable[[PyTree], PyTree],
) -> tuple[State, Metrics]:
    """The moves of one turn; metrics are summed over them."""
    total: Metrics = {}
    for j in range(turn.times):
        batch = jax.tree.map(lambda x, j=j: x[turn.after + j], moves)
        key = jax.random.fold_in(rng, j)
        state, metrics = _move(state, turn, optimizer, batch, key, accum, gather)
        total = _add(total, metrics) if total else metrics
    return state, total


def _add(a: Metrics, b: Metrics) -> Metrics:
    return {k: jnp.where(a[k] > 0, a[k], b[k]) if k == NONFINITE else a[k] + b[k] for k in a}


def _move(
    state: State,
    turn: Turn,
    optimizer: Optimizer,
    batch: Batch,
    rng: Array,
    accum: int,
    gather: Callable[[PyTree], PyTree],
) -> tuple[State, Metrics]:
    def loss_fn(params: PyTree, variables: PyTree, batch: Batch, rng: Array) -> Any:
        whole = gather(state.params | {turn.player: params})
        return turn.loss(state.replace(params=whole, vars=variables), batch, rng)

    params = state.params[turn.player]
    grad_fn = jax.value_and_grad(loss_fn, has_aux=True)
    if accum == 1:
        (loss, (variables, metrics)), grads = grad_fn(params, state.vars, batch, rng)
    else:
        loss, variables, metrics, grads = _accumulate(grad_fn, params, state, batch, rng, accum)
    transform = optax.with_extra_args_support(optimizer.transform)
    updates, opt = transform.update(grads, state.opt[turn.player], params, step=state.step)
    rate = optimizer.learning_rate(state.step)
    moved = jax.tree.map(lambda p, u: p + (rate * u).astype(p.dtype), params, updates)
    if optimizer.project:
        moved = optimizer.project(moved)
    bad = _health(loss, grads, moved)
    metrics = {"loss": loss, "grad_norm": optax.tree.norm(grads)} | metrics
    metrics = {k: jnp.stack([v.astype(jnp.float32), jnp.float32(1)]) for k, v in metrics.items()}
    state = state.replace(
        params=state.params | {turn.player: moved},
        vars=variables,
        opt=state.opt | {turn.player: opt},
    )
    return state, metrics | {NONFINITE: bad}


def _accumulate(
    grad_fn: Callable[..., Any], params: PyTree, state: State, batch: Batch, rng: Array, accum: int
) -> tuple[Array, PyTree, Metrics, PyTree]:
    micro = _interleave(batch, accum)

    def body(carry: Any, xs: Any) -> Any:
        variables, total = carry
        i, batch = xs
        out = grad_fn(params, variables, batch, jax.random.fold_in(rng, i))
        (loss, (variables, metrics)), grads = out
        total = jax.tree.map(lambda t, v: t + v / accum, total, (loss, metrics, grads))
        return (variables, total), None

    one = jax.tree.map(lambda x: x[0], micro)
    (loss, (_, metrics)), grads = jax.eval_shape(grad_fn, params, state.vars, one, rng)
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), (loss, metrics, grads))
    start = (state.vars, zeros)
    (variables, total), _ = jax.lax.scan(body, start, (jnp.arange(accum), micro))
    loss, metrics, grads = total
    return loss, variables, metrics, grads


def _health(loss: Array, grads: PyTree, moved: PyTree) -> Array:
    """The code of the first tensor that is not finite, in the order of `watched`.

    A tensor is finite if its sums are: they cost a fifth of looking at every element on CPU. Those
    of all tensors are looked at together: code for each took a tenth of a step's compilation.
    """
    leaves = [jnp.atleast_1d(x).astype(jnp.float32) for x in jax.tree.leaves((loss, grads, moved))]
    sums = [channel_sum(x) if x.ndim > 1 else x for x in leaves]
    bad = ~jnp.isfinite(jnp.concatenate(sums))
    ends = np.cumsum([len(x) for x in sums])
    code = 1 + jnp.sum(ends <= jnp.argmax(bad))
    return jnp.where(jnp.any(bad), code, 0).astype(jnp.int32)


def watched(params: PyTree) -> list[str]:
    """Names of the tensors that a turn is watched for, in the order of `turn/nonfinite`.

    Args:
        params: of the turn's player, arrays or their shapes.
    """
    paths = [
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, _ in jax.tree_util.tree_leaves_with_path(params)
    ]
    return ["loss", *(f"gradient of {p}" for p in paths), *(f"params/{p}" for p in paths)]
