"""Colours of classes: those of PASCAL VOC, and back."""

import io
import types

import numpy as np
import PIL.Image
import pytest

from jaxgen.config import ConfigError
from jaxgen.data import images
from jaxgen.data.dataset import DataError
from jaxgen.data.palette import colours, numbers_of
from jaxgen.types import DataSpec
from jaxgen.views.palette import palette

KNOWN = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0), 4: (0, 0, 128)}
KNOWN |= {7: (128, 128, 128), 8: (64, 0, 0), 20: (0, 64, 128), 255: (224, 224, 192)}


def read(path):
    return images.numbers(io.BytesIO(path.read_bytes()), path.name)


def test_the_challenges_colours():
    table = colours(256)
    assert {number: tuple(table[number].tolist()) for number in KNOWN} == KNOWN
    assert len({tuple(colour) for colour in table.tolist()}) == 256


def test_a_painting_is_read(tmp_path):
    """As RGB, with an opaque fourth channel, and by index."""
    layout = np.random.RandomState(0).randint(0, 256, (5, 7))
    painting = PIL.Image.fromarray(colours(256)[layout])
    indexed = PIL.Image.fromarray(layout.astype(np.uint8), "L")
    for image in (painting, painting.convert("RGBA"), indexed):
        image.save(tmp_path / "painted.png")
        found = read(tmp_path / "painted.png")
        np.testing.assert_array_equal(found, layout)


def test_other_colours_are_refused(tmp_path):
    rgb = colours(4)[np.zeros((3, 3), int)]
    rgb[1, 2] = 3, 0, 0
    with pytest.raises(ValueError, match="colour 3, 0, 0 in row 1, column 2 is of no class"):
        numbers_of(rgb)
    PIL.Image.fromarray(rgb).save(tmp_path / "soft.png")
    with pytest.raises(DataError, match="soft.png: the colour 3, 0, 0.*jaxgen palette RUN"):
        read(tmp_path / "soft.png")


def test_the_palette_of_a_run():
    spec = DataSpec.of("scenes", (8, 8, 3), 256)
    with pytest.raises(ConfigError, match="scenes has no field layout"):
        palette(types.SimpleNamespace(spec=spec))
    spec = spec.with_field("layout", kind="layout", shape=(8, 8), dtype="uint8", classes=10)
    found = palette(types.SimpleNamespace(spec=spec))
    assert found.image.shape == (64, 256, 3)
    middles = found.image[16::32, 16::32][:1]
    np.testing.assert_array_equal(numbers_of(middles), [np.arange(8)])
    assert (found.image[32:, 64:] == 255).all()
