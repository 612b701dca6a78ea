"""Images of other tools: folders, .npz, .npy, and what is refused."""

import json
import shutil

import numpy as np
import PIL.Image
import pytest

from jaxgen.config import ConfigError
from jaxgen.evaluate.sets import open_set
from jaxgen.types import DataSpec, Units

SPEC = DataSpec.of("digits", (8, 8, 1), 17, 10)
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


def test_upright_zipped_and_deep_files(tmp_path):
    """A .zip is its folder; orientation counts; 16 bits and transparency are brought along."""
    shown = np.rint(X[..., 0] * (255 / 16)).astype(np.uint8)
    exif = PIL.Image.Exif()
    exif[0x0112] = 3  # upside down
    for i, image in enumerate(shown):
        (tmp_path / "a").mkdir(exist_ok=True)
        PIL.Image.fromarray(image[::-1, ::-1]).save(tmp_path / "a" / f"{i:03}.PNG", exif=exif)
    shutil.make_archive(str(tmp_path / "b"), "zip", tmp_path / "a")
    for name in ("a", "b.zip"):
        np.testing.assert_array_equal(np.concatenate(list(open_set(tmp_path / name, SPEC))), X)
    colour = DataSpec.of("faces", (8, 8, 3), 256)
    (tmp_path / "c").mkdir()
    PIL.Image.fromarray(shown[0].astype(np.uint16) * 257).save(tmp_path / "c" / "0.png")
    PIL.Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "c" / "1.png")
    (found,) = open_set(tmp_path / "c", colour)
    np.testing.assert_array_equal(found[0], np.repeat(shown[0][..., None], 3, -1))
    assert (found[1] == 255).all()


def test_files_are_brought_to_the_range_of_floats(tmp_path):
    shown = np.array([[0, 51], [204, 255]], np.uint8)[None]
    spec = DataSpec.of("a", (2, 2, 1), None, range=(-1.0, 1.0))
    (found,) = open_set(saved(tmp_path / "a", shown), spec)
    np.testing.assert_allclose(found[0, ..., 0], [[-1, -0.6], [0.6, 1]], atol=1e-6)


def test_rows_are_brought_to_the_units_of_the_data(tmp_path):
    units = Units((10.0, 0.0), (2.0, 1e-3))
    spec = DataSpec.of("t", (2,), None, columns=("a", "b"), units=units)
    own = np.array([[12.0, 1e-3], [8.0, -2e-3]])
    np.save(tmp_path / "a.npy", own)
    (tmp_path / "a.csv").write_text("b,c,a\n0.001,7,12\n-0.002,7,8\n")
    for name in ("a.npy", "a.csv"):
        (found,) = open_set(tmp_path / name, spec)
        np.testing.assert_allclose(found, [[1, 1], [-1, -2]], rtol=1e-6)
    (tmp_path / "a.csv").write_text("b,c\n1,2\n3,4\n")
    with pytest.raises(ConfigError, match="has no column 'a', as t has"):
        open_set(tmp_path / "a.csv", spec)


@pytest.mark.parametrize("form", ["folder", "npz", "csv"])
def test_a_set_is_at_no_distance_from_itself(tmp_path, jaxgen_command, form):
    path = tmp_path / f"ok.{form}"
    if form == "folder":
        path = saved(
            tmp_path / "ok", np.random.RandomState(0).randint(256, size=(40, 8, 8)).astype(np.uint8)
        )
    elif form == "npz":
        np.savez(path, x=X)
    else:
        np.savetxt(
            path,
            np.random.RandomState(0).randn(40, 2) * [1e6, 1],
            delimiter=",",
            header="a,b",
            comments="",
        )
    where = (
        f"--data={path}",
        f"--workdir={tmp_path / 'out'}",
        "--metrics=fd",
        "--extractor=pixels",
    )
    out = jaxgen_command("eval", path, *where)
    values = {m["name"]: m["value"] for m in json.loads(out.out)["measurements"]}
    assert values["fd-pixels"] == pytest.approx(0, abs=1e-9), values
    count = 20 if form == "npz" else 40
    assert f"with {count} all examples of ok" in out.err and f"compared {count} " in out.err
    out = jaxgen_command("eval", path, *where, "--split=train")
    values = {m["name"]: m["value"] for m in json.loads(out.out)["measurements"]}
    assert values["fd-pixels"] > 1e-6 and "train examples of ok" in out.err
