"""Every bijector against mathematics: the float64 Jacobian, its own inverse, its two log-dets."""

import checks
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import Dense, OfCond, scramble

from jaxgen.bijectors.affine import ActNorm, Affine, ConditionalAffine, InvertibleConv
from jaxgen.bijectors.autoregressive import MADE, MaskedAutoregressive
from jaxgen.bijectors.base import Chain, Invert, Repeat
from jaxgen.bijectors.coupling import Coupling
from jaxgen.bijectors.image import Multiscale, Squeeze
from jaxgen.bijectors.permutation import Permute, Reverse
from jaxgen.bijectors.preprocess import Logit
from jaxgen.bijectors.transforms import RationalQuadraticSpline, Scale, Shift
from jaxgen.config import ConfigError
from jaxgen.models.flows.glow import CouplingNet, Glow

KEY = jax.random.key(0)
RANDOM = np.random.RandomState(0)


def normals(*shape):
    return RANDOM.randn(*shape).astype(np.float32)


def step(lu=False):
    return Chain((ActNorm(), InvertibleConv(lu), Coupling(Scale("sigmoid"), CouplingNet(8))))


# name -> (bijector, event shape, shape of cond or None)
CASES = {
    "affine": (Affine(-0.5, 3.0), (5,), None),
    "actnorm image": (ActNorm(), (2, 2, 4), None),
    "actnorm vector": (ActNorm(), (5,), None),
    "conv": (InvertibleConv(), (2, 3, 4), None),
    "conv lu": (InvertibleConv(lu=True), (2, 3, 4), None),
    "linear vector": (InvertibleConv(lu=True), (6,), None),
    "additive": (Coupling(Shift(), Dense()), (5,), None),
    "affine coupling": (Coupling(Scale("sigmoid"), Dense()), (5,), None),
    "exp coupling": (Coupling(Scale("exp"), Dense()), (5,), None),
    "spline coupling": (Coupling(RationalQuadraticSpline(), Dense()), (5,), (3,)),
    "autoregressive": (MaskedAutoregressive(Scale(), MADE((16, 16))), (5,), (3,)),
    "spline autoregressive": (
        MaskedAutoregressive(RationalQuadraticSpline(4), MADE((16,))),
        (4,),
        None,
    ),
    "inverse autoregressive": (Invert(MaskedAutoregressive(Scale(), MADE((16,)))), (4,), None),
    "one element autoregressive": (MaskedAutoregressive(Scale(), MADE((8,))), (1,), (3,)),
    "permute": (Permute(), (2, 5), None),
    "repeat permute": (Repeat(Permute(), 3), (5,), None),
    "reverse": (Reverse(), (5,), None),
    "affine coupling cond": (Coupling(Scale("sigmoid"), Dense()), (5,), (3,)),
    "glow coupling": (Coupling(Scale("sigmoid"), CouplingNet(8)), (4, 4, 4), None),
    "glow coupling no edge": (Coupling(Shift(), CouplingNet(8, edge=False)), (4, 4, 4), None),
    "conditional affine": (ConditionalAffine(OfCond()), (4,), (3,)),
    "squeeze": (Squeeze(), (4, 6, 2), None),
    "logit": (Logit(0.05), (6,), None),
    "chain": (Chain((ActNorm(), InvertibleConv())), (2, 2, 4), None),
    "empty chain": (Chain(()), (3,), None),
    "invert": (Invert(Squeeze()), (2, 2, 8), None),
    "repeat": (Repeat(step(), 3), (2, 2, 4), None),
    "repeat lu remat": (Repeat(step(lu=True), 3, "remat"), (2, 2, 4), None),
    "multiscale": (
        Multiscale(
            levels=[Chain((Squeeze(), ActNorm())), Chain((Squeeze(), ActNorm()))],
            priors=[ConditionalAffine(OfCond()), ActNorm()],
        ),
        (4, 4, 2),
        None,
    ),
    "glow": (Glow(levels=2, depth=2, width=8), (8, 8, 1), None),
    "glow additive lu": (
        Glow(levels=1, depth=2, width=8, coupling="additive", lu=True, edge=False),
        (4, 4, 3),
        None,
    ),
    "glow class": (Glow(levels=2, depth=1, width=8), (4, 4, 3), (5,)),
}

SLOW = {"glow", "glow additive lu", "glow class", "glow coupling no edge"}
SLOW |= {"repeat lu remat", "spline autoregressive"}
QUICK32 = {"conv", "affine coupling", "spline coupling", "logit", "multiscale", "repeat"}


def build(name):
    return checks.build(CASES[name])


@pytest.mark.parametrize("name", checks.names(CASES, SLOW))
def test_logdet_is_that_of_the_jacobian_and_inverse(name):
    checks.exact(CASES[name])


@pytest.mark.parametrize("name", checks.names(CASES, CASES.keys() - QUICK32))
def test_float32(name):
    checks.single(CASES[name])


def test_repeat_is_a_chain_of_independent_copies():
    repeat = Repeat(step(), 3)

    @jax.jit
    def both(x):
        variables = scramble(repeat.init(KEY, x))
        whole, total = repeat.apply(variables, x), 0.0
        for i in range(3):
            copy = jax.tree.map(lambda p, i=i: p[i], variables["params"]["bijector"])
            x, logdet = step().apply({"params": copy}, x)
            total += logdet
        return whole, (x, total)

    (y, logdet), (expected, total) = both(normals(4, 2, 2, 4))
    np.testing.assert_allclose(y, expected, atol=1e-5)
    np.testing.assert_allclose(logdet, total, atol=1e-5)


def test_repeat_copies_start_different_and_see_normalised_data():
    x = 3 + 2 * normals(64, 2, 2, 4)
    variables = jax.device_get(jax.jit(Repeat(step(), 4).init)(KEY, x))
    params = variables["params"]["bijector"]
    norm, mix = params["bijectors_0"], params["bijectors_1"]
    assert norm["bias"].shape == (4, 4)
    # the first copy sees mean 3 and deviation 2, the later ones nearly normalised data
    np.testing.assert_allclose(norm["bias"][0], -3, atol=0.5)
    np.testing.assert_allclose(norm["log_scale"][0] * 3, -np.log(2), atol=0.2)
    assert np.abs(norm["log_scale"][1:] * 3).max() < 0.5
    assert np.abs(mix["weight"][0] - mix["weight"][1]).max() > 0.1


@pytest.mark.slow
def test_remat_and_store_have_equal_gradients():
    x = jax.random.normal(KEY, (4, 2, 2, 4))
    variables = scramble(jax.jit(Repeat(step(), 3).init)(KEY, x))

    def loss(params, memory):
        y, logdet = Repeat(step(), 3, memory).apply({"params": params}, x)
        return jnp.sum(jnp.square(y)) - jnp.sum(logdet)

    grads = [
        jax.jit(jax.grad(loss), static_argnums=1)(variables["params"], m)
        for m in ("store", "remat")
    ]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4), *grads)


def test_unknown_memory_is_refused():
    with pytest.raises(ValueError, match="memory='disk', expected one of"):
        Repeat(step(), 2, "disk").init(KEY, jnp.zeros((2, 2, 2, 4)))


def test_no_copies_are_refused():
    with pytest.raises(ConfigError, match="0 steps of a flow, expected 1 or more: raise its depth"):
        Repeat(step(), 0).init(KEY, jnp.zeros((2, 2, 2, 4)))


def test_actnorm_normalises_the_first_batch_and_only_that():
    x = 5 + 3 * normals(256, 4, 4, 3)
    variables = jax.jit(ActNorm().init)(KEY, x)
    apply = jax.jit(ActNorm().apply)
    y = np.asarray(apply(variables, x)[0])
    np.testing.assert_allclose(np.mean(y, (0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(np.std(y, (0, 1, 2)), 1, atol=1e-4)
    assert np.mean(apply(variables, x + 100)[0]) > 10


@pytest.mark.parametrize("c", [12, 48, 384])
def test_plain_convolution_starts_as_a_rotation(c):
    conv, x = InvertibleConv(), normals(2, 1, 1, c)

    @jax.jit
    def there_and_back(x):
        (y, logdet), variables = conv.init_with_output(KEY, x)
        return logdet, conv.apply(variables, y, method="inverse")[0]

    logdet, back = there_and_back(x)
    np.testing.assert_allclose(logdet, 0, atol=1e-4)
    np.testing.assert_allclose(back, x, atol=1e-5)


def test_lu_equals_its_rotation_and_keeps_permutation_and_signs_fixed():
    x = np.eye(12, dtype=np.float32)[:, None, None]
    (y, logdet), variables = jax.jit(InvertibleConv(lu=True).init_with_output)(KEY, x)
    assert set(variables["params"]) == {"lower", "upper", "log_s"}
    assert set(variables["constants"]) == {"permutation", "sign"}
    weight = np.asarray(y)[:, 0, 0]
    np.testing.assert_allclose(weight @ weight.T, np.eye(12), atol=1e-5)
    np.testing.assert_allclose(logdet, 0, atol=1e-5)


@pytest.mark.parametrize(
    "order",
    [[0, 2, 8, 10, 1, 3, 9, 11]],
)
def test_squeeze_order_is_that_of_the_official_code(order):
    x = jnp.arange(32.0).reshape(1, 4, 4, 2)
    y, logdet = Squeeze().forward(x)
    assert y[0, 0, 0].tolist() == order
    assert logdet.tolist() == [0]


def test_squeeze_refuses_odd_sides():
    with pytest.raises(ValueError, match="even height and width, got 7x8"):
        Squeeze().forward(jnp.zeros((1, 7, 8, 1)))


def test_coupling_refuses_one_channel():
    with pytest.raises(ValueError, match="at least 2 channels"):
        Coupling(Shift(), Dense()).init(KEY, jnp.zeros((2, 4, 4, 1)))


def test_coupling_keeps_its_first_half():
    bijector, variables, x, _ = build("glow coupling")
    y, x = map(np.asarray, (jax.jit(bijector.apply)(variables, x)[0], x))
    np.testing.assert_array_equal(y[..., :2], x[..., :2])


def test_zero_initialised_coupling_scales_by_sigmoid_2():
    x = normals(2, 4, 4, 4)
    coupling = Coupling(Scale("sigmoid"), CouplingNet(8))
    (y, logdet), _ = jax.jit(coupling.init_with_output)(KEY, x)
    scale = 1 / (1 + np.exp(-2.0))
    np.testing.assert_allclose(np.asarray(y)[..., 2:], x[..., 2:] * scale, rtol=1e-6)
    np.testing.assert_allclose(logdet, 32 * np.log(scale), rtol=1e-6)


@pytest.mark.parametrize("x", [0.0, 1.0])
def test_logit_is_finite_at_the_ends(x):
    y, logdet = Logit(0.05).forward(jnp.full((1, 3), x))
    assert np.isfinite(y).all() and np.isfinite(logdet).all()
