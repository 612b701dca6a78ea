"""Folders of images: every layout and kind that works, and a clear word on what does not."""

import shutil

import numpy as np
import PIL.Image
import pytest

import jaxgen.data
from jaxgen.data import DataError


def everything(split):
    return split.take(np.arange(len(split)))


def fill(write, root, count=20, shape=(6, 5, 3), suffix="png"):
    return {
        f"{i:03}.{suffix}": write(root / f"{i:03}.{suffix}", shape, seed=i) for i in range(count)
    }


@pytest.mark.parametrize("memory", [512, 0])
def test_train_test_and_class_folders(tmp_path, write, memory):
    root = tmp_path / "photos"
    pixels = {}
    for split, count in (("train", 3), ("test", 2)):
        for k, name in enumerate(("cat", "dog")):
            for i in range(count):
                pixels[split, k, i] = write(
                    root / split / name / f"{i}.png", (6, 5, 3), seed=len(pixels)
                )
    (root / "notes.txt").write_text("hello")
    data = jaxgen.data.load(f"folder:{root}", in_memory_mb=memory)
    spec = data.spec
    assert (spec.name, spec.shape, spec.levels, spec.num_classes) == ("photos", (6, 5, 3), 256, 2)
    assert data.classes == ("cat", "dog")
    for split, count in (("train", 3), ("test", 2)):
        batch = everything(data.splits[split])
        expected = [pixels[split, k, i] for k in range(2) for i in range(count)]
        np.testing.assert_array_equal(batch["x"], expected)
        assert batch["x"].dtype == np.uint8 and batch["label"].dtype == np.int32
        assert batch["label"].tolist() == [0] * count + [1] * count
    report = data.report()
    assert "train 6, test 4" in report and "2 (cat 3, dog 3)" in report
    assert "not used: 1 .txt file, e.g. notes.txt" in report
    assert ("in memory" if memory else "from disk") in report


def test_fingerprints_follow_the_content(tmp_path, write):
    fill(write, tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b" / "a")
    for memory in (512, 0):
        first, copy = (
            jaxgen.data.load(f"{tmp_path}/{name}", in_memory_mb=memory).fingerprint()
            for name in ("a", "b/a")
        )
        assert first == copy
    write(tmp_path / "b" / "a" / "003.png", (6, 5, 3), seed=99)
    for memory in (512, 0):
        first, changed = (
            jaxgen.data.load(f"{tmp_path}/{name}", in_memory_mb=memory).fingerprint()
            for name in ("a", "b/a")
        )
        assert first != changed


def test_held_out_files_depend_on_their_path_and_the_seed_alone(tmp_path, write):
    pixels = fill(write, tmp_path / "a", 60)

    def tests(seed=0):
        data = jaxgen.data.load(str(tmp_path / "a"), test_fraction=0.3, seed=seed)
        assert data.spec.num_classes == 0
        x = everything(data.splits["test"])["x"]
        return {name for name, p in pixels.items() if any((p == image).all() for image in x)}

    before = tests()
    assert 5 < len(before) < 35
    assert tests() == before != tests(seed=1)
    pixels |= {"new.png": write(tmp_path / "a" / "new.png", (6, 5, 3), seed=1000)}
    assert tests() - {"new.png"} == before


@pytest.mark.parametrize("count", [2, 3])
def test_both_splits_hold_something(tmp_path, write, count):
    fill(write, tmp_path / "a", count)
    for fraction in (0.001, 0.999):
        data = jaxgen.data.load(str(tmp_path / "a"), test_fraction=fraction)
        assert min(len(data.splits["train"]), len(data.splits["test"])) >= 1


@pytest.mark.parametrize(
    ("shape", "suffix", "dtype", "levels"),
    [
        ((6, 9, 1), "png", np.uint8, 256),
        ((6, 9, 3), "bmp", np.uint8, 256),
        ((6, 9, 4), "png", np.uint8, 256),
        ((6, 9, 2), "png", np.uint8, 256),
        ((6, 9, 1), "png", np.uint16, 65536),
        ((6, 9, 1), "tif", np.uint16, 65536),
        ((6, 9, 3), "tiff", np.uint8, 256),
    ],
)
def test_kinds_are_kept_exactly(tmp_path, write, shape, suffix, dtype, levels):
    pixels = [write(tmp_path / "a" / f"{i}.{suffix}", shape, i, dtype) for i in range(4)]
    data = jaxgen.data.load(str(tmp_path / "a"))
    assert (data.spec.shape, data.spec.levels) == (shape, levels)
    x = np.concatenate([everything(split)["x"] for split in data.splits.values()])
    assert x.dtype == dtype
    assert sorted(map(bytes, x)) == sorted(map(bytes, pixels))


def test_lossy_files_and_palettes(tmp_path, write):
    for name in ("jpg", "webp", "JPEG"):
        for i in range(3):
            write(tmp_path / name / f"{i}.{name}", (8, 6, 3), i)
        assert jaxgen.data.load(str(tmp_path / name)).spec.shape == (8, 6, 3)
    (tmp_path / "palette").mkdir()
    for i in range(2):
        image = PIL.Image.fromarray(np.full((4, 4, 3), 40 * i, np.uint8))
        image.convert("P").save(tmp_path / "palette" / f"{i}.png")
    assert jaxgen.data.load(str(tmp_path / "palette")).spec.shape == (4, 4, 3)


def test_bilevel_images_have_two_levels(tmp_path):
    (tmp_path / "a").mkdir()
    for i in range(2):
        PIL.Image.fromarray(np.eye(4, k=i) > 0).save(tmp_path / "a" / f"{i}.png")
    data = jaxgen.data.load(str(tmp_path / "a"))
    assert data.spec.levels == 2
    assert set(np.unique(everything(data.splits["train"])["x"])) == {0, 1}


def test_camera_orientation_is_applied(tmp_path):
    (tmp_path / "a").mkdir()
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, :16] = 255
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    for i in range(2):
        PIL.Image.fromarray(pixels).save(tmp_path / "a" / f"{i}.jpg", exif=exif)
    data = jaxgen.data.load(str(tmp_path / "a"))
    assert data.spec.shape == (32, 16, 3)
    (image,) = everything(data.splits["train"])["x"]
    assert image[:14].min() > 200 and image[18:].max() < 50


def test_one_sub_folder_is_no_class(tmp_path, write):
    fill(write, tmp_path / "a" / "img_align", 4)
    data = jaxgen.data.load(str(tmp_path / "a"))
    assert data.spec.num_classes == 0
    assert "one sub-folder only (img_align): taken as unlabelled" in data.report()


def test_different_sizes(tmp_path, write):
    root = tmp_path / "a"
    for i in range(3):
        write(root / f"{i}.png", (6, 5, 3), i)
    write(root / "big.png", (8, 12, 3))
    with pytest.raises(DataError) as caught:
        jaxgen.data.load(str(root))
    message = str(caught.value)
    assert "3 of 6x5 (e.g. 0.png), 1 of 8x12 (e.g. big.png)" in message
    assert "--config.data.size=64,64 --config.data.fit=crop (or pad, or stretch)" in message
    for fit in ("crop", "pad", "stretch"):
        for memory in (512, 0):
            data = jaxgen.data.load(str(root), size="4,4", fit=fit, in_memory_mb=memory)
            assert data.spec.shape == (4, 4, 3)
            assert everything(data.splits["train"])["x"].shape == (3, 4, 4, 3)


def test_another_size_without_a_fit(tmp_path, write):
    fill(write, tmp_path / "a", 3)
    with pytest.raises(DataError, match="are 6x5, not 8x8: add --config.data.fit=crop"):
        jaxgen.data.load(str(tmp_path / "a"), size=8)


def test_different_modes(tmp_path, write):
    write(tmp_path / "a" / "0.png", (6, 5, 3))
    write(tmp_path / "a" / "1.png", (6, 5, 3))
    write(tmp_path / "a" / "2.png", (6, 5, 1))
    expected = r"2 of 3 channels of 8 bit \(e.g. 0.png\), 1 of 1 channel of 8 bit \(e.g. 2.png\)"
    with pytest.raises(DataError, match=expected):
        jaxgen.data.load(str(tmp_path / "a"))


@pytest.mark.parametrize("memory", [512, 0])
def test_truncated_image_is_named(tmp_path, write, memory):
    fill(write, tmp_path / "a", 5, (64, 64, 3))
    path = tmp_path / "a" / "002.png"
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(DataError, match=r"damaged image .*002.png: .*copy it anew or delete it"):
        for split in jaxgen.data.load(str(tmp_path / "a"), in_memory_mb=memory).splits.values():
            everything(split)


def test_first_of_two_bad_files_is_named(tmp_path, write):
    fill(write, tmp_path / "a")
    for name in ("007.png", "011.png"):
        (tmp_path / "a" / name).write_bytes(b"not an image")
    with pytest.raises(DataError, match="cannot read image .*007.png"):
        jaxgen.data.load(str(tmp_path / "a"))


def test_threads_change_nothing(tmp_path, write, monkeypatch):
    from jaxgen.data import folder

    fill(write, tmp_path / "a", 50)
    before = jaxgen.data.load(str(tmp_path / "a")).fingerprint()
    monkeypatch.setattr(folder, "THREADS_PAY_S", 0)
    assert jaxgen.data.load(str(tmp_path / "a")).fingerprint() == before
    (tmp_path / "a" / "040.png").write_bytes(b"not an image")
    (tmp_path / "a" / "045.png").write_bytes(b"not an image")
    with pytest.raises(DataError, match="cannot read image .*040.png"):
        jaxgen.data.load(str(tmp_path / "a"))


def test_sixteen_bit_colour_is_refused(tmp_path, write):
    """Pillow would silently give 8 of the 16 bits."""
    import struct
    import zlib

    def chunk(kind, body):
        crc = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + crc

    rows = b"".join(b"\0" + bytes(range(24)) for _ in range(4))
    header = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    write(tmp_path / "a" / "0.png", (4, 4, 3))
    (tmp_path / "a" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    with pytest.raises(DataError, match="1.png: 16-bit images of several channels"):
        jaxgen.data.load(str(tmp_path / "a"))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "no images in .*: it holds no files"),
        (["a.txt"], r"no images in .*: it holds only a.txt; expected files named \*.png"),
        (["a.png"], "at least 2 images"),
        (["test/a.png", "test/b.png"], "images in test/ but none in train/"),
        (["cat/a.png", "b.png"], r"both in sub-folders \(cat\) and beside them \(b.png\)"),
        (
            ["train/cat/a.png", "train/dog/b.png", "test/cow/c.png"],
            "test image test/cow/c.png is of class 'cow'",
        ),
    ],
)
def test_folders_that_do_not_work(tmp_path, write, files, message):
    root = tmp_path / "a"
    root.mkdir()
    for i, file in enumerate(files):
        if file.endswith(".txt"):
            (root / file).write_text("")
        else:
            write(root / file, (4, 4, 3), i)
    with pytest.raises(DataError, match=message):
        jaxgen.data.load(str(root))
