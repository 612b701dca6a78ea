"""Spoken digits as tensorflow-datasets prepares them: who says what, and which are the test."""

import pathlib

import numpy as np
import pytest
import tensorflow_datasets as tfds
from test_tfds_source import make

from jaxgen.data import DataError, load, spoken, spoken_digit

SPEAKERS = ("theo", "ada", "lucas")
AUDIO = "tensorflow_datasets.core.features.audio_feature.Audio"


def recorded(place, change=lambda rows: rows):
    """Two digits by three speakers, takes 3 to 6; the stored feature is that of sounds."""
    features = {
        "audio": tfds.features.Tensor(shape=(None,), dtype=np.int64),
        "audio/filename": tfds.features.Text(),
        "label": tfds.features.ClassLabel(num_classes=10),
    }
    rows = []
    for k, speaker in enumerate(SPEAKERS):
        for digit in (2, 7):
            for take in range(3, 7):
                time = np.arange(3000 + 100 * take) / spoken.RATE
                wave = 0.3 * np.sin(2 * np.pi * (200 + 100 * k + digit) * time)
                wave[:500] *= 0.01
                name = f"{digit}_{speaker}_{take}.wav"
                whole = np.rint(wave * 2**15).astype(np.int64)
                rows.append({"audio": whole, "audio/filename": name, "label": digit})
    rows = change(rows)
    make(place, features, rows, spoken_digit.OF_TFDS, (("train", len(rows)),), spoken_digit.VERSION)
    file = pathlib.Path(place) / spoken_digit.OF_TFDS / spoken_digit.VERSION / "features.json"
    plain = "tensorflow_datasets.core.features.tensor_feature.Tensor"
    assert plain in file.read_text()
    file.write_text(file.read_text().replace(plain, AUDIO))
    return str(place)


def test_speakers_are_the_label(tmp_path):
    place = recorded(tmp_path)
    data = load("spoken_digit", data_dir=place)
    assert data.classes == ("ada", "lucas", "theo")
    assert data.spec.shape == (2048, 1) and data.spec.x.rate == 8000
    assert {k: len(v) for k, v in data.splits.items()} == {"train": 12, "test": 12}
    part = data.splits["test"]
    arrays = part.take(np.arange(12))
    pitch = np.array([300, 400, 200])[arrays["label"]] + arrays["digit"]
    wave = spoken.heard(part.x, data.spec.x)
    np.testing.assert_allclose(np.sqrt(np.mean(wave**2, 1)), 0.1, rtol=0.02)
    loudest = np.abs(np.fft.rfft(wave)).argmax(1) * 8000 / 2048
    assert np.abs(loudest - pitch).max() < 4
    mel = load("spoken_digit_mel", data_dir=place)
    assert mel.spec.shape == (32, 7, 1) and mel.classes == data.classes


def test_the_loudest_piece():
    """Against every piece."""
    wave = np.random.RandomState(0).randn(60)
    every = [wave[i : i + 20] for i in range(41)]
    best = max(every, key=lambda piece: float(np.sum(piece**2)))
    np.testing.assert_array_equal(spoken_digit.loudest(wave, 20), best)


def test_short_ones_are_counted(tmp_path):
    def cut(rows):
        rows[0]["audio"] = rows[0]["audio"][:100]
        return rows

    data = load("spoken_digit", data_dir=recorded(tmp_path, cut))
    assert "not used: 1 recordings shorter than 2048 samples" in data.report()
    assert sum(map(len, data.splits.values())) == 23


def named(rows):
    rows[3]["audio/filename"] = "\x1b[31mseven.wav"
    return rows


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (named, r"a recording '\\x1b\[31mseven.wav', expected a name as 7_jackson_32.wav"),
        (lambda rows: rows[2:4], "no recordings of the test split"),
    ],
)
def test_what_is_refused(tmp_path, change, said):
    with pytest.raises(DataError, match=said):
        load("spoken_digit", data_dir=recorded(tmp_path, change))


def test_absent_too_much_and_damaged(tmp_path):
    with pytest.raises(DataError, match="tfds data set spoken_digit is not prepared"):
        load("spoken_digit_mel", data_dir=str(tmp_path / "none"))
    place = recorded(tmp_path)
    with pytest.raises(DataError, match="raise --config.data.in_memory_mb"):
        load("spoken_digit", data_dir=place, in_memory_mb=0.1)
    (file,) = pathlib.Path(place).rglob("*.array_record*")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DataError, match="cannot be read: .*prepare it again: tfds build spoken"):
        load("spoken_digit", data_dir=place)
