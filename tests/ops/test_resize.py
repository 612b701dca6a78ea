"""The resampling of published scores against transcriptions of theirs, pixel by pixel."""

import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest

from jaxgen.ops.resize import clean_bicubic, tf1_bilinear


def slow_tf1(image, height, width):
    """`resize_image` of TensorFlow 1's resize_bilinear_op.cc, in loops; image [H, W]."""
    out = np.zeros((height, width))
    scale_y, scale_x = np.float32(image.shape[0] / height), np.float32(image.shape[1] / width)
    for i in range(height):
        y = np.float32(i) * scale_y
        top, y_share = int(np.floor(y)), float(y) - int(np.floor(y))
        bottom = min(top + 1, image.shape[0] - 1)
        for j in range(width):
            x = np.float32(j) * scale_x
            left, x_share = int(np.floor(x)), float(x) - int(np.floor(x))
            right = min(left + 1, image.shape[1] - 1)
            above = image[top, left] * (1 - x_share) + image[top, right] * x_share
            below = image[bottom, left] * (1 - x_share) + image[bottom, right] * x_share
            out[i, j] = above * (1 - y_share) + below * y_share
    return out


@pytest.mark.parametrize("size, out", [((8, 8), (29, 29)), ((28, 20), (13, 47)), ((5, 5), (5, 5))])
def test_tf1_bilinear(size, out):
    x = np.random.RandomState(0).randint(256, size=size) / 255
    found = tf1_bilinear(jnp.asarray(x[None, :, :, None], jnp.float32), out)
    assert found.shape == (1, *out, 1) and found.dtype == jnp.float32
    np.testing.assert_allclose(found[0, :, :, 0], slow_tf1(x, *out), atol=1e-6, rtol=0)


@pytest.mark.parametrize("size, out", [((8, 8), (29, 29)), ((40, 33), (13, 17)), ((5, 5), (5, 5))])
def test_clean_bicubic_is_pillows_in_floating_point(size, out):
    x = np.random.RandomState(0).randint(256, size=size).astype(np.float32)
    image = PIL.Image.fromarray(x).resize(out[::-1], PIL.Image.Resampling.BICUBIC)
    expected = np.clip(np.asarray(image), 0, 255)
    found = clean_bicubic(jnp.asarray(x[None, :, :, None]), out)[0, :, :, 0]
    np.testing.assert_allclose(found, expected, atol=5e-3, rtol=0)
