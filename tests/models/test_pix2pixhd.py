"""What each phase of pix2pixHD moves; its networks are in test_translators."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.config import ConfigError
from jaxgen.methods.coarse_to_fine import CoarseToFine
from jaxgen.models.gans.patchgan import MultiScale
from jaxgen.models.gans.pix2pixhd import Generator
from jaxgen.nn.gan_layers import shrunk
from jaxgen.types import DataSpec, State

SPEC = DataSpec.of("scenes", (16, 16, 3), 256).with_field(
    "layout", kind="layout", shape=(16, 16), dtype="uint8", classes=4
)
TINY = Generator(width=8, halvings=1, blocks=1, enhancer_blocks=1)
JUDGE = MultiScale(scales=1, width=4, layers=1, norm="none")


def phased(**options):
    options = dict(game="least_squares", feature_weight=10.0) | options
    return CoarseToFine(TINY, JUDGE, SPEC, **options)


@pytest.fixture(scope="module")
def begun():
    random = np.random.RandomState(0)
    batch = {
        "x": jnp.asarray(random.randint(0, 256, (2, 16, 16, 3)), jnp.uint8),
        "layout": jnp.asarray(random.randint(0, 4, (2, 16, 16)), jnp.uint8),
    }
    params, variables = jax.jit(phased().init)(jax.random.key(0), batch)
    return batch, State(jnp.int32(0), params, variables, {}, {})


@pytest.mark.parametrize(
    ("step", "coarse", "last", "around"),
    [(0, True, True, False), (2, False, False, True), (3, False, False, True)]
    + [(4, True, False, True), (9, True, False, True)],
)
def test_what_each_phase_moves(begun, step, coarse, last, around):
    """Two steps of the coarse part, two around it, then both; its last layer is of the first."""
    batch, state = begun
    method = phased(coarse_steps=2, fixed_steps=2)

    def loss(params):
        moved = state.replace(step=jnp.int32(step), params=params)
        return method.generator_loss(moved, batch, jax.random.key(1))[0]

    slopes = dict(jax.jit(jax.grad(loss))(state.params)["generator"])
    assert any_slope(slopes.pop("last_coarse")) == last
    assert any_slope(slopes.pop("coarse")) == coarse
    assert any_slope(slopes) == around


def any_slope(tree):
    return any(bool(jnp.any(x != 0)) for x in jax.tree.leaves(tree))


def test_the_first_phase_is_the_game_of_halved_images(begun):
    batch, state = begun
    method = phased(coarse_steps=5)
    found = jax.jit(method.discriminator_loss)(state, batch, jax.random.key(2))[0]
    x, cond, _ = method.pair(batch)
    fake = TINY.apply({"params": state.params["generator"]}, shrunk(cond), 3, coarse=True)
    assert fake.shape == (2, 8, 8, 3)
    real, made = (
        JUDGE.apply({"params": state.params["discriminator"]}, image, shrunk(cond))[0]
        for image in (shrunk(x), fake)
    )
    wanted = 0.5 * jnp.mean((real - 1) ** 2) + 0.5 * jnp.mean(made**2)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_odd_sides_are_refused():
    spec = SPEC.with_field("x", shape=(15, 16, 3)).with_field("layout", shape=(15, 16))
    with pytest.raises(ConfigError, match="expected even sides"):
        CoarseToFine(TINY, JUDGE, spec)
