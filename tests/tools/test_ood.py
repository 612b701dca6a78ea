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
    key = jax.random.split(jax.random.fold_in(jax.random.key(0), 0), ood.CHUNK)[0]

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


@pytest.fixture(scope="module")
def deep(starter, data_root, tmp_path_factory):
    """A VAE of several groups with two checkpoints."""
    workdir = tmp_path_factory.mktemp("ood") / "nvae-digits"
    options = ("--config.train.steps=4", "--config.train.save_every_steps=2")
    starter.run("--config=configs/nvae.py:digits,tiny", *options, f"--workdir={workdir}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXGEN_DATA_DIR", str(data_root))
        yield jaxgen.load(workdir)


@pytest.mark.slow
def test_waic_is_of_the_checkpoints(deep):
    """Variance less mean of what each checkpoint says on its own."""
    assert deep.steps == [2, 4]
    found = deep.ood("transform:black", num=40, draws=2, seed=3, checkpoints="all")
    x = np.zeros((1, *deep.spec.shape), np.uint8)
    log_p = []
    for step in deep.steps:
        own = jaxgen.load(deep.directory.path, step=step)
        assert deep.at(step).step == step
        log_p.append(np.mean([own.log_prob(x, seed=3 + i) for i in range(2)]))
    first, second = map(float, log_p)
    by_hand = ((first - second) / 2) ** 2 - (first + second) / 2
    assert abs(first - second) > 1
    shown = found.scores["transform:black"]["waic"]
    # examples of a chunk have their own noise: the black ones scatter about the first
    np.testing.assert_allclose(shown[0], by_hand, rtol=1e-4)
    assert deep.step == 4  # it is what it was


@pytest.mark.slow
def test_ratios_of_bounds(deep):
    """As the method says, in nats, the mean over draws; as many as groups less one."""
    found = deep.ood("transform:black", num=40, draws=2, llr="all")
    scores = found.scores["transform:black"]
    count = len(deep.encode(np.zeros((1, *deep.spec.shape), np.uint8)))
    names = [f"llr_{k}" for k in range(1, count)]
    assert count > 2 and [name for name in scores if name.startswith("llr")] == names
    rows = jnp.zeros((ood.CHUNK, *deep.spec.shape), jnp.uint8)
    state, values = deep.state.averaged(), []
    for seed in (0, 1):
        key = jax.random.fold_in(jax.random.key(seed), 0)
        values.append(deep.method.bounds(state, rows, key, (count, count - 1, 1)))
    whole, less, first = np.mean(np.asarray(values, np.float64), axis=0).T
    np.testing.assert_allclose(scores["llr_1"][: len(rows)], whole - less, rtol=1e-3, atol=1e-2)
    last = scores[names[-1]][: len(rows)]
    np.testing.assert_allclose(last, whole - first, rtol=1e-3, atol=1e-2)
    some = deep.ood("transform:black", num=40, draws=2, llr=[2]).scores["transform:black"]
    np.testing.assert_allclose(some["llr_2"], scores["llr_2"], rtol=1e-3, atol=1e-2)
    assert "llr_1" not in some


def test_scores_that_do_not_apply(run):
    with pytest.raises(ConfigError, match="ELBO has no groups of latents above each other"):
        run.ood(num=50, llr="all")
    for wrong in (1, 99, "some", True):
        with pytest.raises(ConfigError, match=rf"checkpoints={wrong}: expected all, or 2 or more"):
            run.ood(num=50, checkpoints=wrong)


@pytest.mark.slow
def test_groups_and_checkpoints_that_there_are_not(deep):
    for wrong in ("0", "9", "1,x", 9, [1.5]):
        with pytest.raises(ConfigError, match=r"llr=.*expected all, or numbers from 1 to"):
            deep.ood(num=50, llr=wrong)
    for wrong in (1, 3, "some", True):
        with pytest.raises(ConfigError, match=rf"checkpoints={wrong}: .*has \[2, 4\]: train"):
            deep.ood(num=50, checkpoints=wrong)


def test_a_background_of_resampled_data(run, starter, tmp_path):
    """It is a run of the same kind of data, and its ratio the difference of both by hand."""
    workdir = tmp_path / "noised"
    options = ("--config.model.latent=2", "--config.data.resampled=0.2")
    starter.run("--config=configs/vae.py:digits,tiny", *options, f"--workdir={workdir}")
    background = jaxgen.load(workdir)
    clean, noised = (
        one.dataset().splits["test"].take(np.arange(30))["x"] for one in (run, background)
    )
    assert 0.05 < (clean != noised).mean() < 0.15  # of two levels half of the share
    found = run.ood("transform:black", num=40, draws=1, background=str(workdir))
    x = np.zeros((1, *run.spec.shape), np.uint8)
    by_hand = background.log_prob(x) - run.log_prob(x)
    np.testing.assert_allclose(found.scores["transform:black"]["ratio"][0], by_hand[0], rtol=1e-3)


def test_what_cannot_be(run):
    with pytest.raises(ConfigError, match="unknown transform 'mirror'"):
        run.ood("transform:mirror", num=50)
    with pytest.raises(ConfigError, match="without 40 held out nothing can be said"):
        run.ood("transform:turn", num=10)
    with pytest.raises(ConfigError, match="held-out examples give no threshold"):
        run.ood("transform:turn", num=50, draws=1, alarms=0.001)
    with pytest.raises(ConfigError, match="against names no set"):
        run.ood([])
