"""Several draws an example: keys by example and draw, and a standard error over examples."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command import ROOT
from tiny import tiny

import jaxgen
from jaxgen.abilities import DensityOf
from jaxgen.data.dataset import ArraySplit
from jaxgen.data.loader import eval_batches
from jaxgen.errors import ConfigError
from jaxgen.evaluate.split import EVALUATION_SEED, Drawn, evaluate_split, split_values, value_sums
from jaxgen.sharding import batch_sharding, make_mesh, put

KEY = jax.random.key(EVALUATION_SEED)
SPREAD, NOISE, COUNT = 2.0, 3.0, 2000
X = SPREAD * np.random.RandomState(0).randn(COUNT, 1).astype(np.float32)


class Noisy:
    """A value of each example, seen with noise and without."""

    density = DensityOf("elbo", "density", 1)
    likelihoods = {"noisy": density}

    def log_prob(self, state, x, rng):
        return -self.evaluate(state, {"x": x}, rng)["noisy"]

    def evaluate(self, state, batch, rng):
        exact = batch["x"][:, 0]
        return {"noisy": exact + NOISE * jax.random.normal(rng, exact.shape), "exact": exact}


class Spread:
    """A uniform draw for each example, from all of [0, 1] or from a share of it."""

    def evaluate_stratum(self, state, batch, rng, stratum, strata):
        u = jax.random.uniform(rng, (len(batch["x"]),))
        return {"u": (stratum + u) / strata}


def to_devices(batch):
    return put(batch, batch_sharding(make_mesh()))


def estimates(method, draws, size=400):
    step = jax.jit(lambda batch, rng: value_sums(Drawn(method, draws), None, batch, rng))
    return evaluate_split(step, eval_batches(ArraySplit({"x": X}), size, indexed=True), to_devices)


def by_hand(method, state, batch, draws):
    """Means of separate evaluations of single examples, each with the key that it has."""
    found, evaluate = [], jax.jit(method.evaluate)
    for i in range(len(batch["x"])):
        alone = {k: jnp.asarray(v[i : i + 1]) for k, v in batch.items()}
        keys = [jax.random.fold_in(jax.random.fold_in(KEY, i), k) for k in range(draws)]
        found.append([evaluate(state, alone, key) for key in keys])
    return {
        name: np.array([[float(v[name][0]) for v in row] for row in found], np.float64).mean(1)
        for name in found[0][0]
    }


def values(method, state, batch, draws, size):
    step = jax.jit(lambda batch, rng: Drawn(method, draws).evaluate(state, batch, rng))
    split = ArraySplit({k: np.asarray(v) for k, v in batch.items()})
    return split_values(step, eval_batches(split, size, indexed=True), to_devices)


@pytest.mark.parametrize("draws", [1, 2, 5])
def test_the_mean_of_separate_evaluations(draws):
    batch = {"x": X[:7]}
    expected = by_hand(Noisy(), None, batch, draws)
    size = jax.device_count()
    for found in (values(Noisy(), None, batch, draws, k * size) for k in (1, 3, 8)):
        for name, value in found.items():
            np.testing.assert_allclose(value, expected[name], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["vae", pytest.param("nice", marks=pytest.mark.slow)])
def test_networks_see_single_examples(name, data_root):
    """A bound and a dequantised density; batches of any size give the same."""
    model = tiny(name, data_root, 6)
    expected = by_hand(model.method, model.state, model.batch, 2)
    for size in (jax.device_count(), 4 * jax.device_count()):
        found = values(model.method, model.state, model.batch, 2, size)
        assert found.keys() == expected.keys()
        for key, value in found.items():
            np.testing.assert_allclose(value, expected[key], rtol=1e-4, atol=1e-4)


def test_an_example_has_its_own_noise_wherever_it_is():
    """Also with padding, and among every third example of the split."""
    whole = values(Noisy(), None, {"x": X[:9]}, 2, 9 * jax.device_count())
    step = jax.jit(lambda batch, rng: Drawn(Noisy(), 2).evaluate(None, batch, rng))
    split = ArraySplit({"x": X[:9]})
    some = eval_batches(split, 2 * jax.device_count(), max_examples=3, indexed=True)
    found = split_values(step, some, to_devices)
    np.testing.assert_allclose(found["noisy"], whole["noisy"][[0, 3, 6]], rtol=1e-6)


@pytest.mark.parametrize("draws", [1, 4, 16, 64])
def test_the_standard_error_is_of_examples(draws):
    """Var(mean of K draws) is that of the examples, and a K-th of the noise's."""
    found = estimates(Noisy(), draws)
    deviation = np.sqrt(np.var(X, ddof=1) + NOISE**2 / draws)
    assert found["noisy"].count == COUNT
    assert found["noisy"].stderr == pytest.approx(deviation / np.sqrt(COUNT), rel=0.05)
    assert found["noisy"].mean == pytest.approx(X.mean(), abs=5 * NOISE / np.sqrt(COUNT * draws))
    assert found["exact"].stderr == pytest.approx(X.std(ddof=1) / np.sqrt(COUNT), rel=1e-4)
    assert found["exact"].mean == pytest.approx(X.mean(), abs=1e-5)


def test_strata():
    """One draw in each of K shares of [0, 1]: the mean has a deviation of 1 / sqrt(12 K^3)."""
    for draws in (1, 4, 16):
        stderr = estimates(Spread(), draws)["u"].stderr
        assert stderr * np.sqrt(COUNT) == pytest.approx((12 * draws**3) ** -0.5, rel=0.1)


def test_values_of_a_batch_have_no_draws():
    class Game:
        def evaluate(self, state, batch, rng):
            return {"score": jnp.zeros(1)}

    with pytest.raises(ConfigError, match="evaluate.draws=2: Game is no density: its values are"):
        Drawn(Game(), 2)


def test_the_command_and_python(jaxgen_command, tmp_path):
    run = shutil.copytree(ROOT / "tests/fixtures/landed/finished", tmp_path / "run")
    asked = (run, "--splits=test", "--max_examples=20")
    trained = jaxgen.load(run)
    options = {"splits": ("test",), "max_examples": 20}
    found = {}
    for draws in (1, 2):
        text = jaxgen_command("eval", *asked, f"--draws={draws}").out
        printed = json.loads(text)["test/bpd"]
        found[draws] = trained.evaluate(draws=draws, **options)["test/bpd"]
        assert printed["mean"] == found[draws].mean and printed["count"] == 20
    plain = json.loads(jaxgen_command("eval", *asked).out)["test/bpd"]
    assert plain["mean"] == found[1].mean
    assert len({estimate.mean for estimate in found.values()}) == 2
    other = trained.evaluate(draws=2, batch_size=5, **options)["test/bpd"]
    assert other.mean == pytest.approx(found[2].mean, rel=1e-6)
    for options in (("--draws=0",), ("--draws=2", "--metrics=fd")):
        assert "--draws" in jaxgen_command("eval", *asked, *options, code=2).err
