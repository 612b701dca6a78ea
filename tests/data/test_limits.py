"""Files that claim or become more than they are: refused in one line, before memory is taken."""

import gzip
import io
import os
import struct
import zipfile
import zlib

import numpy as np
import PIL.Image
import pytest
from memory import growth

import jaxgen.data
from jaxgen.data import images, limits
from jaxgen.data.dataset import DataError

X = np.arange(24.0).reshape(2, 3, 4)


def npy(header):
    """A .npy file whose header is this text, with 64 bytes of numbers."""
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(64)


def described(shape, kind="<f8", order=False):
    return npy(repr({"descr": kind, "fortran_order": order, "shape": shape}))


BAD_ARRAYS = {
    "rows": described((10**11, 2)),
    "overflow": described((2**63, 2**63)),
    "negative": described((-1, 4)),
    "truth": described((True, 4)),
    "no size": described((10**11,), "|V0"),
    "empty text": described((10**11,), "<U0"),
    "long text": described((2,), "<U999999999"),
    "objects": described((2,), "|O"),
    "records": described((2,), [("a", "<f8"), ("b", "|O")]),
    "no python": npy("{'descr': (('(' * 99"),
    "deep": npy("-" * 110 + "1"),
    "code": npy("__import__('os').system('true')"),
    "no dictionary": npy("[1]"),
    "other version": b"\x93NUMPY\x03\x00" + bytes(100),
    "nothing": b"",
}


@pytest.fixture
def little_memory():
    """The test takes some megabytes at most."""
    with growth() as taken:
        yield
    assert taken.bytes < 48 * 2**20


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_headers_that_claim_more_than_there_is(name, tmp_path, little_memory):
    path = tmp_path / "a.npy"
    path.write_bytes(BAD_ARRAYS[name])
    for mapped in (False, True):
        with pytest.raises(DataError, match="a.npy (is truncated|cannot be read)") as error:
            limits.load_npy(path, mapped)
        assert "\n" not in str(error.value)
    archive = tmp_path / "a.npz"
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(archive, "w", method) as file:
            file.writestr("x.npy", BAD_ARRAYS[name])
        with pytest.raises(DataError, match="a.npz (is truncated|cannot be read)"):
            limits.load_npz(archive)


@pytest.mark.parametrize(
    "x",
    [X, np.asfortranarray(X), X[0, 0, 0], X[:0], np.array("text"), X > 3, X.astype(">f4"), X[::2]],
    ids=lambda x: f"{x.dtype}{x.shape}",
)
def test_arrays_as_numpy_wrote_them(x, tmp_path):
    np.save(tmp_path / "a.npy", x)
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(3))
    np.savez_compressed(tmp_path / "b.npz", x=x)
    found = [limits.load_npy(tmp_path / "a.npy", mapped) for mapped in (False, True)]
    found += [limits.load_npz(tmp_path / name)["x"] for name in ("a.npz", "b.npz")]
    for y in found:
        assert y.dtype == x.dtype
        np.testing.assert_array_equal(y, x)
    assert found[2].flags.writeable
    with limits.open_npz(tmp_path / "a.npz") as archive:
        assert archive.files == ["x", "y"]


def bomb(size):
    """A deflated .npz entry of so many zeros."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        with file.open("x.npy", "w", force_zip64=True) as entry:
            entry.write(described((size,), "|u1"))
            for _ in range(0, size, 2**20):
                entry.write(bytes(2**20))
    return out.getvalue()


def test_archives_that_become_a_thousand_times_as_much(tmp_path, little_memory, monkeypatch):
    monkeypatch.setattr(limits, "SMALL", 2**20)
    path = tmp_path / "a.npz"
    path.write_bytes(bomb(8 * 2**20))
    assert path.stat().st_size < 2**15
    with pytest.raises(DataError, match="bytes would become 8,"):
        limits.load_npz(path)
    with pytest.raises(DataError, match="bytes would become 8,"):
        jaxgen.data.load(str(path))


def test_archives_compressed_in_other_ways(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as file:
        file.writestr("x.npy", BAD_ARRAYS["rows"])
    with pytest.raises(DataError, match="compressed in another way"):
        limits.load_npz(path)


def test_pipes_are_not_waited_for(tmp_path):
    for name in ("a.npy", "a.npz", "a.png"):
        os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match="cannot read image .*: it is no regular file"):
        images.kind(tmp_path / "a.png", "a.png")
    with pytest.raises(DataError, match="a.npy is no regular file"):
        limits.load_npy(tmp_path / "a.npy")
    with pytest.raises(DataError, match="a.npz is no regular file"):
        limits.load_npz(tmp_path / "a.npz")
    with pytest.raises(DataError, match="cannot read .*absent.npy: No such file"):
        limits.load_npy(tmp_path / "absent.npy")


def test_gunzip(monkeypatch):
    raw = bytes(range(256)) * 100
    assert limits.gunzip(gzip.compress(raw)) == raw
    assert limits.gunzip(gzip.compress(raw[:99]) + gzip.compress(raw[99:])) == raw
    monkeypatch.setattr(limits, "SMALL", 1000)
    with pytest.raises(OSError, match="bytes become more than"):
        limits.gunzip(gzip.compress(bytes(2**20)))
    with pytest.raises(EOFError):
        limits.gunzip(gzip.compress(raw)[:-20])
    with pytest.raises(OSError, match="incorrect header"):
        limits.gunzip(b"nonsense")


def png(width, height):
    """A PNG whose header claims a size, and whose pixels are cut short."""

    def chunk(name, data):
        check = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99))


@pytest.mark.parametrize("side", [9000, 12_000, 2**31 - 1])
def test_images_that_claim_many_pixels(side, tmp_path, little_memory):
    path = tmp_path / "a.png"
    path.write_bytes(png(side, side))
    for function in (images.kind, images.decode):
        with pytest.raises(DataError, match="a.png: .*pixels"):
            function(path, str(path))
    with pytest.raises(DataError, match="pixels"):
        images.decode(io.BytesIO(path.read_bytes()), "a record")


@pytest.mark.parametrize("form", ["EPS", "PDF", "GIF", "PPM", "ICO"])
def test_formats_that_are_not_named_are_not_opened(form, tmp_path):
    path = tmp_path / "a.png"
    PIL.Image.new("RGB", (4, 4)).save(path, form)
    with pytest.raises(DataError, match="cannot read image"):
        images.kind(path, str(path))


def test_tables_that_become_a_thousand_times_as_much(tmp_path, monkeypatch):
    import pyarrow
    import pyarrow.parquet

    monkeypatch.setattr(limits, "SMALL", 2**20)
    column = pyarrow.array(np.zeros(900_000, np.int8))
    pyarrow.parquet.write_table(pyarrow.table({"a": column}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="bytes would become 7,200,000"):
        jaxgen.data.load(str(tmp_path / "a.parquet"))
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"1,2\n" * 2**21))
    with pytest.raises(DataError, match="bytes become more than"):
        jaxgen.data.load(str(tmp_path / "a.csv.gz"))
