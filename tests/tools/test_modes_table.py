"""The command that counts modes, on a tiny run."""

import PIL.Image
import pytest


@pytest.fixture(scope="module")
def run(zoo):
    return zoo.run("gan")


def test_table_and_picture(jaxgen_command, run, tmp_path):
    out = tmp_path / "modes.png"
    text = jaxgen_command("modes", run.workdir, "--num=100", f"--out={out}").out
    head, row, path = text.splitlines()
    assert head.split("  ")[0].strip() == "run"
    name, modes, share, kl, num = row.split()
    assert name == str(run.workdir) and num == "100" and path == str(out)
    assert modes.endswith("/8") and share.endswith("%") and float(kl) >= 0
    with PIL.Image.open(out) as image:
        assert image.size[0] == 2 * image.size[1]


def test_mistakes(jaxgen_command, run, tmp_path):
    err = jaxgen_command("modes", run.workdir, "--out=x.jpg", code=2).err
    assert "--out=x.jpg, expected a name that ends in .png" in err
    err = jaxgen_command("modes", tmp_path, code=2).err
    assert "is not a run directory" in err
