"""Rows that come in chunks, as one .npz file."""

import numpy as np
import pytest

from jaxgen.config import ConfigError
from jaxgen.data.limits import load_npz
from jaxgen.files import WriteError
from jaxgen.tools.streamed import save_rows
from jaxgen.verbs import sample


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_file_as_savez_writes_it(tmp_path, dtype):
    x = np.arange(70).reshape(7, 5, 2).astype(dtype)
    save_rows(tmp_path / "new" / "x.npz", "x", 7, (x[i : i + 3] for i in range(0, 7, 3)))
    np.savez(tmp_path / "whole.npz", x=x)
    found, whole = (load_npz(tmp_path / name) for name in ("new/x.npz", "whole.npz"))
    assert list(found) == list(whole) and found["x"].dtype == dtype
    np.testing.assert_array_equal(found["x"], x)


def test_what_was_interrupted_leaves_nothing(tmp_path):
    def chunks():
        yield np.zeros((3, 2))
        raise OSError(28, "No space left on device")

    with pytest.raises(WriteError, match="x.npz: No space left on device"):
        save_rows(tmp_path / "x.npz", "x", 7, chunks())
    with pytest.raises(ConfigError, match=r"1,000,000,000,000,000 rows: .* are free at"):
        save_rows(tmp_path / "x.npz", "x", 10**15, iter([np.zeros((3, 2))]))
    assert not list(tmp_path.iterdir())


def test_a_grid_that_opens_nowhere_is_refused():
    sample._check_grid(10_000, (8, 8, 1))
    sample._check_grid(10**9, (2,))  # points are drawn on one plane
    with pytest.raises(ConfigError, match=r"--num=1000000: .* more than \d+,\d+ such images opens"):
        sample._check_grid(10**6, (8, 8, 1))
