"""The train step against plain numpy loops, on games whose gradients are known in closed form."""

import dataclasses
import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgen.config import ConfigError
from jaxgen.sharding import make_mesh
from jaxgen.train.optim import average, optimizer
from jaxgen.train.program import build_program
from jaxgen.train.step import Optimizer, init_state, many_steps, train_step, watched
from jaxgen.types import Turn

KEY = jax.random.key(0)
RATE = 0.1


@dataclasses.dataclass(frozen=True, eq=False)
class Game:
    """A method without networks."""

    turns: tuple[Turn, ...]
    params: dict[str, Any]
    vars: dict[str, Any] = dataclasses.field(default_factory=dict)

    def init(self, rng, batch):
        return jax.tree.map(jnp.asarray, (self.params, self.vars))


def chase(player="a", scale=1.0, target=None):
    """Loss scale/2 |w - target|^2; its gradient is scale (w - target). Targets the batch mean."""

    def loss(state, batch, rng):
        w = state.params[player]["w"]
        goal = batch["x"] if target is None else state.params[target]["w"][None]
        value = 0.5 * scale * jnp.mean(jnp.sum(jnp.square(w[None] - goal), -1))
        return value, (state.vars, {"first": w[0]})

    return loss


def sgd(rate=RATE):
    return Optimizer(optax.sgd(1.0), lambda step: jnp.float32(rate))


def compiled(game, optimizers=None, emas=None, **options):
    """(initial state, jitted step)."""
    optimizers = optimizers or dict.fromkeys(game.params, sgd())
    common = {"method": game, "optimizers": optimizers, "emas": emas or {}}
    state = init_state(KEY, {}, **common)
    return state, jax.jit(functools.partial(train_step, **common, **options))


def batches(steps, size=4, seed=0):
    values = np.random.RandomState(seed).randn(steps, size, 2).astype(np.float32)
    return [{"x": x} for x in values]


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=2e-6, atol=2e-6)


W = np.array([2.0, -1.0], np.float32)


def test_optimisers_begin_anew_where_the_method_says_so():
    """Momentum of 0.5, forgotten before steps 2 and 3, against a loop."""

    class Restarting(Game):
        def restarts(self, step):
            return (step == 2) | (step == 3)

    momentum = Optimizer(optax.sgd(1.0, momentum=0.5), lambda step: jnp.float32(RATE))
    game = Restarting((Turn("a", chase()),), {"a": {"w": W}})
    state, step = compiled(game, {"a": momentum})
    w, trace = W.astype(float), np.zeros(2)
    for i, batch in enumerate(batches(5)):
        trace = (0 if i in (2, 3) else 0.5) * trace + w - batch["x"].astype(float).mean(0)
        w = w - RATE * trace
        state, _ = step(state, batch, KEY)
        close(state.params["a"]["w"], w)


def test_one_turn_is_gradient_descent():
    state, step = compiled(Game((Turn("a", chase()),), {"a": {"w": W}}))
    w = W.astype(float)
    for i, batch in enumerate(batches(5)):
        goal = batch["x"].astype(float)
        loss, gradient = 0.5 * np.mean(np.sum((w - goal) ** 2, -1)), w - goal.mean(0)
        state, metrics = step(state, batch, KEY)
        close(metrics["a/loss"], [loss, 1])
        close(metrics["a/grad_norm"], [np.linalg.norm(gradient), 1])
        close(metrics["a/first"], [w[0], 1])
        assert int(metrics["a/nonfinite"]) == 0 and int(state.step) == i + 1
        w = w - RATE * gradient
        close(state.params["a"]["w"], w)


def test_the_second_player_sees_the_first_ones_move():
    turns = (Turn("a", chase("a")), Turn("b", chase("b", target="a")))
    state, step = compiled(Game(turns, {"a": {"w": W}, "b": {"w": -W}}))
    a, b = W.astype(float), -W.astype(float)
    for batch in batches(4):
        state, _ = step(state, batch, KEY)
        a = a - RATE * (a - batch["x"].mean(0))
        b = b - RATE * (b - a)
        close(state.params["a"]["w"], a)
        close(state.params["b"]["w"], b)


def test_an_optimiser_with_a_memory_is_optax():
    game = Game((Turn("a", chase()),), {"a": {"w": W}})
    state, step = compiled(game, {"a": optimizer("adam", RATE)})
    truth = optax.adam(RATE)
    w, memory = jnp.asarray(W), truth.init(jnp.asarray(W))
    for batch in batches(5):
        state, _ = step(state, batch, KEY)
        updates, memory = truth.update(w - batch["x"].mean(0), memory)
        w = w + updates
        close(state.params["a"]["w"], w)


@pytest.mark.parametrize("start", [0, 7])
def test_a_lazy_turn_is_a_function_of_the_step_and_weighs_nothing_when_skipped(start):
    turns = (Turn("a", chase()), Turn("a", chase(scale=0.5), every=3, name="lazy"))
    state, step = compiled(Game(turns, {"a": {"w": W}}))
    state = state.replace(step=jnp.int32(start))
    w = W.astype(float)
    total = np.zeros(2)
    losses = []
    for i, batch in enumerate(batches(7)):
        goal = batch["x"].astype(float)
        state, metrics = step(state, batch, KEY)
        w = w - RATE * (w - goal.mean(0))
        if (start + i) % 3 == 0:
            losses.append(0.25 * np.mean(np.sum((w - goal) ** 2, -1)))
            close(metrics["lazy/loss"], [losses[-1], 1])
            w = w - RATE * 0.5 * (w - goal.mean(0))
        else:
            for name in ("lazy/loss", "lazy/first", "lazy/grad_norm"):
                assert metrics[name].tolist() == [0, 0]
        total += metrics["lazy/loss"]
        close(state.params["a"]["w"], w)
    close(total[0] / total[1], np.mean(losses))


def seeing(state, batch, rng):
    """Pushes the examples into vars, oldest out."""
    value, (_, metrics) = chase()(state, batch, rng)
    seen = state.vars["a"]["seen"]
    seen = jnp.concatenate([seen[len(batch["x"]) :], batch["x"]])
    return value, ({"a": {"seen": seen}}, metrics)


@pytest.mark.parametrize("accum", [1, 2])
def test_moves_are_made_on_fresh_examples_that_together_are_the_batch(accum):
    turns = (Turn("a", seeing, times=3), Turn("b", chase("b")))
    empty = {"a": {"seen": np.zeros((12, 2), np.float32)}}
    game = Game(turns, {"a": {"w": W}, "b": {"w": W}}, empty)
    state, step = compiled(game, accum=accum)
    (batch,) = batches(1, size=12)
    state, metrics = step(state, batch, KEY)
    seen = np.asarray(state.vars["a"]["seen"])
    np.testing.assert_array_equal(np.sort(seen, 0), np.sort(batch["x"], 0))
    w, losses = W.astype(float), []
    for move in seen.astype(float).reshape(3, 4, 2):
        losses.append(0.5 * np.mean(np.sum((w - move) ** 2, -1)))
        w = w - RATE * (w - move.mean(0))
    close(state.params["a"]["w"], w)
    close(metrics["a/loss"], [sum(losses), 3])
    # a turn of one move sees as many examples as the others do in one
    close(state.params["b"]["w"], W - RATE * (W - seen[:4].mean(0)))


@pytest.mark.parametrize("accum", [2, 4])
def test_accumulation_equals_the_whole_batch(accum):
    game = Game((Turn("a", chase()),), {"a": {"w": W}})
    whole, one = compiled(game)
    parts, several = compiled(game, accum=accum)
    for batch in batches(3, size=8):
        whole, expected = one(whole, batch, KEY)
        parts, metrics = several(parts, batch, KEY)
        chex.assert_trees_all_close(parts, whole, rtol=2e-6, atol=2e-6)
        chex.assert_trees_all_close(metrics, expected, rtol=2e-6, atol=2e-6)


def test_microbatches_hand_on_vars_and_draw_their_own_noise():
    def noisy(state, batch, rng):
        drawn = state.vars["a"]["drawn"]
        drawn = jnp.concatenate([drawn[1:], jax.random.uniform(rng, (1,))])
        return jnp.sum(state.params["a"]["w"]), ({"a": {"drawn": drawn}}, {})

    start = {"a": {"drawn": np.zeros(8, np.float32)}}
    game = Game((Turn("a", noisy, times=2), Turn("a", noisy, name="c")), {"a": {"w": W}}, start)
    state, step = compiled(game, accum=2)
    (batch,) = batches(1)
    state, _ = step(state, batch, KEY)
    drawn = np.asarray(state.vars["a"]["drawn"])
    assert drawn[:2].tolist() == [0, 0]  # 3 moves of 2 microbatches: 6 draws
    assert len(set(drawn[2:].tolist())) == 6


@pytest.mark.parametrize("ramp_up", [0.0, 0.5])
def test_average(ramp_up):
    game = Game((Turn("a", chase()),), {"a": {"w": W}})
    state, step = compiled(game, emas={"a": average(3.0, ramp_up)})
    ema = W.astype(float)
    for i, batch in enumerate(batches(9)):
        state, _ = step(state, batch, KEY)
        half_life = min(3.0, (i + 1) * ramp_up) if ramp_up else 3.0
        decay = 0.5 ** (1 / half_life)
        ema = decay * ema + (1 - decay) * np.asarray(state.params["a"]["w"])
        close(state.ema["a"]["w"], ema)
    close(state.averaged().params["a"]["w"], ema)


def test_averages_by_name():
    """Each is what it is alone; the one of the player's name is taken unless another is named."""
    game = Game((Turn("a", chase()),), {"a": {"w": W}})
    emas = {"a": average(3.0), "slow": average(30.0, player="a"), "b": average(9.0, player="a")}
    alone = {}
    for name, ema in emas.items():
        state, step = compiled(game, emas={"a": ema._replace(player="")})
        for batch in batches(4):
            state, _ = step(state, batch, KEY)
        alone[name] = state.ema["a"]
    state, step = compiled(game, emas=emas)
    for batch in batches(4):
        state, _ = step(state, batch, KEY)
    chex.assert_trees_all_equal(state.ema, alone)
    chosen = {None: "a", "slow": "slow", "b": "b"}
    for name, own in chosen.items():
        chex.assert_trees_all_equal(state.averaged(name).params["a"], alone[own])
        chex.assert_trees_all_equal(state.only(name).averaged().params["a"], alone[own])
    chex.assert_trees_all_equal(state.averaged("none").params, state.params)
    chex.assert_trees_all_equal(state.only("none").averaged().params, state.params)
    with pytest.raises(ConfigError, match=r"unknown average 'slo': did you mean 'slow'\?"):
        state.averaged("slo")


def test_without_one_of_its_own_name_a_player_has_its_first():
    turns = (Turn("a", chase("a")), Turn("b", chase("b")))
    emas = {
        "y": average(3.0, player="a"),
        "x": average(9.0, player="a"),
        "z": average(3.0, player="b"),
    }
    state, _ = compiled(Game(turns, {"a": {"w": W}, "b": {"w": W}}), emas=emas)
    assert state.averages() == {"a": "x", "b": "z"}
    assert state.averages("y") == {"a": "y", "b": "z"}
    assert state.averages("none") == {}


def test_a_player_without_an_average_is_itself():
    turns = (Turn("a", chase("a")), Turn("b", chase("b")))
    game = Game(turns, {"a": {"w": W}, "b": {"w": W}})
    state, step = compiled(game, emas={"a": average(3.0)})
    state, _ = step(state, batches(1)[0], KEY)
    assert set(state.ema) == {"a"}
    averaged = state.averaged()
    chex.assert_trees_all_equal(averaged.params["b"], state.params["b"])
    assert averaged.params["a"]["w"][0] != state.params["a"]["w"][0]


@pytest.mark.parametrize("start", [0, 6])
def test_the_learning_rate_reads_the_step_and_not_the_moves(start):
    turns = (Turn("a", chase(), every=2, times=2), Turn("b", chase("b")))
    game = Game(turns, {"a": {"w": W}, "b": {"w": W}})
    scheduled = optimizer("sgd", 0.5, warmup_steps=4, schedule="linear", decay_steps=12)
    state, step = compiled(game, {"a": scheduled, "b": scheduled})
    state = state.replace(step=jnp.int32(start))
    a, b = W.astype(float), W.astype(float)
    for i, batch in enumerate(batches(8, size=8)):
        state, _ = step(state, batch, KEY)
        n, x = start + i, batch["x"]
        rate = 0.5 * min(1, (n + 1) / 4) * np.clip((12 - n) / 8, 0, 1)
        if n % 2 == 0:
            for move in (x[0::2], x[1::2]):
                a = a - rate * (a - move.mean(0))
        b = b - rate * (b - x[0::2].mean(0))
        close(state.params["a"]["w"], a)
        close(state.params["b"]["w"], b)


def test_clip_norm_bounds_the_step():
    game = Game((Turn("a", chase()),), {"a": {"w": 10 * W}})
    state, step = compiled(game, {"a": optimizer("sgd", RATE, clip_norm=0.5)})
    w = 10 * W.astype(float)
    for batch in batches(3):
        gradient = w - batch["x"].mean(0)
        state, metrics = step(state, batch, KEY)
        close(metrics["a/grad_norm"][0], np.linalg.norm(gradient))  # reported unclipped
        w = w - RATE * gradient * 0.5 / np.linalg.norm(gradient)
        close(state.params["a"]["w"], w)


def noise_game():
    """Everything that makes grouping and keys matter: noise, a lazy turn, several moves."""

    def noisy(player):
        def loss(state, batch, rng):
            value, (variables, metrics) = chase(player)(state, batch, rng)
            pull = jnp.dot(state.params[player]["w"], jax.random.normal(rng, (2,)))
            return value + pull, (variables, metrics)

        return loss

    turns = (
        Turn("a", noisy("a"), times=2),
        Turn("b", noisy("b")),
        Turn("b", noisy("b"), every=3, name="lazy"),
    )
    return Game(turns, {"a": {"w": W}, "b": {"w": -W}})


def test_noise_is_a_function_of_seed_and_step():
    state, step = compiled(noise_game())
    (batch,) = batches(1, size=8)

    def moved(seed, at):
        after, _ = step(state.replace(step=jnp.int32(at)), batch, jax.random.key(seed))
        return np.asarray(after.params["a"]["w"])

    np.testing.assert_array_equal(moved(0, 1), moved(0, 1))
    assert np.abs(moved(0, 1) - moved(0, 2)).min() > 1e-3
    assert np.abs(moved(0, 1) - moved(1, 1)).min() > 1e-3


TWO = {"a": {"k": np.zeros(1, np.float32), "w": W}}


def bad_loss(state, batch, rng):
    return chase()(state, batch, rng)[0] + jnp.nan, (state.vars, {})


def bad_gradient(state, batch, rng):
    value = chase()(state, batch, rng)[0] + jnp.sum(jnp.sqrt(state.params["a"]["k"]))
    return value, (state.vars, {})


def bad_for_large(state, batch, rng):
    """Finite but where an example is large."""
    value, aux = chase()(state, batch, rng)
    return value + jnp.where(jnp.max(batch["x"]) > 100, jnp.nan, 0.0), aux


@pytest.mark.parametrize(
    ("loss", "params", "expected"),
    [
        (chase(), TWO, None),
        (bad_loss, TWO, "loss"),
        (bad_gradient, TWO, "gradient of k"),
        (chase(), {"a": {"k": TWO["a"]["k"], "w": W * np.nan}}, "loss"),
        (chase(), {"a": {"k": TWO["a"]["k"] + np.inf, "w": W}}, "params/k"),
        (chase(), {"a": {"k": TWO["a"]["k"] + np.float32(1e30), "w": W}}, None),
    ],
    ids=["nothing", "loss", "gradient", "params w", "params k", "large"],
)
@pytest.mark.parametrize("accum", [1, 2])
def test_the_first_tensor_that_is_not_finite_is_named(loss, params, expected, accum):
    state, step = compiled(Game((Turn("a", loss),), params), accum=accum)
    code = int(step(state, batches(1)[0], KEY)[1]["a/nonfinite"])
    names = watched(params["a"])
    assert (names[code - 1] if code else None) == expected


@pytest.mark.parametrize(("every", "move"), [(1, 0), (1, 1), (3, 0)])
def test_a_bad_loss_in_any_move_is_seen_and_in_a_skipped_one_is_not(every, move):
    turns = (Turn("a", bad_for_large, every=every, times=2), Turn("b", chase("b")))
    game = Game(turns, {"a": {"w": W}, "b": {"w": W}})
    state, step = compiled(game)
    (batch,) = batches(1)
    batch["x"][move] = 1000.0
    metrics = step(state.replace(step=jnp.int32(1)), batch, KEY)[1]
    names = watched(game.params["a"])
    assert int(metrics["a/nonfinite"]) == (1 + names.index("loss") if every == 1 else 0)
    assert int(metrics["b/nonfinite"]) == 0


def build(room):
    optimizers = {
        "a": optimizer("adam", RATE, warmup_steps=5),
        "b": optimizer("sgd", RATE, clip_norm=1.0),
    }
    emas, (example,) = {"a": average(3.0, 0.5)}, batches(1, size=16)
    program = build_program(noise_game(), optimizers, emas, make_mesh(), example, seed=0, room=room)
    return program, program.compile()


@pytest.fixture(scope="module")
def program():
    return build(room=4)


def play(program, groups):
    program, step = program
    state, feed, rows = program.init(batches(1, size=16)[0]), batches(7, size=16), []
    for count in groups:
        taken, feed = feed[:count], feed[count:]
        placed = program.put(taken)
        state, (values, bad) = step(state, placed, program.rng, np.int32(count))
        assert not np.asarray(bad).any() and not np.asarray(values)[count:].any()
        rows.append(np.asarray(values)[:count])
    return jax.device_get(state), np.concatenate(rows)


@pytest.mark.parametrize("groups", [(3, 4), (4, 3), (2, 2, 3)], ids=str)
def test_grouping_steps_into_dispatches_changes_no_bit(program, groups):
    state, rows = play(program, groups)
    expected, singles = play(program, (1,) * 7)
    assert int(state.step) == 7
    chex.assert_trees_all_equal(state, expected)
    np.testing.assert_array_equal(rows, singles)


def test_many_steps_are_the_steps(program):
    state, rows = play(program, (3, 4))
    names = program[0].names
    expected, singles = play(build(room=1), (1,) * 7)
    chex.assert_trees_all_close(state, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(rows, singles, rtol=1e-5, atol=1e-5)
    lazy = rows[:, names.index("lazy/loss"), 1]
    assert lazy.tolist() == [1, 0, 0, 1, 0, 0, 1]
    assert rows[:, names.index("a/loss"), 1].tolist() == [2] * 7


def test_nothing_is_traced_again():
    common = {"method": noise_game(), "optimizers": dict.fromkeys("ab", sgd()), "emas": {}}
    one = functools.partial(train_step, **common)

    @jax.jit
    @chex.assert_max_traces(n=1)
    def dispatch(state, stacked, rng, count):
        return many_steps(state, stacked, rng, count, step=one)

    state = init_state(KEY, {}, **common)
    stacked = {"x": np.stack([b["x"] for b in batches(4, size=8)])}
    for count in (1, 4, 2):
        state, _ = dispatch(state, stacked, KEY, np.int32(count))
    assert int(state.step) == 7 and dispatch._cache_size() == 1

    step = jax.jit(chex.assert_max_traces(lambda *args: one(*args), n=1))
    for batch in batches(3, size=8):
        state, _ = step(state, batch, KEY)
    assert int(state.step) == 10 and step._cache_size() == 1
