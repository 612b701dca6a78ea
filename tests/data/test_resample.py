"""Pixels replaced at random: shares, levels, and which draw is which."""

import itertools

import numpy as np
import pytest

from jaxgen.data.binarize import binarized
from jaxgen.data.dataset import ArraySplit, DataError, Dataset
from jaxgen.data.loader import eval_batches, train_batches
from jaxgen.data.resample import replaced, resampled
from jaxgen.types import DataSpec

LEVELS = 17
GREY = np.random.RandomState(0).randint(0, LEVELS, size=(60, 5, 4, 1)).astype(np.uint8)
LABEL = np.arange(60, dtype=np.int32) % 3
DATA = Dataset(
    DataSpec.of("grey", (5, 4, 1), LEVELS),
    {
        "train": ArraySplit({"x": GREY[:40], "label": LABEL[:40]}),
        "test": ArraySplit({"x": GREY[40:]}),
    },
    source="here",
)


def batches(dataset, count, start=0, **options):
    stream = train_batches(dataset.splits["train"], 8, seed=3, start=start, threads=0, **options)
    return [batch for _, batch in itertools.islice(stream, count)]


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_as_many_pixels_of_every_level(share):
    """Of pixels of one level a share (1 - mu) + mu / L stays, and mu / L is of each other level."""
    x = np.full((400, 10, 10, 1), 5, np.uint8)
    found = replaced(np.random.RandomState(1), x, share, LEVELS)
    assert found.dtype == np.uint8 and found.shape == x.shape
    counts = np.bincount(found.ravel(), minlength=LEVELS)
    expected = x.size * (share / LEVELS + (1 - share) * (np.arange(LEVELS) == 5))
    assert len(counts) == LEVELS
    np.testing.assert_array_less(np.abs(counts - expected), 5 * np.sqrt(expected))


def test_channels_are_replaced_on_their_own():
    x = np.full((300, 10, 10, 3), 5, np.uint8)
    hit = replaced(np.random.RandomState(1), x, 0.5, 256) != 5
    assert abs((hit[..., 0] & hit[..., 1]).mean() - 0.25) < 0.02


def test_train_is_drawn_anew_and_the_test_once():
    """What is evaluated is one seeded draw; the rest of a batch is that of its examples."""
    noisy = resampled(DATA, 0.2)
    seen, plain = batches(noisy, 10), batches(DATA, 10)  # two epochs
    rows = {}
    for a, b in zip(plain, seen, strict=True):
        np.testing.assert_array_equal(a["label"], b["label"])
        assert 0.05 < (a["x"] != b["x"]).mean() < 0.35
        for clean, x in zip(a["x"], b["x"], strict=True):
            rows.setdefault(clean.tobytes(), set()).add(x.tobytes())
    assert all(len(found) == 2 for found in rows.values())
    again = resampled(DATA, 0.2)
    for split in ("train", "test"):
        x = next(iter(eval_batches(noisy.splits[split], 40, threads=0)))["x"]
        same = next(iter(eval_batches(again.splits[split], 40, threads=0)))["x"]
        np.testing.assert_array_equal(x, same)
        assert (x != next(iter(eval_batches(DATA.splits[split], 40, threads=0)))["x"]).any()


def test_noise_is_a_function_of_the_batch_number_alone():
    noisy = resampled(DATA, 0.2)
    whole = [batch["x"] for batch in batches(noisy, 6)]
    later = [batch["x"] for batch in batches(noisy, 2, start=4)]
    np.testing.assert_array_equal(later, whole[4:])
    parts = [batches(noisy, 6, process_index=i, process_count=2) for i in range(2)]
    for a, b, both in zip(*parts, whole, strict=True):
        np.testing.assert_array_equal(np.concatenate([a["x"], b["x"]]), both)


def test_bits_that_are_drawn_anew_are_then_resampled():
    """Of black images no bit is set, so that half of the replaced ones are."""
    black = Dataset(
        DATA.spec, {k: ArraySplit({"x": np.zeros_like(GREY)}) for k in ("train", "test")}, "here"
    )
    noisy = resampled(binarized(black, "dynamic"), 0.4)
    assert noisy.spec.levels == 2
    x = np.concatenate([batch["x"] for batch in batches(noisy, 20)])
    assert abs(x.mean() - 0.2) < 4 * 0.4 / np.sqrt(x.size)
    bits = np.concatenate([b["x"] for b in batches(binarized(DATA, "dynamic"), 20)])
    mixed = np.concatenate(
        [b["x"] for b in batches(resampled(binarized(DATA, "dynamic"), 0.4), 20)]
    )
    assert abs((bits != mixed).mean() - 0.2) < 4 * 0.4 / np.sqrt(bits.size)  # of the same bits


def test_fingerprint_and_report_state_the_share():
    assert resampled(DATA, 0.0) is DATA and "resampled" not in DATA.fingerprint()
    kinds = [(0.1, 0), (0.2, 0), (0.2, 1)]
    prints = [DATA.fingerprint(), *(resampled(DATA, *kind).fingerprint() for kind in kinds)]
    for split in ("train", "test"):
        assert len({p["splits"][split]["sha256"] for p in prints}) == 4
    said = "a share 0.2 of pixels any of 17 levels: train anew for every batch, test drawn once"
    assert prints[2]["resampled"] == f"{said}, seed 0"
    assert f"resampled: {said}" in resampled(DATA, 0.2).report()
    assert resampled(DATA, 0.2).spec == DATA.spec


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan"), True])
def test_shares_that_there_are_not(share):
    with pytest.raises(DataError, match=f"data.resampled={share}, expected a share of the pixels"):
        resampled(DATA, share)


def test_data_that_cannot_be_resampled():
    points = Dataset(DataSpec.of("points", (2,), None), DATA.splits, "here")
    with pytest.raises(DataError, match="needs data of grey levels; points has none"):
        resampled(points, 0.2)
    with pytest.raises(DataError, match="expected data.seed"):
        resampled(DATA, 0.2, seed=-1)
