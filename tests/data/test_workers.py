"""Processes that read for this one: the same batches, the same errors, and one word if they die."""

import os
import signal
import zipfile

import numpy as np
import pytest

import jaxgen.data
from jaxgen.data import DataError
from jaxgen.data.augment import training
from jaxgen.data.loader import train_batches

COUNT = 24


def damage(place):
    """Cuts the last picture of a .zip short; its header stays."""
    with zipfile.ZipFile(place) as file:
        found = {name: file.read(name) for name in file.namelist()}
    last = max(found)
    found[last] = found[last][:100]
    with zipfile.ZipFile(place, "w") as file:
        for name, data in found.items():
            file.writestr(name, data)


def drawn(data):
    stream = train_batches(training(data), 9, seed=3, threads=data.threads)
    found = np.stack([next(stream)[1]["x"] for _ in range(5)])
    stream.close()
    return found


def test_batches_and_errors_are_those_of_threads(tmp_path, write):
    place = tmp_path / "photos.zip"
    with zipfile.ZipFile(place, "w") as file:
        for i in range(COUNT):
            write(tmp_path / "one.png", (9, 7, 3), seed=i)
            file.write(tmp_path / "one.png", f"train/{i:02}.png")
        file.write(tmp_path / "one.png", "val/a.png")
        file.write(tmp_path / "one.png", "val/b.png")
    damage(place)
    options = dict(size=(5, 6), fit="crop", in_memory_mb=0, flip=True)
    here = jaxgen.data.load(str(place), **options)
    there = jaxgen.data.load(str(place), **options, workers=3)
    assert there.threads == 3 and there.report() == here.report()
    np.testing.assert_array_equal(drawn(there), drawn(here))
    good, bad = np.array([0, 0]), np.array([0, 1])
    test = there.splits["test"]
    np.testing.assert_array_equal(test.take(good)["x"], here.splits["test"].take(good)["x"])
    said = []
    for data in (here, there):
        with pytest.raises(DataError, match="damaged image .*photos.zip/val/b.png") as error:
            data.splits["test"].take(bad)
        said.append(str(error.value))
    assert said[0] == said[1]
    assert len(test.take(good)["x"]) == 2  # and goes on after an error
    for pid in list(test.workers._pool._processes):
        os.kill(pid, signal.SIGTERM)  # as a scheduler tells all of a group
    assert len(test.take(good)["x"]) == 2
    for pid in list(test.workers._pool._processes):
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(DataError, match="was killed, or crashed: .*data.workers=3"):
        test.take(good)


def test_what_is_in_memory_needs_none(tmp_path, write):
    for i in range(4):
        write(tmp_path / f"{i}.png", (9, 7, 3), seed=i)
    data = jaxgen.data.load(str(tmp_path), workers=2)
    assert type(data.splits["train"]) is type(jaxgen.data.load(str(tmp_path)).splits["train"])


def test_counts_that_cannot_be(tmp_path):
    for name, said in (("threads", "got -1, 0"), ("workers", "got 2, -1")):
        with pytest.raises(DataError, match=f"data.threads and data.workers >= 0, {said}"):
            jaxgen.data.load("digits", data_dir=str(tmp_path), **{name: -1})
