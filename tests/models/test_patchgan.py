"""Patches: their size by the support of the Jacobian, their number, parameters, scales."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.models.gans.patchgan import MultiScale, PatchDiscriminator, _halved

KEY = jax.random.key(0)


@pytest.mark.parametrize(("layers", "side"), [(1, 16), (2, 34), (3, 70)])
def test_receptive_field(layers, side):
    """Pixels that the middle logit depends on, without normalisation."""
    model = PatchDiscriminator(2, layers, "none")
    x = jax.random.normal(KEY, (1, 2 * side, 2 * side, 1))
    variables = model.init(KEY, x)
    logits = functools.partial(model.apply, variables, method="patches")
    rows = jax.eval_shape(logits, x).shape[1]
    slope = jax.jit(jax.grad(lambda x: logits(x)[0, rows // 2, rows // 2]))(x)[0, ..., 0]
    seen = np.flatnonzero(np.abs(slope).sum(1))
    assert seen[-1] - seen[0] + 1 == side and len(seen) == side


@pytest.mark.parametrize(
    ("norm", "channels", "expected"), [("instance", 3, 2_764_737), ("batch", 6, 2_768_705)]
)
def test_parameter_counts_and_number_of_patches(norm, channels, expected):
    """Of CycleGAN and of pix2pix; 30x30 logits of images of 256."""
    model, x = PatchDiscriminator(norm=norm), jnp.zeros((1, 256, 256, channels))
    made = jax.eval_shape(model.init, KEY, x)
    assert sum(leaf.size for leaf in jax.tree.leaves(made["params"])) == expected
    patches = functools.partial(model.init_with_output, method="patches")
    assert jax.eval_shape(patches, KEY, x)[0].shape == (1, 30, 30)


def test_scales():
    model = MultiScale(2, 2, 1, "none")
    x = jax.random.normal(KEY, (2, 16, 16, 1))
    variables = model.init(KEY, x)
    one = PatchDiscriminator(2, 1, "none")
    parts = [
        one.apply({"params": variables["params"][f"scale{i}"]}, image)
        for i, image in enumerate((x, _halved(x)))
    ]
    np.testing.assert_allclose(model.apply(variables, x), (parts[0] + parts[1]) / 2, atol=1e-6)


def test_halving():
    x = np.asarray(jax.random.normal(KEY, (1, 5, 6, 1)))
    got = _halved(jnp.asarray(x))
    assert got.shape == (1, 3, 3, 1)
    np.testing.assert_allclose(got[0, 1, 1, 0], x[0, 1:4, 1:4, 0].mean(), rtol=1e-5)
    np.testing.assert_allclose(got[0, 0, 0, 0], x[0, :2, :2, 0].mean(), rtol=1e-5)


def test_mistakes():
    with pytest.raises(ValueError, match="norm='layer', expected 'instance'"):
        PatchDiscriminator(norm="layer").init(KEY, jnp.zeros((1, 32, 32, 1)))
