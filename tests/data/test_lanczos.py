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


@pytest.mark.slow
def test_few_levels_of_many_are_others():
    """Of noise and of blocks, whole and cut: exact ties alone may fall to the other side."""
    random, other, count = np.random.RandomState(1), 0, 0
    for i in range(1500):
        (h, w), channels = random.randint(20, 260, 2), random.choice([1, 3])
        height, width = random.randint(4, 100, 2)
        blocks = random.randint(256, size=(*random.randint(2, 12, 2), channels)).astype(np.uint8)
        image = blocks.repeat(-(-h // len(blocks)), 0).repeat(-(-w // blocks.shape[1]), 1)[:h, :w]
        if i % 3 == 0:
            image = random.randint(256, size=(h, w, channels)).astype(np.uint8)
        left, top = 0.3 * w * random.rand(), 0.3 * h * random.rand()
        box = (0, 0, w, h) if i % 2 else (left, top, left + 0.6 * w, top + 0.6 * h)
        pair = lanczos.scaled(image, box, height, width), by_pillow(image, box, height, width)
        found, expected = map(np.rint, pair)
        assert np.abs(found - expected).max() <= 1
        other, count = other + int((found != expected).sum()), count + found.size
    print(f"{other} of {count:,} levels are others")
    assert count > 5_000_000 and other < 1e-6 * count
