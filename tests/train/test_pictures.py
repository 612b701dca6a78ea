"""Grids of samples: where every pixel lands, and that the ends of the range are exact."""

import math

import numpy as np
import PIL.Image
import pytest

from jaxgen.fields import DataSpec, Field
from jaxgen.pictures import GAP, SMALLEST, grid, plane, save_png, to_uint8, view

POINTS = Field("vector", (2,))


def images(n, h, w, c, seed=0):
    return np.random.RandomState(seed).randint(256, size=(n, h, w, c)).astype(np.uint8)


def cell(out, row, column, h, w):
    top, left = GAP + row * (h + GAP), GAP + column * (w + GAP)
    return out[top : top + h, left : left + w]


@pytest.mark.parametrize(
    ("n", "columns", "rows", "wide"),
    [
        (1, None, 1, 1),
        (4, None, 2, 2),
        (5, None, 2, 3),
        (7, None, 3, 3),
        (6, 6, 1, 6),
        (6, 4, 2, 4),
    ],
)
@pytest.mark.parametrize(("h", "w"), [(32, 32), (48, 36), (33, 64)])
def test_grid_is_row_by_row(n, columns, rows, wide, h, w):
    x = images(n, h, w, 3)
    out = grid(x, columns)
    assert out.shape == (rows * (h + GAP) + GAP, wide * (w + GAP) + GAP, 3)
    assert out.dtype == np.uint8
    for i in range(n):
        np.testing.assert_array_equal(cell(out, i // wide, i % wide, h, w), x[i])
    for i in range(n, rows * wide):
        assert (cell(out, i // wide, i % wide, h, w) == 255).all()
    frame = np.ones(out.shape[:2], bool)
    for i in range(rows * wide):
        cell(frame, i // wide, i % wide, h, w)[:] = False
    assert (out[frame] == 255).all()


@pytest.mark.parametrize(("h", "w", "zoom"), [(8, 8, 4), (5, 3, 7), (28, 28, 2), (32, 4, 1)])
def test_small_images_are_enlarged_by_whole_factors(h, w, zoom):
    x = images(1, h, w, 3)
    assert max(h, w) * zoom >= SMALLEST
    out = cell(grid(x), 0, 0, h * zoom, w * zoom)
    np.testing.assert_array_equal(out, np.kron(x[0], np.ones((zoom, zoom, 1), np.uint8)))


@pytest.mark.parametrize(("channels", "shown"), [(1, [0, 0, 0]), (3, [0, 1, 2]), (5, [0, 1, 2])])
def test_channels(channels, shown):
    x = images(1, 32, 32, channels)
    np.testing.assert_array_equal(cell(grid(x), 0, 0, 32, 32), x[0][..., shown])


@pytest.mark.parametrize("levels", [2, 17, 32, 256, 65536])
def test_the_ends_of_integer_data_are_black_and_white(levels):
    values = np.array([0, levels - 1], np.uint8 if levels <= 256 else np.uint16)
    assert to_uint8(values, levels).tolist() == [0, 255]


def test_levels_are_spread_evenly():
    expected = [int(i * 255 / 16 + 0.5) for i in range(17)]
    assert to_uint8(np.arange(17, dtype=np.uint8), 17).tolist() == expected
    every = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(to_uint8(every, 256), every)


def test_continuous_images_are_clipped_to_the_unit_interval():
    values = np.array([-1.0, 0.0, 0.25, 0.5, 1.0, 2.0], np.float32)
    assert to_uint8(values, None).tolist() == [0, 0, 64, 128, 255, 255]


def test_picture_of_images_is_the_grid():
    x = np.random.RandomState(0).randint(17, size=(3, 8, 8, 1)).astype(np.uint8)
    np.testing.assert_array_equal(
        view(DataSpec.of("d", x.shape[1:], 17).x, x), grid(to_uint8(x, 17))
    )


@pytest.mark.parametrize("dims", [1, 2, 5])
def test_picture_of_points(dims):
    points = np.random.RandomState(0).randn(50, dims).astype(np.float32)
    out = view(POINTS, points)
    assert out.shape == (500, 500, 3) and out.dtype == np.uint8
    other = view(POINTS, points[:1])
    assert (out != other).any()


def test_density_of_the_plane():
    """Beside the points, and up is up: a peak at the top right is drawn there."""
    density = np.zeros((20, 20))
    flat = plane(np.zeros((3, 2)), density + 1, (-1, 1, -1, 1))
    density[18, 18] = 1
    out = plane(np.zeros((3, 2)), density, (-1, 1, -1, 1))
    assert out.shape == (500, 1000, 3) and out.dtype == np.uint8
    yellow = (out[..., 0] > 200) & (out[..., 2] < 100)
    yellow[:, 930:] = False  # the colour bar
    rows, columns = np.nonzero(yellow)
    assert rows.max() < 150 and columns.min() > 750
    assert (out[:, 500:930] != flat[:, 500:930]).any()


def test_points_beyond_the_second_coordinate_are_not_drawn():
    points = np.random.RandomState(0).randn(9, 3)
    moved = points + np.array([0, 0, 1.0])
    np.testing.assert_array_equal(view(POINTS, points), view(POINTS, moved))


def test_save_png(tmp_path):
    image = images(1, 5, 7, 3)[0]
    path = tmp_path / "samples/step_00000010.png"
    save_png(path, image)
    save_png(path, image)
    with PIL.Image.open(path) as read:
        np.testing.assert_array_equal(np.asarray(read), image)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_continuous_images_are_shown_within_their_range():
    x = np.array([0.0, 127.5, 255.0]).reshape(1, 1, 3, 1)
    for ends in ((0.0, 255.0), (-1.0, 1.0)):
        low, high = ends
        scaled = x / 255 * (high - low) + low
        assert to_uint8(scaled, None, ends).ravel().tolist() == [0, 128, 255]
    assert to_uint8(x / 255, None).ravel().tolist() == [0, 128, 255]


def test_what_is_transparent_is_white():
    images = np.zeros((1, 1, 3, 4), np.uint8)
    images[..., 0], images[0, 0, :, 3] = 200, (255, 0, 51)
    zoom = 11
    shown = grid(images)[GAP, GAP : GAP + 3 * zoom : zoom]
    assert shown.tolist() == [[200, 0, 0], [255, 255, 255], [244, 204, 204]]


def test_unlike_scales_are_still_seen():
    points = np.random.RandomState(0).randn(500, 2) * [1e6, 1e-6]
    drawn = view(POINTS, points).min(-1) < 200
    assert drawn.any(1).sum() > 100 and drawn.any(0).sum() > 100


VIEWED = {
    "volume": Field("volume", (20, 6, 7, 1), "uint8", levels=256),
    "sequence": Field("sequence", (30, 2)),
    "tokens": Field("tokens", (12,), "int32", vocabulary=5),
    "layout": Field("layout", (6, 7), "int32", classes=4),
    "label": Field("label", (), "int32", classes=10),
}


@pytest.mark.parametrize("field", VIEWED.values(), ids=VIEWED)
def test_every_kind_of_field_can_be_looked_at(field):
    """And another example is another picture."""
    random = np.random.RandomState(0)
    shape = (5, *field.shape)
    x = random.randint(field.values, size=shape) if field.values else random.randn(*shape)
    out = view(field, x.astype(field.dtype))
    assert out.ndim == 3 and out.shape[2] == 3 and out.dtype == np.uint8
    x[0] = x[0] + 1 if field.values is None else (x[0] + 1) % field.values
    assert (view(field, x.astype(field.dtype)) != out).any()


def test_slices_of_a_volume_go_from_front_to_back():
    x = np.zeros((2, 20, 6, 7, 1), np.uint8) + np.arange(20, dtype=np.uint8)[:, None, None, None]
    out = view(VIEWED["volume"], x)
    zoom = math.ceil(SMALLEST / 7)
    row = out[GAP + 1, GAP + 1 :: 7 * zoom + GAP, 0]
    assert row.tolist() == [0, 3, 5, 8, 11, 14, 16, 19]
    assert len(out) == 2 * (6 * zoom + GAP) + GAP
