"""The families on sets whose numbers are known, without a network."""

import dataclasses

import numpy as np
import pytest

from jaxgen.config import ConfigError
from jaxgen.data.dataset import ArraySplit, Dataset
from jaxgen.evaluate.comparison import Comparison, Subject
from jaxgen.evaluate.extractors import extractor
from jaxgen.evaluate.metrics import check_published, chosen, measure
from jaxgen.evaluate.sets import ArraySet
from jaxgen.types import DataSpec

SPEC = DataSpec.of("squares", (8, 8, 1), 256, 2)
SHIFT = 10


def squares(seed, num, shift=0):
    """Independent pixels, uniform from 78 to 177: around the middle of all levels."""
    x = np.random.RandomState(seed).randint(100, size=(num, 8, 8, 1)) + 78 + shift
    return x.astype(np.uint8)


@dataclasses.dataclass(frozen=True)
class Reader:
    """Pixels, and as logits whether the first one is bright."""

    name = label = "reader"
    fingerprint = {"extractor": "reader"}

    def __call__(self, images):
        x = images.reshape(len(images), -1).astype(np.float32)
        bright = (x[:, 0] >= 128).astype(np.float32)
        return {"features": x, "logits": 100 * np.stack([1 - bright, bright], 1)}


def compared(*sets, levels=256, reader=None, notes=(), **options):
    splits = {
        "train": ArraySplit({"x": squares(0, 600)}),
        "test": ArraySplit({"x": squares(1, 200)}),
    }
    dataset = Dataset(SPEC, splits, source="test")
    subject = Subject(SPEC, levels, [ArraySet(x) for x in sets], notes=notes)
    return Comparison(subject, dataset, reader or extractor("pixels", SPEC), **options)


def values(comparison, metrics):
    found, missing = measure(comparison, metrics)
    return {m.name: m for m in found}, missing


def test_a_shift_of_all_pixels_is_a_distance():
    """|m|^2 of the shift, beside the floor that two real sets of these sizes have."""
    found, _ = values(compared(*(squares(s, 600, SHIFT) for s in (2, 3, 4))), "fd")
    same, _ = values(compared(*(squares(s, 600) for s in (2, 3, 4))), "fd")
    moved = found["fd-pixels"].value - same["fd-pixels"].value
    np.testing.assert_allclose(moved, 64 * (SHIFT / 255) ** 2, rtol=0.05)
    assert same["fd-pixels"].low < same["fd-pixels"].value < same["fd-pixels"].high
    np.testing.assert_allclose(
        same["fd-pixels"].value, same["fd-pixels"].context["expected_bias"], rtol=0.1
    )
    assert abs(same["fd_inf-pixels"].value) < same["fd-pixels"].value


def test_collapse_has_precision_and_no_recall_and_noise_the_reverse():
    real = squares(0, 600)
    collapsed = np.repeat(real[:20], 30, axis=0)
    precise, _ = values(compared(collapsed), "pr,dc")
    assert precise["precision-pixels"].value > 0.99 and precise["recall-pixels"].value < 0.2
    assert precise["coverage-pixels"].value < 0.3
    wide = np.random.RandomState(5).randint(256, size=(600, 8, 8, 1)).astype(np.uint8)
    noisy, _ = values(compared(wide), "pr")
    assert noisy["precision-pixels"].value < 0.01 and noisy["recall-pixels"].value > 0.9


def test_copies_of_the_train_split_are_found():
    copied, _ = values(compared(squares(0, 600)[:200]), "copying")
    fresh, _ = values(compared(squares(7, 200)), "copying")
    assert copied["authentic-pixels"].value == copied["nn_ratio-pixels"].value == 0
    # no copy is farther than any test example: U = 0, in three cells of about 67 of each kind
    lowest = -np.sqrt(3 * 67 * 67 / (67 + 67 + 1))
    np.testing.assert_allclose(copied["copying_ct-pixels"].value, lowest, rtol=0.05)
    assert -3 < fresh["copying_ct-pixels"].value < 3
    assert abs(fresh["nn_ratio-pixels"].value - 1) < 0.05
    assert copied["nn_ratio-pixels"].fingerprint["num_train"] == 600


def test_scores_and_classes_of_what_the_extractor_reads():
    """One class of two: a score of 1, and KL(one || halves) = ln 2 but for the shares of data."""
    dark = squares(3, 300)
    dark[:, 0, 0] = 0
    found, _ = values(compared(dark, reader=Reader()), "score,modes")
    np.testing.assert_allclose(found["score-reader"].value, 1, rtol=1e-6)
    assert found["modes-reader"].value == 1
    share = float((squares(0, 600)[:, 0, 0, 0] < 128).mean())
    np.testing.assert_allclose(found["mode_kl-reader"].value, -np.log(share), rtol=1e-9)
    np.testing.assert_allclose(found["score-reader"].context["of_real"], 2, atol=0.1)


def test_one_set_has_the_spread_of_its_parts():
    found, _ = values(compared(squares(2, 600), notes=("resized",)), "fd")
    row = found["fd-pixels"]
    assert row.low < row.value < row.high
    assert row.notes == (
        "resized",
        "biased: 600 real and 600 generated images, below 2,048",
        "interval from the spread of 4 disjoint parts of one set",
    )


def test_the_same_images_have_no_distance_but_rounding():
    found, _ = values(compared(squares(0, 600)), "fd")
    assert abs(found["fd-pixels"].value) < 1e-9
    evenly = squares(0, 600)[::20]
    row = values(compared(evenly), "swd")[0]["swd_8"]
    assert row.value < 1e-6 < row.context["floor"]


def test_real_examples_may_be_fewer():
    row = values(compared(squares(2, 100), max_examples=150), "fd")[0]["fd-pixels"]
    assert (row.fingerprint["num_real"], row.fingerprint["num_generated"]) == (150, 100)


OF_MODELS = "likelihood ppl classes cas speed calibration disentanglement equivariance".split()


def test_what_cannot_be_given():
    c = compared(squares(2, 100))
    found, missing = values(c, "fd,score,likelihood")
    assert set(missing) == {"score", "likelihood"} and "fd-pixels" in found
    with pytest.raises(ConfigError, match="score is not available: the extractor pixels class"):
        measure(c, "score")
    _, missing = values(c, "all")
    of_other_data = {"showers", "spectrum", "molecules", "c2st"}
    assert set(OF_MODELS) | {"score", "modes"} | of_other_data == set(missing)
    with pytest.raises(ConfigError, match="--split=valid"):
        compared(squares(2, 100), split="valid")


def test_names():
    assert chosen("fcd, pr,recall") == ("fd", "pr")
    for name in (None, "pixels", "classifier:digits"):
        with pytest.raises(ConfigError, match="fid is of the features of Inception: add --ext"):
            check_published("pr, fid", name)
    check_published("fid,kid", "inception")
    assert chosen(("fd", "kd")) == ("fd", "kd")
    assert "likelihood" in chosen("all") and "likelihood" not in chosen("all", of_images=True)
    with pytest.raises(ConfigError, match="unknown metric 'copyng': did you mean 'copying'"):
        chosen("copyng")
