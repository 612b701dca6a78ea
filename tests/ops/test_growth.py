"""The schedule of growing images against the official rule in plain floats, and the images."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.ops.growth import (
    Growth,
    coarse,
    cut,
    enlarged,
    faded,
    padded,
    shrunk,
    switched,
    top_level,
)

RANDOM = np.random.RandomState(0)


def floats(*shape):
    return jnp.asarray(RANDOM.randn(*shape))


def official(n, levels, stable, fade):
    """Levels to come, a real number: `TrainingSchedule` of the official code, in its words."""
    phase, within = divmod(n, stable + fade)
    lod = levels - phase
    if fade:
        lod -= max(within - stable, 0.0) / fade
    return max(lod, 0.0)


@pytest.mark.parametrize("stable,fade", [(600, 600), (3, 5), (4, 0), (0, 6), (1, 1)], ids=str)
def test_schedule(stable, fade):
    """Table of level and share, and of the steps at which the official code resets Adam."""
    growth = Growth(3, 6, stable, fade)
    steps = np.arange(0, 4 * (stable + fade) + 3)

    @jax.jit
    @jax.vmap
    def found(step):
        return *growth.at(step), growth.changes(step)

    levels, alphas, changes = map(np.asarray, found(steps))
    lods = [official(int(n), 3, stable, fade) for n in steps]
    np.testing.assert_array_equal(levels, [6 - math.floor(lod) for lod in lods])
    share = [1.0 if lod == math.floor(lod) else 1 - (lod - math.floor(lod)) for lod in lods]
    np.testing.assert_allclose(alphas, share, rtol=1e-5)
    pairs = [(math.floor(lod), math.ceil(lod)) for lod in lods]
    resets = [False, *(a != b for a, b in zip(pairs, pairs[1:], strict=False))]
    np.testing.assert_array_equal(changes, resets)
    assert levels[0] == 3 and levels[-1] == 6 and alphas[-1] == 1


def test_paper_schedule():
    """600 thousand images of 4x4, as many of the fade to 8x8, in batches of 16."""
    growth, step = Growth(2, 10, 37_500, 37_500), 37_500
    at = jax.jit(growth.at)
    assert [int(v) for v in at(step)] == [2, 1]
    level, alpha = at(step + 18_750)
    assert (int(level), float(alpha)) == (3, 0.5)
    assert [int(v) for v in at(2 * step)] == [3, 1]
    assert [int(v) for v in at(8 * 2 * step)] == [10, 1]


@pytest.mark.parametrize("size,level", [((4, 4), 2), ((8, 5), 3), ((28, 28), 5), ((1024, 9), 10)])
def test_top_level(size, level):
    assert top_level(size) == level


def test_blocks():
    x = floats(2, 4, 6, 3)
    rows = np.asarray(x)
    means = np.stack(
        [[rows[:, i : i + 2, j : j + 2].mean((1, 2)) for j in (0, 2, 4)] for i in (0, 2)]
    )
    np.testing.assert_allclose(shrunk(x, 2), means.transpose(2, 0, 1, 3), atol=1e-6)
    np.testing.assert_array_equal(enlarged(x, 3), rows.repeat(3, 1).repeat(3, 2))
    np.testing.assert_array_equal(cut(padded(x, 9), (4, 6)), x)
    assert float(jnp.sum(padded(x, 9))) == pytest.approx(float(rows.sum()), abs=1e-4)


def test_endpoints_of_a_fade_are_exact():
    old, new = floats(2, 4, 4, 1), floats(2, 4, 4, 1)
    fade = jax.jit(faded)
    np.testing.assert_array_equal(fade(old, new, jnp.float32(0)), old)
    np.testing.assert_array_equal(fade(old, new, jnp.float32(1)), new)
    between = 0.75 * np.asarray(old) + 0.25 * np.asarray(new)
    np.testing.assert_allclose(fade(old, new, jnp.float32(0.25)), between, atol=1e-6)


@pytest.mark.parametrize("side", [16, 12])
def test_coarse_images(side):
    """Means of what is inside of each block, in loops; the fade as in `process_reals` there."""
    x = RANDOM.randint(0, 256, (2, side, side, 1)).astype(np.uint8)

    def blocks(factor):
        out, low = np.zeros(x.shape), (16 - side) // 2
        for i in range(0, 16, factor):
            for j in range(0, 16, factor):
                rows = slice(max(i - low, 0), max(i + factor - low, 0))
                columns = slice(max(j - low, 0), max(j + factor - low, 0))
                block = x[:, rows, columns].astype(float)
                out[:, rows, columns] = block.mean((1, 2), keepdims=True) if block.size else 0
        return out

    shown = jax.jit(coarse, static_argnums=1)
    for level, factor in ((2, 4), (3, 2), (4, 1)):
        expected = blocks(factor)
        np.testing.assert_allclose(shown(x, level, 1.0), expected, atol=1e-3)
        if level > 2:
            mixed = 0.7 * expected + 0.3 * blocks(2 * factor)
            np.testing.assert_allclose(shown(x, level, 0.7), mixed, atol=1e-3)
    np.testing.assert_array_equal(shown(x, 4, jnp.float32(1)), x)


def test_a_switch_of_losses():
    """Value, gradient and the rest of the chosen one, also times something and in a scan."""
    x = floats(3)

    def quadratic(p, x, k):
        return jnp.sum(jnp.square(p["a"] * x)) + k, {"shown": p["a"][0]}

    def linear(p, x, k):
        return jnp.sum(p["b"] * x) * k, {"shown": 2 * p["b"][0]}

    params = {"a": jnp.asarray(floats(3)), "b": jnp.asarray(floats(3))}

    @jax.jit
    def run(params, index):
        def loss(p):
            value, rest = switched(index, (quadratic, linear), p, x, jnp.int32(3))
            return 5 * value, rest

        return jax.value_and_grad(loss, has_aux=True)(params)

    (value, rest), slope = run(params, jnp.int32(0))
    a, b, x = (np.asarray(v) for v in (params["a"], params["b"], x))
    assert value == pytest.approx(5 * (float(np.sum((a * x) ** 2)) + 3), rel=1e-5)
    np.testing.assert_allclose(slope["a"], 10 * a * x**2, rtol=1e-5)
    np.testing.assert_array_equal(slope["b"], 0)
    assert rest["shown"] == a[0]
    (value, rest), slope = run(params, jnp.int32(1))
    assert value == pytest.approx(15 * float(np.sum(b * x)), rel=1e-5)
    np.testing.assert_array_equal(slope["a"], 0)
    np.testing.assert_allclose(slope["b"], 15 * x, rtol=1e-5)
    assert rest["shown"] == 2 * b[0]
    plain, _ = jax.jit(lambda p: switched(jnp.int32(1), (quadratic, linear), p, x, 3))(params)
    assert plain == pytest.approx(3 * float(np.sum(b * x)), rel=1e-5)
