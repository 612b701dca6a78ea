"""The page of runs that nobody vouches for: one line, or a page that runs and reads no more."""

import json
import os

import fake_runs
import numpy as np
import pytest

from jaxgen.config import ConfigError
from jaxgen.report.page import page
from jaxgen.report.records import entries

EVIL = "</script><script>alert(1)</script><img src=//x onerror=alert(1)>"


@pytest.fixture
def run(tmp_path):
    return fake_runs.run(tmp_path / "glow")


def written(run):
    """The page, which no text of a run may add elements to."""
    text = page(entries([str(run)]), "now")
    assert "<script>alert" not in text and "<img src=//" not in text
    return text


def change(run, function):
    path = run / "evaluation" / "measurements.json"
    found = json.loads(path.read_text())
    function(found)
    path.write_text(json.dumps(found))


@pytest.mark.parametrize(
    "name", ["evaluation/images.npz", "config.json", "metrics.jsonl", "samples"]
)
def test_links_that_lead_elsewhere(name, run, tmp_path):
    outside = tmp_path / "private"
    if name == "samples":
        outside.mkdir()
    elif (run / name).exists():
        os.replace(run / name, outside)
    else:
        outside.write_text("{}")
    (run / name).symlink_to(outside)
    with pytest.raises(ConfigError, match=f"{name} is a link that leads out of the run"):
        entries([str(run)])
    assert entries([str(run)], allow=str(outside))[0].path == run.resolve()


def test_text_stays_text(run):
    def evil(found):
        source = found["source"]
        source |= {"name": EVIL, "model": EVIL, "command": EVIL, "path": "../../../etc/passwd"}
        source["data"] |= {"name": EVIL, "sha256": EVIL}
        source |= {
            "versions": {EVIL: EVIL},
            "parameters": {EVIL: 3},
            "config": {EVIL: {EVIL: EVIL}},
        }
        for m in found["measurements"]:
            m |= {"name": m["name"] + EVIL, "unit": EVIL, "notes": [EVIL]}
            m |= {"settings": {EVIL: 1.0}, "fingerprint": {EVIL: [EVIL]}, "context": {EVIL: {}}}

    change(run, evil)
    (run / "config.json").write_text(json.dumps({"seed": 0, "model": {EVIL: [EVIL]}}))
    (run / "manifest.json").write_text(json.dumps({"command": EVIL, "versions": {EVIL: EVIL}}))
    with open(run / "metrics.jsonl", "a") as file:
        print(json.dumps({"step": 1, "split": EVIL, EVIL: 1.0}), file=file)
        print(json.dumps({"step": 2, "split": EVIL, EVIL: 1e308, "b": float("nan")}), file=file)
    written(run)


@pytest.mark.parametrize(
    "changes",
    [
        {"data": [1]},
        {"data": {"shape": "8"}},
        {"parameters": {"a": "many"}},
        {"parameters": [1]},
        {"versions": 3},
        {"command": ["a"]},
        {"step": "x"},
        {"config": []},
    ],
    ids=str,
)
def test_sources_of_other_kinds(changes, run):
    change(run, lambda found: found["source"].update(changes))
    with pytest.raises(ConfigError, match="measurements.json is not a file of measurements"):
        entries([str(run)])


@pytest.mark.parametrize(
    "changes",
    [
        {"value": "many"},
        {"value": []},
        {"name": None},
        {"notes": [3]},
        {"settings": []},
        {"better": "best"},
        {"unit": 3},
    ],
    ids=str,
)
def test_measurements_of_other_kinds(changes, run):
    change(run, lambda found: found["measurements"][0].update(changes))
    with pytest.raises(ConfigError, match="measurements.json is not a file of measurements"):
        entries([str(run)])


@pytest.mark.parametrize(
    ("kind", "arrays"),
    [
        ("images", {"x": np.array(["a"])}),
        ("images", {"x": np.zeros((0, 8, 8, 1))}),
        ("images", {"x": np.zeros((4, 8, 8, 1)), "seed": np.zeros(3)}),
        ("images", {"x": np.zeros((4, 8, 8, 1)), "levels": np.zeros(3)}),
        ("images", {"x": np.zeros((4, 8, 8, 1), complex)}),
        ("points", {"generated": np.zeros((0, 2)), "real": np.zeros((3, 2))}),
        ("points", {"generated": np.float64(3), "real": np.zeros((3, 2))}),
        (
            "neighbours",
            {
                "generated": np.zeros((4, 8, 8, 1)),
                "nearest": np.zeros((4, 3, 8, 8, 1)),
                "distance": np.zeros((9, 3)),
            },
        ),
        ("reconstruction", {"data": np.zeros((4, 8, 8, 1)), "reconstruction": np.zeros(4)}),
        ("likelihood", {"test": np.array("text")}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_arrays_that_are_not_what_they_are_called(kind, arrays, run):
    np.savez(run / "evaluation" / f"{kind}.npz", **arrays)
    with pytest.raises(ConfigError, match=f"{kind}.npz: "):
        entries([str(run)])
