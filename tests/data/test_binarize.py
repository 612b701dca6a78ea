"""Bits of grey levels: exact probabilities, and which draw is which."""

import itertools

import numpy as np
import pytest

from jaxgen.data.binarize import binarized, uniform
from jaxgen.data.dataset import ArraySplit, DataError, Dataset
from jaxgen.data.loader import eval_batches, train_batches
from jaxgen.types import DataSpec

GREY = np.random.RandomState(0).randint(0, 256, size=(60, 5, 4, 1)).astype(np.uint8)
DATA = Dataset(
    DataSpec.of("grey", (5, 4, 1), 256),
    {"train": ArraySplit({"x": GREY[:40]}), "test": ArraySplit({"x": GREY[40:]})},
    source="here",
)


def batches(dataset, count, start=0, **options):
    stream = train_batches(dataset.splits["train"], 8, seed=3, start=start, threads=0, **options)
    return [batch["x"] for _, batch in itertools.islice(stream, count)]


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_a_level_is_a_one_with_its_exact_probability(levels):
    """Of the equally likely whole numbers exactly x are below x."""
    dtype = np.dtype(np.uint8)
    drawn = uniform(np.random.RandomState(0), (levels * 200,), levels, dtype)
    assert set(np.unique(drawn)) == set(range(levels - 1))
    for x in (0, 1, levels // 2, levels - 1):
        assert sum(u < x for u in range(levels - 1)) == x


def test_mean_of_the_bits_is_that_of_the_levels():
    for mode in ("fixed", "dynamic"):
        x = np.concatenate([s.x for s in binarized(DATA, mode).splits.values()])
        assert set(np.unique(x)) == {0, 1} and x.dtype == np.uint8
        assert abs(x.mean() - GREY.mean() / 255) < 4 * 0.5 / np.sqrt(x.size)
    light = binarized(DATA, "threshold").splits["test"].x
    np.testing.assert_array_equal(light, GREY[40:] > 127)


def test_only_training_bits_of_dynamic_change():
    dynamic, fixed = binarized(DATA, "dynamic"), binarized(DATA, "fixed")
    np.testing.assert_array_equal(dynamic.splits["test"].x, fixed.splits["test"].x)
    one, two = (np.concatenate(batches(d, 10)) for d in (dynamic, fixed))  # two epochs each
    order = np.concatenate(batches(DATA, 10))
    rows = {x.tobytes(): [] for x in order}
    for name, bits in (("dynamic", one), ("fixed", two)):
        seen = {key: set() for key in rows}
        for x, b in zip(order, bits, strict=True):
            seen[x.tobytes()].add(b.tobytes())
        different = np.mean([len(found) > 1 for found in seen.values()])
        assert different == (0 if name == "fixed" else 1)
    evaluated = next(iter(eval_batches(dynamic.splits["train"], 40, threads=0)))["x"]
    np.testing.assert_array_equal(evaluated, fixed.splits["train"].x)


def test_bits_are_a_function_of_the_batch_number_alone():
    dynamic = binarized(DATA, "dynamic")
    whole = batches(dynamic, 6)
    np.testing.assert_array_equal(batches(dynamic, 2, start=4), whole[4:])
    parts = [batches(dynamic, 6, process_index=i, process_count=2) for i in range(2)]
    for a, b, both in zip(*parts, whole, strict=True):
        np.testing.assert_array_equal(np.concatenate([a, b]), both)


def test_fingerprint_and_report_state_the_bits():
    prints = {m: binarized(DATA, m).fingerprint() for m in ("none", "dynamic", "fixed")}
    prints["seed 1"] = binarized(DATA, "fixed", seed=1).fingerprint()
    hashes = [p["splits"]["train"]["sha256"] for p in prints.values()]
    assert len(set(hashes)) == 4
    assert "binarized" not in prints["none"]
    assert prints["dynamic"]["binarized"] == (
        "train anew for every batch, test drawn once with probability level / 255, seed 0"
    )
    assert "binarised: drawn once with probability" in binarized(DATA, "fixed").report()
    assert binarized(DATA, "fixed").spec.levels == 2
    assert binarized(DATA, "none") is DATA


def test_what_cannot_be_binarised_is_refused():
    colour = Dataset(
        DataSpec.of("colour", (2, 2, 3), 256),
        {k: ArraySplit({"x": np.zeros((3, 2, 2, 3), np.uint8)}) for k in ("train", "test")},
        "here",
    )
    with pytest.raises(DataError, match="images of one channel, colour has 3"):
        binarized(colour, "dynamic")
    points = Dataset(DataSpec.of("points", (2,), None), DATA.splits, "here")
    with pytest.raises(DataError, match="needs images of grey levels"):
        binarized(points, "fixed")
    with pytest.raises(DataError, match="expected data.seed"):
        binarized(DATA, "fixed", seed=-1)
