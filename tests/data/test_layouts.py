"""Layouts of image files as people and other tools leave them, in folders and in .zip files."""

import io
import json
import os
import zipfile

import numpy as np
import PIL.Image
import pytest

import jaxgen.data
from jaxgen.data import DataError

KIND = {"cat": 10, "dog": 200}


def png(value, shape=(4, 6, 3), **options):
    buffer = io.BytesIO()
    PIL.Image.fromarray(np.full(shape, value, np.uint8)).save(buffer, "PNG", **options)
    return buffer.getvalue()


def place(root, files):
    """Writes name -> bytes as a folder."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return str(root)


def zipped(path, files, how=zipfile.ZIP_DEFLATED, top=""):
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, content in files.items():
            archive.writestr(top + name, content)
    return str(path)


def everything(data):
    """Mean grey level of every image of both splits -> label."""
    found = {}
    for split in data.splits.values():
        batch = split.take(np.arange(len(split)))
        labels = batch.get("label", [None] * len(split))
        found |= {int(x.mean()): y for x, y in zip(batch["x"], labels, strict=True)}
    return found


def stylegan(labels=True):
    """As `dataset_tool.py` of StyleGAN2-ADA and 3 writes it: 1,000 images a shard."""
    numbers = [0, 1, 2, 999, 1000, 1001]
    files = {f"{n // 1000:05}/img{n:08}.png": png(20 * k) for k, n in enumerate(numbers)}
    pairs = [[name, k % 3] for k, name in enumerate(files)] if labels else None
    return files | {"dataset.json": json.dumps({"labels": pairs}).encode()}


def write_form(tmp_path, form, files):
    if form == "folder":
        return place(tmp_path / "set", files)
    how = zipfile.ZIP_STORED if form == "stored" else zipfile.ZIP_DEFLATED
    return zipped(tmp_path / "set.zip", files, how)


@pytest.mark.parametrize("memory", [512, 0])
@pytest.mark.parametrize("form", ["folder", "stored", "deflated"])
def test_stylegan_labels(tmp_path, form, memory):
    data = jaxgen.data.load(write_form(tmp_path, form, stylegan()), in_memory_mb=memory)
    assert (data.spec.name, data.spec.shape, data.spec.num_classes) == ("set", (4, 6, 3), 3)
    assert everything(data) == {20 * k: k % 3 for k in range(6)}


def test_shards_are_no_classes(tmp_path):
    data = jaxgen.data.load(place(tmp_path / "null", stylegan(labels=False)))
    assert data.spec.num_classes == 0 and "not used" not in data.report()
    bare = {k: v for k, v in stylegan().items() if k != "dataset.json"}
    assert jaxgen.data.load(place(tmp_path / "bare", bare)).spec.num_classes == 0
    years = {f"{year}/img{i}.png": png(i) for year in (2021, 2022) for i in range(3)}
    assert jaxgen.data.load(place(tmp_path / "years", years)).spec.num_classes == 2


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([["00000/img00000000.png", 1]], "dataset.json has no label of 5 images, e.g. 00000/img"),
        ([["00000/img00000000.png", [0.5, 1.0]]], "label .0.5, 1.0. of 00000/img.* is no class"),
        ([["a.png", 2**40]], "has no label of 6 images"),
        ({"a.png": 1}, r'expected "labels": \[\["00000/img.png", 3\], ...\]'),
    ],
)
def test_labels_that_do_not_fit(tmp_path, labels, message):
    files = stylegan() | {"dataset.json": json.dumps({"labels": labels}).encode()}
    with pytest.raises(DataError, match=message):
        jaxgen.data.load(place(tmp_path / "a", files))


def test_damaged_lists_and_labels_of_nothing(tmp_path):
    for content in (b"{", b"[" * 100_000):
        files = stylegan() | {"dataset.json": content}
        with pytest.raises(DataError, match="dataset.json is damaged"):
            jaxgen.data.load(place(tmp_path / "a", files))
    pairs = json.loads(stylegan()["dataset.json"])["labels"] + [["00001/img00001999.png", 0]]
    files = stylegan() | {"dataset.json": json.dumps({"labels": pairs}).encode()}
    report = jaxgen.data.load(place(tmp_path / "a", files)).report()
    assert "not used: 1 labels in dataset.json of files that are not there, e.g. 00001" in report


@pytest.mark.parametrize("top", ["", "photos/"])
def test_a_zip_is_the_folder_it_was_made_of(tmp_path, top):
    files = {f"{name}/{i}.PNG": png(value + i) for name, value in KIND.items() for i in range(4)}
    zipped(tmp_path / "photos.zip", files | {"__MACOSX/x": b""}, top=top)
    place(tmp_path / "photos", files)
    for memory in (512, 0):
        folder, archive = (
            jaxgen.data.load(f"{tmp_path}/{name}", in_memory_mb=memory)
            for name in ("photos", "photos.zip")
        )
        assert folder.classes == archive.classes == ("cat", "dog")
        assert folder.fingerprint() == archive.fingerprint()
        assert everything(archive) == {
            v + i: k for k, v in enumerate(KIND.values()) for i in range(4)
        }


def test_names_in_a_zip_of_other_systems(tmp_path):
    files = {"cat\\1.png": png(1), "/cat/2.png": png(2), "dog/3.png": png(3), "dog//4.png": png(4)}
    path = zipped(tmp_path / "a.zip", files | {"../5.png": png(5)})
    data = jaxgen.data.load(path)
    assert data.classes == ("cat", "dog") and sorted(everything(data)) == [1, 2, 3, 4]


def test_zips_that_are_none(tmp_path):
    path = tmp_path / "a.zip"
    zipped(path, {f"{i}.png": png(i) for i in range(4)})
    whole = path.read_bytes()
    for content in (b"", b"PK", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"a.zip is truncated or damaged"):
            jaxgen.data.load(str(path))
    path.write_bytes(whole.replace(png(2)[40:60], bytes(20), 1))
    zipped(path, {f"{i}.png": png(i) for i in range(4)}, zipfile.ZIP_STORED)
    whole = bytearray(path.read_bytes())
    whole[whole.find(b"IDAT") + 10] ^= 1
    path.write_bytes(whole)
    with pytest.raises(DataError, match=r"damaged file .*a.zip/0.png: Bad CRC"):
        jaxgen.data.load(str(path))
    zipped(path, {f"{i}.png": bytes(2**26 + 1) for i in range(2)})
    with pytest.raises(DataError, match=r"0.png: [\d,]+ bytes would become 67,108,865"):
        jaxgen.data.load(str(path))
    with pytest.raises(DataError, match="no such file or folder"):
        jaxgen.data.load(f"{tmp_path}/absent.zip")


@pytest.mark.parametrize("train", ["train", "Train", "TRAINING"])
def test_splits_in_any_capitals(tmp_path, train):
    files = {f"{train}/{i}.png": png(i) for i in range(5)}
    files |= {f"Test/{i}.png": png(100 + i) for i in range(2)}
    data = jaxgen.data.load(place(tmp_path / "a", files))
    assert [len(split) for split in data.splits.values()] == [5, 2]
    files |= {f"VAL/{i}.png": png(200 + i) for i in range(3)}
    data = jaxgen.data.load(place(tmp_path / "a", files))
    assert [len(split) for split in data.splits.values()] == [5, 2]
    assert "not used: 3 images in VAL/, since Test/ is the test split" in data.report()


@pytest.mark.parametrize("name", ["val", "Valid", "validation"])
def test_validation_stands_in(tmp_path, name):
    files = {f"train/{i}.png": png(i) for i in range(5)}
    files |= {f"{name}/{i}.png": png(100 + i) for i in range(3)}
    data = jaxgen.data.load(place(tmp_path / "a", files))
    assert [len(split) for split in data.splits.values()] == [5, 3]
    assert f"no test/: the 3 images in {name}/ are the test split" in data.report()


def test_all_that_is_not_used_is_named(tmp_path):
    files = {f"train/{i}.png": png(i) for i in range(5)} | {f"test/{i}.png": png(i) for i in "0"}
    files |= {"more/x.png": png(9), "notes.txt": b"", "a/b.gif": b"", "c.txt": b"", ".hidden": b""}
    (tmp_path / "a" / "train" / "nothing").mkdir(parents=True)
    report = jaxgen.data.load(place(tmp_path / "a", files)).report()
    assert "not used: folders that are empty: train/nothing" in report
    assert "not used: 1 images outside train/ and test/, e.g. more/x.png" in report
    assert "not used: 2 .txt, 1 .gif files, e.g. a/b.gif" in report
    assert "hidden" not in report


def test_three_images_are_two_and_one(tmp_path):
    for seed in range(12):
        for count, most in ((2, 1), (3, 1), (4, 2), (5, 2)):
            root = place(tmp_path / f"{count}", {f"{i}.png": png(i) for i in range(count)})
            data = jaxgen.data.load(root, seed=seed)
            assert 1 <= len(data.splits["test"]) <= most, (seed, count)


def test_file_names_of_any_bytes(tmp_path):
    root = os.fsencode(tmp_path / "a")
    os.mkdir(root)
    for i in range(4):
        with open(os.path.join(root, b"caf\xe9%d.png" % i), "wb") as file:
            file.write(png(i))
    with open(os.path.join(root, b"caf\xe9.txt"), "wb"):
        pass
    for memory in (512, 0):
        data = jaxgen.data.load(str(tmp_path / "a"), in_memory_mb=memory)
        assert sorted(everything(data)) == [0, 1, 2, 3]
        assert r"1 .txt file, e.g. caf\xe9.txt" in data.report()
        data.fingerprint()
    with open(os.path.join(root, b"\xff.png"), "wb") as file:
        file.write(b"no image")
    with pytest.raises(DataError, match=r"cannot read image .*a/\\xff.png") as error:
        jaxgen.data.load(str(tmp_path / "a"))
    str(error.value).encode()


def test_what_may_not_be_read_is_named(tmp_path, monkeypatch):
    root = place(tmp_path / "a", {f"{i}.png": png(i) for i in range(4)})

    def refused(*_, **__):
        raise PermissionError(13, "Permission denied", "x")

    with monkeypatch.context() as patch:
        patch.setattr(PIL.Image, "open", refused)
        with pytest.raises(DataError, match=r"may not read .*/0.png: Permission denied"):
            jaxgen.data.load(root)
    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(DataError, match=r"may not list x: Permission denied"):
        jaxgen.data.load(root)


ORIENTED = ["png", "late.png", "webp", "jpg", "tif"]


def oriented(path, orientation):
    """16 rows of 24 pixels: the left third is white, the rest black."""
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:, :8] = 255
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    options = {"webp": {"lossless": True}, "jpg": {"quality": 95}}.get(path.suffix[1:], {})
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(path, exif=exif, **options)
    if path.name.endswith("late.png"):  # the chunk behind the pixels, as some tools put it
        content = path.read_bytes()
        start = content.find(b"eXIf") - 4
        size = 12 + int.from_bytes(content[start : start + 4], "big")
        chunk = content[start : start + size]
        rest = content[:start] + content[start + size :]
        end = rest.find(b"IEND") - 4
        path.write_bytes(rest[:end] + chunk + rest[end:])


@pytest.mark.parametrize("suffix", ORIENTED)
def test_the_orientation_of_every_format_counts(tmp_path, suffix):
    for i in range(2):
        oriented(tmp_path / "a" / f"{i}{suffix if '.' in suffix else '.' + suffix}", 6)
    for memory in (512, 0):  # 6: the first row is on the right, so white is at the top
        data = jaxgen.data.load(str(tmp_path / "a"), in_memory_mb=memory)
        assert data.spec.shape == (24, 16, 3)
        (x,) = data.splits["train"].take(np.arange(1))["x"]
        assert x[:7].min() > 240 and x[9:].max() < 15


@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_orientations_of_png_are_those_of_tiff(tmp_path, orientation):
    """Pillow itself turns a TIFF."""
    from jaxgen.data import images

    found = []
    for suffix in ("png", "tif"):
        oriented(tmp_path / f"a.{suffix}", orientation)
        kind = images.kind(tmp_path / f"a.{suffix}", "a")
        found.append(images.decode(tmp_path / f"a.{suffix}", "a"))
        assert (kind.height, kind.width) == found[-1].shape[:2]
    np.testing.assert_array_equal(*found)


def mixed(root):
    """One image of each kind; the fully transparent ones hide black."""
    grey = np.full((4, 4), 80, np.uint8)
    PIL.Image.new("RGB", (4, 4), (80, 80, 80)).save(root / "0rgb.png")
    PIL.Image.fromarray(grey).save(root / "1grey.png")
    PIL.Image.fromarray(grey.astype(np.uint16) * 257).save(root / "2deep.png")
    PIL.Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(root / "3clear.png")
    PIL.Image.new("LA", (4, 4), (80, 255)).save(root / "4la.png")
    PIL.Image.new("RGB", (4, 4), (80, 80, 80)).quantize().save(root / "5palette.png")
    PIL.Image.new("CMYK", (4, 4), (175, 175, 175, 0)).save(root / "6cmyk.tif")
    PIL.Image.new("1", (4, 4), 1).save(root / "7bit.png")


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("LA", 2), ("RGB", 3), ("RGBA", 4)])
def test_mixed_kinds_are_brought_to_one(tmp_path, mode, channels):
    mixed(tmp_path)
    with pytest.raises(DataError, match=r"add --config.data.mode=RGB \(or L, LA, RGBA\)"):
        jaxgen.data.load(str(tmp_path))
    data = jaxgen.data.load(str(tmp_path), mode=mode, test_fraction=0.99)
    assert data.spec.shape == (4, 4, channels) and data.spec.levels == 256
    x = {}
    for split in data.splits.values():
        files = [] if split is None else split.take(np.arange(len(split)))["x"]
        x |= {bytes(image): image for image in files}
    colours = {tuple(image[0, 0].tolist()) for image in x.values()}
    grey, full = (80,) * min(channels, 3 - 2 * (channels < 3)), channels in (2, 4)
    expected = {grey + (255,) * full, (255,) * channels}
    if full:
        expected |= {(0,) * channels}
    assert colours == expected


def test_frames_and_pages_that_are_not_used(tmp_path):
    frames = [PIL.Image.new("RGB", (4, 4), (100 * i, 0, 0)) for i in range(3)]
    for name in ("0.png", "1.tif", "2.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "3.png")
    report = jaxgen.data.load(str(tmp_path)).report()
    assert "not used: all frames or pages but the first of 3 files, e.g. 0.png" in report


def test_mode_of_what_has_none(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((4, 2)))
    with pytest.raises(DataError, match="data.mode=RGB is of a folder or .zip of images"):
        jaxgen.data.load(str(tmp_path / "a.npy"), mode="RGB")
    with pytest.raises(DataError, match="expected data.mode as one of L, LA, RGB, RGBA; got 'rgb'"):
        jaxgen.data.load(str(tmp_path), mode="rgb")
