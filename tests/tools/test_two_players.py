"""The commands on a run that has latents to draw but none to encode, and that alarms."""

import json

import numpy as np
import PIL.Image
import pytest

from jaxgen.data.limits import load_npz


@pytest.fixture(scope="module")
def job(starter, tmp_path_factory):
    """A discriminator without a penalty at a rate that wins at once."""
    return starter.run(
        "--config=configs/gan.py:digits,tiny",
        "--config.train.steps=60",
        "--config.optim.discriminator.learning_rate=0.03",
        "--config.optim.generator.learning_rate=0.0",
        "--config.method.penalties.r1.weight=0.0",
        "--config.evaluate.sample_every_steps=30",
        f"--workdir={tmp_path_factory.mktemp('players') / 'gan-digits'}",
    )


def test_the_alarm_is_said_once(job):
    lines = [line for line in job.out.splitlines() if "warning: " in line]
    said = [line for line in lines if "the discriminator tells" in line]
    assert len(said) == 1 and "little to follow; add a penalty" in said[0]


def test_pictures_of_drawn_latents(jaxgen_command, job, tmp_path):
    for verb, shape in (("sweep", (3, 5)), ("interpolate", (8, 5))):
        out = tmp_path / f"{verb}.png"
        options = ("--dims=3",) if verb == "sweep" else ("--path=spherical",)
        jaxgen_command(verb, job.workdir, "--steps=5", *options, f"--out={out}")
        with PIL.Image.open(out) as image:
            assert image.size == (2 + 34 * shape[1], 2 + 34 * shape[0])
    jaxgen_command("walk", job.workdir, "--num=4", "--frames=3", f"--out={tmp_path / 'w.gif'}")
    with PIL.Image.open(tmp_path / "w.gif") as image:
        assert image.n_frames == 3


def test_a_run_without_styles(jaxgen_command, job):
    for verb in ("mix", "project"):
        assert "Adversarial has no styles" in jaxgen_command(verb, job.workdir, code=2).err


def test_evolution_has_a_frame_for_each_grid(jaxgen_command, job, tmp_path):
    jaxgen_command("evolve", job.workdir, f"--out={tmp_path / 'e.gif'}")
    grids = sorted((job.workdir / "samples").glob("step_*.png"))
    assert len(grids) == 2
    with PIL.Image.open(tmp_path / "e.gif") as image, PIL.Image.open(grids[0]) as first:
        assert image.size == first.size  # equal frames are one in a GIF: the generator stands still
        np.testing.assert_allclose(np.asarray(image.convert("L")), first.convert("L"), atol=8)


def test_truncated_samples_and_evaluation(jaxgen_command, job, tmp_path):
    out = tmp_path / "x.npz"
    jaxgen_command("sample", job.workdir, "--num=3", "--truncation=0.5", f"--out={out}")
    assert load_npz(out)["x"].shape == (3, 8, 8, 1)
    for verb in ("sample", "mix"):
        err = jaxgen_command(verb, job.workdir, "--class=3", code=2).err
        assert f"--class=3: {job.workdir} is not conditional: omit it" in err
    found = json.loads(jaxgen_command("eval", job.workdir, "--max_examples=64").out)
    assert found["test/energy_score"]["mean"] == pytest.approx(job.summary["test/energy_score"])
