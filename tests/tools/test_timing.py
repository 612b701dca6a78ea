"""Frames that are even in what is seen, and samples built group by group."""

import json
import types

import numpy as np
import pytest

import jaxgen
from jaxgen.config import ConfigError
from jaxgen.evaluate.extractors import classifier
from jaxgen.evaluate.extractors.pixels import Pixels
from jaxgen.types import DataSpec
from jaxgen.views.timing import retimed, taken

BAND = 0.02  # by which the longest and the shortest step of a row are from their mean, at most
PIECES = 16  # in which the way between two frames is measured: more than it was looked at


def test_positions_of_a_path_of_known_length():
    """A row at t^2 and one at sqrt(t): shares of their lengths are at sqrt(s) and s^2."""
    spec = DataSpec.of("grey", (2, 2, 1), None)

    def at(t):
        return np.stack([t[0] ** 2, t[1] ** 0.5])[:, None, None, None] * np.ones((2, 2, 2, 1))

    found = taken(types.SimpleNamespace(spec=spec), "perceptual", at, 2, 200, closed=False)
    shares = np.arange(200) / 199
    np.testing.assert_allclose(found.positions[0], np.sqrt(shares), atol=2e-3)
    np.testing.assert_allclose(found.positions[1], shares**2, atol=2e-3)
    assert found.recipe == {"features": "pixels", "positions": found.positions.tolist()}


def test_a_path_that_stands_still_is_even():
    shares = np.arange(5) / 4
    np.testing.assert_array_equal(retimed(np.zeros(20), shares), shares)
    stops = retimed(np.array([1.0, 0.0, 0.0, 1.0]), shares)
    assert (np.diff(stops) >= 0).all() and stops[0] == 0 and stops[-1] == 1


@pytest.fixture(scope="module")
def run(zoo, data_root, tmp_path_factory):
    workdir = zoo.copy("vae", tmp_path_factory.mktemp("timing") / "vae-digits").workdir
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXGEN_DATA_DIR", str(data_root))
        patch.setattr(classifier, "EPOCHS", 0)
        patch.setattr(classifier, "FEWEST_STEPS", 60)
        yield jaxgen.load(workdir)


def spread(run, view, options, positions, closed):
    """[rows]: how far the ways between frames are from their means, in shares.

    A way is the length of the path in features, not how far its ends are apart: where the path
    turns back they may be close.
    """
    ends = np.concatenate([positions, np.ones((len(positions), 1))], 1) if closed else positions
    shares = np.arange(PIECES) / PIECES
    between = ends[:, :-1, None] + np.diff(ends, axis=1)[..., None] * shares
    fine = np.concatenate([between.reshape(len(ends), -1), ends[:, -1:]], axis=1)
    count = {"frames" if closed else "steps": fine.shape[1]}
    x = view(**options | count, timing=fine).arrays["x"]
    network = classifier.trained(run.dataset())
    features = network.of_real_levels(x.reshape(-1, *x.shape[2:])).reshape(*x.shape[:2], -1)
    pieces = np.linalg.norm(np.diff(features, axis=1), axis=2)
    ways = pieces.reshape(len(ends), -1, PIECES).sum(axis=2)
    return np.abs(ways / ways.mean(axis=1, keepdims=True) - 1).max(axis=1)


def test_walks_and_interpolations_are_even_in_features(run, tmp_path):
    """Within the band, where frames that are even along the path are far from it."""
    for view, closed, options in (
        (run.interpolate, False, {"pairs": 3, "steps": 20, "path": "spherical"}),
        (run.walk, True, {"num": 3, "frames": 20, "seed": 4}),
        (run.interpolate, False, {"pairs": 3, "steps": 20, "path": "spherical"}),
    ):
        plain, timed = (view(**options, timing=t) for t in ("even", "perceptual"))
        timed.save(tmp_path / f"{view.__name__}.webp")
        told = json.loads((tmp_path / f"{view.__name__}.film.json").read_text())
        even = np.tile(np.arange(20) / (20 if closed else 19), (3, 1))
        assert (spread(run, view, options, even, closed) > 4 * BAND).all()
        assert (spread(run, view, options, np.array(told["positions"]), closed) < BAND).all()
        x, ends = timed.arrays["x"], [0] if closed else [0, -1]
        np.testing.assert_array_equal(x[:, ends], plain.arrays["x"][:, ends])
        assert np.abs(x - plain.arrays["x"]).max() > 1e-3


def test_the_recipe_of_a_timed_film_is_enough(run, tmp_path):
    """The same frames of what the file says, whatever the network of the features has become."""
    for view, options in (
        (run.walk, {"num": 2, "frames": 5}),
        (run.interpolate, {"pairs": 2, "steps": 5}),
    ):
        path = view(**options, timing="perceptual").save(tmp_path / "first.webp")
        told = json.loads(path.with_suffix(".film.json").read_text())
        assert told["features"].startswith("digits8-cnn64@")
        own = {k: v for k, v in told["options"].items() if k != "places"}
        for positions in (told["positions"], np.array(told["positions"])):
            again = view(**own | {"timing": positions}).save(tmp_path / "again.webp")
            other = json.loads(again.with_suffix(".film.json").read_text())
            assert other["frames_sha256"] == told["frames_sha256"]
            assert other["positions"] == told["positions"] and "features" not in other
        plain = view(**options).save(tmp_path / "plain.webp")
        other = json.loads(plain.with_suffix(".film.json").read_text())
        assert "positions" not in other and other["frames_sha256"] != told["frames_sha256"]


def test_features_of_levels_that_are_not_whole(run):
    """Of whole ones those of the extractor; between them they move."""
    network, pixels = classifier.trained(run.dataset()), Pixels(run.spec)
    x = run.dataset().splits["test"].take(np.arange(5))["x"]
    for extractor in (network, pixels):
        whole = extractor(x)["features"]
        np.testing.assert_array_equal(extractor.of_real_levels(x.astype(np.float32)), whole)
        assert np.abs(extractor.of_real_levels(x * 0.9) - whole).max() > 1e-3
        np.testing.assert_array_equal(extractor.of_real_levels(x * 2.0 - 0.5 * (x == 0)), whole)


def test_timings_that_there_are_not(run, tmp_path, jaxgen_command):
    with pytest.raises(ConfigError, match="timing='fast', expected one of even, perceptual"):
        run.walk(num=2, frames=3, timing="fast")
    for wrong in ([0.0, 0.5], [0.0, 0.5, 1.5], [0.0, 0.5, float("nan")], [["a"]], [[0.0] * 3] * 3):
        with pytest.raises(ConfigError, match=r"numbers from 0 to 1, \[3\] or \[2, 3\] of them"):
            run.walk(num=2, frames=3, timing=wrong)
    out = tmp_path / "x.npz"
    words = ("--num=2", "--frames=4", "--timing=perceptual", f"--out={out}")
    jaxgen_command("walk", run.directory.path, *words)
    with np.load(out) as found:
        x = run.walk(num=2, frames=4, timing="perceptual").arrays["x"]
        np.testing.assert_array_equal(found["x"], x)


@pytest.fixture(scope="module")
def deep(starter, data_root, tmp_path_factory):
    """A VAE of several groups, hardly trained."""
    workdir = tmp_path_factory.mktemp("reveal") / "nvae-digits"
    options = ("--config.train.steps=2", "--config.evaluate.num_samples=0")
    starter.run("--config=configs/nvae.py:digits,tiny", *options, f"--workdir={workdir}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXGEN_DATA_DIR", str(data_root))
        yield jaxgen.load(workdir)


def assert_rounded(x, levels):
    """Samples are whole grey levels, the nearest ones; another program has another rounding."""
    near = np.abs(x - levels)
    assert near.max() <= 0.5 + 1e-3


@pytest.mark.slow
def test_the_last_groups_make_the_sample(deep):
    """The first column is one image, of no noise, and the last one the samples."""
    picture = deep.reveal(num=5, seed=3)
    x = picture.arrays["x"]
    groups = len(deep.encode(np.zeros((1, *deep.spec.shape), np.uint8)))
    assert x.shape == (5, groups + 1, *deep.spec.shape) and len(picture.frames) == groups + 1
    assert_rounded(x[:, -1], deep.sample(5, seed=3, mean=True))
    other = np.abs(x[:, -1] - deep.sample(5, seed=4, mean=True))
    assert other.max() > 1 and other.mean() > 0.3  # another seed is not it
    np.testing.assert_allclose(x[:, 0], np.broadcast_to(x[:1, 0], x[:, 0].shape), atol=1e-4)
    assert all(np.abs(x[:, k + 1] - x[:, k]).max() > 1e-3 for k in range(groups))
    cold = deep.reveal(num=5, seed=3, temperatures="0").arrays["x"]
    np.testing.assert_allclose(cold, np.broadcast_to(x[:1, :1], cold.shape), atol=1e-3)
    warm = deep.reveal(num=2, seed=3, temperatures="0.5").arrays["x"][:, -1]
    wanted = deep.sample(2, seed=3, mean=True, temperature=0.5)
    assert_rounded(warm, wanted)


@pytest.mark.slow
def test_samples_of_another_chunk(deep, monkeypatch):
    """Chunks are those of `sample`."""
    monkeypatch.setattr("jaxgen.evaluate.sampling.CHUNK", 2)
    run = jaxgen.load(deep.directory.path)
    x = run.reveal(num=3, seed=1).arrays["x"]
    assert_rounded(x[:, -1], run.sample(3, seed=1, mean=True))


def test_what_has_nothing_to_reveal(run, starter, tmp_path):
    with pytest.raises(ConfigError, match="ELBO has one group of latents here"):
        run.reveal(num=2)
    options = ("--config.train.steps=2", "--config.evaluate.num_samples=0")
    starter.run("--config=configs/glow.py:digits,tiny", *options, f"--workdir={tmp_path / 'glow'}")
    flow = jaxgen.load(tmp_path / "glow")
    with pytest.raises(ConfigError, match="has no groups of latents: nothing to reveal"):
        flow.reveal(num=2)


@pytest.mark.slow
def test_the_command_of_a_reveal(deep, tmp_path, jaxgen_command):
    jaxgen_command("reveal", deep.directory.path, "--num=2", f"--out={tmp_path / 'x.webp'}")
    told = json.loads((tmp_path / "x.film.json").read_text())
    frames = deep.reveal(num=2).frames
    assert told["view"] == "reveal" and len(told["frames_sha256"]) == len(frames)
