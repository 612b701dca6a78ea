"""Judges of voices: what they say of real speech, of another's, and of noise."""

import numpy as np
import pytest

from jaxgen.data.dataset import ArraySplit, Dataset
from jaxgen.data.embedded import vowels
from jaxgen.data.spoken import field, seen
from jaxgen.evaluate import voices
from jaxgen.fields import DataSpec, Field

FEW = {"label": 3, "vowel": 10}


def split(takes, seed, bands):
    found = vowels.utterances(takes, seed, vowels.speakers()[:3])
    return ArraySplit({"x": seen(found.pop("wave"), 8000, bands), **found})


@pytest.fixture(scope="module", params=[32, 0], ids=["frames", "levels"])
def court(request):
    bands = request.param
    labels = {k: Field("label", dtype="int32", classes=n) for k, n in FEW.items()}
    spec = DataSpec("few", {"x": field(2048, 8000, bands), **labels})
    splits = {"train": split(8, 0, bands), "test": split(3, 1, bands)}
    return voices.Court.of_data(Dataset(spec, splits, "few"))


def test_nothing_truth_and_noise(court):
    label = court.test["label"]
    assert (court.target != label).all() and set(court.target) == {0, 1, 2}
    nothing = court.converted(lambda x, label: x)
    assert nothing.source > 0.95 and nothing.target < 0.05 and nothing.vowel > 0.95
    floor = court.floor()
    assert floor.target > 0.95 and floor.source < 0.05 and floor.vowel > 0.95
    assert floor.distance < 0.6 * nothing.distance
    random = np.random.RandomState(0).permutation(len(label))
    noise = court.judged(court.test["x"][random])
    assert noise.vowel < 0.35 and noise.distance > nothing.distance
    assert noise.num == 90 and noise.error("vowel") == pytest.approx(
        np.sqrt(noise.vowel * (1 - noise.vowel) / 90)
    )


def test_distance_is_in_nats_of_power():
    """A sound of twice the amplitude has four times the power in every band."""
    wave = 0.1 * np.random.RandomState(0).randn(5, 2048)  # above the floor in every band
    of = field(2048, 8000, 32)
    frames = [voices.frames(seen(k * wave, 8000, 32), of) for k in (1, 2)]
    np.testing.assert_allclose(voices.distance(*frames), np.log(4), rtol=1e-3)
    assert frames[0].shape == (5, 7, 32)


def test_probes_read_codes():
    random = np.random.RandomState(0)
    label = np.arange(400) % 4
    codes = np.stack([label, random.randint(9, size=400)], axis=1)
    assert voices.probe(codes[:300], label[:300], codes[300:], label[300:]) == 1
    blind = voices.probe(codes[:300, 1:], label[:300], codes[300:, 1:], label[300:])
    assert abs(blind - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 100)
    numbers = label[:, None] + 0.01 * random.randn(400, 1)
    assert voices.probe(numbers[:300], label[:300], numbers[300:], label[300:]) > 0.9
