"""The Inception network: its size, its pools, and what torch-fidelity computes with it.

inception.npz holds torch-fidelity 0.4.0's taps of two images with the weights of
inception_weights.py; tests/parity/inception.py --record wrote it.
"""

import pathlib

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from inception_weights import images, random_weights

from jaxgen.evaluate.extractors.inception import _apply, as_bytes, params_of
from jaxgen.nn.inception import BlockE, Inception, max_pool, mean_pool

TAPS = {"64": 64, "192": 192, "768": 768, "2048": 2048, "logits_unbiased": 1008, "logits": 1008}


@pytest.fixture(scope="module")
def shapes():
    x = jax.ShapeDtypeStruct((2, 299, 299, 3), np.float32)
    return jax.eval_shape(lambda x: Inception().init_with_output(jax.random.key(0), x), x)


def official(params):
    """Shapes of the official file, by its names."""
    kinds = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
    found = {"fc.weight": (1008, 2048), "fc.bias": (1008,)}
    for (*place, kind), leaf in flax.traverse_util.flatten_dict(params).items():
        if kind == "kernel":
            kh, kw, ci, co = leaf.shape
            found[".".join((*place, "conv.weight"))] = (co, ci, kh, kw)
            found[".".join((*place, "bn.num_batches_tracked"))] = ()
        elif kind in kinds:
            found[".".join((*place, f"bn.{kinds[kind]}"))] = leaf.shape
    return found


def test_sizes(shapes):
    taps, variables = shapes
    assert {name: leaf.shape for name, leaf in taps.items()} == {k: (2, n) for k, n in TAPS.items()}
    # floats in the published file, and its 566 tensors
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == 23_885_392
    assert len(official(variables["params"])) == 566


def test_names_of_the_official_file_become_params(shapes):
    params = shapes[1]["params"]
    arrays = {name: np.zeros(shape) for name, shape in official(params).items()}
    found = jax.tree.map(np.shape, params_of(arrays))
    assert found == jax.tree.map(lambda leaf: leaf.shape, params)
    assert {"Mixed_7c", "Conv2d_1a_3x3", "fc_kernel"} < set(found)


def test_means_leave_the_padding_out():
    x = np.random.RandomState(0).randn(1, 5, 4, 2).astype(np.float32)
    found = mean_pool(jnp.asarray(x))
    wide = max_pool(jnp.asarray(x), 1)
    for i in range(5):
        for j in range(4):
            window = x[0, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]
            np.testing.assert_allclose(found[0, i, j], window.mean((0, 1)), rtol=1e-5, atol=1e-6)
            np.testing.assert_array_equal(wide[0, i, j], window.max((0, 1)))
    np.testing.assert_array_equal(max_pool(jnp.asarray(x))[0, 1, 0], x[0, 2:5, :3].max((0, 1)))


def test_the_last_block_alone_pools_by_maxima():
    """With a kernel that passes the pooled channels on, the last of the block's 2048."""
    x = jnp.asarray(np.abs(np.random.RandomState(0).randn(1, 4, 4, 8)))
    start = jax.eval_shape(BlockE(True).init, jax.random.key(0), x)
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), start)
    own = params["params"]["branch_pool"]
    own["kernel"][0, 0, np.arange(8), np.arange(8)] = 1
    own["scale"][:], own["var"][:] = 1, 1 - 1e-3
    for maximum, pooled in ((True, max_pool(x, 1)), (False, mean_pool(x))):
        out = np.asarray(jax.jit(BlockE(maximum).apply)(params, x))
        np.testing.assert_allclose(out[..., 2048 - 192 : 2048 - 184], pooled, rtol=1e-5)


def test_levels_are_stretched_to_bytes():
    x = np.arange(17).reshape(1, 17, 1, 1)
    found = as_bytes(x, 17)
    assert found.shape == (1, 17, 1, 3) and found.dtype == np.uint8
    np.testing.assert_array_equal(found[0, :, 0, 1], np.round(np.arange(17) * 255 / 16))
    colours = images()
    assert as_bytes(colours, 256) is colours


@pytest.mark.slow
def test_taps_of_torch_fidelity(shapes):
    params = params_of(random_weights(official(shapes[1]["params"])))
    found = _apply("inception", params, images()[:2])
    with np.load(pathlib.Path(__file__).parent / "inception.npz") as recorded:
        for tap in TAPS:
            np.testing.assert_allclose(found[tap], recorded[tap], atol=1e-4, rtol=0)
