"""Optimisers against optax, schedules against formulas, and what a misspelt config is told."""

import math
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgen.config import ConfigError
from jaxgen.train.optim import (
    NAMES,
    OWN,
    average,
    build_averages,
    build_optimizer,
    build_optimizers,
    optimizer,
    plain_share,
)
from jaxgen.types import Turn


def rate(schedule, step):
    return float(jax.jit(schedule)(jnp.int32(step)))


OPTIONS = {  # per optimiser: options that reach optax
    "adam": {"b1": 0.8, "b2": 0.9},
    "adamw": {"weight_decay": 0.1},
    "lion": {"weight_decay": 0.1},
    "rmsprop": {"centered": True},
    "sgd": {"momentum": 0.9, "nesterov": True},
}


@pytest.mark.parametrize("name", [name for name in NAMES if name not in OWN])
def test_a_scheduled_optimiser_is_optax_with_that_schedule(name):
    """The rate outside of the transformation does what a schedule inside of it does."""
    options = OPTIONS.get(name, {})
    ours = optimizer(name, 0.3, warmup_steps=3, schedule="cosine", decay_steps=8, **options)
    theirs = getattr(optax, name)(lambda n: ours.learning_rate(jnp.asarray(n)), **options)

    @jax.jit
    def step(n, p, p_ours, p_theirs, q_ours, q_theirs):
        u, q_ours = ours.transform.update(jnp.sin(3 * p_ours) + p_ours, q_ours, p_ours)
        p_ours = p_ours + ours.learning_rate(n) * u
        u, q_theirs = theirs.update(jnp.sin(3 * p_theirs) + p_theirs, q_theirs, p_theirs)
        return p_ours, p_theirs + u, q_ours, q_theirs

    p = jnp.array([1.0, -2.0, 0.5])
    carry = (p, p, ours.transform.init(p), theirs.init(p))
    for n in range(8):
        carry = step(jnp.int32(n), p, *carry)
        np.testing.assert_allclose(carry[0], carry[1], rtol=1e-5, atol=1e-6)
    assert np.abs(carry[0] - p).min() > 1e-3


def test_momentum_of_rmsprop_accumulates_unscaled_updates():
    ours = optimizer("rmsprop", 0.3, schedule="linear", decay_steps=8, momentum=0.5, eps=0.0)
    p, q = jnp.array([1.0, -2.0]), np.array([1.0, -2.0])
    memory, mean, trace = ours.transform.init(p), np.zeros(2), np.zeros(2)
    for n in range(5):
        updates, memory = ours.transform.update(p, memory, p)
        p = p + ours.learning_rate(jnp.int32(n)) * updates
        mean = 0.9 * mean + 0.1 * q**2
        trace = 0.5 * trace + q / np.sqrt(mean)
        q = q - 0.3 * (8 - n) / 8 * trace
        np.testing.assert_allclose(p, q, rtol=1e-5)


@pytest.mark.parametrize("step", [0, 1, 4, 9, 10, 11, 55, 100, 1000])
def test_schedules(step):
    peak, warmup, end = 0.3, 10, 100
    warm = min(1.0, (step + 1) / warmup)
    left = min(max((end - step) / (end - warmup), 0.0), 1.0)
    expected = {
        "constant": peak * warm,
        "linear": peak * warm * left,
        "cosine": peak * warm * (1 + math.cos(math.pi * (1 - left))) / 2,
    }
    for decay, value in expected.items():
        schedule = optimizer("sgd", peak, warmup, decay, end).learning_rate
        assert rate(schedule, step) == pytest.approx(value, rel=1e-5, abs=1e-7)
    assert rate(optimizer("sgd", peak).learning_rate, step) == pytest.approx(peak)
    pairs = ((4, 0.2), (56, 0.7))
    stepped = optimizer("sgd", peak, warmup, "steps", rates=pairs).learning_rate
    value = peak if step < 4 else 0.2 if step < 56 else 0.7
    assert rate(stepped, step) == pytest.approx(warm * value)


def test_schedules_meet_their_ends():
    schedule = optimizer("adam", 1.0, 4, "cosine", 20).learning_rate
    values = [rate(schedule, n) for n in range(25)]
    assert values[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert values[20:] == [0] * 5
    assert all(a > b for a, b in zip(values[4:20], values[5:21], strict=True))


def test_clip_norm_is_of_all_leaves_together():
    clipped = optimizer("sgd", 1.0, clip_norm=1.0).transform
    grads = {"a": jnp.array([3.0]), "b": jnp.array([4.0])}
    updates, _ = clipped.update(grads, clipped.init(grads), grads)
    np.testing.assert_allclose(updates["a"], [-0.6], rtol=1e-6)
    np.testing.assert_allclose(updates["b"], [-0.8], rtol=1e-6)
    small = jax.tree.map(lambda g: g / 10, grads)
    updates, _ = clipped.update(small, clipped.init(grads), grads)
    np.testing.assert_allclose(updates["a"], [-0.3], rtol=1e-6)


@pytest.mark.parametrize("bad", [30.0, math.inf, math.nan])
def test_a_gradient_of_too_large_a_norm_moves_nothing(bad):
    """The other moves are those of a run that never saw it; the norm is that before clipping."""
    options = dict(weight_decay=0.1, clip_norm=1.0)
    skipping = optimizer("adamw", 1.0, skip_norm=5.1, **options).transform
    plain = optimizer("adamw", 1.0, **options).transform
    p = {"a": jnp.array([3.0]), "b": jnp.array([-4.0, 1.0])}
    small = jax.tree.map(lambda x: x / 1.01, p)
    large = {"a": jnp.array([3.0]), "b": jnp.array([bad, 1.0])}
    step, reference = skipping.update, plain.update  # by operations: fused ones round otherwise
    mine, theirs = skipping.init(p), plain.init(p)
    for grads in (small, large, small, large, small):
        updates, moved = step(grads, mine, p)
        if grads is large:
            assert not any(np.any(u) for u in jax.tree.leaves(updates))
            jax.tree.map(np.testing.assert_array_equal, moved, mine)
            continue
        expected, theirs = reference(grads, theirs, p)
        jax.tree.map(np.testing.assert_array_equal, (updates, moved), (expected, theirs))
        mine = moved


def test_bound_clips_what_every_move_ends_at():
    """Weight clipping as of the first WGAN: a move may pass the bound, its end may not."""
    ours = optimizer("sgd", 1.0, bound=0.5)
    moved = ours.project({"a": jnp.array([0.4, -3.0, 0.6])})
    np.testing.assert_allclose(moved["a"], [0.4, -0.5, 0.5])
    assert optimizer("sgd", 1.0).project is None
    assert optimizer("sgd", 1.0, bound=0.0).project is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "adan"}, r"unknown config.optim.g.name 'adan': did you mean 'adam'\?"),
        ({"schedule": "cosin"}, r"config.optim.g.schedule 'cosin': did you mean 'cosine'\?"),
        ({"schedule": "cosine"}, r"decay_steps above warmup_steps=0, got 0"),
        (
            {"schedule": "linear", "warmup_steps": 9, "decay_steps": 9},
            "above warmup_steps=9, got 9",
        ),
        ({"clip_nrm": 1.0}, r"option of config.optim.g 'clip_nrm': did you mean 'clip_norm'\?"),
        ({"beta1": 0.5}, r"option of config.optim.g 'beta1': "),
        ({"weight_decay": 0.1}, r"'weight_decay'.*b1"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        optimizer(**{"name": "adam", "learning_rate": 0.1, "where": "optim.g"} | options)


def game(*players):
    return types.SimpleNamespace(turns=[Turn(p, None) for p in players])


SGD = {"name": "sgd", "learning_rate": 0.1}


def test_every_player_gets_its_optimiser():
    section = {"generator": SGD, "critic": SGD | {"learning_rate": 0.2}}
    built = build_optimizers(section, game("generator", "critic", "generator"))
    assert list(built) == ["generator", "critic"]
    assert rate(built["critic"].learning_rate, 0) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"generator": SGD}, "config.optim misses the players critic"),
        ({"generator": SGD, "critc": SGD}, r"'critc': did you mean 'critic'\?"),
        ({"generator": SGD | {"name": "sdg"}, "critic": SGD}, "config.optim.generator.name 'sdg'"),
    ],
)
def test_players_and_optimisers_must_match(section, message):
    with pytest.raises(ConfigError, match=message):
        build_optimizers(section, game("generator", "critic"))


def turns(*pairs):
    return [Turn("a", None, every, times) for every, times in pairs]


@pytest.mark.parametrize(
    ("given", "share"),
    [
        (turns((1, 1)), 1.0),
        (turns((1, 1), (16, 1)), 16 / 17),
        (turns((1, 1), (4, 1)), 4 / 5),
        (turns((1, 1), (4, 1), (8, 1)), 8 / 11),  # eight steps have eleven moves
        (turns((1, 5), (4, 1)), 20 / 21),
        (turns((2, 1)), 1.0),
    ],
)
def test_share_of_moves_of_every_step(given, share):
    assert plain_share(given) == share


def test_a_lazy_schedule_is_scaled_as_a_whole():
    options = dict(schedule="linear", decay_steps=100, final_rate=0.1, warmup_steps=10)
    section = dict(name="adam", learning_rate=0.3, b1=0.5, lazy=True, **options)
    lazy = build_optimizer("a", section, turns((1, 1), (4, 1))).learning_rate
    plain = build_optimizer("a", {**section, "lazy": False}, turns((1, 1), (4, 1))).learning_rate
    for step in (0, 9, 55, 200):
        assert rate(lazy, step) == pytest.approx(0.8 * rate(plain, step), rel=1e-6)
    steps = dict(name="adam", learning_rate=0.3, schedule="steps", rates=((5, 0.1),), lazy=True)
    stepped = build_optimizer("a", steps, turns((1, 1), (4, 1))).learning_rate
    assert [rate(stepped, n) for n in (0, 5)] == pytest.approx([0.24, 0.08])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "sgd", "lazy": True}, "config.optim.a: lazy=True needs an optimiser with b1"),
        ({"name": "adam", "share": 0.5}, "config.optim.a.share is given by the rest"),
        ({"name": "adam", "lazy": 3}, "config.optim.a.lazy=3, expected"),
    ],
)
def test_mistakes_of_lazy_optimisers(options, message):
    with pytest.raises(ConfigError, match=message):
        build_optimizer("a", {"learning_rate": 0.1, **options})


def test_a_weight_halves_in_a_half_life():
    decay = average(7.0).decay
    assert np.prod([rate(decay, n) for n in range(7)]) == pytest.approx(0.5, rel=1e-5)


def test_ramp_up_bounds_the_half_life_by_a_fraction_of_the_steps():
    decay = average(50.0, ramp_up=0.25).decay
    for step in (0, 3, 39, 199, 500):
        half_life = min(50.0, (step + 1) * 0.25)
        assert rate(decay, step) == pytest.approx(0.5 ** (1 / half_life), rel=1e-5)


def test_averages_of_the_players_that_are_named():
    built = build_averages({"generator": {"half_life_steps": 10.0}}, game("generator", "critic"))
    assert list(built) == ["generator"]
    assert rate(built["generator"].decay, 0) == pytest.approx(0.5**0.1, rel=1e-6)
    assert build_averages({}, game("generator")) == {}


def test_several_averages_of_a_player():
    section = {
        "generator": {"half_life_steps": 10.0},
        "slow": {"half_life_steps": 100.0, "player": "generator"},
    }
    built = build_averages(section, game("generator", "critic"))
    assert {k: average.player for k, average in built.items()} == {
        "generator": "",
        "slow": "generator",
    }
    assert rate(built["slow"].decay, 0) == pytest.approx(0.5**0.01, rel=1e-6)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"generater": {"half_life_steps": 1.0}}, r"did you mean 'generator'\?"),
        ({"generator": {"half_life": 1.0}}, r"config.ema.generator 'half_life': did you mean"),
        ({"generator": {}}, "config.ema.generator misses half_life_steps"),
        ({"generator": {"half_life_steps": 0.0}}, "half_life_steps=0.0, expected a positive"),
        (
            {"slow": {"half_life_steps": 1.0, "player": "generater"}},
            r"config.ema.slow.player 'generater': did you mean 'generator'\?",
        ),
        ({"none": {"half_life_steps": 1.0, "player": "generator"}}, "config.ema.none: an average"),
        ({"a/b": {"half_life_steps": 1.0, "player": "generator"}}, "config.ema.a/b: an average"),
    ],
)
def test_mistakes_in_averages_are_named(section, message):
    with pytest.raises(ConfigError, match=message):
        build_averages(section, game("generator"))


def test_adamax_with_l2_is_the_one_of_pytorch():
    """Weight decay enters both moments; eps is inside the maximum."""
    target, rate, l2, eps = np.array([3.0, -1.0, 0.5]), 1e-2, 0.3, 1e-3
    ours = optimizer("adamax", rate, l2=l2, eps=eps)
    p = jnp.array([0.1, 0.2, -0.3])
    x, m, n = np.asarray(p, np.float64), np.zeros(3), np.zeros(3)
    memory = ours.transform.init(p)
    for t in range(1, 6):
        updates, memory = ours.transform.update(p - target, memory, p)
        p = p + ours.learning_rate(jnp.int32(t)) * updates
        g = x - target + l2 * x
        m, n = 0.9 * m + 0.1 * g, np.maximum(0.999 * n, np.abs(g) + eps)
        x = x - rate / (1 - 0.9**t) * m / n
        np.testing.assert_allclose(p, x, rtol=1e-6)


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_a_schedule_ends_at_its_final_rate(schedule):
    decay = optimizer("sgd", 0.3, 10, schedule, 100, final_rate=0.1).learning_rate
    assert rate(decay, 9) == pytest.approx(0.3)
    assert rate(decay, 55) == pytest.approx(0.2, rel=1e-5)
    assert rate(decay, 100) == rate(decay, 1000) == pytest.approx(0.1)


def test_a_rate_of_another_schedule():
    falling = {"name": "exponential", "start": 0.3, "end": 0.003, "steps": 100}
    decay = optimizer("sgd", falling, warmup_steps=10).learning_rate
    for step in (0, 4, 9, 50, 100, 500):
        warm, share = min((step + 1) / 10, 1), min(step / 100, 1)
        assert rate(decay, step) == pytest.approx(warm * 0.3 * 0.01**share, rel=1e-5)
    with pytest.raises(ConfigError, match="learning_rate has a schedule: omit schedule='cosine'"):
        optimizer("sgd", falling, schedule="cosine", decay_steps=10)
    lazy = optimizer("adam", falling, lazy=True, share=0.8).learning_rate
    assert rate(lazy, 50) == pytest.approx(0.8 * 0.03, rel=1e-5)


def test_a_final_rate_needs_a_schedule():
    with pytest.raises(ConfigError, match="final_rate=0.1 needs a schedule"):
        optimizer("sgd", 0.3, final_rate=0.1)
    for options in ({"rates": ((3, 0.1),)}, {"schedule": "steps"}):
        with pytest.raises(ConfigError, match="schedule='steps' needs rates, and rates need it"):
            optimizer("sgd", 0.3, **options)


def test_adam_whose_b2_moves():
    """Corrections of averages use the decay of the step: against NumPy, at steps with gaps."""
    b2 = {"name": "linear", "start": 0.5, "end": 0.99, "steps": 10}
    ours = optimizer("adam", 0.1, b1=0.2, b2=b2, eps=1e-3)
    p = jnp.array([1.0, -2.0, 0.5])
    x, m, n, memory = np.asarray(p, np.float64), np.zeros(3), np.zeros(3), ours.transform.init(p)
    update = jax.jit(ours.transform.update)
    for t, step in enumerate((0, 0, 3, 4, 9, 20), 1):
        updates, memory = update(jnp.sin(3 * p) + p, memory, p, step=jnp.int32(step))
        p = p + 0.1 * updates
        g, decay = np.sin(3 * x) + x, 0.5 + 0.49 * min(step / 10, 1)
        m, n = 0.2 * m + 0.8 * g, decay * n + (1 - decay) * g**2
        x = x - 0.1 * m / (1 - 0.2**t) / (np.sqrt(n / (1 - decay**t)) + 1e-3)
        np.testing.assert_allclose(p, x, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"b2": {"name": "linaer", "start": 0.9}}, "name in config.optim.b2 'linaer'"),
        ({"nesterov": {"name": "constant", "start": 1.0}}, "config.optim.nesterov"),
        ({"b2": {"name": "constant", "start": 0.9}, "lazy": True}, "numbers for b1 and b2"),
    ],
)
def test_mistakes_in_options_that_move(options, message):
    with pytest.raises(ConfigError, match=message):
        optimizer("adam", 0.1, **options)
