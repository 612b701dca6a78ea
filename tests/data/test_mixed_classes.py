"""Evenly spaced examples, as evaluations take them, are of all classes as the whole is."""

import numpy as np
import pytest

from jaxgen.data import load
from jaxgen.data.embedded import showers, vowels
from jaxgen.data.loader import evenly

SETS = ("digits", "dsprites_like", "showers", "vowels", "vowels_mel")
FEW = {"showers": (showers, "COUNTS", {"train": 600, "test": 300})}
FEW |= dict.fromkeys(("vowels", "vowels_mel"), (vowels, "TAKES", {"train": 4, "test": 2}))


@pytest.mark.parametrize("name", SETS)
def test_classes_of_evenly_spaced_examples(name, tmp_path, monkeypatch, data_root):
    if name in FEW:
        monkeypatch.setattr(*FEW[name])
    for split in load(name, data_dir=str(tmp_path if name in FEW else data_root)).splits.values():
        label = split.take(np.arange(len(split)))["label"]
        share = np.bincount(label) / len(label)
        for most in (50, 60, 100, 120, 200, 240, 300, 400, 480, 600, 1000, 2000, 5000):
            if most < len(label):
                found = np.bincount(label[evenly(len(label), most)], minlength=len(share)) / most
                far = np.abs(found - share) / np.sqrt(share * (1 - share) / most)
                assert far.max() < 4, (name, most)


def test_classes_in_turn_would_not_be():
    label = np.arange(1200) % 2
    assert not label[evenly(1200, 600)].any()
