"""The picture of details that stick: of signals that are known to stick, or to move."""

import sys

import numpy as np
import PIL.Image
import pytest
from command import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

import texture_sticking  # noqa: E402


def test_a_strip_of_what_moves_and_of_what_sticks():
    """Downwards by a pixel a frame: a slant; not at all: lines along time."""
    x = np.random.RandomState(0).rand(6, 5, 3)
    moving = np.stack([np.roll(x, t, axis=0) for t in range(4)])
    found = texture_sticking.strip(moving)
    assert found.shape == (6, 4, 3)
    for t in range(4):
        np.testing.assert_array_equal(found[:, t], np.roll(x[:, 2], t, axis=0))
    still = texture_sticking.strip(np.broadcast_to(x, (4, *x.shape)))
    assert (still == still[:, :1]).all()


def test_batches_make_no_difference():
    z = np.arange(37, dtype=np.float32)[:, None]
    seen = []

    def call(part):
        seen.append(part.shape)
        return part * 2

    np.testing.assert_array_equal(texture_sticking.batched(call, z), z * 2)
    assert set(seen) == {(16, 1)}


@pytest.mark.slow
@pytest.mark.slow
def test_the_picture(starter, tmp_path, monkeypatch):
    """Of a run that can move its images, three panels: of 6 frames these need not be as high."""
    path = tmp_path / "run"
    options = ("--config.train.steps=1", "--config.evaluate.num_samples=0")
    starter.run("--config=configs/stylegan3.py:tiny", *options, f"--workdir={path}")
    out = tmp_path / "x.png"
    argv = ["texture_sticking.py", str(path), str(path), f"--out={out}", "--frames=6"]
    monkeypatch.setattr(sys, "argv", argv)
    texture_sticking.main()
    with PIL.Image.open(out) as image:
        picture = np.asarray(image)
    half = len(picture) // 2
    np.testing.assert_array_equal(picture[:half], picture[half:])
    assert picture.std() > 0
