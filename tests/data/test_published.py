"""Data sets from the files of their authors: fetched by hash, read, and told when absent."""

import dataclasses
import gzip
import hashlib
import io
import struct
import tarfile
import zipfile

import numpy as np
import PIL.Image
import pytest

import jaxgen.data
from jaxgen.data import DataError, published

RANDOM = np.random.RandomState(0)
PIXELS = RANDOM.randint(256, size=(6, 20, 32, 32, 3)).astype(np.uint8)
LABEL = RANDOM.randint(10, size=(6, 20))
FILES = [file for part in published.CIFAR_SPLITS.values() for file in part]


def records(pixels, label):
    """As the authors say: the label, 1,024 values of red, then of green, then of blue."""
    rows = [
        bytes([k]) + b"".join(x[..., colour].tobytes() for colour in range(3))
        for x, k in zip(pixels, label, strict=True)
    ]
    return b"".join(rows)


CONTENT = {file: records(PIXELS[i], LABEL[i]) for i, file in enumerate(FILES)}


def archive(path, content):
    with tarfile.open(path, "w:gz") as tar:
        for file, raw in content.items():
            entry = tarfile.TarInfo(f"cifar-10-batches-bin/{file}")
            entry.size = len(raw)
            tar.addfile(entry, io.BytesIO(raw))
    return path


def served(monkeypatch, name, files):
    """The published files are these ones, on this machine."""
    found = tuple(
        published.Remote(p.as_uri(), hashlib.sha256(p.read_bytes()).hexdigest(), p.stat().st_size)
        for p in files
    )
    monkeypatch.setitem(published.FILES, name, found)


@pytest.mark.parametrize("form", ["archive", "unpacked", "loose"])
def test_cifar10(tmp_path, form):
    if form == "archive":
        archive(tmp_path / "cifar-10-binary.tar.gz", CONTENT | {"readme.html": b"<html>"})
    for file, raw in CONTENT.items() if form != "archive" else ():
        path = tmp_path / ("cifar-10-batches-bin" if form == "unpacked" else "") / file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(raw)
    data = jaxgen.data.load("cifar10", manual_dir=str(tmp_path))
    train, test = (data.splits[k].take(np.arange(n)) for k, n in (("train", 100), ("test", 20)))
    np.testing.assert_array_equal(train["x"], PIXELS[:5].reshape(100, 32, 32, 3))
    np.testing.assert_array_equal(train["label"], LABEL[:5].reshape(100))
    np.testing.assert_array_equal(test["x"], PIXELS[5])
    assert (data.spec.shape, data.spec.levels, data.spec.num_classes) == ((32, 32, 3), 256, 10)
    assert data.classes[:2] == ("airplane", "automobile") and len(data.classes) == 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test_batch.bin": CONTENT["test_batch.bin"][:-1]}, "test_batch.bin is truncated"),
        ({"test_batch.bin": b""}, "test_batch.bin is truncated"),
        ({"data_batch_2.bin": b"\x0b" + CONTENT["data_batch_2.bin"][1:]}, "labels 0 .. 9, got 11"),
        ({"data_batch_3.bin": bytes(published.MOST_CIFAR + 1)}, "data_batch_3.bin is truncated"),
        ({"data_batch_4.bin": None}, "holds no cifar-10-batches-bin/data_batch_4.bin"),
    ],
)
def test_damaged_cifar10(tmp_path, change, message):
    content = {k: v for k, v in (CONTENT | change).items() if v is not None}
    archive(tmp_path / "cifar-10-binary.tar.gz", content)
    with pytest.raises(DataError, match=message):
        jaxgen.data.load("cifar10", manual_dir=str(tmp_path))


def test_a_cut_archive_and_the_python_version(tmp_path):
    whole = archive(tmp_path / "cifar-10-binary.tar.gz", CONTENT)
    whole.write_bytes(whole.read_bytes()[:100_000])
    with pytest.raises(DataError, match="tar.gz is truncated or damaged"):
        jaxgen.data.load("cifar10", manual_dir=str(tmp_path))
    whole.rename(tmp_path / "cifar-10-python.tar.gz")
    with pytest.raises(DataError, match="Python version, which are pickles.*jaxgen data cifar10"):
        jaxgen.data.load("cifar10", manual_dir=str(tmp_path))


def test_fetched_once_and_found_by_name(tmp_path, monkeypatch):
    here = tmp_path / "server"
    here.mkdir()
    served(monkeypatch, "cifar10", [archive(here / "cifar-10-binary.tar.gz", CONTENT)])
    monkeypatch.setenv("JAXGEN_DATA_DIR", str(tmp_path / "data"))
    with pytest.raises(DataError, match="cifar10 is not on this machine: type jaxgen data cifar10"):
        jaxgen.data.load("cifar10")
    said = []
    root = published.fetch("cifar10", None, said.append)
    assert len(said) >= 1 and "cifar-10-binary.tar.gz" in said[0]
    assert len(jaxgen.data.load("cifar10").splits["train"]) == 100
    (here / "cifar-10-binary.tar.gz").unlink()
    again = []
    assert published.fetch("cifar10", None, again.append) == root and not again
    assert [p.name for p in root.iterdir()] == ["cifar-10-binary.tar.gz"]


def test_idx_files_are_fetched_by_the_option(tmp_path, monkeypatch):
    here = tmp_path / "server"
    here.mkdir()
    files = []
    for remote in published.FILES["kmnist"]:
        head = (3, 28, 28) if "images" in remote.file else (3,)
        raw = bytes([0, 0, 8, len(head)]) + struct.pack(f">{len(head)}i", *head)
        path = here / remote.file
        path.write_bytes(gzip.compress(raw + bytes(int(np.prod(head)))))
        files.append(path)
    served(monkeypatch, "kmnist", files)
    data = jaxgen.data.load("kmnist", data_dir=str(tmp_path / "data"), download=True)
    assert data.spec.shape == (28, 28, 1) and len(data.splits["test"]) == 3


def test_other_bytes_and_no_network(tmp_path, monkeypatch):
    here = archive(tmp_path / "cifar-10-binary.tar.gz", CONTENT)
    served(monkeypatch, "cifar10", [here])
    (right,) = published.FILES["cifar10"]
    wrong = dataclasses.replace(right, sha256="0" * 64)
    monkeypatch.setitem(published.FILES, "cifar10", (wrong,))
    with pytest.raises(DataError, match="gave other bytes than were published"):
        published.fetch("cifar10", str(tmp_path / "data"), print)
    gone = dataclasses.replace(right, url=(tmp_path / "gone.tar.gz").as_uri())
    monkeypatch.setitem(published.FILES, "cifar10", (gone,))
    with pytest.raises(DataError, match="cannot fetch .*or without a network fetch .*gone.tar.gz"):
        published.fetch("cifar10", str(tmp_path / "data"), print)
    assert not list((tmp_path / "data").rglob("*.gz")) and not list(tmp_path.rglob(".*.gz.*"))


def test_the_command(tmp_path, monkeypatch, jaxgen_command):
    served(monkeypatch, "cifar10", [archive(tmp_path / "cifar-10-binary.tar.gz", CONTENT)])
    assert "did you mean 'cifar10'" in jaxgen_command("data", "cifar1", code=2).err
    monkeypatch.setenv("JAXGEN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr("jaxgen.data.published.data_root", lambda data_dir: tmp_path / "data")
    out = jaxgen_command("data", "cifar10").out
    assert f"cifar10: {tmp_path}/data/published/cifar10" in out


def faces(folder, parts="00012", zipped=False, missing=0):
    """CelebA as its authors give it, of a few small noisy JPEGs; returns what they decode to."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{i + 1:06}.jpg" for i in range(len(parts))]
    lines = "".join(f"{name} {part}\n" for name, part in zip(names, parts, strict=True))
    (folder / "list_eval_partition.txt").write_text(lines)
    pixels, content = [], {}
    for i, name in enumerate(names):
        x = np.random.RandomState(i).randint(256, size=(28, 22, 3)).repeat(8, 0).repeat(9, 1)
        buffer = io.BytesIO()
        PIL.Image.fromarray(x[:218, :178].astype(np.uint8)).save(buffer, "jpeg")
        content[name] = buffer.getvalue()
        pixels.append(np.asarray(PIL.Image.open(buffer)))
    for name in names[missing:]:
        if zipped:
            with zipfile.ZipFile(folder / "img_align_celeba.zip", "a") as archive:
                archive.writestr(f"img_align_celeba/{name}", content[name])
        else:
            (folder / "img_align_celeba").mkdir(exist_ok=True)
            (folder / "img_align_celeba" / name).write_bytes(content[name])
    return np.stack(pixels)


@pytest.mark.parametrize("zipped", [True, False])
def test_celeba(tmp_path, zipped):
    x = faces(tmp_path, zipped=zipped)
    data = jaxgen.data.load("celeb_a", manual_dir=str(tmp_path))
    assert (data.spec.name, data.spec.shape, data.spec.levels) == ("celeb_a", (218, 178, 3), 256)
    np.testing.assert_array_equal(data.splits["train"].take(np.arange(3))["x"], x[:3])
    np.testing.assert_array_equal(data.splits["test"].take(np.arange(1))["x"], x[4:])
    small = {"size": (64, 64), "fit": "crop"}
    held = jaxgen.data.load("celeb_a", manual_dir=str(tmp_path), **small)
    streamed = jaxgen.data.load("celeb_a", manual_dir=str(tmp_path), in_memory_mb=0, **small)
    for split in ("train", "test"):
        one, other = (d.splits[split].take(np.arange(1))["x"] for d in (held, streamed))
        assert one.shape == (1, 64, 64, 3)
        np.testing.assert_array_equal(one, other)
    assert (
        held.splits["train"].place == "in memory" and streamed.splits["train"].place != "in memory"
    )


def test_celeba_that_is_not_whole(tmp_path):
    with pytest.raises(
        DataError, match="no .*img_align_celeba.zip, nor .*type jaxgen data celeb_a"
    ):
        jaxgen.data.load("celeb_a", manual_dir=str(tmp_path))
    faces(tmp_path / "a", missing=2)
    with pytest.raises(DataError, match="misses 2 of 3 faces, as 000001.jpg; fetch it anew"):
        jaxgen.data.load("celeb_a", manual_dir=str(tmp_path / "a"))
    faces(tmp_path / "b", parts="0003")
    with pytest.raises(DataError, match="line 4: '000004.jpg 3', expected a name and 0, 1 or 2"):
        jaxgen.data.load("celeb_a", manual_dir=str(tmp_path / "b"))
    faces(tmp_path / "c", parts="000")
    with pytest.raises(DataError, match="names no train or no test faces"):
        jaxgen.data.load("celeb_a", manual_dir=str(tmp_path / "c"))
    (tmp_path / "c/list_eval_partition.txt").unlink()
    with pytest.raises(DataError, match="cannot read .*list_eval_partition.txt .*manual_dir=DIR"):
        jaxgen.data.load("celeb_a", manual_dir=str(tmp_path / "c"))


def test_a_page_in_place_of_the_file(tmp_path, monkeypatch):
    page = tmp_path / "img_align_celeba.zip"
    page.write_text("<!DOCTYPE html><html>Google Drive - Quota exceeded</html>")
    served(monkeypatch, "celeb_a", [page])
    with pytest.raises(DataError, match="gave a web page: too many .* fetch file:.* elsewhere"):
        published.fetch("celeb_a", str(tmp_path / "data"), lambda _: None)
    assert not list((tmp_path / "data").rglob("*.zip"))
