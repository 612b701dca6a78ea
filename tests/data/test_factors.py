"""Images of known factors: every image its own, the factors those of the image, always the same."""

import hashlib

import numpy as np
import pytest

from jaxgen.data import load
from jaxgen.data.dataset import DataError
from jaxgen.data.embedded import factors

SPRITES = "265c2725bd736ea1"  # sha256 of all pixels, 16 digits of it


@pytest.fixture(scope="module")
def sprites():
    return factors.render("dsprites_like")


@pytest.fixture(scope="module")
def faces():
    return factors.render("faces_like")


def test_sprites_are_the_same_bits_everywhere(sprites):
    assert sprites.shape == (18_000, 64, 64, 1) and set(np.unique(sprites)) == {0, 1}
    digest = hashlib.sha256(np.packbits(sprites).tobytes()).hexdigest()
    assert digest[:16] == SPRITES


def test_every_image_is_different(sprites, faces):
    for images in (np.packbits(sprites.reshape(len(sprites), -1), axis=1), faces):
        assert len({hash(image.tobytes()) for image in images}) == len(images)


def test_sprites_have_their_factors(sprites):
    """Position is the centre, scale the area."""
    table = factors.truth("dsprites_like")
    assert table.names == ("shape", "scale", "orientation", "x", "y")
    square = np.flatnonzero(table.values[:, 0] == 0)[::7]
    down, right = np.indices((64, 64)) + 0.5
    flat = sprites[square, ..., 0] / sprites[square].sum((1, 2))[..., None]
    for name, axis in (("x", right), ("y", down)):
        centre = (flat * axis[None]).sum((1, 2))
        value = table.values[square, table.names.index(name)]
        np.testing.assert_allclose(centre, 14 + 4 * value, atol=0.6)
    area = sprites.sum((1, 2, 3))
    scale = table.values[:, 1]
    assert (np.diff([area[scale == k].mean() for k in range(6)]) > 20).all()


def test_faces_have_their_factors(faces):
    """Colour of the corner is the hue; closed eyes show no white."""
    table = factors.truth("faces_like")
    hue, eyes = (table.values[:, table.names.index(n)] for n in ("hue", "eyes"))
    for k in range(8):
        corners = np.unique(faces[hue == k, 1, 1], axis=0)
        assert len(corners) == 1
    white = (faces.min(-1) > 235).sum((1, 2))
    assert white[eyes == 0].max() < white[eyes == 4].min()


@pytest.mark.parametrize("name", factors.NAMES)
def test_splits_are_the_rows_of_the_grid(name, sprites, faces):
    images = sprites if name == "dsprites_like" else faces
    dataset = load(name)
    grid = {row.tobytes(): i for i, row in enumerate(factors.truth(name).values)}
    seen = []
    for split in ("train", "test"):
        table = factors.truth(name, split)
        rows = [grid[row.tobytes()] for row in table.values]
        np.testing.assert_array_equal(dataset.splits[split].x[:50], images[rows[:50]])
        seen += rows
    assert sorted(seen) == list(range(len(images)))


def test_unknown_names_are_refused():
    with pytest.raises(DataError, match="whose factors are known: 'digits'"):
        factors.truth("digits")
    with pytest.raises(DataError, match="train or test, got 'valid'"):
        factors.truth("faces_like", "valid")
