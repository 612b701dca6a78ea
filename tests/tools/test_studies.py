"""The studies print what their trajectories do."""

import numpy as np
import PIL.Image

from jaxgen.tools import studies


def test_table_and_picture(jaxgen_command, tmp_path):
    out = tmp_path / "dirac.png"
    text = jaxgen_command("study", "dirac", f"--out={out}").out
    ends = {line[:20].strip(): float(line.split()[-1]) for line in text.splitlines()[1:-1]}
    assert set(ends) == set(studies.STUDIES["dirac"])
    assert min(ends[k] for k in ("GAN", "GAN, alternating", "WGAN, clipped", "WGAN-GP")) > 0.5
    assert max(ends[k] for k in ("R1, 0.3", "R1, 1", "consensus", "instance noise")) < 1e-4
    with PIL.Image.open(out) as image:
        assert np.asarray(image).std() > 5


def test_mistakes(jaxgen_command):
    err = jaxgen_command("study", "dirak", code=2).err
    assert "unknown study 'dirak': did you mean 'dirac'?" in err
    assert "--out=x.jpg, expected" in jaxgen_command("study", "dirac", "--out=x.jpg", code=2).err
