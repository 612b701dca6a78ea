"""Fingerprints, and the file of measurements."""

import json

import pytest

from jaxgen.config import ConfigError
from jaxgen.evaluate.measurement import (
    ABSENT,
    Measurement,
    differences,
    equal,
    fingerprint,
    load,
    save,
)


def test_equal_and_different():
    a = fingerprint({"levels": 256, "k": 3}, split="train")
    assert list(a) == ["k", "levels", "split"]
    assert equal(a, {"split": "train", "k": 3, "levels": 256})
    assert differences(a, a | {"levels": 32}) == {"levels": (256, 32)}
    assert differences(a, {k: a[k] for k in ("k", "levels")}) == {"split": ("train", ABSENT)}
    assert not equal({"x": None}, {})  # said to be unknown, and not said


def test_only_scalars():
    with pytest.raises(ConfigError, match="shape is tuple, expected a scalar"):
        fingerprint(shape=(8, 8))


def test_a_number_replaces_its_predecessor_alone(tmp_path):
    def made(name, value, **fields):
        return Measurement(name, value, value - 1, value + 1, **fields)

    save(tmp_path, {"name": "a"}, [made("fd", 1.0, fingerprint={"n": 1}), made("kd", 5.0)])
    save(
        tmp_path,
        {"name": "b"},
        [
            made("fd", 2.0, fingerprint={"n": 1}),
            made("fd", 3.0, fingerprint={"n": 2}),
            made("fd", 4.0, fingerprint={"n": 1}, settings={"temperature": 0.7}),
        ],
    )
    found = load(tmp_path)
    assert found["source"] == {"name": "b"}
    values = [(m["name"], m["value"]) for m in found["measurements"]]
    assert values == [("kd", 5.0), ("fd", 2.0), ("fd", 3.0), ("fd", 4.0)]
    assert not list(tmp_path.glob(".*"))


def test_a_number_replaces_one_that_said_less_of_the_same(tmp_path):
    """As a likelihood of before it said what it is of; one that said something else stays."""
    less = {"levels": 17, "kind": "elbo"}
    more = less | {"measure": "mass", "of": "x"}

    def made(value, fingerprint, **fields):
        return Measurement("nelbo", value, fingerprint=fingerprint, **fields)

    save(
        tmp_path,
        {},
        [
            made(1.0, less),
            made(2.0, less | {"levels": 256}),
            made(3.0, less | {"draws": 5}),
            made(4.0, less, settings={"temperature": 0.5}),
        ],
    )
    save(tmp_path, {}, [made(5.0, more)])
    values = [m["value"] for m in load(tmp_path)["measurements"]]
    assert values == [2.0, 3.0, 4.0, 5.0]
    save(tmp_path, {}, [made(6.0, less)])  # a fingerprint that says less does not replace
    assert [m["value"] for m in load(tmp_path)["measurements"]] == [*values, 6.0]


def test_what_is_not_finite_is_said(tmp_path):
    path = save(tmp_path, {}, [Measurement("kl", float("inf"), None, float("nan"))])
    (row,) = json.loads(path.read_text())["measurements"]
    assert row["value"] is None and row["high"] is None
    assert row["notes"] == ["not finite: inf"]


def test_a_foreign_file_is_refused(tmp_path):
    for text in ("[]", '{"source": {}}'):
        (tmp_path / "measurements.json").write_text(text)
        with pytest.raises(ConfigError, match="is damaged: .*; move it away to measure anew"):
            load(tmp_path)
