"""`jaxgen convert` and its mirrors, on tiny runs of frames and of samples."""

import numpy as np
import PIL.Image
import pytest
import scipy.io.wavfile

import jaxgen
from jaxgen.config import ConfigError
from jaxgen.data import DataError, spoken
from jaxgen.data.embedded import vowels

PRESETS = ("spectral", *(pytest.param(n, marks=pytest.mark.slow) for n in ("wave", "continuous")))


class Runs(dict):
    """Preset -> run of two steps, made when it is asked for."""

    def __init__(self, starter, folder):
        self.starter, self.folder = starter, folder

    def __missing__(self, preset):
        path = self.folder / preset
        words = [f"--config=configs/voice_vae.py:{preset},tiny", f"--workdir={path}"]
        few = ["--config.train.steps=2", "--config.evaluate.sample_every_steps=0"]
        self.starter.run(*words, *few)
        self[preset] = path
        return path


@pytest.fixture(scope="module")
def runs(starter, tmp_path_factory):
    return Runs(starter, tmp_path_factory.mktemp("convert"))


@pytest.fixture(params=PRESETS)
def run(request, runs, data_root, monkeypatch):
    monkeypatch.setenv("JAXGEN_DATA_DIR", str(data_root))
    return jaxgen.load(runs[request.param])


@pytest.fixture
def wrong(jaxgen_command):
    """The line with which a command ends."""
    return lambda *argv: jaxgen_command(*argv, code=2).err


def speech(seconds=0.7, rate=8000, seed=0):
    """Vowels, one after the other, at a rate."""
    wave = vowels.utterances(1, seed)["wave"][:8].reshape(-1)
    return 0.4 * spoken.resampled(wave, 8000, rate)[: int(seconds * rate)] / 0.1


@pytest.mark.parametrize(("rate", "seconds"), [(8000, 0.7), (11_025, 0.3), (8000, 0.01)])
def test_sounds_keep_length_rate_and_loudness(run, rate, seconds):
    x = speech(seconds, rate)
    made = run.convert(x, 3, rate)
    assert made.shape == x.shape and made.dtype == np.float32 and np.isfinite(made).all()
    loud = [np.sqrt(np.mean(np.square(v))) for v in (x, made)]
    assert loud[1] == pytest.approx(loud[0], rel=1e-3)
    np.testing.assert_array_equal(made, run.convert(x, "3", rate))
    assert not np.allclose(made, run.convert(x, 5, rate))


def test_an_utterance_becomes_what_its_frames_or_samples_are(run):
    """A sound of one example is encoded, decoded for the speaker, and heard."""
    of = run.spec.x
    wave = vowels.utterances(1, 4)["wave"][:1]
    x = spoken.seen(wave, 8000, 32 if of.kind == "image" else 0)
    made = run.decode(run.encode(x, label=2), label=2)
    made = made if of.kind == "image" else np.rint(made).astype(np.int32)
    heard = spoken.heard(made, of)[0]
    found = run.convert(wave[0], "m2")  # the names of speakers are those of the data
    other = run.convert(wave[0], 3)
    np.testing.assert_array_equal(found, other)
    own = run.convert(wave[0], 2)
    np.testing.assert_allclose(own, heard * (0.1 / np.sqrt(np.mean(heard**2))), atol=1e-4)


def test_a_sheet_is_of_speakers(run, jaxgen_command, tmp_path):
    sheet = run.conversions(num=2)
    test = run.dataset().splits["test"]
    x, made = sheet.arrays["x"], sheet.arrays["converted"]
    assert made.shape[:2] == (2, 12) and made.shape[2:] == x.shape[1:] == run.spec.shape
    rows = [next(i for i in range(len(test)) if (test.x[i] == one).all()) for one in x]
    assert test.labels[rows].tolist() == [0, 1]
    np.testing.assert_array_equal(run.decode(run.encode(x, label=4), label=4), made[:, 4])
    if run.method.given and sheet.image is not None:
        path = run.directory.path
        jaxgen_command("convert", path, "--num=2", f"--out={tmp_path / 'x.png'}")
        with PIL.Image.open(tmp_path / "x.png") as image:
            np.testing.assert_array_equal(np.asarray(image), sheet.image)
    high, wide = sheet.image.shape[:2]
    assert high == 2 * (32 * 3 + 2) + 2 and wide == 13 * (7 * 8 + 2) + 2


def test_files_and_folders(runs, jaxgen_command, data_root, monkeypatch, tmp_path):
    monkeypatch.setenv("JAXGEN_DATA_DIR", str(data_root))
    path = runs["spectral"]
    for name, rate in (("a", 8000), ("b", 16_000)):
        (tmp_path / "in").mkdir(exist_ok=True)
        spoken.write(tmp_path / f"in/{name}.wav", speech(0.4, rate), rate)
    out = tmp_path / "out"
    jaxgen_command("convert", path, tmp_path / "in", "--speaker=3", f"--out={out}/")
    for name, rate in (("a", 8000), ("b", 16_000)):
        found, x = scipy.io.wavfile.read(out / f"{name}.wav")
        assert found == rate and len(x) == int(0.4 * rate) and x.dtype == np.int16
    made = jaxgen.load(path).convert(tmp_path / "in/a.wav", 3)
    x, _ = spoken.read(out / "a.wav")
    np.testing.assert_allclose(x, np.clip(made, -1, 1), atol=1e-4)
    one = tmp_path / "one.wav"
    jaxgen_command("convert", path, tmp_path / "in/a.wav", "--speaker=m2", f"--out={one}")
    assert one.read_bytes() == (out / "a.wav").read_bytes()


def test_codes_are_counted(runs, jaxgen_command, data_root, monkeypatch):
    monkeypatch.setenv("JAXGEN_DATA_DIR", str(data_root))
    run = jaxgen.load(runs["spectral"])
    found, test = run.codes(), run.dataset().splits["test"]
    batch = test.take(np.arange(len(test)))
    ids = run.encode(batch["x"], label=0)["codes"]
    assert found.sum() == ids.size and found.shape == (ids.shape[-1], 4, 10)
    wanted = sum((ids[batch["vowel"] == 7] == k).sum() for k in range(4))
    assert found[:, :, 7].sum() == wanted
    assert found[0, 2, 7] == (ids[batch["vowel"] == 7][..., 0] == 2).sum()
    assert run.codes("label").shape[-1] == 12
    text = jaxgen_command("convert", runs["spectral"], "--codes").out.splitlines()
    assert len(text) == 5 and text[0].split()[:2] == ["code", "times"]
    with pytest.raises(ConfigError, match="unknown field of classes 'vowl': did you mean"):
        run.codes("vowl")


def test_what_cannot_be_converted(runs, wrong, zoo, data_root, monkeypatch, tmp_path):
    monkeypatch.setenv("JAXGEN_DATA_DIR", str(data_root))
    path, sound = runs["spectral"], tmp_path / "a.wav"
    spoken.write(sound, speech(0.3), 8000)
    out = f"--out={tmp_path / 'x.wav'}"
    assert "speaker=12: the run has speakers 0 to 11" in wrong(
        "convert", path, sound, "--speaker=12", out
    )
    text = wrong("convert", path, sound, "--speaker=m9", out)
    assert "unknown speaker 'm9'" in text
    assert "who is to speak?" in wrong("convert", path, sound, out)
    assert "--speaker=3 is of sounds" in wrong("convert", path, "--speaker=3")
    assert "--out=x.wav, or of several" in wrong("convert", path, sound, "--speaker=3")
    text = wrong("convert", path, sound, "--speaker=3", f"--out={tmp_path / 'x.png'}")
    assert "of sounds, expected a .wav file" in text
    assert "there is one sheet" in wrong("convert", path, out)
    text = wrong("convert", path, tmp_path / "no.wav", "--speaker=3", out)
    assert "no.wav: expected a .wav file or a folder" in text
    (tmp_path / "empty").mkdir()
    text = wrong("convert", path, tmp_path / "empty", "--speaker=3", out)
    assert "holds no .wav files" in text
    assert "2 sounds" not in wrong("convert", path, sound, sound, "--speaker=3", out)
    sound.write_bytes(b"no sound")
    assert "no .wav file that can be read" in wrong("convert", path, sound, "--speaker=3", out)
    other = zoo.run("vae").workdir
    assert "which is no speech" in wrong("convert", other, "--num=2")
    assert "has no codes" in wrong("convert", runs["continuous"], "--codes")
    run = jaxgen.load(path)
    for bad in (np.zeros((2, 3)), np.zeros(4, int), np.array([np.nan]), np.zeros(0)):
        with pytest.raises(ConfigError, match=r"sounds: .*expected finite floats \[T\]"):
            run.convert(bad, 3)
    with pytest.raises(ConfigError, match="rate=7, expected 1000 to 384000"):
        run.convert(np.ones(9), 3, 7)
    with pytest.raises(DataError, match="cannot read"):
        run.convert(str(tmp_path / "none.wav"), 3)
