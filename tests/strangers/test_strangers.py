"""Parts of a stranger's, one file each, that train, resume, evaluate and sample with no other edit.

A game of two domains and four players is in `methods/`.
"""

import itertools
import json
import shutil

import jax
import numpy as np
import PIL.Image
import pytest
from command import ROOT, rows, saved

import jaxgen
from jaxgen.abilities import Density
from jaxgen.data.limits import load_npz
from jaxgen.evaluate.givens import read_texts
from strangers import captions, tokens

ALLOW = "--allow=strangers"
CONFIGS = ("tokens", "volume", "captions", "guided")


@pytest.fixture(scope="module")
def classifier(starter, tmp_path_factory):
    """The first stage of `guided`."""
    folder = tmp_path_factory.mktemp("classifier")
    starter.run(f"--config={ROOT}/tests/strangers/guided.py:classifier", f"--workdir={folder}")
    return folder


@pytest.fixture(scope="module")
def finished(starter, classifier, tmp_path_factory):
    """name -> a finished run and its flags, each trained once."""
    made = {}

    def run(name):
        if name not in made:
            flags = [f"--config={ROOT}/tests/strangers/{name}.py"]
            if name == "guided":
                flags.append(f"--config.frozen.classifier={classifier}")
            folder = tmp_path_factory.mktemp(name)
            made[name] = starter.run(*flags, f"--workdir={folder}"), flags
        return made[name]

    return run


LONG = ("guided", "captions")  # to train twice


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in LONG else ()) for n in CONFIGS]
)
def test_it_learns_and_resumes_to_the_same_bits(name, finished, starter, tmp_path):
    job, flags = finished(name)
    metric = next(k for k in job.summary if k.startswith("test/"))
    first = rows(job.workdir, "eval_test")[0][metric.partition("/")[2]]
    assert job.summary[metric] < first
    half, end = saved(job.workdir)
    stopped = shutil.copytree(job.workdir, tmp_path / "run")
    shutil.rmtree(stopped / "checkpoints" / str(end))
    resumed = starter.run(*flags, f"--workdir={stopped}")
    assert f"resumed at step {half} of {end}" in resumed.out
    assert resumed.digest == job.digest


@pytest.mark.parametrize("name", CONFIGS)
def test_commands(name, finished, jaxgen_command, tmp_path):
    """Pictures, arrays of the field's own kind, and an evaluation as the run's own."""
    job, _ = finished(name)
    out = tmp_path / "x.npz"
    flags = (ALLOW, "--num=5", *(("--given.text=[0,1,2]",) if name == "captions" else ()))
    jaxgen_command("sample", job.workdir, *flags, f"--out={out}")
    jaxgen_command("sample", job.workdir, *flags, f"--out={tmp_path / 'x.png'}")
    run = jaxgen.load(job.workdir, allow=("strangers",))
    field, x = run.spec.x, load_npz(out)["x"]
    assert x.shape == (5, *field.shape) and x.dtype == field.dtype
    if field.values is not None:
        assert x.min() >= 0 and x.max() < field.values
    assert len(np.unique(x, axis=0)) > 1
    assert list((job.workdir / "samples").glob("*.png"))
    if name == "volume":
        picture = tmp_path / "back.png"
        jaxgen_command("reconstruct", job.workdir, ALLOW, "--num=3", f"--out={picture}")
        height, width, _ = np.asarray(PIL.Image.open(picture).convert("RGB")).shape
        assert height > 6 * 6 and width > 4 * 5  # slices of three volumes, and of what is restored
    found = json.loads(jaxgen_command("eval", job.workdir, ALLOW).out)
    metric = next(k for k in job.summary if k.startswith("test/"))
    np.testing.assert_allclose(found[metric]["mean"], job.summary[metric], rtol=1e-6)


def test_a_stranger_is_not_let_in_without_a_word(finished, jaxgen_command):
    job, _ = finished("tokens")
    error = jaxgen_command("sample", job.workdir, code=2).err
    assert "add --allow=strangers" in error


def test_a_reader_of_probabilities_can_code_with_them(finished):
    """Masses of all texts sum to one; and no code is shorter than the entropy of the test texts."""
    job, _ = finished("tokens")
    run = jaxgen.load(job.workdir, allow=("strangers",))
    assert isinstance(run.method, Density) and run.method.density.measure == "mass"
    every = itertools.product(range(tokens.VOCABULARY), repeat=tokens.LENGTH)
    every = np.array(list(every), np.int32)
    mass = np.exp(np.float64(run.log_prob(every)))
    np.testing.assert_allclose(mass.sum(), 1, rtol=1e-5)
    x = tokens.load(None, None, 0).splits["test"].x
    bits = -np.float64(run.log_prob(x)) / np.log(2)
    assert bits.mean() > np.log2(tokens.VOCABULARY) + tokens.LENGTH - 1 - 0.5


def test_what_a_text_gives(finished):
    job, _ = finished("captions")
    run = jaxgen.load(job.workdir, allow=("strangers",))
    dark, bright = (run.sample(4, text=np.full(captions.LENGTH, k)).mean() for k in (0, 3))
    assert bright - dark > 5
    data = captions.load(None, None, 0).splits["test"]
    batch = data.take(np.arange(len(data)))
    mixed = np.roll(batch["text"], 1, axis=0)
    right, wrong = (run.log_prob(batch["x"], text=text) for text in (batch["text"], mixed))
    assert right.mean() > wrong.mean() + 10


def test_a_file_of_texts_is_a_row_of_the_grid_each(finished, jaxgen_command, tmp_path):
    job, _ = finished("captions")
    file, out = tmp_path / "texts.txt", tmp_path / "x.npz"
    file.write_bytes(b"\xef\xbb\xbfdim\r\n\n Bright, bright! \n")
    flags = (ALLOW, f"--texts={file}", "--num=3", "--seed=2")
    said = jaxgen_command("sample", job.workdir, *flags, f"--out={out}").out
    assert "6 samples of step 40, 3 of each of 2 texts in turn: " in said
    run = jaxgen.load(job.workdir, allow=("strangers",))
    texts = ["dim"] * 3 + ["bright bright"] * 3
    assert read_texts(file, run.spec, 3) == {"text": ["dim"] * 3 + ["Bright, bright!"] * 3}
    np.testing.assert_array_equal(load_npz(out)["x"], run.sample(6, seed=2, text=texts))
    jaxgen_command("sample", job.workdir, *flags, f"--out={tmp_path}/many/")
    assert len(list((tmp_path / "many").glob("*.png"))) == 6
    jaxgen_command("sample", job.workdir, *flags[:2])
    (grid,) = (job.workdir / "samples").glob("sample_num16_texts*_seed0_*.png")
    height, width, _ = np.asarray(PIL.Image.open(grid).convert("RGB")).shape
    assert width == 8 * 34 + 2 and height == 2 * 34 + 2  # 4x4 are enlarged to 32x32


@pytest.mark.parametrize(
    ("content", "flags", "message"),
    [
        (b"dim\n\nbrigt\n", (), "line 3: unknown word 'brigt': did you mean 'bright'? (known:"),
        (b"dim\ndim dim dim dim", (), "line 2: 4 words, expected at most 3"),
        (b"dim\nd\xffm", (), "line 2, byte 2: 0xff is not UTF-8: save the file as UTF-8"),
        (b" \n\n", (), "holds no text: expected one a line"),
        (None, (), "no such file"),
        (b"dim", ("--text=dim",), "--texts and --text: name one of them"),
        (b"dim", ("--given.text=dim",), "--texts and --text: name one of them"),
    ],
)
def test_files_of_texts_that_cannot_be(finished, jaxgen_command, tmp_path, content, flags, message):
    job, _ = finished("captions")
    file = tmp_path / "texts.txt"
    if content is not None:
        file.write_bytes(content)
    error = jaxgen_command("sample", job.workdir, ALLOW, f"--texts={file}", *flags, code=2).err
    assert message in error and error.count("\n") == 1


def test_texts_are_of_data_that_have_some(finished, jaxgen_command, tmp_path):
    job, _ = finished("volume")
    error = jaxgen_command("sample", job.workdir, ALLOW, f"--texts={tmp_path}", code=2).err
    assert "has no field of texts that is given" in error


def test_the_classifier_guides(finished):
    """Samples of a class are read as that class, by the classifier's own scores."""
    job, _ = finished("guided")
    run = jaxgen.load(job.workdir, allow=("strangers",))
    held = run.method.classifier.state(run.state)
    label = np.arange(40) % 10
    shares = []
    for scale in (0.0, 1.0):
        x = np.asarray(run.method.sample(run.state, jax.random.key(0), 40, {"label": label}, scale))
        logits = run.method.classifier.method.logits(held, x / 16)
        shares.append((np.argmax(logits, 1) == label).mean())
    assert shares[0] < 0.3 and shares[1] > 0.8
