"""One directory of prepared data for the session, and helpers to write image files."""

import pathlib

import numpy as np
import PIL.Image
import pytest


@pytest.fixture(scope="session")
def prepared_dir(tmp_path_factory) -> str:
    return str(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(autouse=True)
def _no_ambient_data(monkeypatch, tmp_path):
    """Tests neither see nor write what the user has prepared."""
    monkeypatch.setenv("JAXGEN_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
def write():
    """write(path, shape, seed=0, dtype=uint8): a random image file; returns its pixels."""

    def write(path: pathlib.Path, shape: tuple, seed: int = 0, dtype=np.uint8) -> np.ndarray:
        path.parent.mkdir(parents=True, exist_ok=True)
        top = np.iinfo(dtype).max
        pixels = np.random.RandomState(seed).randint(top + 1, size=shape).astype(dtype)
        PIL.Image.fromarray(pixels[..., 0] if shape[-1] == 1 else pixels).save(path)
        return pixels

    return write
