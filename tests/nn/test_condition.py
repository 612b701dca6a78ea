"""What networks are given: every kind of field against NumPy, maps at other sizes, embeddings."""

import checks
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.fields import DataSpec, Field
from jaxgen.models.flows.glow import Glow
from jaxgen.nn.condition import added, aligned, beside, condition, condition_shape

FIELDS = DataSpec(
    "all",
    {
        "x": Field("image", (4, 4, 1), "uint8", levels=256),
        "label": Field("label", (), "int32", classes=3),
        "context": Field("vector", (2,)),
        "text": Field("tokens", (2,), "int32", vocabulary=4),
        "path": Field("sequence", (2, 3)),
        "layout": Field("layout", (4, 4), "int32", classes=2),
        "small": Field("image", (2, 2, 3), "uint8", levels=3),
        "film": Field("volume", (2, 2, 2, 1)),
    },
).fields
POINTS = {**FIELDS, "x": Field("vector", (5,))}
RANDOM = np.random.RandomState(0)
BATCH = {
    name: RANDOM.randint(field.values, size=(6, *field.shape)).astype(field.dtype)
    if field.values
    else RANDOM.randn(6, *field.shape).astype(np.float32)
    for name, field in FIELDS.items()
}


def one_hot(name):
    return np.eye(FIELDS[name].values, dtype=np.float32)[BATCH[name]]


EXPECTED = {
    "label": one_hot("label"),
    "context": BATCH["context"],
    "text": one_hot("text").reshape(6, 8),
    "path": BATCH["path"].reshape(6, 6),
    "layout": one_hot("layout"),
    "small": BATCH["small"].astype(np.float32) - 1,
    "film": BATCH["film"].reshape(6, 8),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_each_kind(name):
    found = condition(FIELDS, (name,), BATCH)
    np.testing.assert_allclose(found, EXPECTED[name], atol=1e-6)
    assert condition_shape(FIELDS, (name,), 6).shape == found.shape
    rows = condition(POINTS, (name,), BATCH)  # points have no positions: nothing is a map
    np.testing.assert_allclose(rows, EXPECTED[name].reshape(6, -1), atol=1e-6)


def test_several_stand_side_by_side_in_their_order():
    assert condition(FIELDS, (), BATCH) is None and condition_shape(FIELDS, (), 6) is None
    found = condition(FIELDS, ("context", "label"), BATCH)
    np.testing.assert_array_equal(found, np.concatenate([BATCH["context"], EXPECTED["label"]], 1))
    found = condition(FIELDS, ("label", "layout"), BATCH)
    assert found.shape == (6, 4, 4, 5)
    np.testing.assert_array_equal(found[..., 3:], EXPECTED["layout"])
    assert (found[..., :3] == EXPECTED["label"][:, None, None]).all()
    with pytest.raises(ValueError, match=r"other positions: layout \[4, 4\], small \[2, 2\]"):
        condition(FIELDS, ("layout", "small"), BATCH)


def test_a_map_is_brought_to_the_size_of_the_input():
    cond = RANDOM.randn(2, 4, 6, 3)
    smaller = aligned(jnp.asarray(cond), (2, 2, 6, 9))
    np.testing.assert_allclose(smaller, (cond[:, ::2] + cond[:, 1::2]) / 2, atol=1e-6)
    larger = aligned(jnp.asarray(cond), (2, 8, 6, 9))
    np.testing.assert_allclose(larger, cond.repeat(2, 1), atol=1e-6)
    assert aligned(jnp.asarray(cond), (2, 7)).shape == (2, 72)
    assert aligned(jnp.zeros((2, 5)), (2, 8, 6, 9)).shape == (2, 1, 1, 5)
    with pytest.raises(ValueError, match=r"positions \[4, 6\], no multiples or parts of \[3, 6\]"):
        aligned(jnp.asarray(cond), (2, 3, 6, 9))
    x = np.zeros((2, 2, 6, 1))
    np.testing.assert_array_equal(beside(jnp.asarray(x), jnp.asarray(cond))[..., 1:], smaller)
    assert beside(x, None) is x


def test_a_linear_layer_over_it_is_an_embedding():
    """Of a label the row of a table; of tokens the sum of a table for each place."""

    class Net(nn.Module):
        @nn.compact
        def __call__(self, h, cond):
            return added(h, cond)

    for name in ("label", "text"):
        h, cond = jnp.zeros((6, 7)), condition(FIELDS, (name,), BATCH)
        made, variables = Net().init_with_output(jax.random.key(0), h, cond)
        table = np.asarray(variables["params"]["cond"]["kernel"])
        rows = BATCH[name].reshape(6, -1) + 4 * np.arange(BATCH[name].size // 6)
        np.testing.assert_allclose(made, table[rows].sum(1), atol=1e-6)
    of_map = Net().init_with_output(jax.random.key(0), jnp.zeros((6, 2, 2, 7)), EXPECTED["layout"])
    assert of_map[0].shape == (6, 2, 2, 7) and np.ptp(np.asarray(of_map[0])[0], (0, 1)).max() > 0
    nothing = Net().init(jax.random.key(0), h, None)
    assert nothing == {}


@pytest.mark.parametrize(
    "cond",
    [pytest.param((3,), marks=pytest.mark.slow), (2, 2, 3)],
    ids=["rows", "map"],
)
def test_a_flow_that_is_given_it_in_every_coupling(cond):
    """In float64, against the Jacobian; a map of the size of the second level, and rows."""
    net = Glow(levels=2, depth=1, width=4, lu=True, conditioner="couplings")
    checks.exact((net, (4, 4, 1), cond))
