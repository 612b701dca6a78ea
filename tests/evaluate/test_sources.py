"""Images of other tools: folders, .npz, .npy, and what is refused."""

import numpy as np
import PIL.Image
import pytest

from jaxgen.config import ConfigError
from jaxgen.evaluate.sources import open_set
from jaxgen.types import DataSpec

SPEC = DataSpec("digits", (8, 8, 1), 17, 10)
X = np.random.RandomState(0).randint(17, size=(20, 8, 8, 1)).astype(np.uint8)


def saved(path, x):
    for i, image in enumerate(x):
        path.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(image).save(path / f"{i:03}.png")
    return path


def test_a_folder_of_files_is_brought_to_the_levels_of_the_data(tmp_path):
    """Level k of 17 is drawn as round(255 k / 16), and read as k again; colours are made grey."""
    shown = np.rint(X[..., 0] * (255 / 16)).astype(np.uint8)
    grey = open_set(saved(tmp_path / "grey", shown), SPEC)
    colour = open_set(saved(tmp_path / "colour", np.repeat(shown[..., None], 3, -1)), SPEC)
    for found in (grey, colour):
        np.testing.assert_array_equal(np.concatenate(list(found)), X)
    assert grey.notes == ("files have 256 grey levels, brought to 17",)
    assert "files have 3 channels, brought to 1" in colour.notes
    assert len(open_set(tmp_path / "grey", SPEC, num=5)) == 5


@pytest.mark.parametrize("key", ["x", "images", "samples", "arr_0"])
def test_arrays_are_taken_as_they_are(tmp_path, key):
    np.savez(tmp_path / "a.npz", **{key: X})
    np.testing.assert_array_equal(np.concatenate(list(open_set(tmp_path / "a.npz", SPEC))), X)


def test_a_file_without_channels_and_some_of_its_rows(tmp_path):
    np.save(tmp_path / "a.npy", X[..., 0].astype(np.float64))
    found = open_set(tmp_path / "a.npy", SPEC, num=10)
    assert found.x.dtype == np.uint8
    np.testing.assert_array_equal(found.x, X[::2])


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            np.zeros((4, 16, 16, 1), np.uint8),
            "expected images of 8x8x1, as digits has; got 16",
        ),
        (np.full((4, 8, 8, 1), 255, np.uint8), "expected grey levels 0 .. 16"),
        (np.full((4, 8, 8, 1), np.nan), "4 of 4 images hold NaN or infinity"),
        (np.full((4, 8, 8, 1), 0.5), "expected whole grey levels"),
        (np.zeros((0, 8, 8, 1), np.uint8), "no examples in"),
        (np.zeros((4, 8, 8, 1), complex), "holds complex128"),
    ],
)
def test_mistakes_of_arrays(tmp_path, x, message):
    np.savez(tmp_path / "a.npz", x=x)
    with pytest.raises(ConfigError, match=message) as error:
        open_set(tmp_path / "a.npz", SPEC)
    assert "\n" not in str(error.value) and "a.npz" in str(error.value)


def test_mistakes_of_places(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"no images in .*empty: expected files named \*.png"):
        open_set(tmp_path / "empty", SPEC)
    with pytest.raises(ConfigError, match="no such run, folder or file"):
        open_set(tmp_path / "absent", SPEC)
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(ConfigError, match="is no run, folder of images"):
        open_set(tmp_path / "a.txt", SPEC)
    large = saved(tmp_path / "large", np.zeros((2, 16, 16), np.uint8))
    with pytest.raises(ConfigError, match="000.png is 16x16, expected 8x8 pixels, as digits has"):
        list(open_set(large, SPEC))
    np.savez(tmp_path / "keys.npz", y=X)
    with pytest.raises(ConfigError, match="expected one of x, images"):
        open_set(tmp_path / "keys.npz", SPEC)
    with pytest.raises(ConfigError, match="--num=30, expected 1 to 20"):
        np.save(tmp_path / "a.npy", X)
        open_set(tmp_path / "a.npy", SPEC, num=30)
    (tmp_path / "torn.npz").write_bytes((tmp_path / "keys.npz").read_bytes()[:100])
    with pytest.raises(ConfigError, match="torn.npz is truncated or damaged"):
        open_set(tmp_path / "torn.npz", SPEC)
