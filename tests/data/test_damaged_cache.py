"""Prepared data that were damaged: found, set aside, made anew, said; the data stay the same."""

import errno
import json
import os
import pathlib
import shutil

import numpy as np
import pytest

import jaxgen.data
from jaxgen.data import DataError, prepare, seals


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """`digits` and a target, prepared: the directory, and the fingerprint of each."""
    root = tmp_path_factory.mktemp("whole")
    names = ("digits", "two_moons")
    return root, {n: jaxgen.data.load(n, data_dir=str(root)).fingerprint() for n in names}


@pytest.fixture
def copy(whole, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(whole[0], root)
    # decoded copies are known by the path of what they were decoded from
    jaxgen.data.load("digits", data_dir=str(root))
    return root


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "flipped": flip,
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-3]),
    "empty": lambda path: path.write_bytes(b""),
    "gone": pathlib.Path.unlink,
}


CASES = [(how, "decoded/*/x.npy") for how in DAMAGES] + [
    ("flipped", "decoded/*/label.npy"),
    ("flipped", "digits/*/*array_record*"),
]


@pytest.mark.parametrize(("how", "what"), CASES)
def test_damage_is_found_and_repaired(whole, copy, how, what):
    if what.startswith("digits"):
        shutil.rmtree(copy / "decoded")
    for path in copy.glob(what):
        DAMAGES[how](path)
    data = jaxgen.data.load("digits", data_dir=str(copy))
    assert data.fingerprint() == whole[1]["digits"]
    report = data.report()
    assert "was damaged: " in report and "set aside as" in report and "made anew" in report
    assert list(copy.rglob("*.damaged"))
    again = jaxgen.data.load("digits", data_dir=str(copy))
    assert again.fingerprint() == whole[1]["digits"] and "damaged" not in again.report()


@pytest.mark.parametrize("content", [b"", b'{"x.npy": 3}'])
def test_checksums_that_are_none(whole, copy, content):
    for path in copy.glob(f"decoded/*/{seals.NAME}"):
        path.write_bytes(content)
    data = jaxgen.data.load("digits", data_dir=str(copy))
    assert data.fingerprint() == whole[1]["digits"]
    assert f"{seals.NAME} holds no checksums" in data.report()


def test_garbage_in_the_description_and_in_draws(whole, copy):
    (copy / "digits/1.0.0/dataset_info.json").write_text("garbage")
    flip(next(copy.glob("two_moons/*/train.npy")))
    for name in whole[1]:
        data = jaxgen.data.load(name, data_dir=str(copy))
        assert data.fingerprint() == whole[1][name] and "was damaged" in data.report()


def test_data_of_a_version_without_checksums(whole, copy):
    for path in copy.rglob(seals.NAME):
        path.unlink()
    data = jaxgen.data.load("digits", data_dir=str(copy))
    assert data.fingerprint() == whole[1]["digits"] and "damaged" not in data.report()
    assert len(list(copy.glob(f"decoded/*/{seals.NAME}"))) >= 2  # from now on they have some
    for path in copy.rglob(seals.NAME):
        path.unlink()
    for path in copy.glob("decoded/*/x.npy"):
        DAMAGES["cut"](path)
    data = jaxgen.data.load("digits", data_dir=str(copy))
    assert data.fingerprint() == whole[1]["digits"]
    assert "it cannot be read" in data.report()


def test_a_failure_to_read_is_no_damage(copy, monkeypatch):
    def unreadable(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    before = sorted(copy.rglob("*"))
    monkeypatch.setattr(seals, "_checksum", unreadable)
    with pytest.raises(DataError, match="cannot prepare data in .*Permission denied"):
        jaxgen.data.load("digits", data_dir=str(copy))
    assert sorted(copy.rglob("*")) == before


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(DataError, match="No space left on device .* free in .*JAXGEN_DATA_DIR"):
        jaxgen.data.load("two_moons", data_dir=str(tmp_path))
    assert not [p for p in tmp_path.rglob("*") if p.is_dir() and p.name.startswith(".")]
    data = jaxgen.data.load("digits", data_dir=str(tmp_path))  # decoded copies can be done without
    assert "no room for decoded copies" in data.report()


def test_what_is_set_aside_is_kept_apart(tmp_path):
    def fill(work):
        (work / "a").write_text("whole")

    target = tmp_path / "set" / "1"
    assert prepare.prepare_once(target, fill) == []
    for aside in ("1.damaged", "1.damaged.2"):
        (target / "a").write_text("other")
        (note,) = prepare.prepare_once(target, fill)
        assert f"set aside as {aside}, made anew" in note
        assert (target.with_name(aside) / "a").read_text() == "other"
        assert (target / "a").read_text() == "whole"
    assert set(json.loads((target / seals.NAME).read_text())) == {"a"}


def test_names_that_leave_the_folder_of_data():
    for name in ("tfds:../../etc", "tfds:/etc", "tfds:a/../../b", "tfds:"):
        with pytest.raises(DataError, match="is no data set of tfds: expected a name") as error:
            jaxgen.data.load(name)
        assert "\n" not in str(error.value)
