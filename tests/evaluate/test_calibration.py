"""Calibration: a right posterior passes, wrong ones of every kind fail, and the command says so."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest

from jaxgen import cli
from jaxgen.config import ConfigError
from jaxgen.evaluate import gallery
from jaxgen.evaluate.metrics.calibration import LEVELS, Calibration, calibrate, calibration_picture
from jaxgen.rundir import RunDir

KEY = jax.random.key(0)


class Gaussian:
    """The posterior of x = theta + noise, both standard, shifted and scaled if it is wrong."""

    def __init__(self, shift=0.0, scale=1.0):
        self.shift, self.scale = shift, scale

    def posterior(self, state, rng, x, num):
        theta, observed = x[:, :2], x[:, 2:]
        mean, std = observed / 2 + self.shift, self.scale * 0.5**0.5
        z = jax.random.normal(rng, (len(x), num, 2))
        own = (theta - mean) / std
        return theta, -jnp.sum(own**2, -1) / 2, mean[:, None] + std * z, -jnp.sum(z**2, -1) / 2


def pairs(count=1000):
    theta, noise = jax.random.normal(KEY, (2, count, 2))
    return jnp.concatenate([theta, theta + noise], -1)


def result(count=1000, **wrong):
    return calibrate(Gaussian(**wrong), None, pairs(count), jax.random.key(1), 99)


def test_right_posterior():
    found = result()
    assert found.ranks.shape == (1000, 2) and found.bins == 20
    assert found.ranks.min() >= 0 and found.ranks.max() <= 99
    assert found.counts().sum(1).tolist() == [1000, 1000]
    assert (found.p_values() > 0.01).all()
    assert np.abs(found.coverage() - LEVELS).max() < 0.05
    report = found.report()
    assert report["datasets"] == 1000 and report["draws"] == 99
    assert report["test"] == "Pearson chi-squared, 20 bins, 19 degrees of freedom"
    json.dumps(report)


@pytest.mark.parametrize(
    "wrong", [dict(shift=0.3), dict(scale=0.7), dict(scale=1.5)], ids=lambda w: str(w)
)
def test_wrong_posteriors(wrong):
    found = result(**wrong)
    assert (found.p_values() < 1e-3).all()
    too_narrow = wrong.get("scale", 1) < 1
    gap = found.coverage() - LEVELS
    if "scale" in wrong:
        assert gap.mean() < -0.05 if too_narrow else gap.mean() > 0.05


def test_chi_squared_by_hand():
    ranks = np.repeat(np.arange(4), [10, 20, 30, 40])[:, None]
    found = Calibration(ranks, np.linspace(0, 1, 100), draws=3)
    assert found.bins == 4
    # ((15^2 + 5^2) * 2) / 25 = 20 with 3 degrees of freedom
    np.testing.assert_allclose(found.p_values(), [1.6974e-4], rtol=1e-3)


@pytest.mark.parametrize(("draws", "bins"), [(99, 20), (100, 1), (63, 16), (9, 10), (1, 2)])
def test_bins_hold_equally_many_ranks(draws, bins):
    assert Calibration(np.zeros((5, 1), int), np.zeros(5), draws).bins == bins


def test_what_cannot_be_calibrated_is_refused():
    with pytest.raises(ConfigError, match="object infers no parameters"):
        calibrate(object(), None, pairs(), KEY)
    with pytest.raises(ConfigError, match="at least 100 data sets and 1 draw, got 99"):
        calibrate(Gaussian(), None, pairs(99), KEY)


@pytest.mark.parametrize("parameters", [2, 5])
def test_picture(parameters):
    ranks = np.random.RandomState(0).randint(100, size=(500, parameters))
    found = Calibration(ranks, np.random.RandomState(1).rand(500), 99)
    image = calibration_picture(found)
    assert image.dtype == np.uint8 and image.shape[2] == 3
    assert image.shape[:2] == ((280, 300 * (parameters + 1)) if parameters < 4 else (560, 1200))
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 10


class FakeRun:
    """What the command needs of a run."""

    method = Gaussian()

    def __init__(self, path):
        self.directory, self.step = RunDir(path), 7

    def measure(self, metric, observations, draws, seed):
        found = calibrate(Gaussian(), None, pairs(observations), jax.random.key(seed), draws)
        folder = self.directory.path / "evaluation"
        gallery.write(folder / f"{metric}.npz", **dataclasses.asdict(found))


def test_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("jaxgen.platform.set_defaults", lambda: None)
    monkeypatch.setattr("jaxgen.verbs.calibrate.load_run", lambda arguments: FakeRun(tmp_path))
    cli.main(["calibrate", "run", "--num=200", "--draws=19", "--seed=1"])
    found = json.loads(capsys.readouterr().out)
    assert found["datasets"] == 200 and found["draws"] == 19 and len(found["p_values"]) == 2
    assert found["plot"] == str(
        tmp_path / "samples" / "calibration_num200_draws19_seed1_step00000007.png"
    )
    with PIL.Image.open(found["plot"]) as image:
        assert image.size == (900, 280)
    with pytest.raises(SystemExit):
        cli.main(["calibrate", "run", "--out=plot.jpg"])
    assert "expected a name that ends in .png" in capsys.readouterr().err


def test_command_on_a_run_without_parameters(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("jaxgen.platform.set_defaults", lambda: None)
    monkeypatch.setattr(FakeRun, "method", object())
    monkeypatch.setattr("jaxgen.verbs.calibrate.load_run", lambda arguments: FakeRun(tmp_path))
    with pytest.raises(SystemExit):
        cli.main(["calibrate", "run"])
    assert "run infers no parameters, so it has no posteriors to test" in capsys.readouterr().err


@pytest.mark.slow
def test_command_on_a_run(starter, tmp_path, data_root, monkeypatch, capsys):
    job = starter.run("--config=configs/npe.py:two_moons,tiny", f"--workdir={tmp_path / 'run'}")
    monkeypatch.setenv("JAXGEN_DATA_DIR", str(data_root))
    monkeypatch.setattr("jaxgen.platform.set_defaults", lambda: None)
    cli.main(["calibrate", str(job.workdir), "--num=200", "--draws=19"])
    found = json.loads(capsys.readouterr().out)
    assert found["step"] == 20 and len(found["p_values"]) == 2
    with pytest.raises(SystemExit):
        cli.main(["calibrate", str(job.workdir), "--num=20000"])
    assert not (job.workdir / "evaluation" / "images.npz").exists()  # of no observation
    for argv in (["sample"], ["eval", "--metrics=fd"]):
        capsys.readouterr()
        with pytest.raises(SystemExit):
            cli.main([argv[0], str(job.workdir), *argv[1:]])
        assert "expected 2 numbers, as --observation=0.5,0.5" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["calibrate", str(job.workdir), "--num=20000"])
    assert "--num=20000, expected 1 to 10000" in capsys.readouterr().err
