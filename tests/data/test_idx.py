"""idx files: the real MNIST where it is at hand, small files otherwise, and every way to be bad."""

import gzip
import os
import pathlib
import struct

import numpy as np
import pytest

import jaxgen.data
from jaxgen.data import DataError, idx

MNIST = pathlib.Path(
    os.environ.get("JAXGEN_MNIST_DIR")
    or pathlib.Path(__file__).parents[2].parent / "shared" / "data" / "mnist"
)
COUNT = {"train": 7, "test": 3}


def encoded(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}i", *array.shape)
    return header + array.tobytes()


@pytest.fixture
def arrays():
    random = np.random.RandomState(0)
    return {
        split: (
            random.randint(256, size=(COUNT[split], 5, 4)).astype(np.uint8),
            random.randint(10, size=COUNT[split]).astype(np.uint8),
        )
        for split in COUNT
    }


@pytest.fixture
def folder(tmp_path, arrays):
    for split, files in idx.FILES.items():
        for file, array in zip(files, arrays[split], strict=True):
            (tmp_path / f"{file}.gz").write_bytes(gzip.compress(encoded(array)))
    return tmp_path


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", idx.NAMES)
def test_load(folder, arrays, name, zipped):
    if not zipped:
        for path in list(folder.glob("*.gz")):
            path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
            path.unlink()
    data = jaxgen.data.load(name, manual_dir=str(folder))
    spec = data.spec
    assert (spec.name, spec.shape, spec.levels, spec.num_classes) == (name, (5, 4, 1), 256, 10)
    for split, (x, label) in arrays.items():
        batch = data.splits[split].take(np.arange(COUNT[split]))
        np.testing.assert_array_equal(batch["x"], x[..., None])
        np.testing.assert_array_equal(batch["label"], label)
        assert batch["label"].dtype == np.int32
    assert "warning: only 7 train examples" in data.report()


@pytest.mark.skipif(not MNIST.is_dir(), reason="no MNIST files here")
def test_real_mnist():
    data = jaxgen.data.load("mnist", manual_dir=str(MNIST))
    x = data.splits["train"].take(np.arange(60_000))["x"]
    assert x.shape == (60_000, 28, 28, 1) and len(data.splits["test"]) == 10_000
    assert x.mean(dtype=np.float64) / 255 == pytest.approx(0.1307, abs=1e-4)
    assert x.std(dtype=np.float64) / 255 == pytest.approx(0.3081, abs=1e-4)
    assert data.splits["train"].labels[:5].tolist() == [5, 0, 4, 1, 9]


def spoil(folder, case):
    path = folder / "train-images-idx3-ubyte.gz"
    raw = gzip.decompress(path.read_bytes())
    if case == "absent":
        path.unlink()
    elif case == "truncated gzip":
        path.write_bytes(path.read_bytes()[:-20])
    elif case == "truncated":
        path.write_bytes(gzip.compress(raw[:-1]))
    elif case == "web page":
        path.write_bytes(b"<!DOCTYPE html><html>Quota exceeded</html>")
    elif case == "other magic":
        path.write_bytes(gzip.compress(b"\x00\x00\x0d\x03" + raw[4:]))
    elif case == "empty":
        path.write_bytes(b"")
    else:
        labels = folder / "train-labels-idx1-ubyte.gz"
        wrong = {"count": [1, 2], "label": [1, 2, 3, 4, 5, 6, 10]}[case]
        labels.write_bytes(gzip.compress(encoded(np.array(wrong, np.uint8))))


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("absent", r"no train-images-idx3-ubyte.gz and no .* in .*manual_dir=DIR"),
        ("truncated gzip", r"train-images-idx3-ubyte.gz is truncated or damaged"),
        ("truncated", r"train-images-.*: expected 7x5x4 bytes as its header says, got 139"),
        ("web page", r"train-images-.* is a web page, not data"),
        ("other magic", r"train-images-.* expected it to begin with 00000803, got 00000d03"),
        ("empty", r"train-images-.* got nothing"),
        ("count", r"train-labels-.*: expected 7 labels, .* got 2"),
        ("label", r"train-labels-.*: expected labels 0 .. 9, got 10"),
    ],
)
def test_bad_files_are_named(folder, case, message):
    spoil(folder, case)
    with pytest.raises(DataError, match=message) as caught:
        jaxgen.data.load("mnist", manual_dir=str(folder))
    assert str(folder) in str(caught.value)


def test_absent_folder(tmp_path):
    with pytest.raises(DataError, match="manual_dir=.*nowhere is no directory"):
        jaxgen.data.load("mnist", manual_dir=str(tmp_path / "nowhere"))
