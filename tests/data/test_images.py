"""Bringing images to one size: which pixels end up where, for every dtype."""

import numpy as np
import PIL.Image
import pytest

from jaxgen.data import DataError, images

DTYPES = [(np.uint8, 256), (np.uint16, 65536), (np.float32, None)]


def ramp(height: int, width: int, dtype=np.uint8) -> np.ndarray:
    """Two channels: row number and column number."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns], -1).astype(dtype)


@pytest.mark.parametrize(("dtype", "levels"), DTYPES)
@pytest.mark.parametrize("fit", images.FITS)
def test_the_right_size_is_left_alone(fit, dtype, levels):
    image = ramp(6, 5, dtype)
    assert images.Geometry(6, 5, fit, levels).apply(image) is image


@pytest.mark.parametrize(("dtype", "levels"), DTYPES)
def test_crop_keeps_the_centre(dtype, levels):
    out = images.Geometry(4, 4, "crop", levels).apply(ramp(4, 10, dtype))
    assert out.dtype == dtype
    np.testing.assert_array_equal(out, ramp(4, 10, dtype)[:, 3:7])


@pytest.mark.parametrize(("dtype", "levels"), DTYPES)
def test_pad_adds_zeros_and_never_enlarges(dtype, levels):
    image = ramp(2, 3, dtype) + dtype(1)
    out = images.Geometry(6, 6, "pad", levels).apply(image)
    assert out.dtype == dtype and out.shape == (6, 6, 2)
    np.testing.assert_array_equal(out[2:4, 1:4], image)
    assert out.sum() == image.sum()


def test_pad_shrinks_what_is_too_big():
    out = images.Geometry(8, 8, "pad").apply(np.full((16, 32, 1), 200, np.uint8))
    assert (out[2:6] == 200).all() and out.sum() == 4 * 8 * 200


@pytest.mark.parametrize(("dtype", "levels"), DTYPES)
def test_stretch_keeps_the_mean_of_a_smooth_image(dtype, levels):
    image = ramp(32, 48, dtype) * dtype(4)
    out = images.Geometry(8, 12, "stretch", levels).apply(image)
    assert out.dtype == dtype and out.shape == (8, 12, 2)
    np.testing.assert_allclose(out.mean((0, 1)), image.mean((0, 1)), rtol=0.01)
    assert (np.diff(out[..., 0].astype(int), axis=0) > 0).all()


def test_agrees_with_pillow_on_bytes():
    image = np.random.RandomState(0).randint(256, size=(40, 30, 3)).astype(np.uint8)
    ours = images.Geometry(11, 17, "stretch").apply(image)
    lanczos = PIL.Image.Resampling.LANCZOS
    pillow = np.asarray(PIL.Image.fromarray(image).resize((17, 11), lanczos))
    assert np.abs(ours.astype(int) - pillow).max() <= 1


def test_overshoot_stays_within_the_levels():
    image = np.zeros((16, 16, 1), np.uint8)
    image[:, 8:] = 16
    out = images.Geometry(11, 11, "stretch", 17).apply(image)
    assert out.min() == 0 and out.max() == 16


def test_none_refuses_another_size():
    with pytest.raises(DataError, match="expected images of 4x4, got 6x5; to resize them add"):
        images.Geometry(4, 4, "none").apply(ramp(6, 5))


@pytest.mark.parametrize("size", [64, "64", "64,64", "(64, 64)", (64, 64), [64, 64], ("64", 64)])
def test_parse_size(size):
    assert images.parse_size(size) == (64, 64)
    assert images.parse_size(None) is None


@pytest.mark.parametrize("size", ["a", (1, 2, 3), 0, (64, -1), "64x64", 1.5j])
def test_parse_size_refuses(size):
    with pytest.raises(DataError, match="expected data.size as H,W"):
        images.parse_size(size)
