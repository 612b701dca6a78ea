"""`jaxgen ood` of a run: scores, sets, and what is refused."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgen
from jaxgen.config import ConfigError
from jaxgen.views import ood


@pytest.fixture(scope="module")
def run(zoo, data_root, tmp_path_factory):
    workdir = zoo.copy("vae", tmp_path_factory.mktemp("ood") / "vae-digits").workdir
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXGEN_DATA_DIR", str(data_root))
        yield jaxgen.load(workdir)


@pytest.fixture(scope="module")
def found(run):
    return run.ood(num=100, draws=2, alarms=0.05, gradient=True, background=run)


def test_scores_are_of_what_they_say(run, found):
    split = run.dataset().splits["test"]
    x = split.take(np.round(np.linspace(0, len(split) - 1, 200)).astype(int))["x"][1::2]
    black = np.zeros((1, *run.spec.shape), np.uint8)
    log_p = np.mean([run.log_prob(black, seed=seed) for seed in (0, 1)], axis=0)
    scores = found.scores["transform:black"]
    np.testing.assert_allclose(scores["log_p"][0], -log_p[0], rtol=1e-4)
    train = -found.scores["train"]["log_p"].mean()
    np.testing.assert_allclose(scores["typicality"][0], abs(log_p[0] - train), rtol=1e-3)
    np.testing.assert_allclose(scores["ratio"], 0, atol=1e-4)  # the background is the run
    assert len(found.scores["test"]["log_p"]) == len(x) == 100
    for name, of in found.told.items():
        assert {*of} == {"log_p", "typicality", "complexity", "ratio", "gradient"}, name
    assert (found.scores["transform:invert"]["gradient"] > 0).all()


def test_the_norm_of_a_gradient(run, found):
    """By a difference of log p along it."""
    state = run.state.averaged()
    x = jnp.zeros((1, *run.spec.shape), jnp.uint8)
    key = jax.random.split(jax.random.fold_in(jax.random.key(0), 0), ood.GRADIENTS)[0]

    def log_p(params):
        return run.method.log_prob(state.replace(params=params), x, key)[0]

    gradient = jax.grad(log_p)(state.params)
    norm = found.scores["transform:black"]["gradient"][0]
    step = 1e-2 / norm
    ends = [
        jax.tree.map(lambda p, g, s=s: p + s * g, state.params, gradient) for s in (step, -step)
    ]
    slope = (log_p(ends[0]) - log_p(ends[1])) / (2 * step)
    np.testing.assert_allclose(slope, norm**2, rtol=0.02)


def test_thresholds_and_controls(found):
    """At most a share of the held-out examples is above; the halves of the test are alike."""
    assert 0.35 < found.told["test"]["log_p"].auroc.value < 0.65
    share = (found.scores["test"]["log_p"] > found.thresholds["log_p"]).mean()
    assert share <= 0.15
    p = found.p_values["transform:invert"]["log_p"]
    np.testing.assert_array_equal(
        p <= 0.05, found.scores["transform:invert"]["log_p"] > found.thresholds["log_p"]
    )
    assert found.warnings[0] == ood.WARNING


def test_a_score_that_prefers_outliers_is_said(found):
    """What is likelier than the data is named; black pictures may be."""
    worse = {name for name, of in found.told.items() if (of["log_p"].auroc.high or 0) < 0.5}
    told = [w for w in found.warnings[1:] if ": log_p ranks" in w]
    assert len(told) == len(worse - {*ood.CONTROLS})


def test_the_command(run, tmp_path, jaxgen_command):
    np.savez(tmp_path / "x.npz", x=run.dataset().splits["test"].take(np.arange(30))["x"])
    words = [f"--against={tmp_path / 'x.npz'}", "--against=transform:turn", "--num=60", "--draws=1"]
    out = jaxgen_command("ood", run.directory.path, *words, "--json").out
    report = json.loads(out)
    assert {*report["sets"]} == {"test", "train", str(tmp_path / "x.npz"), "transform:turn"}
    row = report["sets"]["transform:turn"]["log_p"]
    assert 0 <= row["auroc"]["low"] <= row["auroc"]["value"] <= row["auroc"]["high"] <= 1
    table = jaxgen_command("ood", run.directory.path, *words, "--alarms=0.1").out
    assert "log_p above" in table and "note: a likelihood is no measure" in table


def test_what_cannot_be(run):
    with pytest.raises(ConfigError, match="unknown transform 'mirror'"):
        run.ood("transform:mirror", num=50)
    with pytest.raises(ConfigError, match="without 40 held out nothing can be said"):
        run.ood("transform:turn", num=10)
    with pytest.raises(ConfigError, match="held-out examples give no threshold"):
        run.ood("transform:turn", num=50, draws=1, alarms=0.001)
    with pytest.raises(ConfigError, match="against names no set"):
        run.ood([])
