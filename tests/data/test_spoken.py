"""Folders of speech: what is read of them, and what is refused."""

import struct

import numpy as np
import pytest
import scipy.io.wavfile

from jaxgen.data import DataError, load, spoken


def tone(frequency, seconds=0.6, rate=8000):
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)


def written(folder, name="a", x=None, rate=8000, dtype=np.int16):
    folder.mkdir(parents=True, exist_ok=True)
    x = tone(300) if x is None else x
    scale = {"u": 127, "i": np.iinfo(dtype).max if np.dtype(dtype).kind == "i" else 0, "f": 1}
    shift = 128 if dtype == np.uint8 else 0
    whole = x * scale[np.dtype(dtype).kind] + shift
    scipy.io.wavfile.write(folder / f"{name}.wav", rate, whole.astype(dtype))
    return folder / f"{name}.wav"


@pytest.fixture
def speakers(tmp_path):
    for i, name in enumerate(("ada", "bob", "eve")):
        for k in range(2 + i):
            written(tmp_path / "voices" / name, f"{k}", tone(200 + 50 * i + k))
    return tmp_path / "voices"


def test_speakers_are_folders(speakers):
    (speakers / "ada/notes.txt").write_text("x")
    data = load(f"speech:{speakers}")
    assert data.classes == ("ada", "bob", "eve") and data.spec.x.rate == 8000
    assert data.spec.x.levels == 256 and data.spec.shape == (2048, 1)
    assert "not used: 1 files that are no .wav" in data.report()
    label = [data.splits[s].labels.tolist() for s in ("train", "test")]
    assert label == [[0] * 2 + [1] * 4 + [2] * 6, [0, 0, 1, 1, 2, 2]]  # two pieces a file
    wave = spoken.heard(data.splits["train"].x, data.spec.x)
    np.testing.assert_allclose(np.sqrt(np.mean(wave**2, 1)), 0.1, rtol=0.02)
    loudest = np.abs(np.fft.rfft(wave)).argmax(1) * 8000 / 2048
    wanted = np.array([200, 250, 300])[data.splits["train"].labels]
    assert np.abs(loudest - wanted).max() < 6
    mel = load(f"speech_mel:{speakers}", samples=1024, sample_rate=4000)
    assert mel.spec.shape == (32, 7, 1) and mel.spec.x.rate == 4000
    assert len(mel.splits["train"]) == 12  # 2,400 samples are two pieces again


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32, np.float64])
def test_bits_are_brought_to_one_range(tmp_path, dtype):
    path = written(tmp_path, x=tone(300), dtype=dtype)
    x, rate = spoken.read(path)
    assert rate == 8000 and x.dtype == np.float32
    np.testing.assert_allclose(x, tone(300), atol=1 / 100 if dtype == np.uint8 else 1e-4)


def test_two_channels_become_their_mean_and_rates_one(tmp_path):
    both = np.stack([tone(300), tone(500)], axis=1)
    x, _ = spoken.read(written(tmp_path, x=both))
    np.testing.assert_allclose(x, both.mean(1), atol=1e-4)
    x, rate = spoken.read(written(tmp_path, x=tone(300, rate=22_050), rate=22_050))
    found = spoken.resampled(x, rate, 8000)
    assert len(found) == 4800
    np.testing.assert_allclose(found[400:-400], tone(300)[400:-400], atol=2e-3)


def test_what_is_written_is_read(tmp_path):
    spoken.write(tmp_path / "x.wav", np.append(tone(300), [2.0, -2.0]), 8000)
    x, rate = spoken.read(tmp_path / "x.wav")
    assert rate == 8000 and x[-2:].tolist() == pytest.approx([1, -1], abs=1e-4)
    np.testing.assert_allclose(x[:-2], tone(300), atol=1e-4)


def damaged(content):
    return lambda path: path.write_bytes(content(path.read_bytes()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (damaged(lambda b: b""), r"0.wav: no .wav file that can be read"),
        (damaged(lambda b: b"no sound at all, but text"), r"0.wav: no .wav file"),
        (damaged(lambda b: b[:30]), r"0.wav: no .wav file"),
        (damaged(lambda b: b[:36]), r"0.wav: no .wav file"),
        (lambda p: written(p.parent, "0", rate=7), "has 7 samples a second, expected 1000 to"),
        (lambda p: written(p.parent, "0", np.zeros(4000)), "0.wav is silent: leave it out"),
        (lambda p: written(p.parent, "0", np.zeros(0)), "0.wav is empty: leave it out"),
        (lambda p: written(p.parent, "0", tone(9, 0.1)), "800 samples at 8000 Hz, expected 2,048"),
        (
            lambda p: written(p.parent, "0", np.ones((4000, 3)) / 2),
            "has 3 channels, expected one or two",
        ),
        (
            lambda p: written(p.parent, "0", np.full(4000, np.nan), dtype=np.float32),
            "samples that are not finite",
        ),
    ],
)
def test_files_that_cannot_be_used(speakers, change, message):
    change(speakers / "bob/0.wav")
    with pytest.raises(DataError, match=message) as error:
        load(f"speech:{speakers}")
    assert "\n" not in str(error.value)


def test_a_file_that_claims_much_takes_little(speakers):
    path = speakers / "bob/0.wav"
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = struct.pack("<I", 2**31)
    path.write_bytes(content)
    try:
        found = spoken.read(path)[0]
    except DataError:
        return
    assert len(found) <= 4800
    with pytest.raises(DataError, match="would become too many"):
        spoken.resampled(np.ones(10**6, np.float32), 1000, 384_000)


def test_folders_that_cannot_be_used(speakers, tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=r"none has 0 speakers: expected a sub-folder of .wav"):
        load(f"speech:{tmp_path / 'none'}")
    written(tmp_path / "loose")
    with pytest.raises(DataError, match=r"has 1 .wav files beside its folders, e.g. a.wav"):
        load(f"speech:{tmp_path / 'loose'}")
    with pytest.raises(DataError, match="a.wav is no folder: expected a sub-folder"):
        spoken.load(written(tmp_path), test_fraction=0.1, seed=0, in_memory_mb=1)
    with pytest.raises(DataError, match=r"data.samples=100 at 8000 Hz: expected 512 or more"):
        load(f"speech_mel:{speakers}", samples=100)
    with pytest.raises(DataError, match="data.sample_rate=7, data.samples=2048: expected 1000"):
        load(f"speech:{speakers}", sample_rate=7)
    with pytest.raises(DataError, match="more than the 0.01 MB of sounds"):
        load(f"speech:{speakers}", in_memory_mb=0.01)
    with pytest.raises(DataError, match="data.size, data.fit and data.mode are of images"):
        load(f"speech:{speakers}", size=8, fit="crop")
    with pytest.raises(
        DataError, match="data.sample_rate is of a folder of speech; digits is none"
    ):
        load("digits", sample_rate=8000)
    (speakers / "ada/1.wav").unlink()
    with pytest.raises(DataError, match=r"ada has one .wav file"):
        load(f"speech:{speakers}")
