"""Repeat(memory="invert"): the gradients of plain backpropagation, from the last event alone."""

import checks
import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import Dense, scramble

from jaxgen.bijectors.affine import ActNorm, InvertibleConv
from jaxgen.bijectors.autoregressive import MADE, MaskedAutoregressive
from jaxgen.bijectors.base import Chain, Invert, Repeat
from jaxgen.bijectors.batch_norm import BatchNorm
from jaxgen.bijectors.circle import Conditionals, Moebius, NonCompactProjection
from jaxgen.bijectors.coupling import Coupling
from jaxgen.bijectors.image import Flatten
from jaxgen.bijectors.linear import Elementwise
from jaxgen.bijectors.masks import Checkerboard, MaskedCoupling
from jaxgen.bijectors.mixture import MixtureLogistic
from jaxgen.bijectors.monotonic import MonotonicNetwork
from jaxgen.bijectors.planar import Planar
from jaxgen.bijectors.sylvester import Sylvester
from jaxgen.bijectors.transforms import RationalQuadraticSpline, Scale, Shift
from jaxgen.models.flows.glow import CouplingNet, Glow
from jaxgen.models.flows.spline import ConvResidualNet

KEY = jax.random.key(0)


def glow_step(dropout=0.0):
    net = CouplingNet(8, dropout=dropout)
    return Chain((ActNorm(), InvertibleConv(), Coupling(Scale("sigmoid"), net)))


# name -> (what is repeated, event shape, shape of cond or None)
CASES = {
    "glow step": (glow_step(), (4, 4, 4), None),
    "lu and additive": (
        Chain((InvertibleConv(lu=True), Coupling(Shift(), Dense(), swap=True))),
        (6,),
        None,
    ),
    "conditional spline": (
        Chain((ActNorm(), Coupling(RationalQuadraticSpline(4), Dense()))),
        (4,),
        (3,),
    ),
    "nested": (Repeat(Coupling(Scale(), Dense()), 2), (4,), (3,)),
    "no parameters in front": (Chain((Chain(()), Coupling(Scale(), Dense()))), (4,), None),
}

SLOW = CASES.keys() - {"glow step"}


def problem(name, times=3, dtype=jnp.float32):
    """Scrambled variables after data-dependent initialisation, x, cond."""
    step, shape, cond_shape = CASES[name]
    x = jax.random.normal(KEY, (8, *shape), dtype)
    cond = None if cond_shape is None else jax.random.normal(KEY, (8, *cond_shape), dtype)
    variables = jax.jit(lambda x, cond: scramble(Repeat(step, times).init(KEY, x, cond)))(x, cond)
    return step, {"constants": {}, **variables}, x, cond


def gradients(step, times, memory, variables, x, cond, unroll=1):
    """Value and gradient in the parameters, the event and the condition."""

    def loss(params, x, cond):
        repeat = Repeat(step, times, memory, unroll)
        y, logdet = repeat.apply({**variables, "params": params}, x, cond)
        return jnp.mean(jnp.sum(jnp.sin(y).reshape(len(x), -1), 1) - logdet)

    wanted = (0, 1) if cond is None else (0, 1, 2)
    return jax.jit(jax.value_and_grad(loss, wanted))(variables["params"], x, cond)


@pytest.mark.parametrize("name", checks.names(CASES, SLOW))
def test_gradients_are_those_of_plain_backpropagation(name):
    with jax.enable_x64(True):
        step, *rest = problem(name, dtype=jnp.float64)
        expected = gradients(step, 3, "store", *rest)
        actual = gradients(step, 3, "invert", *rest)
        chex.assert_trees_all_close(actual, expected, rtol=1e-9, atol=1e-10)
        if name == "conditional spline":
            for memory in ("store", "invert"):
                actual = gradients(step, 3, memory, *rest, unroll=3)
                chex.assert_trees_all_close(actual, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.slow
def test_gradients_in_float32():
    step, *rest = problem("glow step", times=32)
    expected = gradients(step, 32, "store", *rest)
    actual = gradients(step, 32, "invert", *rest)
    flat = [np.concatenate([g.ravel() for g in jax.tree.leaves(t[1])]) for t in (actual, expected)]
    error = np.linalg.norm(flat[0] - flat[1]) / np.linalg.norm(flat[1])
    assert error < 1e-5


@pytest.mark.slow
def test_dropout_is_replayed():
    """Against a finite difference: another mask on the way back would give another slope."""
    with jax.enable_x64(True):
        _, variables, x, _ = problem("glow step", dtype=jnp.float64)
        step, rngs = glow_step(dropout=0.5), {"dropout": jax.random.key(1)}
        repeat = Repeat(step, 3, "invert")

        @jax.jit
        def loss(params):
            y, logdet = repeat.apply({**variables, "params": params}, x, rngs=rngs)
            return jnp.sum(jnp.sin(y)) - jnp.sum(logdet)

        params = jax.tree.map(lambda p: p.astype(jnp.float64), variables["params"])
        way = jax.tree.map(lambda p: jax.random.normal(KEY, p.shape, p.dtype), params)
        moved = [jax.tree.map(lambda p, w, e=e: p + e * w, params, way) for e in (-1e-6, 1e-6)]
        slope = (loss(moved[1]) - loss(moved[0])) / 2e-6
        grads = jax.jit(jax.grad(loss))(params)
        inner = sum(jax.tree.leaves(jax.tree.map(jnp.vdot, grads, way)))
        np.testing.assert_allclose(inner, slope, rtol=1e-6)
        plain = repeat.apply(variables, x)[0]
        assert np.abs(plain - repeat.apply(variables, x, rngs=rngs)[0]).max() > 0.01


def compiled(times, memory):
    step = Coupling(Scale(), Dense())
    x = jax.ShapeDtypeStruct((512, 4), jnp.float32)
    variables = jax.eval_shape(Repeat(step, times).init, KEY, x)

    def loss(variables, x):
        y, logdet = Repeat(step, times, memory).apply(variables, x)
        return jnp.sum(y * y) - jnp.sum(logdet)

    return jax.jit(jax.grad(loss)).lower(variables, x).compile()


def test_memory_does_not_grow_with_depth():
    shallow, deep = (compiled(k, "invert").memory_analysis().temp_size_in_bytes for k in (8, 64))
    assert deep <= 1.05 * shallow
    stored = [compiled(k, "store").memory_analysis().temp_size_in_bytes for k in (8, 64)]
    assert stored[1] > 3 * stored[0]


@pytest.mark.slow
def test_a_whole_glow_with_its_splits():
    x = jax.random.normal(KEY, (4, 8, 8, 2))
    variables = scramble(jax.jit(Glow(levels=2, depth=2, width=8).init)(KEY, x))

    def loss(params, memory):
        glow = Glow(levels=2, depth=2, width=8, memory=memory)
        z, logdet = glow.apply({"params": params}, x)
        return sum(jnp.sum(leaf**2) for leaf in z) - jnp.sum(logdet)

    run = jax.jit(jax.value_and_grad(loss), static_argnums=1)
    store, invert = (run(variables["params"], memory) for memory in ("store", "invert"))
    chex.assert_trees_all_close(invert, store, rtol=2e-4, atol=2e-4)


AUTOREGRESSIVE = MaskedAutoregressive(Scale(), MADE((8,)))
MOVING = Coupling(Scale(), ConvResidualNet(4, blocks=1))  # with moments of the batch
REFUSED = {
    "MaskedAutoregressive": (AUTOREGRESSIVE, (4,)),
    "Invert": (Invert(AUTOREGRESSIVE), (4,)),
    "Chain": (Chain((ActNorm(), BatchNorm())), (4,)),
    "Flatten": (Flatten(Planar()), (2, 2)),
    "Planar": (Planar(), (4,)),
    "Sylvester": (Sylvester(2), (4,)),
    "Conditionals": (Conditionals((Shift(), Shift()), (Dense(), Dense()), (False, False)), (2,)),
    "Elementwise": (Elementwise(Moebius(2)), (4,)),
    "MaskedCoupling": (MaskedCoupling(NonCompactProjection(2), Dense(), Checkerboard()), (4,)),
    "Repeat": (Repeat(Coupling(MixtureLogistic(2), Dense()), 2), (4,)),
    "Coupling of networks": (Coupling(MonotonicNetwork((4,), 2, 5), Dense()), (4,)),
    "Coupling by moments": (MOVING, (4, 4, 2)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_inverse_that_is_numerical_slow_or_of_other_statistics_is_refused(name):
    bijector, shape = REFUSED[name]
    message = f"through {name.partition(' ')[0]}, .* memory='remat'"
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(Repeat(bijector, 2, "invert").init, KEY, jnp.zeros((2, *shape)))


def test_half_precision_is_refused():
    x = jnp.zeros((2, 4))
    with pytest.raises(ValueError, match="needs a state in float32: bfloat16 has no"):
        Repeat(Coupling(Shift(), Dense()), 2, "invert").init(KEY, x.astype(jnp.bfloat16))
    with pytest.raises(ValueError, match="dtype='bfloat16' with memory='invert'"):
        Glow(levels=1, depth=2, width=8, memory="invert", dtype="bfloat16").init(
            KEY, jnp.zeros((2, 4, 4, 1))
        )
