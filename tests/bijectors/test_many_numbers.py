"""A million numbers, far tails among them, through the bijectors whose own tests do not do that.

The transforms, planar and radial steps, circles and masks have such tests beside their others.
"""

import checks
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import Dense, OfCond

from jaxgen.bijectors.affine import ActNorm, Affine, ConditionalAffine, InvertibleConv
from jaxgen.bijectors.autoregressive import MADE, MaskedAutoregressive
from jaxgen.bijectors.base import Chain, Invert, Repeat
from jaxgen.bijectors.batch_norm import BatchNorm
from jaxgen.bijectors.circle import Conditionals, Moebius, NonCompactProjection
from jaxgen.bijectors.coupling import Coupling
from jaxgen.bijectors.image import Mirror, Multiscale, OrderedSqueeze, Squeeze
from jaxgen.bijectors.mixture import MixtureLogistic
from jaxgen.bijectors.monotonic import MonotonicNetwork
from jaxgen.bijectors.permutation import Permute, Reverse
from jaxgen.bijectors.sphere import Cylinder, UnitCube
from jaxgen.bijectors.sylvester import Sylvester
from jaxgen.bijectors.transforms import CircularSpline, RationalQuadraticSpline, Scale, Shift

KEY = jax.random.key(0)
TAILS = (0.0, -0.0, 1e-38, 3.0, -3.0, 1e4, -1e4)
MIX = (InvertibleConv(), InvertibleConv(lu=True))
MASKED = MaskedAutoregressive(Scale(), MADE((16,)))
SPLINES = MaskedAutoregressive(RationalQuadraticSpline(4), MADE((8,)))
CASES = {
    "image": (
        Chain((Affine(-0.5, 3.0), Mirror(), Squeeze(), ActNorm(), *MIX, BatchNorm(), Permute())),
        (2, 2, 1),
        None,
    ),
    "levels": (
        Multiscale(
            levels=[Chain((OrderedSqueeze(), ActNorm())), Chain((Invert(Squeeze()), Reverse()))],
            priors=[ConditionalAffine(OfCond()), ActNorm()],
        ),
        (4, 4, 2),
        None,
    ),
    "couplings": (
        Chain(
            (
                Coupling(Scale("sigmoid"), Dense()),
                Coupling(Scale("exp"), Dense(), swap=True),
                Coupling(Shift(), Dense()),
            )
        ),
        (4,),
        (3,),
    ),
    "splines": (Coupling(RationalQuadraticSpline(4), Dense()), (4,), None),
    "masked": (MASKED, (4,), (3,)),
    "masked, inverted": (Repeat(Invert(MASKED), 2), (4,), None),
    "masked splines": (SPLINES, (4,), None),
    "mixtures": (Coupling(MixtureLogistic(2), Dense()), (4,), None),
    "networks": (Coupling(MonotonicNetwork((6,), 2, 6), Dense()), (4,), None),
    "sylvester": (Sylvester(2), (4,), None),
    "torus": (
        Conditionals(
            (CircularSpline(4), Moebius(2), NonCompactProjection(2)),
            tuple(Dense() for _ in range(3)),
            (True,) * 3,
        ),
        (3,),
        None,
    ),
    "sphere": (Chain((Cylinder(), UnitCube(sphere=True))), (4,), None),
}
QUICK = {"image"}


def million(name, shape):
    """Events, TAILS among them: angles for a torus, unit vectors and poles for a sphere."""
    x = 10 * jax.random.normal(KEY, (1_000_000 // int(np.prod(shape)), *shape))
    if name == "torus":
        x = jnp.abs(x) % (2 * np.pi)
    tails = jnp.asarray(TAILS).reshape(-1, *(1,) * len(shape))
    x = x.at[: len(TAILS)].set(jnp.broadcast_to(tails, (len(TAILS), *shape)))
    if name == "sphere":
        x = x.at[: 2 * shape[0]].set(jnp.concatenate([jnp.eye(*shape * 2), -jnp.eye(*shape * 2)]))
        x = x / jnp.linalg.norm(x, axis=-1, keepdims=True)
    return x


@pytest.mark.parametrize("name", checks.names(CASES, CASES.keys() - QUICK))
def test_a_million_numbers_and_their_gradients_are_finite(name):
    """Forward, and the inverse of as many numbers that are no results of it."""
    bijector, shape, cond_shape = CASES[name]
    x = million(name, shape)
    cond = None if cond_shape is None else jax.random.normal(KEY, (len(x), *cond_shape))

    @jax.jit
    def everything(x):
        first = x[-64:], None if cond is None else cond[-64:]
        variables = checks.scramble({"params": {}, **bijector.init(KEY, *first)}, 0.3)
        latents = jax.eval_shape(bijector.apply, variables, x, cond)[0]
        leaves, tree = jax.tree.flatten(latents)
        ends = np.cumsum([leaf.size for leaf in leaves])[:-1]
        numbers = jnp.resize(x, sum(leaf.size for leaf in leaves))
        if name == "sphere":
            numbers = 0.5 * (1 + numbers)

        def total(params, numbers, x):
            parts = jnp.split(numbers, ends)
            y = tree.unflatten([p.reshape(v.shape) for p, v in zip(parts, leaves, strict=True)])
            there = bijector.apply({**variables, "params": params}, x, cond)
            back = bijector.apply({**variables, "params": params}, y, cond, method="inverse")
            return sum(jnp.mean(leaf) for leaf in jax.tree.leaves((there, back)))

        return jax.value_and_grad(total, (0, 1, 2))(variables["params"], numbers, x)

    value, grads = everything(x)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))
