"""`jaxgen translate` and its mirrors, on a tiny run of two domains."""

import types
from typing import ClassVar

import numpy as np
import PIL.Image
import pytest

import jaxgen
from jaxgen.config import ConfigError
from jaxgen.types import DataSpec, Field
from jaxgen.verbs import translate as verb


@pytest.fixture(scope="module")
def run(starter, tmp_path_factory):
    path = tmp_path_factory.mktemp("translate") / "cyclegan"
    starter.run(
        "--config=configs/cyclegan.py:digits_two,tiny",
        "--config.train.steps=2",
        f"--workdir={path}",
    )
    return path


@pytest.fixture
def loaded(run, data_root, monkeypatch):
    monkeypatch.setenv("JAXGEN_DATA_DIR", str(data_root))
    return jaxgen.load(run)


@pytest.fixture
def wrong(jaxgen_command):
    """The line with which a command ends."""
    return lambda *argv: jaxgen_command(*argv, code=2).err


def image(path, x):
    PIL.Image.fromarray(x).save(path)
    return path


def pixels(path):
    with PIL.Image.open(path) as found:
        return np.asarray(found)


def test_a_sheet_of_test_examples(loaded, run, jaxgen_command, tmp_path):
    """Input, translation, what comes back, partner: and the command draws what Python does."""
    sheet = loaded.translations("b", num=3)
    test = loaded.dataset().splits["test"]
    rows = test.take(np.arange(3) * len(test) // 3)
    np.testing.assert_array_equal(sheet.arrays["x"], rows["x"])
    np.testing.assert_array_equal(sheet.arrays["truth"], rows["b"])
    made = loaded.translate(rows["x"], "b")
    np.testing.assert_array_equal(sheet.arrays["translated"], made)
    np.testing.assert_array_equal(sheet.arrays["cycled"], loaded.translate({"b": made}, "a"))
    assert made.max() > 16 and sheet.arrays["cycled"].max() <= 16  # each in its units
    assert sheet.image.shape == (2 + 34 * 3, 2 + 34 * 4, 3)
    jaxgen_command("translate", run, "--to=b", "--num=3", f"--out={tmp_path / 'x.png'}")
    np.testing.assert_array_equal(pixels(tmp_path / "x.png"), sheet.image)


def test_pictures_keep_their_sizes(loaded, run, jaxgen_command, tmp_path):
    random = np.random.RandomState(0)
    sides = {"wide": (12, 20), "small": (8, 8)}
    folder = tmp_path / "in"
    folder.mkdir()
    for name, (height, width) in sides.items():
        image(folder / f"{name}.png", random.randint(256, size=(height, width)).astype(np.uint8))
    out = tmp_path / "out"
    jaxgen_command("translate", run, folder, "--to=a", f"--out={out}/")
    for name, size in sides.items():
        found = pixels(out / f"{name}.png")
        assert found.shape == size
        b = pixels(folder / f"{name}.png")[None, ..., None]
        levels = loaded.translate(b, "a")[0, ..., 0]
        np.testing.assert_array_equal(found, np.rint(levels * (255 / 16)).astype(np.uint8))
    one = tmp_path / "one.png"
    jaxgen_command("translate", run, folder / "wide.png", "--to=a", f"--out={one}")
    np.testing.assert_array_equal(pixels(one), pixels(out / "wide.png"))


def test_large_pictures_by_tiles(loaded, run, jaxgen_command, wrong, tmp_path):
    """One tile is the picture; of more the first corner is that of its tile; any size goes."""
    b = np.random.RandomState(1).randint(256, size=(1, 21, 33, 1)).astype(np.uint8)
    whole = loaded.translate(b[:, :16, :16], "a")
    np.testing.assert_array_equal(loaded.translate(b[:, :16, :16], "a", tile=16, overlap=4), whole)
    made = loaded.translate(b, "a", tile=16, overlap=4)
    assert made.shape == b.shape and made.dtype == whole.dtype
    np.testing.assert_array_equal(made[:, :12, :12], whole[:, :12, :12])
    picture = image(tmp_path / "large.png", b[0, ..., 0])
    out = tmp_path / "made.png"
    jaxgen_command("translate", run, picture, "--to=a", "--tile=16", "--overlap=4", f"--out={out}")
    expected = np.rint(made[0, ..., 0] * (255 / 16)).astype(np.uint8)
    np.testing.assert_array_equal(pixels(out), expected)
    text = wrong("translate", run, picture, "--to=a", "--overlap=4")
    assert "--overlap: is of tiles: add --tile=256" in text
    assert "expected pixels from 0 to 8" in wrong("translate", run, picture, "--to=a", "--tile=16")
    text = wrong("translate", run, picture, "--to=a", "--tile=15", "--overlap=4")
    assert "images of 15x15: expected sides that are multiples of 2" in text


def test_what_cannot_be(loaded, run, wrong, tmp_path):
    odd = image(tmp_path / "odd.png", np.zeros((9, 8), np.uint8))
    text = wrong("translate", run, odd, "--to=b", f"--out={tmp_path / 'x.png'}")
    assert "images of 9x8: expected sides that are multiples of 2" in text
    assert "unknown translation" in wrong("translate", run, "--to=c")
    assert "none" in wrong("translate", run)
    even = image(tmp_path / "even.png", np.zeros((8, 8), np.uint8))
    text = wrong("translate", run, odd, even, "--to=b", f"--out={tmp_path / 'x.png'}")
    assert "2 pictures: name a folder for them with --out=FOLDER/" in text
    assert "no such option 'temperature'" in wrong("translate", run, "--to=b", "--temperature=2")
    x = np.zeros((2, 8, 8, 1), np.uint8)
    for given, to, message in (
        (x[..., 0], "b", r"x of shape \[2, 8, 8\], expected \[B, H, W, 1\]"),
        (x + 17, "b", "x: uint8 from 17 to 17, expected integers from 0 to 16"),
        ({"b": x}, "b", "to='b' needs x: add x"),
        ({"x": x, "y": x}, "b", "unknown field of a translation 'y'"),
        (x.astype(float), "a", "b: float64 from 0.0"),
    ):
        with pytest.raises(ConfigError, match=message):
            loaded.translate(given, to)


class Styled:
    """A method that says what it was given."""

    translations: ClassVar = {"x": ("layout", "x")}
    given: ClassVar = ("layout",)

    def translate(self, state, batch, rng, to: "str"):  # as annotations are kept in jaxgen
        raise AssertionError


def test_a_picture_lends_its_style(loaded, run, jaxgen_command, wrong, monkeypatch, tmp_path):
    seen = []
    fields = {"x": Field("image", (4, 4, 3), "uint8", levels=256)}
    fields["layout"] = Field("layout", (4, 4), "uint8", classes=8)
    styled = types.SimpleNamespace(method=Styled(), spec=DataSpec("scenes", fields), step=3)
    styled.translate = lambda x, to, seed: seen.append(x) or np.zeros((1, 8, 8, 3), np.uint8)
    layout = np.random.RandomState(0).randint(8, size=(8, 8)).astype(np.uint8)
    style = np.random.RandomState(1).randint(256, size=(1, 6, 5, 3)).astype(np.uint8)
    files = image(tmp_path / "l.png", layout), image(tmp_path / "s.png", style[0])
    with monkeypatch.context() as patch:
        patch.setattr(verb, "load_run", lambda *arguments: styled)
        asked = (run, files[0], f"--like={files[1]}")
        jaxgen_command("translate", *asked, f"--out={tmp_path / 'x.png'}")
        np.testing.assert_array_equal(seen[0]["layout"], layout[None])
        np.testing.assert_array_equal(seen[0]["x"], style)
        text = wrong(
            "translate", run, files[0], f"--like={tmp_path}", f"--out={tmp_path / 'y.png'}"
        )
        assert "3 pictures, expected one" in text
    text = wrong("translate", run, "--to=b", f"--like={files[1]}")
    assert "--like: is of pictures of your own: name them after the run" in text
    with pytest.raises(ConfigError, match="CycleGAN takes no style of another image: omit b"):
        loaded.translate({"x": np.zeros((1, 8, 8, 1), np.uint8), "b": style[..., :1]}, "b")


def test_other_methods_do_not_translate(zoo, wrong):
    text = wrong("translate", zoo.run("vae").workdir)
    assert "has no translate" in text
