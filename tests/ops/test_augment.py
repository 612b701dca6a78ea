"""What discriminators see: ranges, exact permutations, the identity, the controller."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from jaxgen.ops.augment import AUGMENTATIONS, ada, diffaugment
from jaxgen.ops.augment.ada import ADA
from jaxgen.ops.augment.diffaugment import DiffAugment

KEY = jax.random.key(0)
RANDOM = np.random.RandomState(0)


def images(*shape):
    return jnp.asarray(RANDOM.randn(*shape))


GREY_ADA = pytest.param("ada", 1, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("name", "channels"), [("ada", 3), GREY_ADA, ("diffaugment", 1), ("diffaugment", 3)]
)
def test_the_gradient_flows_to_the_image(name, channels):
    """In float64 against finite differences; of probability zero, ADA is the identity."""
    with jax.enable_x64(True):
        options = {"fixed": 0.9} if name == "ada" else {}
        augmentation = AUGMENTATIONS[name](**options)
        kept = augmentation.start()
        x, weights = RANDOM.randn(2, 2, 6, 6, channels)

        @jax.jit
        @functools.partial(jax.value_and_grad, has_aux=True)
        def both(x, kept):
            y = augmentation.apply(KEY, x, kept)
            return jnp.sum(jnp.sin(y) * weights), y

        gradient = np.asarray(both(x, kept)[1])
        assert gradient.shape == x.shape and np.abs(gradient).max() > 0.01
        for place in ((0, 2, 3, 0), (1, 4, 1, channels - 1)):
            step = np.zeros_like(x)
            step[place] = 1e-5
            above, below = (float(both(v, kept)[0][0]) for v in (x + step, x - step))
            change = (above - below) / 2e-5
            np.testing.assert_allclose(gradient[place], change, rtol=1e-5, atol=1e-8)
        if name == "ada":
            np.testing.assert_array_equal(both(x, ADA().start())[0][1], x)


def test_color_of_diffaugment():
    """The mean moves by at most a half; contrast and saturation stretch around their centres."""
    x = np.asarray(images(2000, 2, 2, 3))
    y = np.asarray(jax.jit(diffaugment.color)(KEY, x))
    moved = np.mean(y - x, axis=(1, 2, 3))
    assert -0.5 <= moved.min() < -0.49 and 0.49 < moved.max() <= 0.5
    spread = np.std(np.mean(y, 3), axis=(1, 2)) / np.std(np.mean(x, 3), axis=(1, 2))
    assert 0.5 <= spread.min() < 0.51 and 1.49 < spread.max() <= 1.5001

    def chroma(x):
        return np.std(x - np.mean(x, 3, keepdims=True), axis=(1, 2, 3))

    factor = chroma(y) / chroma(x) / spread
    assert 0 <= factor.min() < 0.01 and 1.99 < factor.max() <= 2.001


def test_translation_of_diffaugment():
    x = images(500, 8, 16, 1)
    y = np.asarray(jax.jit(diffaugment.translation)(KEY, x))
    found = set()
    for before, after in zip(np.asarray(x), y, strict=True):
        for dy in (-1, 0, 1):
            for dx in (-2, -1, 0, 1, 2):
                moved = scipy.ndimage.shift(before[..., 0], (dy, dx), order=0, cval=0.0)
                if np.array_equal(moved, after[..., 0]):
                    found.add((dy, dx))
                    break
    assert len(found) == 15  # an eighth of 8 and of 16, both ways


def test_cutout_of_diffaugment():
    y = np.asarray(jax.jit(diffaugment.cutout)(KEY, np.ones((400, 8, 8, 1))))[..., 0]
    for image in y:
        rows, columns = (image == 0).any(1).sum(), (image == 0).any(0).sum()
        assert (image == 0).sum() == rows * columns and 1 < rows <= 4 and 1 < columns <= 4
    assert abs((y == 0).mean() - 0.25 * 0.86) < 0.05
    with pytest.raises(ValueError, match="policy 'colour', expected some of color"):
        DiffAugment("colour")


def affine(a, b, c, d, x=0.0, y=0.0):
    return np.array([[[a, b, x], [c, d, y], [0.0, 0.0, 1.0]]], np.float32)


WARPED = jax.jit(ada.warped)
GEOMETRY = jax.jit(ada.geometry, static_argnums=(2, 3, 4))
MAPS = {
    "mirror": (affine(-1, 0, 0, 1), lambda x: x[:, ::-1]),
    "quarter turn": (affine(0, -1, 1, 0), lambda x: np.rot90(x, 1)),
    "half turn": (affine(-1, 0, 0, -1), lambda x: np.rot90(x, 2)),
    "shift": (
        affine(1, 0, 0, 1, 1.0, 0.0),
        lambda x: np.pad(x, ((0, 0), (0, 1)), "reflect")[:, 1:],
    ),
    "half a pixel": (
        affine(1, 0, 0, 1, 0.0, 0.5),
        lambda x: (x + np.pad(x, ((0, 1), (0, 0)), "reflect")[1:]) / 2,
    ),
}


@pytest.mark.parametrize("name", MAPS)
def test_maps_of_pixels(name):
    x = images(1, 6, 6, 1)
    maps, expected = MAPS[name]
    got = np.asarray(WARPED(x, maps))[0, ..., 0]
    np.testing.assert_allclose(got, expected(np.asarray(x)[0, ..., 0]), atol=1e-6)


def test_a_general_map_is_that_of_scipy():
    x = np.asarray(images(1, 9, 9, 1))
    a, b, c, d = 0.8, 0.3, -0.2, 0.9
    got = np.asarray(WARPED(x, affine(a, b, c, d, 0.7, -0.4)))[0, ..., 0]
    matrix = np.array([[d, c], [b, a]])  # SciPy's axes are rows, then columns
    offset = np.array([4.0, 4.0]) + np.array([-0.4, 0.7]) - matrix @ np.array([4.0, 4.0])
    expected = scipy.ndimage.affine_transform(x[0, ..., 0], matrix, offset, order=1, mode="mirror")
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_strengths():
    """At p = 1: a mirror in half of the images, quarter turns alike, log-normal scales."""
    maps = np.asarray(GEOMETRY(KEY, jnp.float32(1.0), 8000, 64, 64))
    determinant = np.linalg.det(maps[:, :2, :2])
    assert abs((determinant < 0).mean() - 0.5) < 0.03
    scale = np.log2(np.abs(determinant)) / 2
    assert abs(scale.mean()) < 0.02 and abs(scale.std() - 0.2) < 0.01
    still = np.asarray(GEOMETRY(KEY, jnp.float32(0.0), 8000, 64, 64))
    np.testing.assert_array_equal(still, np.broadcast_to(np.eye(3), (8000, 3, 3)))
    half = np.asarray(GEOMETRY(KEY, jnp.float32(0.3), 8000, 64, 64))
    flips = (np.linalg.det(half[:, :2, :2]) < 0).mean()
    assert abs(flips - 0.15) < 0.02


def test_windows_that_are_cut_out():
    """Of half the sides, less what is beyond the borders: 9/16 of a half on average each way."""
    keep = np.asarray(ada.window(KEY, jnp.float32(0.6), 4000, 16, 8))[..., 0]
    cut = 1 - keep
    assert set(np.unique(keep)) == {0.0, 1.0}
    there = cut.any((1, 2))
    assert abs(there.mean() - 0.6) < 4 * np.sqrt(0.6 * 0.4 / 4000)
    areas = cut[there].mean((1, 2))  # E = (1/2 - 1/16)^2 of both sides, in the limit of many pixels
    assert abs(areas.mean() - (7 / 16) ** 2) < 4 * areas.std() / np.sqrt(len(areas)) + 0.002
    assert areas.max() == pytest.approx(0.25) and areas.min() < 0.08
    rows = cut[there].any(2).sum(1)
    assert rows.max() == 8 and (cut[there] == rows_and_columns(cut[there])).all()


def rows_and_columns(cut):
    """The rectangles that the cells span."""
    return (cut.any(2)[:, :, None] & cut.any(1)[:, None]).astype(np.float32)


def test_colours_and_cuts_of_their_own_probabilities():
    x = jnp.asarray(RANDOM.rand(64, 8, 8, 3), jnp.float32)
    certain = {"p": jnp.float32(1.0)}
    geometry = ADA(fixed=1.0, colour=0.0).apply(KEY, x, certain)
    place, _ = jax.random.split(KEY)
    expected = ada.warped(x, ada.geometry(place, jnp.float32(1.0), 64, 8, 8))
    np.testing.assert_allclose(geometry, expected, atol=1e-6)
    cut = np.asarray(ADA(fixed=1.0, colour=0.0, cutout=1.0).apply(KEY, x, certain))
    gone = (cut == 0).all(3)
    assert gone.any((1, 2)).all()
    np.testing.assert_array_equal(cut[~gone], np.asarray(geometry)[~gone])


def test_colours():
    colours = jax.jit(ada.colours, static_argnums=2)
    maps = np.asarray(colours(KEY, jnp.float32(1.0), 4000))
    grey = np.array([1.0, 1.0, 1.0, 0.0])
    moved = maps[:, :3] @ grey  # grey stays grey, but for its sign
    np.testing.assert_allclose(moved, np.repeat(moved[:, :1], 3, 1), atol=2e-3)
    sign = np.sign(moved[:, 0])
    assert abs((sign < 0).mean() - 0.5) < 0.03
    contrast = np.log2(np.abs(moved[:, 0]))
    assert abs(contrast.std() - 0.5) < 0.03
    still = np.asarray(colours(KEY, jnp.float32(0.0), 4000))
    np.testing.assert_allclose(still, np.broadcast_to(np.eye(4), (4000, 4, 4)), atol=1e-6)
    turned = np.asarray(jax.jit(ada._turned)(np.array([2 * math.pi / 3]), *axes()))[0]
    np.testing.assert_allclose(turned[:3, :3], np.eye(3)[[2, 0, 1]], atol=1e-6)  # colours in turn


def axes():
    grey = np.array([1.0, 1.0, 1.0, 0.0]) / math.sqrt(3)
    return np.outer(grey, grey), np.diag([1.0, 1.0, 1.0, 0.0])


def test_grey_images_are_those_of_three_equal_colours():

    @jax.jit
    def found(x):
        maps = ada.colours(KEY, jnp.float32(1.0), 5)
        return ada.coloured(x, maps)[..., 0], ada.coloured(jnp.repeat(x, 3, axis=3), maps)

    grey, colour = map(np.asarray, found(images(5, 4, 4, 1)))
    np.testing.assert_allclose(grey, np.mean(colour, axis=3), atol=1e-5)


def test_controller():
    """From 0 to 1 in 500,000 images of a discriminator that is sure; not below 0; beyond 1."""
    augmentation = ADA()
    move = jax.jit(augmentation.move)
    sure, unsure = (jnp.asarray(np.full(1000, sign)) for sign in (1.0, -1.0))
    kept, seen = augmentation.start(), []
    for step in range(1, 601):
        kept = move(kept, sure, jnp.int32(step))
        seen.append(float(kept["p"]))
    assert seen[2] == 0 and seen[3] == pytest.approx(4 * 1000 / 500_000)
    assert seen[499] == pytest.approx(1.0, abs=1e-4) and seen[-1] > 1.15
    for step in range(601, 1301):
        kept = move(kept, unsure, jnp.int32(step))
    assert kept["p"] == 0
    mixed = np.where(np.arange(1000) < 800, 1.0, -1.0)  # r = 0.6 exactly: stays
    for step in range(1301, 1401):
        kept = move(kept, mixed, jnp.int32(step))
    assert kept["p"] == 0
    fixed = ADA(fixed=0.3)
    assert fixed.move(fixed.start(), sure, jnp.int32(4))["p"] == pytest.approx(0.3)
    moving = ADA(fixed={"name": "linear", "start": 0.2, "end": 0.4, "steps": 10})
    kept = moving.start()
    assert kept["p"] == pytest.approx(0.2)
    kept = jax.jit(moving.move)(kept, sure, jnp.int32(4))
    assert kept["p"] == pytest.approx(0.3)  # for step 5
