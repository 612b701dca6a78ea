"""Files of weights: found, checked, converted once, fetched when asked."""

import dataclasses
import hashlib
import pathlib

import numpy as np
import pytest

from jaxgen.config import ConfigError
from jaxgen.data import torch_file
from jaxgen.data.embedded.digits import SPEC
from jaxgen.data.limits import load_npz
from jaxgen.evaluate.extractors import extractor
from jaxgen.weights import published as weights

FILE = pathlib.Path(__file__).parents[1] / "data" / "torch_zip.pth"


@pytest.fixture(autouse=True)
def known(monkeypatch, tmp_path):
    """A small file under the name of the weights, on a server that is a disk."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    small = dataclasses.replace(
        weights.KNOWN["inception"],
        url=FILE.as_uri(),
        sha256=hashlib.sha256(FILE.read_bytes()).hexdigest(),
        size=FILE.stat().st_size,
    )
    monkeypatch.setitem(weights.KNOWN, "inception", small)
    return small


def equal(found, expected):
    return found.keys() == expected.keys() and all(
        np.array_equal(found[name], value) for name, value in expected.items()
    )


def test_fetched_once_converted_once(known, tmp_path, monkeypatch):
    said = []
    path = weights.download("inception", str(tmp_path), said.append)
    assert path.read_bytes() == FILE.read_bytes() and path.parent == tmp_path / "weights"
    assert known.url in said[0] and "Apache-2.0" in said[0]
    assert weights.download("inception", str(tmp_path), said.append) == path and len(said) == 1
    expected = torch_file.read(FILE)
    found, digest = weights.arrays("inception", data_dir=str(tmp_path))
    assert equal(found, expected) and digest == known.sha256
    read = []
    monkeypatch.setattr(torch_file, "read", lambda path: read.append(path) or expected)
    assert equal(weights.arrays("inception", data_dir=str(tmp_path))[0], expected) and not read
    converted = next((tmp_path / "weights").glob("*.npz"))
    arrays = load_npz(converted)
    np.savez(converted, **arrays | {"a": arrays["a"] + 1})  # changed: read from the source again
    assert equal(weights.arrays("inception", data_dir=str(tmp_path))[0], expected)
    assert len(read) == 1
    assert sorted(p.suffix for p in path.parent.iterdir()) == [".npz", ".pth"]


def test_found_in_the_cache_of_pytorch_under_its_other_name(known, tmp_path):
    place = tmp_path / "torch" / "hub" / "checkpoints"
    place.mkdir(parents=True)
    (place / known.aliases[0]).write_bytes(FILE.read_bytes())
    found, _ = weights.arrays("inception", data_dir=str(tmp_path))
    assert equal(found, torch_file.read(FILE))


def test_missing_and_wrong_files(known, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="no pt_inception.*type jaxgen weights inception, or"):
        extractor("inception", SPEC, data_dir=str(tmp_path))
    other = tmp_path / "other.pth"
    other.write_bytes(FILE.read_bytes() + b"x")
    with pytest.raises(ConfigError, match="other.pth is not pt_inception.* its sha256 is"):
        extractor("inception", SPEC, weights=str(other), data_dir=str(tmp_path))
    with pytest.raises(ConfigError, match="none.pth: No such file"):
        extractor("inception", SPEC, weights=str(tmp_path / "none.pth"), data_dir=str(tmp_path))
    gone = dataclasses.replace(known, url=(tmp_path / "gone").as_uri())
    monkeypatch.setitem(weights.KNOWN, "inception", gone)
    with pytest.raises(ConfigError, match="cannot fetch file.*fetch file.*elsewhere and put it"):
        weights.download("inception", str(tmp_path), print)
    changed = dataclasses.replace(known, url=other.as_uri())
    monkeypatch.setitem(weights.KNOWN, "inception", changed)
    with pytest.raises(ConfigError, match="its sha256 is"):
        weights.download("inception", str(tmp_path), print)
    assert not any((tmp_path / "weights").iterdir())


def test_command(jaxgen_command, known, monkeypatch, tmp_path):
    monkeypatch.setenv("JAXGEN_DATA_DIR", str(tmp_path))
    from jaxgen.weights.published import fetch

    with pytest.raises(ConfigError, match="unknown weights 'incepton': did you mean 'inception'"):
        fetch("incepton", print)
    fetch("inception", print)
    assert (tmp_path / "weights" / known.file).is_file()
    err = jaxgen_command("weights", "x", code=2).err
    assert "unknown weights 'x'" in err
