"""Flow matching over the latents of a frozen stage, end to end."""

import json
import signal

import numpy as np
import pytest
from command import has_row

import jaxgen
from jaxgen.config import ConfigError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["autoencoder.py:plain", "kl_autoencoder.py:digits_game"])
def base(request, starter, tmp_path_factory):
    """Over a vector of latents, and over a map."""
    base = tmp_path_factory.mktemp("latent_diffusion")
    starter.run(f"--config=configs/{request.param},tiny", f"--workdir={base / 'first'}")
    starter.run(*second(base), f"--workdir={base / 'run'}")
    return base


def second(base):
    return (
        "--config=configs/latent_diffusion.py:digits,tiny",
        f"--config.frozen.first.run={base / 'first'}",
        "--config.train.log_every_steps=1",
        "--config.train.save_every_steps=4",
        "--config.train.steps_per_dispatch=1",
    )


def test_knobs_are_those_of_the_prior(base):
    run = jaxgen.load(base / "run")
    x = run.sample(5, seed=1, label=3, steps=3)
    assert x.shape == (5, 8, 8, 1) and x.dtype == np.uint8
    np.testing.assert_array_equal(x, run.sample(5, seed=1, label=3, steps=3, guidance=1.0))
    assert run.sample(5, sampler="heun", guidance=2.0, interval=(0.2, 0.8)).shape == x.shape
    assert np.any(run.sample(5, seed=1, label=3, steps=3, temperature=3.0) != x)
    with pytest.raises(ConfigError, match="expected .*10000"):
        run.sample(5, steps=20_000)
    with pytest.raises(ConfigError, match="no such knob 'step'; did you mean 'steps'"):
        run.sample(5, step=3)


def test_latents_come_back(base):
    """The stage's own: what it restores does not depend on the prior."""
    run, first = jaxgen.load(base / "run"), jaxgen.load(base / "first")
    x = run.sample(5, seed=1)
    np.testing.assert_array_equal(run.reconstruct(x), first.reconstruct(x))


def test_a_run_that_was_killed_ends_in_the_same_state(base, starter, tmp_path):
    whole = json.loads((base / "run/summary.json").read_text())["state_digest"]
    options = (*second(base), f"--workdir={tmp_path / 'run'}")
    starter.start(*options).until(has_row(tmp_path / "run", 9)).kill().wait(-signal.SIGKILL)
    resumed = starter.run(*options)
    assert "resumed at step" in resumed.out and resumed.digest == whole


def test_a_classifier_of_the_same_latents_guides(base, starter, tmp_path):
    run = jaxgen.load(base / "run")
    if len(run.spec.fields["z"].shape) != 3:
        pytest.skip("the classifier is one of maps")
    judge = tmp_path / "judge"
    starter.run(
        "--config=configs/adm_classifier.py:latents,tiny",
        f"--config.frozen.first.run={base / 'first'}",
        f"--workdir={judge}",
    )
    knobs = dict(seed=1, label=3, steps=3)
    guided = run.guided_by(judge)
    np.testing.assert_array_equal(guided.sample(5, scale=0.0, **knobs), run.sample(5, **knobs))
    assert np.any(guided.sample(5, scale=30.0, **knobs) != run.sample(5, **knobs))
    found = guided.measure("fd", num=32, sets=1, extractor="pixels", knobs={"scale": 2.0})
    (settings,) = {str(m["settings"]) for m in found["measurements"]}
    assert "judge@" in settings and "scale" in settings
