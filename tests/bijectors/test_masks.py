"""Masks, and couplings that keep exactly what their mask names."""

import checks
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import Dense
from flax import linen as nn

from jaxgen.bijectors.masks import ChannelMask, Checkerboard, MaskedCoupling
from jaxgen.bijectors.transforms import RationalQuadraticSpline, Scale, Shift
from jaxgen.models.flows.realnvp import RealNVP, ShiftScale, TabularRealNVP

KEY = jax.random.key(0)
CASES = {
    "vector": (MaskedCoupling(Scale(), Dense(), Checkerboard()), (5,), (3,)),
    "spline": (MaskedCoupling(RationalQuadraticSpline(4), Dense(), Checkerboard(True)), (4,), None),
    "image": (MaskedCoupling(Scale(), Dense(), Checkerboard(True)), (3, 3, 2), None),
    "additive": (MaskedCoupling(Shift(), Dense(), Checkerboard()), (2, 2, 1), None),
    "channels": (MaskedCoupling(Scale(), Dense(), ChannelMask()), (2, 2, 3), None),
}
FLOWS = {
    "realnvp": (RealNVP(scales=2, width=2, blocks=1), (4, 4, 1), (3,)),
    "tabular realnvp": (TabularRealNVP(depth=3, hidden=(8,)), (5,), (3,)),
}


@pytest.mark.parametrize("name", checks.names([*CASES, *FLOWS], slow=FLOWS))
def test_float64(name):
    checks.exact((CASES | FLOWS)[name])


@pytest.mark.parametrize("name", checks.names([*CASES, *FLOWS], {*CASES, *FLOWS} - {"vector"}))
def test_float32(name):
    checks.single((CASES | FLOWS)[name])


def test_checkerboard_by_hand():
    kept = Checkerboard().kept((3, 4, 2))
    assert kept.shape == (3, 4, 2)
    expected = [[1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0]]
    np.testing.assert_array_equal(kept[..., 0], expected)
    np.testing.assert_array_equal(kept[..., 1], expected)
    assert Checkerboard().kept((5,)).tolist() == [True, False, True, False, True]


def test_channel_mask_by_hand():
    assert ChannelMask().kept((2, 5))[0].tolist() == [True, True, False, False, False]
    assert ChannelMask().kept((2, 3, 4)).shape == (2, 3, 4)


@pytest.mark.parametrize("mask", [Checkerboard, ChannelMask])
@pytest.mark.parametrize("shape", [(4,), (5,), (3, 3, 2), (4, 2, 3)])
def test_a_mask_and_its_swap_part_the_event(mask, shape):
    np.testing.assert_array_equal(mask().kept(shape), ~mask(swap=True).kept(shape))


@pytest.mark.parametrize("name", ["vector", "image", "channels"])
def test_what_is_kept_stays_bit_for_bit_and_all_else_changes(name):
    bijector, variables, x, cond = checks.build(CASES[name], scale=0.3)
    kept = np.broadcast_to(bijector.mask.kept(x.shape[1:])[None], x.shape)

    @jax.jit
    def both(x, cond):
        return [bijector.apply(variables, x, cond, method=m)[0] for m in ("forward", "inverse")]

    x, *moved = map(np.asarray, (x, *both(x, cond)))
    for y in moved:
        np.testing.assert_array_equal(y[kept], x[kept])
        assert (y != x)[~kept].all()


def test_what_changes_is_a_function_of_itself_and_of_what_is_kept():
    bijector, variables, x, _ = checks.build(CASES["image"], scale=0.3)

    def one(x):
        return bijector.apply(variables, x.reshape(1, 3, 3, 2))[0].ravel()

    jacobian = np.abs(np.asarray(jax.jit(jax.jacrev(one))(np.ravel(x[0])))) > 0
    changed = ~bijector.mask.kept((3, 3, 2)).ravel()
    np.testing.assert_array_equal(jacobian[changed][:, changed], np.eye(changed.sum(), dtype=bool))
    # the net of this case mixes channels of one pixel, of which a checkerboard keeps all or none
    assert not jacobian[changed][:, ~changed].any()
    _, variables, x, _ = checks.build(CASES["vector"])
    bijector = CASES["vector"][0]
    cond = jnp.ones((1, 3))
    jacobian = jax.jit(jax.jacrev(lambda x: bijector.apply(variables, x[None], cond)[0][0]))(x[0])
    assert (np.abs(np.asarray(jacobian))[1::2][:, ::2] > 0).all()


class Wild(nn.Module):
    """Finite where the checkerboard changes, huge where it keeps."""

    @nn.compact
    def __call__(self, x, cond, features):
        size = self.param("size", nn.initializers.ones, ())
        kept = jnp.asarray(Checkerboard().kept(x.shape[1:]))[None]
        theta = jnp.where(kept, 1e30 * size, size) * jnp.ones_like(x)
        return jnp.repeat(theta, features // x.shape[-1], axis=-1)


def test_parameters_of_kept_elements_touch_neither_value_nor_gradient():
    coupling = MaskedCoupling(ShiftScale(), Wild(), Checkerboard())
    x = jnp.full((2, 4, 4, 1), 1e30)

    def total(size):
        y, logdet = coupling.apply({"params": {"net": {"size": size}}}, x)
        return jnp.mean(y / 1e30) + jnp.mean(logdet)

    value, grad = jax.jit(jax.value_and_grad(total))(1.0)
    np.testing.assert_allclose(value, 0.5 + 0.5 * np.e + 8, rtol=1e-5)
    assert np.isfinite(grad) and grad != 0


def test_a_million_numbers_and_their_gradients_are_finite():
    special = np.array([0.0, -0.0, 3.0, -3.0, 1e4, -1e4, 1e30, -1e30, 1e-38])
    x = 10 * np.random.RandomState(0).randn(250_000, 2, 2, 1).astype(np.float32)
    x[: len(special)] = special[:, None, None, None]
    bijector = MaskedCoupling(Scale(), Dense(), Checkerboard())
    variables = jax.jit(lambda x: checks.scramble(bijector.init(KEY, x), 0.3))(x[:2])

    def total(variables, x):
        sums = (bijector.apply(variables, x, method=method) for method in ("forward", "inverse"))
        return sum(jnp.mean(part) for pair in sums for part in pair)

    found = jax.tree.leaves(jax.jit(jax.value_and_grad(total, (0, 1)))(variables, x))
    assert all(np.isfinite(leaf).all() for leaf in found)


@pytest.mark.parametrize("mask", [Checkerboard(), ChannelMask()])
def test_an_event_of_one_element_has_no_halves(mask):
    coupling = MaskedCoupling(Scale(), Dense(), mask)
    with pytest.raises(ValueError, match=r"leaves one part of \(1,\) empty: points of one"):
        coupling.init(KEY, jnp.zeros((2, 1)))
