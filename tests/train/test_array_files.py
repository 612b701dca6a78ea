"""Metadata of stored arrays that claim more than the state has: refused before they are read."""

import json

import jax
import jax.numpy as jnp
import pytest
import tensorstore

from jaxgen.train import array_files
from jaxgen.train.checkpoint import Checkpoints
from jaxgen.train.integrity import Mismatch

STATE = {"kernel": jnp.arange(24.0).reshape(4, 6), "step": jnp.int32(3)}
TARGET = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), STATE)


@pytest.fixture
def saved(tmp_path):
    """The arrays of a checkpoint, in a directory whose name is no URL."""
    directory = tmp_path / "50% of #1, \u6771\u4eac" / "checkpoints"
    manager = Checkpoints(directory)
    manager.save(1, STATE, {"batch": 0})
    manager.wait(), manager.close()
    return directory


@pytest.fixture
def claim(saved):
    """claim(name, changes): writes other metadata of an array."""

    def change(name, **changes):
        base = {"driver": "file", "path": f"{saved}/1/state/"}
        store = tensorstore.KvStore.open({"driver": "ocdbt", "base": base}).result()
        key = f"{name}/.zarray".encode()
        about = json.loads(store.read(key).result().value) | changes
        store.write(key, json.dumps(about).encode()).result()
        return saved

    return change


def test_what_was_saved_claims_what_it_is(saved):
    array_files.check_claims(saved / "1" / "state", TARGET)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": [10**9, 6]}, r"kernel is \[1000000000, 6\], expected \[4, 6\]"),
        ({"shape": None}, "kernel is None"),
        ({"chunks": [10**9, 10**9]}, "larger than it is"),
        ({"chunks": [4, -6]}, "larger than it is"),
        ({"chunks": [4]}, r"in pieces of \[4\]"),
        ({"chunks": "46"}, "in pieces of 46"),
        ({"more": "x" * 2**17}, "bytes of metadata"),
    ],
    ids=str,
)
def test_other_claims(changes, message, claim):
    directory = claim("kernel", **changes)
    with pytest.raises(Mismatch, match=message):
        array_files.check_claims(directory / "1" / "state", TARGET)
    said = []
    manager = Checkpoints(directory, read_only=True, say=said.append)
    with pytest.raises(Exception, match="damaged"):
        manager.restore_step(1, TARGET)
    manager.close()


def test_arrays_that_no_file_explains(saved, monkeypatch):
    monkeypatch.setattr(array_files, "allowance", lambda size: 90)
    with pytest.raises(Mismatch, match="bytes of files stand for 100 bytes of arrays"):
        array_files.check_claims(saved / "1" / "state", TARGET)
