"""Two stages of codes end to end: kept codes, whole runs, captions, what is refused."""

import json
import signal

import numpy as np
import PIL.Image
import pytest
from command import has_row

import jaxgen
from jaxgen.cli import main as cli
from jaxgen.config import ConfigError
from jaxgen.data.limits import load_npz

pytestmark = pytest.mark.slow

SECOND = ("--config.train.log_every_steps=1", "--config.train.save_every_steps=4")


@pytest.fixture(scope="module")
def base(starter, tmp_path_factory):
    """First stages of digits and of captioned pairs, and finished second ones."""
    base = tmp_path_factory.mktemp("codes")
    for name, first, second in (
        ("vqvae_prior", "vqvae.py:digits", "vqvae_prior.py:digits"),
        ("two_maps", "vqvae2.py:digits", "vqvae_prior.py:vqvae2"),
        ("dalle", "dalle.py:codes", "dalle.py:pairs"),
    ):
        starter.run(f"--config=configs/{first},tiny", f"--workdir={base / f'{name}-first'}")
        starter.run(*command(base, name, second), f"--workdir={base / name}")
    return base


def command(base, name, config):
    stage = f"--config.frozen.first.run={base / f'{name}-first'}"
    return f"--config=configs/{config},tiny", stage, *SECOND


def test_kept_codes_are_those_that_the_stage_finds(base, data_root):
    run, first = jaxgen.load(base / "vqvae_prior"), jaxgen.load(base / "vqvae_prior-first")
    field = run.spec.fields["codes"]
    assert (field.kind, field.shape, field.levels) == ("image", (4, 4, 1), 4)
    batch = run.dataset(data_dir=str(data_root)).splits["test"].take(np.arange(20))
    assert batch["codes"].dtype == np.uint8
    np.testing.assert_array_equal(batch["codes"], first.encode(batch["x"])["codes"])


def test_bits_are_those_of_both_stages(base, data_root):
    """The pixels' as the first stage counts them; even codes cost what it says of such."""
    run, first = jaxgen.load(base / "vqvae_prior"), jaxgen.load(base / "vqvae_prior-first")
    found = run.per_example("test", data_dir=str(data_root))
    own = first.per_example("test", data_dir=str(data_root))
    np.testing.assert_allclose(found["bpd"], found["code_bpd"] + found["pixel_bpd"], rtol=1e-6)
    nats = found["pixel_bpd"] * 64 * np.log(2)
    np.testing.assert_allclose(nats, own["reconstruction"], rtol=1e-4)
    even = 16 * np.log2(4) / 64
    np.testing.assert_allclose(own["uniform_bpd"], found["pixel_bpd"] + even, rtol=1e-4)


def test_two_maps_of_codes(base, data_root):
    """The lower one is given the upper; what both pay is the sum."""
    run = jaxgen.load(base / "two_maps")
    assert list(run.method.fields.items()) == [("model", "top"), ("lower", "bottom")]
    found = run.per_example("test", data_dir=str(data_root))
    total = found["top_nll"] + found["bottom_nll"]
    np.testing.assert_allclose(found["code_nll"], total, rtol=1e-6)
    assert run.sample(4, seed=1).shape == (4, 8, 8, 1)
    z = run.encode(run.sample(4, seed=1))
    assert {k: v.shape for k, v in z.items()} == {"top": (4, 2, 2, 1), "bottom": (4, 4, 4, 1)}


def test_the_run_is_whole_without_its_stage(base):
    first, gone = base / "vqvae_prior-first", base / "gone"
    first.rename(gone)
    try:
        run = jaxgen.load(base / "vqvae_prior")
        x = run.sample(5, seed=1, top_k=2)
        assert x.dtype == np.uint8 and x.shape == (5, 8, 8, 1)
        assert len(np.unique(run.sample(5, seed=1), axis=0)) > 1
        z = run.encode(x)
        np.testing.assert_array_equal(run.decode(z), run.decode({k: np.asarray(z[k]) for k in z}))
    finally:
        gone.rename(first)


def test_a_run_that_was_killed_ends_in_the_same_state(base, starter, tmp_path):
    whole = json.loads((base / "vqvae_prior/summary.json").read_text())["state_digest"]
    options = (
        *command(base, "vqvae_prior", "vqvae_prior.py:digits"),
        f"--workdir={tmp_path / 'run'}",
    )
    starter.start(*options).until(has_row(tmp_path / "run", 9)).kill().wait(-signal.SIGKILL)
    resumed = starter.run(*options)
    assert "resumed at step" in resumed.out and resumed.digest == whole


def test_words_become_pictures(base, tmp_path, capsys, data_root, monkeypatch):
    monkeypatch.setenv("JAXGEN_DATA_DIR", str(data_root))
    run, out = str(base / "dalle"), tmp_path / "x.png"
    text = "--text=a red three beside a blue seven"
    assert cli(["sample", run, text, "--num=4", "--guidance=3", "--best_of=2", f"--out={out}"]) in (
        None,
        0,
    )
    assert PIL.Image.open(out).size[0] > 16
    cli(["complete", run, "--num=2", "--copies=2", "--keep=left", f"--out={tmp_path / 'c.npz'}"])
    found = load_npz(tmp_path / "c.npz")
    left = found["completions"][:, :, :, :8] == found["x"][:, None, :, :8]
    assert left.all() and found["completions"].shape == (2, 2, 8, 16, 3)
    loaded = jaxgen.load(run)
    one = loaded.sample(3, text="a red three beside a blue seven")
    tokens = loaded.spec.fields["text"].tokens("a red three beside a blue seven")
    np.testing.assert_array_equal(one, loaded.sample(3, text=tokens))
    with pytest.raises(ConfigError, match="text: unknown word 'purple'"):
        loaded.sample(3, text="a purple three")


def test_what_does_not_fit_is_one_sentence(base, refused, tmp_path):
    workdir = f"--workdir={tmp_path / 'run'}"
    options = command(base, "vqvae_prior", "vqvae_prior.py:digits")
    error = refused(*options, "--config.frozen.first.field=top", workdir)
    assert "config.frozen.first.field: QuantizedAutoencoder gives codes, and no top" in error
    error = refused(*options, "--config.data.name=captioned_pairs", workdir)
    assert "was trained on image of (8, 8, 1), 17 levels; captioned_pairs has" in error
    other = command(base, "dalle", "vqvae_prior.py:digits")
    assert "was trained on image of (8, 16, 3)" in refused(*other, workdir)
    missing = options[0], f"--config.frozen.first.run={tmp_path / 'no'}"
    assert "is not a run directory" in refused(*missing, workdir)
