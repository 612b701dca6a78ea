"""Free parameters, fixed orders and halves: closed forms beside the checks of every bijector."""

import checks
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import Dense

from jaxgen.bijectors.affine import InvertibleConv
from jaxgen.bijectors.base import Chain, Invert, Repeat
from jaxgen.bijectors.coupling import Coupling
from jaxgen.bijectors.image import Flatten, Mirror, OrderedSqueeze, Squeeze
from jaxgen.bijectors.linear import Diagonal, Elementwise, Householder
from jaxgen.bijectors.permutation import EvenOdd, Reverse
from jaxgen.bijectors.transforms import RationalQuadraticSpline, Scale

KEY = jax.random.key(0)
RANDOM = np.random.RandomState(0)


def normals(*shape):
    return RANDOM.randn(*shape).astype(np.float32)


DIRECTIONS = ("forward", "inverse")
# name -> (bijector, event shape, shape of cond or None)
CASES = {
    "diagonal": (Diagonal(), (5,), None),
    "diagonal image": (Diagonal(bias=False), (2, 3, 2), None),
    "householder": (Householder(3), (5,), None),
    "householder image": (Householder(4), (2, 2, 3), None),
    "elementwise": (Elementwise(Scale()), (2, 2, 2), None),
    "elementwise spline": (Elementwise(RationalQuadraticSpline(4)), (5,), None),
    "identity lu": (InvertibleConv(lu=True, identity=True), (5,), None),
    "swapped coupling": (Coupling(Scale(), Dense(), swap=True), (5,), (3,)),
    "even odd": (EvenOdd(), (5,), None),
    "ordered squeeze": (OrderedSqueeze(), (4, 6, 2), None),
    "mirror": (Mirror(), (3, 4, 2), None),
    "flatten": (Flatten(Chain((EvenOdd(), Diagonal()))), (2, 3, 1), None),
    "repeat": (Repeat(Chain((Householder(2), Diagonal())), 3), (4,), None),
}


@pytest.mark.parametrize("name", CASES)
def test_float64(name):
    checks.exact(CASES[name])


@pytest.mark.parametrize("name", checks.names(CASES, CASES.keys() - {"householder", "repeat"}))
def test_float32(name):
    checks.single(CASES[name])


def test_a_million_numbers_and_their_gradients_are_finite():
    flow = Chain((Householder(3), Elementwise(Scale()), Flatten(Diagonal()), EvenOdd()))
    special = np.array([0.0, -0.0, 3.0, -3.0, 1e4, -1e4, 1e30, -1e30, 1e-38])
    x = 10 * normals(250_000, 4)
    x[: len(special)] = special[:, None]
    variables = jax.jit(lambda x: checks.scramble(flow.init(KEY, x), 0.3))(x[:2])

    def total(variables, x):
        sums = (flow.apply(variables, x, method=method) for method in ("forward", "inverse"))
        return sum(jnp.mean(part) for pair in sums for part in pair)

    found = jax.tree.leaves(jax.jit(jax.value_and_grad(total, (0, 1)))(variables, x))
    assert all(np.isfinite(leaf).all() for leaf in found)


def test_diagonal_is_a_multiplication_and_starts_as_the_identity():
    x = normals(4, 3)
    variables = jax.jit(Diagonal().init)(KEY, x)
    apply = jax.jit(Diagonal().apply)
    np.testing.assert_array_equal(apply(variables, x)[0], x)
    log_scale, bias = jnp.array([0.5, -1.0, 2.0]), jnp.array([3.0, 0.0, -1.0])
    y, logdet = apply({"params": {"log_scale": log_scale, "bias": bias}}, x)
    np.testing.assert_allclose(y, x * np.exp([[0.5, -1, 2]]) + np.array([[3, 0, -1]]), rtol=1e-6)
    np.testing.assert_array_equal(logdet, np.full(4, 1.5, np.float32))
    assert set(jax.eval_shape(Diagonal(bias=False).init, KEY, x)["params"]) == {"log_scale"}


def test_householder_is_a_product_of_reflections():
    vectors = np.array([[1.0, 2.0, -1.0], [0.0, 1.0, 1.0]], np.float32)
    matrix = np.eye(3)
    for v in vectors.astype(np.float64):
        matrix = matrix @ (np.eye(3) - 2 * np.outer(v, v) / (v @ v))
    variables = {"params": {"vectors": jnp.asarray(vectors)}}
    y, logdet = map(
        np.asarray, jax.jit(Householder(2).apply)(variables, np.eye(3, dtype=np.float32))
    )
    np.testing.assert_allclose(y, matrix, atol=1e-6)
    np.testing.assert_allclose(y @ y.T, np.eye(3), atol=1e-6)
    assert not logdet.any()


def test_householder_of_a_zero_vector_reflects_nothing():
    def total(vectors):
        return jnp.sum(Householder(1).apply({"params": {"vectors": vectors}}, jnp.ones((2, 3)))[0])

    value, grad = jax.jit(jax.value_and_grad(total))(jnp.zeros((1, 3)))
    assert value == 6 and np.isfinite(grad).all()


def test_many_reflections_stay_orthogonal_in_float32():
    eye = np.eye(64, dtype=np.float32)
    y = np.asarray(jax.jit(Householder(256).init_with_output)(KEY, eye)[0][0])
    np.testing.assert_allclose(y @ y.T, np.eye(64), atol=3e-5)


@pytest.mark.parametrize("lu", [True, False])
def test_a_linear_map_may_start_as_the_identity(lu):
    x = normals(4, 7)
    linear = InvertibleConv(lu, identity=True)
    (y, logdet), _ = jax.jit(linear.init_with_output)(KEY, x)
    np.testing.assert_array_equal(y, x)
    assert not np.any(logdet)


@pytest.mark.parametrize(("d", "order"), [(6, [0, 2, 4, 1, 3, 5]), (5, [0, 2, 4, 1, 3])])
def test_even_elements_come_first(d, order):
    x = jnp.arange(2.0 * d).reshape(2, d)
    y, logdet = EvenOdd().forward(x)
    np.testing.assert_array_equal(y, x[:, np.array(order)])
    assert logdet.tolist() == [0, 0]


@pytest.mark.parametrize("swap", [False, True])
def test_a_coupling_keeps_the_half_that_conditions(swap):
    coupling = Coupling(Scale(), Dense(), swap)
    _, variables, x, _ = checks.build((coupling, (5,), None), scale=0.5)
    both = jax.jit(lambda x: [coupling.apply(variables, x, method=m)[0] for m in DIRECTIONS])
    kept, changed = (slice(2, 5), slice(0, 2)) if swap else (slice(0, 2), slice(2, 5))
    x, *moved = map(np.asarray, (x, *both(x)))
    for y in moved:
        np.testing.assert_array_equal(y[:, kept], x[:, kept])
        assert (np.abs(y - x)[:, changed] > 1e-3).all()


def test_a_swapped_coupling_is_one_between_reversals():
    """Of an even number of channels."""
    x = normals(3, 4)
    between = Chain((Reverse(), Coupling(Scale(), Constant()), Reverse()))
    swapped = Coupling(Scale(), Constant(), swap=True)
    (y, logdet), (expected, total) = (jax.jit(b.apply)({}, x) for b in (swapped, between))
    np.testing.assert_allclose(np.asarray(y)[:, :2], x[:, :2] * 2 + 2, rtol=1e-6)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(logdet, total)


class Constant(Dense):
    """Shift 1 and scale 2 of every element."""

    @checks.nn.compact
    def __call__(self, x, cond, features):
        raw = 5.0 * jnp.arctanh(jnp.log(2.0) / 5.0)
        return jnp.tile(jnp.array([[1.0, raw]]), (len(x), features // 2))


def test_ordered_squeeze_is_that_of_the_official_code():
    x = jnp.arange(32.0).reshape(1, 4, 4, 2)
    y, logdet = OrderedSqueeze().forward(x)
    assert y[0, 0, 0].tolist() == [0, 1, 10, 11, 2, 3, 8, 9]
    assert logdet.tolist() == [0]


def test_ordered_squeeze_keeps_one_colour_of_the_checkerboard():
    row, column = np.indices((6, 4))
    colour = jnp.asarray((row + column) % 2, jnp.float32)[None, ..., None]
    kept, leaving = jnp.split(OrderedSqueeze().forward(colour)[0], 2, axis=-1)
    assert not kept.any() and leaving.all()


def test_unsqueeze_is_squeeze_inverted():
    x = jnp.asarray(normals(2, 4, 6, 3))
    y, _ = Squeeze().forward(x)
    np.testing.assert_array_equal(Invert(Squeeze()).apply({}, y)[0], x)


def test_mirror_exchanges_the_colours_and_needs_an_even_width():
    row, column = np.indices((3, 4))
    colour = jnp.asarray((row + column) % 2, jnp.float32)[None, ..., None]
    np.testing.assert_array_equal(Mirror().forward(colour)[0], 1 - colour)
    with pytest.raises(ValueError, match=r"even width to exchange colours, got \(4, 3, 1\)"):
        Mirror().forward(jnp.zeros((1, 4, 3, 1)))


@pytest.mark.parametrize("name", ["diagonal image", "swapped coupling"])
def test_vmap_over_a_further_axis(name):
    bijector, variables, x, cond = checks.build(CASES[name], batch=6)
    y, logdet = jax.jit(bijector.apply)(variables, x, cond)
    two = [
        None if v is None else np.reshape(np.asarray(v), (2, 3, *v.shape[1:])) for v in (x, cond)
    ]
    axes = (None, 0, None if cond is None else 0)
    many, total = jax.jit(jax.vmap(bijector.apply, axes))(variables, *two)
    assert total.shape == (2, 3)
    np.testing.assert_allclose(np.reshape(many, y.shape), y, atol=1e-6)
    np.testing.assert_allclose(np.ravel(total), logdet, atol=1e-6)
