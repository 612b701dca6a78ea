"""The format safetensors, against its authors' reader and writer; and files that lie."""

import json

import ml_dtypes
import numpy as np
import pytest

from jaxgen.config import ConfigError
from jaxgen.weights.safetensors import TYPES, read, write

ABOUT = {"step": "3", "config": '{"a": "ä"}'}


def arrays():
    """One of every type, with a scalar, an empty one, and strides."""
    random = np.random.RandomState(0)
    found = {f"a.{k}": random.randint(0, 2, (3, 5)).astype(t) for k, t in TYPES.items()}
    found |= {"scalar": np.asarray(1.5, np.float32), "none": np.zeros((0, 3), np.float32)}
    found["strides"] = random.randn(4, 6).astype(np.float32).T[::2]
    return found


def same(found, wanted):
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), name
        assert found[name].tobytes() == array.tobytes(), name


def test_round_trip(tmp_path):
    write(tmp_path / "x.safetensors", arrays(), ABOUT)
    found, about = read(tmp_path / "x.safetensors")
    same(found, arrays())
    assert about == ABOUT


def test_what_is_written_is_read_by_the_authors(tmp_path):
    official = pytest.importorskip("safetensors")
    write(tmp_path / "x.safetensors", arrays(), ABOUT)
    with official.safe_open(tmp_path / "x.safetensors", "np") as file:
        assert file.metadata() == ABOUT
        names = [n for n in file.keys() if n != "a.BF16"]  # noqa: SIM118
        same({n: file.get_tensor(n) for n in names}, {n: arrays()[n] for n in names})
        assert file.get_slice("a.BF16").get_dtype() == "BF16"


def test_what_the_authors_write_is_read(tmp_path):
    official = pytest.importorskip("safetensors.numpy")
    own = {k: np.ascontiguousarray(v) for k, v in arrays().items() if k != "a.BF16"}
    official.save_file(own, tmp_path / "x.safetensors", ABOUT)
    found, about = read(tmp_path / "x.safetensors")
    same(found, own)
    assert about == ABOUT


def test_bfloat16_of_pytorch(tmp_path):
    torch = pytest.importorskip("torch")
    official = pytest.importorskip("safetensors.torch")
    values = torch.linspace(-3, 3, 7, dtype=torch.bfloat16)
    official.save_file({"x": values}, tmp_path / "x.safetensors")
    found, _ = read(tmp_path / "x.safetensors")
    assert found["x"].dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(found["x"].astype(np.float32), values.float().numpy())
    write(tmp_path / "y.safetensors", found, {})
    assert torch.equal(official.load_file(tmp_path / "y.safetensors")["x"], values)


def test_types_that_there_are_not(tmp_path):
    with pytest.raises(ConfigError, match="x is complex128, which safetensors does not have"):
        write(tmp_path / "x", {"x": np.zeros(2, complex)}, {})


@pytest.fixture
def bad(tmp_path):
    """bad(header, data, length): the line with which such a file is refused."""

    def refused(header, data=b"\0" * 8, length=None):
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        size = len(text) if length is None else length
        (tmp_path / "x").write_bytes(size.to_bytes(8, "little") + text + data)
        with pytest.raises(ConfigError, match="x is damaged, or no safetensors") as error:
            read(tmp_path / "x")
        assert "\n" not in str(error.value)
        return str(error.value)

    return refused


def one(dtype="F32", shape=(2,), offsets=(0, 8), **more):
    return {"a": {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)} | more}


def test_headers_that_lie(bad):
    assert "bytes in a file of" in bad(one(), length=2**63)
    assert "bytes in a file of" in bad(one(), length=10**6)
    assert "does not fit its place" in bad(one(shape=(2**62, 2)))
    assert "does not fit its place" in bad(one(offsets=(8, 0)))
    assert "does not fit its place" in bad(one(shape=[1] * 40 + [2]))
    assert "no list of whole numbers" in bad(one(shape=(-2,)))
    assert "no list of whole numbers" in bad(one(shape=(True, 2)))
    assert "no list of whole numbers" in bad(one(offsets=(0.0, 8)))
    assert "no array of a known type" in bad(one("OBJ"))
    assert "no array of a known type" in bad(one(extra=1))
    assert "no array of a known type" in bad({"a": 3})
    assert "leave a gap" in bad(one(offsets=(8, 16)), bytes(16))
    assert "overlap" in bad(one() | {"b": one()["a"]})
    assert "its arrays take 8 bytes, there are 9" in bad(one(), bytes(9))
    assert "its arrays take 8 bytes, there are 7" in bad(one(), bytes(7))


def test_headers_that_are_none(bad, tmp_path):
    assert "is there twice" in bad(b'{"a": 1, "a": 2}', b"")
    assert "is not text by name" in bad({"__metadata__": {"a": 1}}, b"")
    assert "no JSON object" in bad([1], b"")
    bad(b"[" * 10**5, b"")
    bad(b"\xff\xfe", b"")
    (tmp_path / "x").write_bytes(b"1234")
    with pytest.raises(ConfigError, match="is damaged"):
        read(tmp_path / "x")
