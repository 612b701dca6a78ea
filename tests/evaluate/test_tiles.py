"""Tiles of pictures, put together: beside the whole picture, and by hand."""

import numpy as np
import pytest

from jaxgen.config import ConfigError
from jaxgen.evaluate.tiles import check_tiles, ramp, starts, tiled
from jaxgen.types import DataSpec, Field

SPEC = DataSpec(
    "scenes",
    {
        "x": Field("image", (16, 16, 1)),
        "layout": Field("layout", (16, 16), "int32", classes=4),
        "label": Field("label", (), "int32", classes=3),
    },
)
RANDOM = np.random.RandomState(0)


class Method:
    """Of a layout and a label."""

    translations = {"x": ("layout", "x")}
    given = ("layout", "label")


def local(part, radius=3):
    """Means over a window that begins with zeros beyond the border; adds the label."""
    layout = part["layout"].astype(np.float32)
    padded = np.pad(layout, ((0, 0), (radius, radius), (radius, radius)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * radius + 1,) * 2, (1, 2))
    return (windows.mean((-1, -2)) + part["label"][:, None, None])[..., None]


@pytest.mark.parametrize("size", [(64, 64), (40, 71), (16, 100), (11, 64), (100, 23)])
def test_a_local_network_of_tiles_is_that_of_the_whole(size):
    """Away from the edges of tiles and where the picture was continued; between, a mix."""
    tile, overlap, radius = 24, 8, 3
    x = {"layout": RANDOM.randint(4, size=(2, *size)), "label": np.array([0, 2])}
    calls = []

    def translate(part):
        assert part["layout"].shape == (2, tile, tile)
        calls.append(part)
        return local(part)

    found = tiled(Method(), SPEC, x, None, (tile, overlap), translate)
    whole = local(x)
    assert found.shape == whole.shape and found.dtype == whole.dtype
    exact = np.ones(size, bool)
    for axis, side in enumerate(size):
        inner = np.ones(side, bool)
        for start in starts(side, tile, overlap)[1:]:  # within it one of both sees a border
            inner[start : start + overlap] = False
        inner[side - radius :] = starts(side, tile, overlap)[-1] + tile == side
        exact &= inner[:, None] if axis == 0 else inner[None]
    assert exact.mean() > 0.1 and len(calls) > (size != (16, 16))
    np.testing.assert_allclose(found[:, exact], whole[:, exact], atol=1e-5)
    # where two tiles meet, pixels that neither sees the border of are exact, too
    if size == (64, 64):
        middle = starts(64, tile, overlap)[1] + overlap // 2
        np.testing.assert_allclose(found[:, :8, middle], whole[:, :8, middle], atol=1e-5)


@pytest.mark.parametrize(
    ("side", "tile", "overlap"), [(64, 24, 8), (65, 24, 12), (9, 24, 0), (48, 24, 0), (25, 24, 12)]
)
def test_tiles_reach_the_end_and_their_weights_sum_to_one(side, tile, overlap):
    found = starts(side, tile, overlap)
    total = np.zeros(found[-1] + tile)
    for start in found:
        total[start : start + tile] += ramp(tile, overlap, start > 0, start < found[-1])
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert found[-1] + tile >= side and (len(found) == 1 or found[-2] + tile < side)


def test_weights_fall_linearly():
    np.testing.assert_allclose(ramp(8, 4, True, False), [0.125, 0.375, 0.625, 0.875, 1, 1, 1, 1])
    np.testing.assert_allclose(ramp(8, 2, True, True), [0.25, 0.75, 1, 1, 1, 1, 0.75, 0.25])


def test_whole_numbers_are_rounded_and_layouts_continued_by_their_reflection():
    layout = RANDOM.randint(4, size=(1, 10, 10))
    seen = []

    def translate(part):
        seen.append(part["layout"])
        return (part["layout"][..., None] * 60).astype(np.uint8)

    x = {"layout": layout, "label": np.zeros(1, int)}
    found = tiled(Method(), SPEC, x, "x", (8, 4), translate)
    np.testing.assert_array_equal(found, layout[..., None] * 60)
    assert found.dtype == np.uint8 and len(seen) == 4
    np.testing.assert_array_equal(seen[-1][0, -2:, :4], layout[0, [8, 7], 4:8])


@pytest.mark.parametrize(
    ("tile", "overlap", "message"),
    [
        (0, 0, "tile=0, expected 1 to"),
        (8, 5, "overlap=5, expected pixels from 0 to 4"),
        (8, -1, "-1"),
    ]
    + [(8.0, 1, "tile=8.0, expected pixels"), (None, 4, "overlap=4: is of tiles: add tile")]
    + [(16, None, "overlap=32, expected pixels from 0 to 8, half of tile=16"), (True, 0, "True")],
)
def test_tiles_that_cannot_be(tile, overlap, message):
    with pytest.raises(ConfigError, match=message):
        check_tiles(tile, overlap)
    assert check_tiles(256, None) == (256, 32)


def test_a_lent_style_is_of_a_whole_picture():
    x = {
        "layout": np.zeros((1, 16, 16), int),
        "label": np.zeros(1, int),
        "x": np.zeros((1, 16, 16, 1)),
    }
    with pytest.raises(ConfigError, match="tile=8: x lends its style to a whole picture"):
        tiled(Method(), SPEC, x, "x", (8, 4), lambda part: part["x"])
