"""Files of torch.save, of both formats, read without PyTorch.

torch_zip.pth and torch_row.pth hold what `EXPECTED` says; PyTorch 2.13.0 wrote them, by torch.save
with and without `_use_new_zipfile_serialization`.
"""

import os
import pathlib
import pickle

import numpy as np
import pytest

from jaxgen.config import ConfigError
from jaxgen.data import torch_file

HERE = pathlib.Path(__file__).parent
A = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
EXPECTED = {
    "a": A,
    "view": A.transpose(2, 1, 0)[1:],
    "half": np.array([1.5, -2], np.float16),
    "count": np.array(7),
    "param": np.ones(2, np.float32),
}


@pytest.mark.parametrize("kind", ("zip", "row"))
def test_tensors(kind):
    found = torch_file.read(HERE / f"torch_{kind}.pth")
    assert found.keys() == EXPECTED.keys()
    for name, value in EXPECTED.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


def test_a_pickle_that_calls_a_function_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.pth"
    head = b"".join(pickle.dumps(value) for value in (torch_file.MAGIC, 1001, {}))
    path.write_bytes(head + pickle.dumps({"a": Evil()}))
    with pytest.raises(ConfigError, match="asks for posix.mkdir, which no tensors need; it is not"):
        torch_file.read(path)
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("kind", ("zip", "row"))
def test_damaged_files(kind, tmp_path):
    path = tmp_path / "cut.pth"
    whole = (HERE / f"torch_{kind}.pth").read_bytes()
    for length in (len(whole) - 3, len(whole) // 2, 10, 0):
        path.write_bytes(whole[:length])
        with pytest.raises(ConfigError, match=str(path)):
            torch_file.read(path)


def test_what_is_no_tensor(tmp_path):
    head = b"".join(pickle.dumps(value) for value in (torch_file.MAGIC, 1001, {}))
    for value, message in (
        ([1], "it holds a list, expected a dictionary"),
        ({"a": 1}, "'a' is a int, expected a tensor"),
    ):
        path = tmp_path / "odd.pth"
        path.write_bytes(head + pickle.dumps(value) + pickle.dumps([]))
        with pytest.raises(ConfigError, match=message):
            torch_file.read(path)
    with pytest.raises(ConfigError, match="No such file"):
        torch_file.read(tmp_path / "none.pth")
    with pytest.raises(ConfigError, match="an array reaches beyond its storage"):
        torch_file.strided(np.zeros(5), 2, (2, 2), (2, 1))
