"""The JSON of a run directory, whoever wrote it: a value of the right shape, or one line."""

import json
import os

import pytest

from jaxgen import stored
from jaxgen.config import ConfigError
from jaxgen.rundir import RunDir

MANIFEST = {"data": {"spec": {"name": "x", "shape": [2], "levels": None}, "fingerprint": {}}}

DAMAGED = [
    (b"", "Expecting value"),
    (b"\xff{}", "byte 0 is not UTF-8"),
    (b"{", "Expecting property name"),
    (b"[]", "it is '\\[\\]', expected a dictionary"),
    (b"3", "expected a dictionary"),
    (b'{"a": NaN}', "holds NaN"),
    (b'{"a": -Infinity}', "holds -Infinity"),
    (b'{"a": 1e999}', "beyond a computer's range"),
    (b'{"a": 1, "a": 2}', "the key 'a' is there twice"),
    (b'{"a": ' + b"9" * 30 + b"}", "more than 64 bits"),
    (b'{"a": ' + b"9" * 5000 + b"}", "Exceeds the limit|more than 64 bits"),
    (b'{"a": "\\u001b[2J"}', "no text"),
    (b'{"\\ud800": 1}', "no text"),
    (b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}", "nested more than 32 deep"),
    (b"[" * 100_000, "nested too deeply"),
    (b'{"a": "' + b"x" * 2**23 + b'"}', "expected at most 8,388,608"),
]


@pytest.mark.parametrize("content, message", DAMAGED, ids=[m for _, m in DAMAGED])
@pytest.mark.parametrize("name", ["config.json", "manifest.json", "summary.json"])
def test_damaged_json(name, content, message, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as error:
        stored.read_json(path)
    assert str(error.value).startswith(f"{path} is damaged: ") and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("config.json", {"model": 3}, "model is '3', expected a dictionary"),
        ("config.json", {"seed": True}, "seed is 'True', expected a whole number"),
        ("config.json", {"evaluate": []}, "evaluate is"),
        ("manifest.json", {"data": []}, "data is"),
        ("manifest.json", {"data": {"spec": [], "fingerprint": {}}}, "data.spec is"),
        ("manifest.json", {"data": {"fingerprint": {"splits": {"train": 3}}}}, "splits.train is"),
        (
            "manifest.json",
            {"data": {"fingerprint": {"splits": {"a": {"count": ""}}}}},
            "a.count is",
        ),
        ("manifest.json", {"resumed": {}}, "resumed is"),
        ("manifest.json", {"resumed": [1]}, "an entry of resumed is '1'"),
        ("manifest.json", {"command": ["a"]}, "command is"),
        ("summary.json", [], "it is"),
        ("measurements.json", {"source": {}}, "it misses measurements"),
        ("measurements.json", {"source": {}, "measurements": [3]}, "an entry of measurements"),
        ("measurements.json", {"source": 1, "measurements": []}, "source is"),
    ],
)
def test_wrong_shapes(name, value, message, tmp_path):
    path = tmp_path / name
    path.write_text(json.dumps(value))
    with pytest.raises(ConfigError, match=message):
        stored.read_json(path)


@pytest.mark.parametrize(
    "spec",
    [
        *({"shape": 8}, {"shape": ["8"]}, {"levels": "2"}, {"name": None}, {"entropy": "x"}),
        *({"new": 1}, {"shape": [2, 3]}, {"shape": [-2]}, {"fields": {}}, {"fields": {"x": {}}}),
        {"fields": {"x": {"kind": "vector", "shape": [-1], "dtype": "float32"}}},
        {"fields": {"x": {"kind": "code", "shape": [1], "dtype": "float32"}}},
    ],
    ids=str,
)
def test_specs_of_other_data(spec, tmp_path):
    manifest = {"data": MANIFEST["data"] | {"spec": MANIFEST["data"]["spec"] | spec}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ConfigError, match=f"{tmp_path / 'manifest.json'}"):
        RunDir(tmp_path).spec()


def test_a_manifest_without_data(tmp_path):
    for value, missing in (({}, "data"), ({"data": {}}, "spec"), ({"data": {"spec": {}}}, "")):
        (tmp_path / "manifest.json").write_text(json.dumps(value))
        with pytest.raises(ConfigError, match=f"'{missing}'" if missing else "misses name"):
            RunDir(tmp_path).spec()


def test_measurements_of_other_tools_may_hold_nan(tmp_path):
    path = tmp_path / "measurements.json"
    path.write_text('{"source": {}, "measurements": [{"value": NaN}]}')
    assert str(stored.read_json(path)["measurements"][0]["value"]) == "nan"


def test_a_pipe_is_not_waited_for(tmp_path):
    path = tmp_path / "config.json"
    os.mkfifo(path)
    with pytest.raises(ConfigError, match="no regular file"):
        stored.read_json(path)
    with pytest.raises(ConfigError, match="a pipe or a device: no run has one"):
        stored.check_contained(tmp_path)


def test_links_lead_nowhere_else(tmp_path):
    run, outside = tmp_path / "run", tmp_path / "outside"
    (run / "samples").mkdir(parents=True), outside.mkdir()
    (run / "newest").symlink_to("samples")
    (tmp_path / "latest").symlink_to(run)
    stored.check_contained(run)
    stored.check_contained(tmp_path / "latest")
    (run / "samples" / "a.png").symlink_to(tmp_path / "absent.png")
    with pytest.raises(ConfigError, match="a.png is a link that leads out of the run"):
        stored.check_contained(run)
    os.remove(run / "samples" / "a.png")
    (run / "checkpoints").symlink_to(outside)
    with pytest.raises(ConfigError, match=f"add --allow={outside}"):
        stored.check_contained(run)
    stored.check_contained(run, [str(outside)])


def test_what_vanishes_or_may_not_be_read_is_passed_over(tmp_path, monkeypatch):
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    (tmp_path / "loop").symlink_to("loop")
    scandir, errors = os.scandir, iter([FileNotFoundError, PermissionError])

    def odd(path):
        if path != str(tmp_path) and (error := next(errors, None)):
            raise error(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", odd)
    stored.check_contained(tmp_path)
    assert next(errors, None) is None


def test_sizes_that_no_network_has():
    stored.check_sizes({"width": 4096, "blocks": [1, 2], "name": "x", "a": {"scale": 1e9}})
    for model in ({"width": 10**9}, {"a": {"hidden": [3, 2**21]}}, {"levels": -(10**12)}):
        with pytest.raises(ConfigError, match="expected at most 1,048,576"):
            stored.check_sizes(model)


def test_what_of_stored_data_is_followed(tmp_path):
    (tmp_path / "here" / "cifar10").mkdir(parents=True)
    section = {"name": "tfds:cifar10", "data_dir": str(tmp_path / "here"), "download": True}
    options, shown = stored.data_options(section)
    assert options == section | {"download": False}
    assert shown == [f"data_dir={tmp_path / 'here'}"]
    for place in (tmp_path, tmp_path / "absent"):
        options, shown = stored.data_options(section | {"data_dir": str(place)})
        assert "data_dir" not in options and not shown
    for name in ("../x", "/etc", "~/.ssh", "tfds:../here", "folder:here"):
        options, shown = stored.data_options({"name": name, "data_dir": str(tmp_path)})
        assert "data_dir" not in options
        assert shown == [f"name={name}"]
    options, shown = stored.data_options(section | {"name": "/a", "data_dir": None}, {"name"})
    assert options["data_dir"] is None and not shown
    for wrong in ({"name": 3}, {"name": ""}, {"name": "x" * 5000}, {}, {"name": "a\0"}):
        with pytest.raises(ConfigError, match="config.data.name is"):
            stored.data_options(wrong)
    with pytest.raises(ConfigError, match="config.data.manual_dir is"):
        stored.data_options({"name": "mnist", "manual_dir": ["a"]})
