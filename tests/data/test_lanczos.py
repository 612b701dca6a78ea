"""Scaling: the grey levels of Pillow, for sizes up and down, cuts between pixels, every type."""

import numpy as np
import PIL.Image
import pytest

from jaxgen.data import lanczos


def by_pillow(image, box, height, width):
    planes = [
        PIL.Image.fromarray(plane.astype(np.float32)).resize(
            (width, height), PIL.Image.Resampling.LANCZOS, box
        )
        for plane in np.moveaxis(image, -1, 0)
    ]
    return np.stack([np.asarray(plane) for plane in planes], -1)


CASES = [  # shape, box, height, width
    ((218, 178, 3), (0, 20, 178, 198), 64, 64),
    ((37, 53, 1), (0, 0, 53, 37), 8, 8),
    ((8, 8, 1), (0, 0, 8, 8), 28, 30),
    ((16, 24, 3), (3.25, 0.5, 20.75, 15.5), 7, 33),
    ((5, 5, 4), (0, 0, 5, 5), 5, 5),
    ((1, 9, 2), (0, 0, 9, 1), 3, 2),
    ((300, 17, 3), (0, 0, 17, 300), 2, 17),
]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(("shape", "box", "height", "width"), CASES)
def test_the_levels_are_pillows(shape, box, height, width, dtype):
    random = np.random.RandomState(0)
    image = random.randint(256, size=shape).astype(dtype)
    if dtype == np.float32:
        image = image * np.float32(0.37)
    for x in (image, np.full(shape, 200, dtype), image // 128 * 128):  # noise, flat, edges
        found, expected = lanczos.scaled(x, box, height, width), by_pillow(x, box, height, width)
        assert found.dtype == np.float32 and found.shape == (height, width, shape[2])
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-7 * np.abs(x).max())
        np.testing.assert_array_equal(np.rint(found), np.rint(expected))


def test_another_filter_is_not_the_same():
    image = np.random.RandomState(0).randint(256, size=(20, 20, 1)).astype(np.float32)
    found = lanczos.scaled(image, (0, 0, 20, 20), 8, 8)[..., 0]
    bicubic = PIL.Image.fromarray(image[..., 0]).resize((8, 8), PIL.Image.Resampling.BICUBIC)
    assert np.abs(found - np.asarray(bicubic)).max() > 1
