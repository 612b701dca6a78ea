"""The embedded scans: exact values, a fixed split, safe preparation, no TensorFlow."""

import json
import subprocess
import sys

import numpy as np
import sklearn.datasets

import jaxgen.data

PROGRAM = """
import sys
import jaxgen.data
heavy = ("tensorflow", "tensorflow_datasets", "grain", "sklearn", "PIL")
early = [name for name in heavy if name in sys.modules]
from jaxgen.data.loader import train_batches
data = jaxgen.data.load("digits", data_dir=sys.argv[1])
batches = train_batches(data.splits["train"], 8, seed=0)
next(batches)
batches.close()
import json
print(json.dumps({"early": early, "tf": "tensorflow" in sys.modules, "is": data.fingerprint()}))
"""


def test_two_processes_prepare_at_once_without_tensorflow(tmp_path, prepared_dir):
    command = [sys.executable, "-W", "error", "-c", PROGRAM, str(tmp_path / "shared")]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    results = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], results
    assert [err for _, err in results] == ["", ""]
    here = jaxgen.data.load("digits", data_dir=prepared_dir).fingerprint()
    for out, _ in results:
        assert json.loads(out) == {"early": [], "tf": False, "is": here}
    kept = sorted(p.name for p in (tmp_path / "shared" / "digits").iterdir())
    assert kept == [".1.0.0.lock", "1.0.0"]


def test_values_and_split(prepared_dir):
    data = jaxgen.data.load("digits", data_dir=prepared_dir, seed=7)
    spec = data.spec
    assert (spec.shape, spec.levels, spec.num_classes, spec.dims) == ((8, 8, 1), 17, 10, 64)
    scans, labels = sklearn.datasets.load_digits(return_X_y=True)
    order = np.random.RandomState(0).permutation(1797)
    for name, rows in (("train", order[:1500]), ("test", order[1500:])):
        split = data.splits[name]
        assert len(split) == {"train": 1500, "test": 297}[name]
        batch = split.take(np.arange(len(split)))
        assert batch["x"].dtype == np.uint8 and batch["label"].dtype == np.int32
        np.testing.assert_array_equal(batch["x"].reshape(-1, 64), scans[rows])
        np.testing.assert_array_equal(batch["label"], labels[rows])


def test_take_keeps_order_and_repeats(prepared_dir):
    split = jaxgen.data.load("digits", data_dir=prepared_dir).splits["test"]
    batch = split.take(np.array([5, 3, 5]))
    np.testing.assert_array_equal(batch["x"][0], batch["x"][2])
    np.testing.assert_array_equal(batch["x"][1], split.take(np.array([3]))["x"][0])


def test_fingerprint_is_pinned(prepared_dir):
    """The same on every machine: results quote it."""
    found = jaxgen.data.load("digits", data_dir=prepared_dir).fingerprint()
    assert json.loads(json.dumps(found)) == {
        "name": "digits",
        "shape": [8, 8, 1],
        "levels": 17,
        "splits": {
            "train": {
                "count": 1500,
                "sha256": "a5db939822991bc8913358f747d3db392fc93a0c604198064d1685b65f06aef8",
            },
            "test": {
                "count": 297,
                "sha256": "75ba4154df72009447d3c2ddac6c63e82a953d2893b1823986dab814dd4c55c7",
            },
        },
    }


def test_report(prepared_dir):
    report = jaxgen.data.load("digits", data_dir=prepared_dir).report()
    assert "data digits: train 1,500, test 297 examples" in report
    assert "8x8x1 (H x W x C), 17 grey levels" in report
    assert "0..16" in report
    assert "10 (0 151, 1 157," in report
    assert f"{prepared_dir}/digits/1.0.0, in memory" in report
    assert "warning" not in report


def test_a_larger_size_by_padding(prepared_dir):
    data = jaxgen.data.load("digits", data_dir=prepared_dir, size=(12, 16), fit="pad")
    assert data.spec.shape == (12, 16, 1)
    x = data.splits["test"].take(np.arange(3))["x"]
    small = jaxgen.data.load("digits", data_dir=prepared_dir).splits["test"].take(np.arange(3))
    np.testing.assert_array_equal(x[:, 2:10, 4:12], small["x"])
    assert x.sum() == small["x"].sum()
