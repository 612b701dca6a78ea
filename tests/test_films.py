"""Pictures by suffix: what other readers find in the files."""

import hashlib
import importlib.util
import json
import struct

import av
import numpy as np
import PIL.Image
import PIL.ImageSequence
import pytest

from jaxgen.config import ConfigError
from jaxgen.data.limits import load_npz
from jaxgen.pictures import save_gif, save_mp4
from jaxgen.tools.outputs import Output
from jaxgen.views.picture import Picture

COLOURS = ((255, 0, 0), (0, 160, 0), (40, 40, 255), (255, 255, 255), (0, 0, 0))


def frames(height=31, width=45):
    """One colour each."""
    return [np.full((height, width, 3), colour, np.uint8) for colour in COLOURS]


def boxes(data):
    """(kind, content) of the boxes of an MP4 file: ISO 14496-12, section 4.2."""
    at = 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        start = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
            start = 16
        yield kind.decode(), data[at + start : at + (size or len(data) - at)]
        at += size or len(data) - at


def inside(data, *path):
    for kind in path:
        data = dict(boxes(data))[kind]
    return data


def test_an_mp4_is_what_the_standard_says(tmp_path):
    """Read box by box: frames, size and duration."""
    save_mp4(tmp_path / "x.mp4", frames(), 50)
    data = (tmp_path / "x.mp4").read_bytes()
    assert next(boxes(data))[0] == "ftyp"
    media = inside(data, "moov", "trak", "mdia")
    table = inside(media, "minf", "stbl")
    _, count = struct.unpack_from(">II", inside(table, "stsz"), 4)
    assert count == len(COLOURS)
    entry = inside(table, "stsd")[8:]
    assert entry[4:8] == b"avc1"
    assert struct.unpack_from(">HH", entry, 8 + 24) == (46, 32)  # even sides
    scale, length = struct.unpack_from(">II", inside(media, "mdhd"), 12)
    assert length / scale == pytest.approx(len(COLOURS) * 0.05)


def test_an_mp4_shows_the_colours(tmp_path):
    save_mp4(tmp_path / "x.mp4", frames(), 50)
    with av.open(str(tmp_path / "x.mp4")) as film:
        (stream,) = film.streams.video
        assert stream.codec_context.pix_fmt == "yuv420p" and stream.average_rate == 20
        shown = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert np.shape(shown) == (5, 32, 46, 3)
    for found, colour in zip(shown, COLOURS, strict=True):
        assert np.abs(found[4:24, 4:40].astype(int) - colour).max() <= 12
        assert found[31, :44].min() > 190  # the line that makes it even


def test_a_gif_in_another_reader(tmp_path):
    save_gif(tmp_path / "x.gif", frames(), 50)
    with av.open(str(tmp_path / "x.gif")) as film:
        shown = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert np.shape(shown) == (5, 31, 45, 3)
    for found, colour in zip(shown, COLOURS, strict=True):
        assert np.abs(found.astype(int) - colour).max() <= 8
    assert b"NETSCAPE2.0" in (tmp_path / "x.gif").read_bytes()  # it repeats


def test_the_suffix_says_how(tmp_path):
    x = np.arange(6).reshape(2, 3)
    moving = Picture({"x": x}, lambda: frames()[0], frames)
    for suffix in (".PNG", ".Gif", ".WebP", ".MP4", ".npz"):
        path = tmp_path / f"x{suffix}"
        assert moving.save(str(path)) == path and path.stat().st_size
    assert (tmp_path / "x.PNG").read_bytes()[:4] == b"\x89PNG"
    np.testing.assert_array_equal(load_npz(tmp_path / "x.npz")["x"], x)
    still = Picture({"x": x}, lambda: frames()[0])
    with pytest.raises(ConfigError, match="nothing moves here"):
        still.save(tmp_path / "y.gif")
    with pytest.raises(ConfigError, match=r"y.jpg, expected a name that ends in .png, .npz, .webp"):
        still.save(tmp_path / "y.jpg")
    assert still._repr_png_() == moving._repr_png_() and still._repr_png_()[1:4] == b"PNG"


def moving_colours():
    """A film like those of grids: enlarged pixels of smooth colours on white."""
    at = np.linspace(0, 1, 6)
    pixels = [
        np.stack(np.broadcast_arrays(at[:, None], at[None], (1 + np.sin(t + at[:, None])) / 2), -1)
        for t in range(4)
    ]
    cells = [np.rint(255 * p).astype(np.uint8).repeat(8, 0).repeat(8, 1) for p in pixels]
    return [np.pad(c, ((2, 2), (2, 2), (0, 0)), constant_values=255) for c in cells]


def decoded(path):
    """Frames of a file as Pillow or FFmpeg reads them, or of a folder."""
    if path.is_dir():
        return [np.asarray(PIL.Image.open(p)) for p in sorted(path.glob("*.png"))]
    if path.suffix in (".webp", ".gif"):
        with PIL.Image.open(path) as film:
            frames = []
            for frame in PIL.ImageSequence.Iterator(film):
                frames.append(np.asarray(frame.convert("RGB")))
                assert film.info["loop"] == 0 and film.info["duration"] == 60
            return frames
    with av.open(str(path)) as film:
        return [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]


@pytest.mark.parametrize(("name", "worst"), [("x.webp", 0), ("x", 0), ("x.gif", 4), ("x.mp4", 4)])
def test_films_are_read_back(tmp_path, name, worst):
    """As many frames, of that size, no farther off in the mean than so many levels."""
    frames = moving_colours()
    picture = Picture({}, lambda: frames[0], lambda: frames, 60)
    found = decoded(picture.save(tmp_path / name))
    assert np.shape(found) == np.shape(frames) == (4, 52, 52, 3)
    errors = [np.abs(f - g.astype(float)).mean() for f, g in zip(found, frames, strict=True)]
    assert max(errors) <= worst, errors


def test_a_film_says_what_it_is_of(tmp_path):
    """Beside a file, in a folder; the sums are of the frames as they were drawn."""
    frames = moving_colours()
    picture = Picture({}, lambda: frames[0], lambda: frames, recipe=lambda: {"view": "walk"})
    picture.save(tmp_path / "a.mp4"), picture.save(tmp_path / "b")
    told = [json.loads((tmp_path / p).read_text()) for p in ("a.film.json", "b/film.json")]
    assert told[0] == told[1] and told[0]["view"] == "walk" and told[0]["milliseconds"] == 100
    sums = [hashlib.sha256(f.tobytes()).hexdigest() for f in decoded(tmp_path / "b")]
    assert told[0]["frames_sha256"] == sums
    shorter = Picture({}, lambda: frames[0], lambda: frames[:2])
    assert len(decoded(shorter.save(tmp_path / "b"))) == 2  # none of before are left


def test_the_same_film_twice(zoo, tmp_path, jaxgen_command):
    """In two processes of a user: the same frames, and the recipe that makes them."""
    run = zoo.run("vae").workdir
    options = ("--num=4", "--frames=3", "--seed=5")
    for name in ("a.webp", "b.webp"):
        jaxgen_command("walk", run, *options, f"--out={tmp_path / name}")
    first, second = (json.loads((tmp_path / f"{n}.film.json").read_text()) for n in "ab")
    assert first == second and len(first["frames_sha256"]) == 3
    assert (first["view"], first["step"]) == ("walk", 20)
    assert first["options"]["seed"] == 5 and len(first["digest"]) == 64
    folder = tmp_path / "frames"
    jaxgen_command("walk", run, *options, f"--out={folder}/")
    assert json.loads((folder / "film.json").read_text()) == first
    error = jaxgen_command("walk", run, *options, f"--out={folder}/", code=2).err
    assert "holds pictures already" in error


def test_an_ffmpeg_without_h264(tmp_path, monkeypatch, capsys):
    """MPEG-4 instead, which is said; without that, one line."""
    add, frames = av.container.OutputContainer.add_stream, moving_colours()

    class Poor:
        """A container that knows some codecs alone."""

        def __init__(self, inner, codecs):
            self._inner, self._codecs = inner, codecs

        def add_stream(self, name, **options):
            if name not in self._codecs:
                raise ValueError(name)
            return add(self._inner, name, **options)

        def __getattr__(self, name):
            return getattr(self._inner, name)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self._inner.close()

    opened = av.open
    monkeypatch.setattr(av, "open", lambda *a, **k: Poor(opened(*a, **k), ("mpeg4",)))
    save_mp4(tmp_path / "x.mp4", frames)
    assert "no H.264: the film is of mpeg4" in capsys.readouterr().err
    monkeypatch.setattr(av, "open", opened)
    found = decoded(tmp_path / "x.mp4")
    assert np.shape(found) == (4, 52, 52, 3)
    assert max(np.abs(f - g.astype(float)).mean() for f, g in zip(found, frames, strict=True)) <= 4
    monkeypatch.setattr(av, "open", lambda *a, **k: Poor(opened(*a, **k), ()))
    with pytest.raises(ConfigError, match="y.mp4: films need PyAV"):
        save_mp4(tmp_path / "y.mp4", frames)


def test_without_pyav(tmp_path, monkeypatch):
    """One line, and before any work."""
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(ConfigError, match=r"x.mp4: films need PyAV: pip install av"):
        save_mp4(tmp_path / "x.mp4", frames())
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Exception, match="films need PyAV: pip install av"):
        Output((".mp4",))(str(tmp_path / "x.mp4"))


@pytest.mark.parametrize(
    ("verb", "options", "shape", "count"),
    [
        ("interpolate", ("--steps=3",), (8, 3, 8, 8, 1), 3),
        ("sweep", ("--steps=3", "--dims=2"), (2, 3, 8, 8, 1), 3),
        ("walk", ("--num=4", "--frames=3"), (4, 3, 8, 8, 1), 3),
    ],
)
def test_the_frames_are_the_steps(zoo, tmp_path, jaxgen_command, verb, options, shape, count):
    """The film, the arrays and the picture of one request show the same."""
    run = zoo.run("vae").workdir
    found = {}
    for suffix in (".npz", ".png", ".gif", ".mp4"):
        found[suffix] = tmp_path / f"x{suffix}"
        jaxgen_command(verb, run, *options, f"--out={found[suffix]}")
    x = load_npz(found[".npz"])["x"]
    assert x.shape == shape
    with av.open(str(found[".mp4"])) as film:
        shown = [frame.to_ndarray(format="gray") for frame in film.decode(video=0)]
    with av.open(str(found[".gif"])) as film:
        assert len(list(film.decode(video=0))) == count
    assert len(shown) == count
    with PIL.Image.open(found[".png"]) as image:
        picture = np.asarray(image)[..., 0].astype(int)
    for step in range(count):  # of the first row, the image in the corner
        cell = picture[2:34, 2 + 34 * step : 34 + 34 * step]
        np.testing.assert_array_equal(cell[::4, ::4], np.rint(255 * x[0, step, ..., 0]))
        assert np.abs(shown[step][2:34, 2:34].astype(int) - cell).mean() < 6
