"""Vowels against the constants of their speakers, and against judges of them."""

import dataclasses

import numpy as np
import pytest
import scipy.linalg
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from jaxgen.data import DataError, load, spoken
from jaxgen.data.embedded import vowels
from jaxgen.data.prepare import mixed
from jaxgen.ops import sound

PLAIN = vowels.Speaker(kind=0, scale=1.0, pitch=110.0, tilt=0.75, breath=0.01, width=1.0)


def spoken_by(speaker, vowel, takes, seed=0):
    random = np.random.RandomState(seed)
    return np.stack([vowels.utterance(random, speaker, vowel) for _ in range(takes)])


def correlation(x, count):
    """Mean autocorrelation at lags 0 .. count - 1."""
    power = np.square(np.abs(np.fft.rfft(x, 2 * x.shape[1]))).mean(0)
    return np.fft.irfft(power)[:count]


def formants(x):
    """Of [N, T], Hz, by linear prediction."""
    r = correlation(x, 15)
    a = np.concatenate([[1], -scipy.linalg.solve_toeplitz(r[:-1], r[1:])])
    roots = [z for z in np.roots(a) if z.imag > 0 and abs(z) > 0.8]
    return np.sort(np.angle(roots) * vowels.RATE / (2 * np.pi))


@pytest.mark.parametrize("vowel", ["iy", "ae", "aa", "uw", "er"])
@pytest.mark.parametrize(("kind", "scale"), [(0, 1.0), (0, 1.1), (1, 1.0)])
def test_formants_are_where_the_table_says(vowel, kind, scale):
    voice = dataclasses.replace(PLAIN, kind=kind, scale=scale)
    index = vowels.VOWELS.index(vowel)
    found = formants(spoken_by(voice, index, 60))
    for wanted in voice.formants(index)[:3]:
        assert np.abs(found - wanted).min() < max(0.04 * wanted, 40), (wanted, found)


@pytest.mark.parametrize("pitch", [110.0, 230.0])
def test_pitch_is_that_of_the_speaker(pitch):
    x = spoken_by(dataclasses.replace(PLAIN, pitch=pitch), 5, 40)
    power = np.square(np.abs(np.fft.rfft(x, 2**14))).mean(0)
    hz = np.arange(len(power)) * vowels.RATE / 2**14
    near = (0.7 * pitch < hz) & (hz < 1.4 * pitch)
    first = np.sum(hz[near] * power[near]) / np.sum(power[near])
    assert hz[near][power[near].argmax()] == pytest.approx(pitch, rel=0.03)
    assert first == pytest.approx(pitch, rel=0.05)


def test_a_resonator_is_that_of_its_poles():
    """The gain at 0 Hz is 1, and the poles are where formant and bandwidth say."""
    impulse = np.zeros(4096)
    impulse[0] = 1
    h = vowels.resonated(impulse, 700.0, 90.0)
    assert h.sum() == pytest.approx(1)
    n = np.arange(1, 60)
    c = np.exp(-np.pi * 90 / 8000)
    angle = 2 * np.pi * 700 / 8000
    exact = c**n * np.sin(angle * (n + 1)) / np.sin(angle)
    np.testing.assert_allclose(h[n] / h[0], exact, rtol=1e-9, atol=1e-12)


def features(wave):
    frames = sound.log_mel(wave, vowels.RATE)
    return np.concatenate([frames.mean(1), frames.std(1)], axis=1)


def judged(train, label, test, truth):
    judge = make_pipeline(StandardScaler(), SVC(C=10)).fit(train, label)
    return judge.score(test, truth)


def distances(wave, label, vowel):
    """RMS log-mel distance, nats: of one speaker and vowel, another speaker, another vowel."""
    frames = sound.SCALE * sound.log_mel(wave, vowels.RATE)
    far = np.sqrt(np.square(frames[:, None] - frames[None]).mean((2, 3)))
    speaker, said = label[:, None] == label, vowel[:, None] == vowel
    pairs = (speaker & said & ~np.eye(len(far), dtype=bool), ~speaker & said, speaker & ~said)
    return [far[pair].mean() for pair in pairs]


def check_judges(train, test, unseen, expected):
    x, other = features(train["wave"]), features(test["wave"])
    found = [
        judged(x, train["vowel"], other, test["vowel"]),
        judged(x, train["label"], other, test["label"]),
        judged(x, train["vowel"], features(unseen["wave"]), unseen["vowel"]),
    ]
    for share, wanted in zip(found, expected, strict=True):
        error = np.sqrt(wanted * (1 - wanted) / len(other))
        assert abs(share - wanted) < 4 * error, (found, expected)


def test_judges_and_distances_of_few():
    """Distances are nearly those of an implementation written apart, of other speakers."""
    takes = {"train": 6, "test": 2}
    train, test = (vowels.utterances(n, s) for s, n in enumerate(takes.values()))
    unseen = vowels.utterances(1, 2, vowels.speakers(24, seed=5))
    check_judges(train, test, unseen, (0.992, 0.94, 0.98))
    found = distances(test["wave"], test["label"], test["vowel"])
    np.testing.assert_allclose(found, [1.21, 3.17, 3.60], rtol=0.1)


@pytest.mark.slow
def test_judges_of_all():
    """The shares of an implementation written apart."""
    train, test = vowels.utterances(34, 0), vowels.utterances(6, 1)
    unseen = vowels.utterances(3, 2, vowels.speakers(24, seed=5))
    check_judges(train, test, unseen, (0.995, 0.978, 0.983))


def test_sets_are_made_once_and_of_one_seed(monkeypatch, tmp_path):
    monkeypatch.setattr(vowels, "TAKES", {"train": 2, "test": 1})
    levels = load("vowels", data_dir=str(tmp_path))
    frames = load("vowels_mel", data_dir=str(tmp_path))
    assert levels.classes[:4] == ("m1", "w1", "c1", "m2") and len(levels.splits["train"]) == 240
    in_turn = vowels.utterances(2, 0)
    every = mixed(in_turn, 0)
    for data, bands in ((levels, 0), (frames, 32)):
        train = data.splits["train"].take(np.arange(240))
        np.testing.assert_array_equal(train["x"], spoken.seen(every["wave"], 8000, bands))
        np.testing.assert_array_equal(train["label"], every["label"])
        np.testing.assert_array_equal(train["vowel"], every["vowel"])
        assert data.spec.x.rate == 8000
        test = data.splits["test"].take(np.arange(120))
        assert not np.array_equal(train["x"][:120], test["x"])
    assert levels.spec.shape == (2048, 1) and frames.spec.shape == (32, 7, 1)
    first = (in_turn[name][:120].tolist() for name in ("label", "vowel"))
    pairs = {*zip(*first, strict=True)}
    assert len(pairs) == 120
    with pytest.raises(DataError, match="expected one of vowels, vowels_mel"):
        vowels.load("consonants")


def test_examples_are_heard_as_they_were():
    wave = vowels.utterances(1, 4)["wave"][:12]
    for bands, most in ((0, 0.01), (32, 0.5)):
        of = spoken.field(2048, 8000, bands)
        x = spoken.seen(wave, 8000, bands)
        assert x.shape[1:] == of.shape and x.dtype == of.dtype
        again = spoken.heard(x, of)
        if bands:
            frames = [sound.SCALE * sound.log_mel(w, 8000) for w in (wave, again)]
            assert np.sqrt(np.mean(np.square(frames[0] - frames[1]))) < most
        else:
            assert np.abs(again - wave).max() < most
