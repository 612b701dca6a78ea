"""The network of the VQ-VAE-2: its size, its shapes, and what its maps depend on."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.models.vaes.vqvae2 import VQVAE2
from jaxgen.nn.codes import VARS

KEY = jax.random.key(0)
BOOK = {"name": "codebook", "codes": 8, "dim": 3, "start": "kmeans"}
TINY = VQVAE2(hidden=6, layers=1, residual=3, halvings=1, quantizer=BOOK)


def shapes(model, image, size):
    init = functools.partial(model.init_with_output, size=size)
    return jax.eval_shape(init, {"params": KEY}, jnp.zeros(image))


def test_parameters_of_the_port():
    """1,388,867, codebooks not counted; 256x256 to 32x32 and 64x64."""
    coding, variables = shapes(VQVAE2(), (1, 256, 256, 3), (1, 256, 256, 3))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == 1_388_867
    assert coding.theta.shape == (1, 256, 256, 3)
    ids = {name: of.ids.shape for name, of in coding.codes.items()}
    assert ids == {"top": (1, 32, 32, 1), "bottom": (1, 64, 64, 1)}


@pytest.mark.parametrize("side", [8, 10, 13])
def test_maps_are_what_the_network_makes(side):
    coding, variables = shapes(TINY, (2, side, 9, 1), (2, side, 9, 4))
    ids = {name: of.ids.shape[1:] for name, of in coding.codes.items()}
    assert ids == {name: tuple(of[:3]) for name, of in TINY.maps((side, 9, 1)).items()}
    assert coding.theta.shape == (2, side, 9, 4)


@pytest.fixture(scope="module")
def tiny():
    """Images, their ids, what these show, and what they show with another top or bottom."""
    x = jnp.asarray(np.random.RandomState(0).rand(20, 8, 8, 1), jnp.float32)

    @jax.jit
    def run(x):
        coding, variables = TINY.init_with_output({"params": KEY}, x, (20, 8, 8, 2))
        ids = TINY.apply(variables, x, method="encode")

        def decoded(ids):
            return TINY.apply(variables, ids, (20, 8, 8, 2), method="decode")

        changed = {k: decoded(ids | {k: (ids[k] + 1) % 8}) for k in ids}
        return coding, ids, decoded(ids), changed, variables[VARS]

    return jax.device_get(run(x))


def test_ids_show_what_the_codes_do(tiny):
    coding, ids, theta, changed, *_ = tiny
    for name, of in coding.codes.items():
        np.testing.assert_array_equal(ids[name], of.ids)
        assert np.abs(changed[name] - theta).max() > 1e-3
    np.testing.assert_allclose(theta, coding.theta, rtol=1e-4, atol=1e-5)


def test_maps_have_codebooks_of_their_own(tiny):
    top, bottom = (tiny[-1][name]["table"] for name in ("top", "bottom"))
    assert top.shape == bottom.shape == (8, 3) and np.abs(top - bottom).max() > 1e-3
