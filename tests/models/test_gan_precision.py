"""Players in bfloat16: what stays float32, and how near they come to float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from jaxgen.models.gans import biggan, dcgan, r3gan, sngan, stylegan2, stylegan3

KEY = jax.random.key(0)
STAGES = {"cardinalities": (2, 2), "blocks": (1, 1)}
PLAYERS = {
    "dcgan": (dcgan.Generator(8, 8), dcgan.Discriminator(8)),
    "sngan": (sngan.Generator(8, 8), sngan.Discriminator(8, 1)),
    "biggan": (biggan.Generator(8, 8, (2, 1), 4, True, 8), biggan.Discriminator(8, (1, 2), 4)),
    "r3gan": (
        r3gan.Generator(8, (8, 8), embedding=4, **STAGES),
        r3gan.Discriminator((8, 8), embedding=4, **STAGES),
    ),
    "stylegan2": (
        stylegan2.Generator(8, 8, 1, 64, 8, clamp=256.0),
        stylegan2.Discriminator(64, 8, 4, clamp=256.0),
    ),
    "stylegan3": (
        stylegan3.Generator(8, 8, 1, 64, 8, layers=4, margin=2),
        stylegan2.Discriminator(64, 8, 4),
    ),
}


def correlation(a, b):
    a, b = (np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)]) for tree in (a, b))
    return np.corrcoef(a, b)[0, 1]


def convolutions(function, *args):
    """Dtypes of what convolutions and attention are given."""
    found = []

    def walk(jaxpr):
        for eqn in jaxpr.eqns:
            if "conv" in eqn.primitive.name and "convert" not in eqn.primitive.name:
                found.append(eqn.invars[0].aval.dtype)
            for inner in jaxprs_in_params(eqn.params):
                walk(inner)

    walk(jax.make_jaxpr(function)(*args).jaxpr)
    return found


LONG = ("stylegan2", "stylegan3", "biggan", "sngan")  # to compile


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in LONG else n for n in PLAYERS]
)
def test_bfloat16_is_near_float32(name):
    generator, discriminator = PLAYERS[name]
    size, z = (4, 16, 16, 3), jax.random.normal(KEY, (4, 8))
    rngs, weights = {"params": KEY, "noise": KEY}, jnp.array([1.0, -0.5, 0.3, 0.7])
    made = jax.jit(lambda z: generator.init(rngs, z, size))(z)
    x = jnp.tanh(jax.random.normal(KEY, size))
    judged = jax.jit(discriminator.init)(KEY, x)

    def drawn(player):
        return lambda p, z: player.apply(made | {"params": p}, z, size, rngs={"noise": KEY})

    def logits(player):
        return lambda p, x: player.apply(judged | {"params": p}, x)

    for player, function, given, own in (
        (generator, drawn, z, made),
        (discriminator, logits, x, judged),
    ):
        half = player.clone(dtype="bfloat16")
        results = []
        for one in (player, half):

            def loss(p, one=one, function=function, given=given):
                y = function(one)(p, given)
                return jnp.mean(y * weights.reshape(-1, *(1,) * (y.ndim - 1))), y

            results.append(jax.jit(jax.grad(loss, has_aux=True))(own["params"]))
        (slope, y), (slope16, y16) = results
        assert y.dtype == y16.dtype == jnp.float32
        assert {leaf.dtype for leaf in jax.tree.leaves(slope16)} == {jnp.dtype("float32")}
        assert 0.995 < correlation(y, y16) < 1 - 1e-9
        assert 0.99 < correlation(slope, slope16)
        for exact, near in zip(jax.tree.leaves(slope), jax.tree.leaves(slope16), strict=True):
            if exact.ndim == 4 and exact.any():  # kernels: one large leaf would hide the others
                assert not np.array_equal(exact, near)
        dtypes = convolutions(function(half), own["params"], given)
        assert dtypes and set(dtypes) == {jnp.dtype("bfloat16")}
        assert set(convolutions(function(player), own["params"], given)) == {jnp.dtype("float32")}
