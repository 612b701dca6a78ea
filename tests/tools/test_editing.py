"""Directions of attributes and edits, on tiny runs."""

import dataclasses
import json

import numpy as np
import PIL.Image
import pytest

import jaxgen
from jaxgen.config import ConfigError
from jaxgen.data.dataset import DataError
from jaxgen.data.embedded import factors
from jaxgen.views import attributes, directions
from jaxgen.views.codes import Space, flattened

SMALL = {"data.size": (32, 32), "data.fit": "stretch", "model.kernels": (4, 4)}


@pytest.fixture(scope="module")
def faces(data_root, tmp_path_factory):
    """A run on cartoon faces that has learnt nothing yet: its codes are still those of pictures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXGEN_DATA_DIR", str(data_root))
        folder = tmp_path_factory.mktemp("faces") / "vae"
        options = SMALL | {"model.latent": 6, "train.save_every_steps": 2}
        run = jaxgen.fit("vae:faces_like,tiny", workdir=folder, steps=4, quiet=True, **options)
        yield run


@pytest.fixture(scope="module")
def digits(zoo, data_root, tmp_path_factory):
    run = zoo.copy("vae", tmp_path_factory.mktemp("digits") / "vae-digits").workdir
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXGEN_DATA_DIR", str(data_root))
        yield jaxgen.load(run)


def test_codes_as_rows_and_back():
    tree = {"a": np.arange(12.0).reshape(2, 3, 2), "b": (np.ones((2, 1)),)}
    rows, back = flattened(tree)
    assert rows.shape == (2, 7) and rows.dtype == np.float64
    np.testing.assert_array_equal(back(rows)["a"], tree["a"])
    np.testing.assert_array_equal(back(rows[:1])["b"][0], tree["b"][0][:1])


def test_directions_of_factors_are_those_of_the_codes(faces):
    known = attributes.labelled(faces, "pose", "smile", num=500)
    truth = factors.truth("faces_like", "train")
    rows = jaxgen.data.loader.evenly(len(truth.values), 500)
    np.testing.assert_array_equal(known.values, truth.values[rows][:, [2, 0]])
    found = faces.directions("pose", keep=["smile"], method="pattern", num=500)
    assert found.about["names"] == ["pose", "smile"] and found.size == 6
    codes = faces.encode(known.x)[0]
    held, own = np.split(np.random.RandomState(0).permutation(500), [50])
    design = np.concatenate([known.values[own], np.ones((450, 1))], axis=1)
    slopes = np.linalg.lstsq(design, codes[own], rcond=None)[0]
    np.testing.assert_allclose(found.vector, slopes[0], atol=1e-6)
    shift = faces.directions("hue", num=500)
    assert shift.about["method"] == "shift" and shift.about["nominal"] == [0]
    assert shift.about["names"] == ["hue", "smile", "eyes", "pose", "skin"]
    around = shift.moved(codes, 8.0)  # once around the circle of hues
    np.testing.assert_allclose(around, codes, atol=1e-6)
    assert np.abs(shift.moved(codes, 1.0) - codes).max() > 1e-3


OF_STYLES = ("sefa", "stylespace")


OF_CODES = [m for m in directions.METHODS if m not in OF_STYLES]
BRIEF = ("mean", "ganspace")


@pytest.mark.parametrize(
    "method", [pytest.param(m, marks=() if m in BRIEF else pytest.mark.slow) for m in OF_CODES]
)
def test_directions_are_kept_and_read_back(faces, tmp_path, method):
    found = faces.directions("smile", method=method, num=400)
    path = found.save(tmp_path / "x.npz")
    back = directions.load(faces, str(path))
    assert back.about == json.loads(json.dumps(found.about))
    z = np.random.RandomState(0).randn(5, 6)
    np.testing.assert_allclose(back.moved(z, 1.5), found.moved(z, 1.5), atol=1e-5)
    assert 0 <= found.about["accuracy"] <= 1 and found.about["examples"] == 400


def test_true_edits_are_pictures_of_the_data(faces):
    index, steps = np.array([3, 17, 500]), np.array([-1.0, 0.0, 0.5, 2.0])
    x, known = attributes.true_edits(faces, "smile", index, steps)
    data = faces.dataset()
    test = data.splits["test"].take(index)["x"]
    np.testing.assert_array_equal(x[:, 1], test)
    before = factors.truth("faces_like", "test").values[index, 0]
    np.testing.assert_array_equal(known[:, 0], before > 0)
    np.testing.assert_array_equal(known[:, 3], before < 5)
    assert not known[:, 2].any() and known[:, 1].all()
    splits = [data.splits[name] for name in ("train", "test")]
    everything = np.concatenate([split.take(np.arange(len(split)))["x"] for split in splits])
    values = np.concatenate([factors.truth("faces_like", s).values for s in ("train", "test")])
    for row, column in zip(*np.nonzero(known), strict=True):
        wanted = factors.truth("faces_like", "test").values[index[row]].copy()
        wanted[0] += int(steps[column])
        (place,) = np.flatnonzero((values == wanted).all(1))
        np.testing.assert_array_equal(x[row, column], everything[place])


def test_edit_is_decode_of_moved_codes(faces, tmp_path):
    found = faces.directions("eyes", num=400)
    picture = faces.edit(found, strength=(-1, 1), num=3, steps=3)
    x, edited = picture.arrays["x"], picture.arrays["edited"]
    assert edited.shape == (3, 3, 32, 32, 3) and picture.arrays["known"].shape == (3, 3)
    np.testing.assert_array_equal(picture.arrays["strength"], [-1, 0, 1])
    codes = faces.encode(x)
    np.testing.assert_array_equal(edited[:, 1], faces.decode(codes, rounded=True))
    moved = found.moved(np.asarray(codes[0], np.float64), 1.0).astype(np.float32)
    np.testing.assert_array_equal(edited[:, 2], faces.decode((moved,), rounded=True))
    assert picture.image.shape == (2 + 34 * 6, 2 + 34 * 4, 3)  # edits above, truths beneath
    own = faces.edit(found, x[:2], steps=1, strength=(2, 2))
    assert "truth" not in own.arrays and own.arrays["edited"].shape[:2] == (2, 1)


@pytest.mark.slow
def test_commands(faces, tmp_path, jaxgen_command):
    run = faces.directory.path
    options = ("--attribute=smile", "--keep=eyes,pose", "--num=300")
    out = jaxgen_command("directions", run, *options).out
    assert "smile by shift, keeping eyes, pose, of 300 training examples of faces_like" in out
    path = run / "directions/smile.npz"
    assert path.is_file() and "accuracy" in out
    options = ("--attribute=smile", "--strength=-1..1", "--num=2", "--steps=3")
    jaxgen_command("edit", run, *options, f"--out={tmp_path / 'x.npz'}")
    written = np.load(tmp_path / "x.npz", allow_pickle=False)
    expected = faces.edit("smile", strength=(-1, 1), num=2, steps=3).arrays
    np.testing.assert_array_equal(written["edited"], expected["edited"])
    jaxgen_command("edit", run, f"--attribute={path}", "--num=2", f"--out={tmp_path / 'x.png'}")
    with PIL.Image.open(tmp_path / "x.png") as image:
        assert image.size == (2 + 34 * 6, 2 + 34 * 4)


def test_a_direction_of_another_model_is_refused(faces, digits, tmp_path):
    found = faces.directions("smile", method="mean", num=200)
    path = found.save(tmp_path / "x.npz")
    for other, step in ((digits, 20), (jaxgen.load(faces.directory.path, step=2), 2)):
        match = rf"of another model or checkpoint \(step 4; here step {step}\)"
        with pytest.raises(ConfigError, match=match):
            directions.load(other, str(path))
    plain = jaxgen.load(faces.directory.path, step=faces.step)
    assert directions.load(plain, str(path)).size == 6
    with pytest.raises(ConfigError, match=r"is not there \(directions of this run:"):
        directions.load(faces, "nose")
    with pytest.raises(ConfigError, match="expected a name, or a path"):
        directions.load(faces, "../smile")


def test_damaged_files_are_refused_in_one_line(faces, tmp_path):
    found = faces.directions("smile", num=200)
    path = found.save(tmp_path / "x.npz")
    whole = dict(np.load(path))

    def refuse(match, **changed):
        arrays = {k: v for k, v in (whole | changed).items() if v is not None}
        np.savez(tmp_path / "y.npz", **arrays)
        with pytest.raises(DataError, match=match) as error:
            directions.load(faces, str(tmp_path / "y.npz"))
        assert "\n" not in str(error.value)

    refuse("is no direction", about=None)
    refuse("is no direction", about=np.asarray("{"))
    refuse("is no direction", about=np.asarray("[1]"))
    refuse("do not fit", weights=whole["weights"][:, :3])
    refuse("not finite", weights=np.full_like(whole["weights"], np.nan))
    refuse("unknown more", more=np.ones(1))
    refuse("plain numbers", about=np.asarray([{}], dtype=object))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="truncated or damaged"):
        directions.load(faces, str(path))


def test_table_and_two_folders(digits, tmp_path):
    x = digits.dataset().splits["test"].take(np.arange(40))["x"]
    ink = x.reshape(40, -1).mean(1)
    order = np.argsort(ink)
    for name, rows in (("light", order[:20]), ("dark", order[20:])):
        (tmp_path / name).mkdir()
        for row in rows:
            PIL.Image.fromarray(x[row, ..., 0] * 255).save(tmp_path / name / f"{row:03}.png")
    both = digits.directions("ink", having=tmp_path / "dark", lacking=tmp_path / "light", num=40)
    assert both.about["method"] == "mean" and both.about["names"] == ["ink"]
    lines = ["file,ink,odd"]
    lines += [
        f"{'light' if k in order[:20] else 'dark'}/{k:03}.png,{ink[k]},{k % 2}" for k in range(40)
    ]
    table = tmp_path / "ink.csv"
    table.write_text("\n".join(lines))
    known = attributes.labelled(digits, "ink", table=table)
    assert known.names == ("ink", "odd")
    np.testing.assert_allclose(known.values, np.stack([ink, np.arange(40) % 2], 1))
    np.testing.assert_array_equal(known.x, x)
    lines = ["file,ink"] + [f"{row.split(',')[0]},{int('dark' in row)}" for row in lines[1:]]
    (tmp_path / "dark.csv").write_text("\n".join(lines))
    found = digits.directions("ink", table=tmp_path / "dark.csv", method="pattern")
    assert found.about["names"] == ["ink"] and found.about["source"] == "dark.csv"

    def refuse(match, error: type[ValueError] = ConfigError, **options):
        with pytest.raises(error, match=match):
            digits.directions("ink", **options)

    refuse("are not known")
    refuse("give both", having=tmp_path / "dark")
    refuse("unknown attribute 'old'", table=table, keep="old")
    refuse("is what changes", table=table, keep="ink")
    refuse("knows no other attributes", table=table, keep="odd", method="mean")
    refuse("expected a file", table=tmp_path)
    refuse("has not", table=table, method="sefa")
    refuse("has not", table=table, method="stylespace")
    refuse("nothing is known but", table=table, keep=[], method="conditional")
    table.write_text("file,ink\n../secret.png,1\nlight/no.png,2\n")
    refuse("is not beside the table", DataError, table=table)
    table.write_text("file,ink\nlight/no.png,2\n")
    refuse("no picture 'light/no.png'", DataError, table=table)


def test_runs_without_codes_are_refused(zoo, digits):
    with pytest.raises(ConfigError, match="ring8 has no images"):
        Space(jaxgen.load(zoo.run("gan").workdir))
    with pytest.raises(ConfigError, match="strength="):
        digits.edit("x", strength=(2, -2))


@pytest.mark.slow
def test_styles_of_a_generator_and_of_its_layers(data_root, tmp_path, monkeypatch):
    """Directions of both, of which the second moves one style of one layer alone."""
    monkeypatch.setenv("JAXGEN_DATA_DIR", str(data_root))
    run = jaxgen.fit("stylegan2:faces,tiny", workdir=tmp_path / "run", steps=2, quiet=True)
    for method in OF_STYLES:
        found = run.directions("smile", method=method, num=300)
        found.save(run.directory.path / "directions/smile.npz")
        picture = run.edit("smile", num=2, steps=3)
        edited = picture.arrays["edited"]
        assert edited.shape == (2, 3, 32, 32, 3)
        assert np.abs(edited[:, 0].astype(int) - edited[:, 2]).max() > 0
        if method == "stylespace":
            assert np.count_nonzero(found.vector) == 1
            assert found.size == len(run.method.style_weights(run.state.averaged()))
            with pytest.raises(ConfigError, match="a direction of"):
                run.edit(dataclasses.replace(found, about=found.about | {"method": "sefa"}), num=1)
