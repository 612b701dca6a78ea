"""Mixing and projection, by the commands, on a tiny run."""

import PIL.Image
import pytest


@pytest.fixture(scope="module")
def run(starter, tmp_path_factory):
    path = tmp_path_factory.mktemp("styles") / "stylegan2-digits"
    return starter.run("--config=configs/stylegan2.py:digits,tiny", f"--workdir={path}")


@pytest.mark.slow
def test_pictures(jaxgen_command, run, tmp_path):
    mix, projection = tmp_path / "mix.png", tmp_path / "projection.png"
    jaxgen_command("mix", run.workdir, "--rows=2", "--columns=3", f"--out={mix}")
    with PIL.Image.open(mix) as image:
        assert image.size == (2 + 34 * 3, 2 + 34 * 2)
    out = jaxgen_command("project", run.workdir, "--num=2", "--steps=5", f"--out={projection}").out
    assert "mean squared error" in out
    with PIL.Image.open(projection) as image:
        assert image.size[1] > 2 + 34 * 2
    jaxgen_command("sample", run.workdir, "--num=2", "--truncation=0.5", "--cutoff=1")
