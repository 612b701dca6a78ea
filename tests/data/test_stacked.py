"""Stacked digits: the label is what the channels show."""

import numpy as np

import jaxgen.data


def test_every_channel_is_a_scan_of_its_digit(data_root):
    digits = jaxgen.data.load("digits", data_dir=str(data_root))
    stacked = jaxgen.data.load("stacked_digits", data_dir=str(data_root))
    assert stacked.spec.shape == (8, 8, 3) and stacked.spec.num_classes == 1000
    for name, count in (("train", 50_000), ("test", 10_000)):
        scans = digits.splits[name].take(np.arange(len(digits.splits[name])))
        known = {x.tobytes(): label for x, label in zip(scans["x"], scans["label"], strict=True)}
        split = stacked.splits[name]
        assert len(split) == count
        batch = split.take(np.arange(0, count, 97))
        for x, label in zip(batch["x"], batch["label"], strict=True):
            spelt = [known[np.ascontiguousarray(x[..., i : i + 1]).tobytes()] for i in range(3)]
            assert label == spelt[0] * 100 + spelt[1] * 10 + spelt[2]
    labels = stacked.splits["train"].labels
    counts = np.bincount(labels, minlength=1000)
    assert counts.min() > 0 and counts.max() < 120  # 50 expected


def test_draws_are_seeded(data_root):
    first, again = (jaxgen.data.load("stacked_digits", data_dir=str(data_root)) for _ in "12")
    assert first.fingerprint() == again.fingerprint()
