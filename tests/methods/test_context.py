"""Densities given context columns, and in the units of the data: against closed forms."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxgen.data
import jaxgen.evaluate.givens as givens
from jaxgen.bijectors.affine import ActNorm
from jaxgen.config import ConfigError
from jaxgen.methods.elbo import ELBO
from jaxgen.methods.likelihood import Likelihood
from jaxgen.models.flows.maf import MAF
from jaxgen.sharding import make_mesh
from jaxgen.train.observe import Observer
from jaxgen.train.step import init_state
from jaxgen.types import DataSpec, Units

SCALES = np.array([1e6, 1e-6])


def gaussian_entropy(deviations):
    return float(np.sum(0.5 * np.log(2 * np.pi * np.e * np.square(deviations))))


@pytest.fixture(scope="module")
def linear(tmp_path_factory):
    """x = (1e6 (2 c0 - c1 + e0), 1e-6 (c1 + e1 / 2)) of standard normal c and e."""
    random = np.random.RandomState(0)
    c, e = random.randn(6000, 2), random.randn(6000, 2)
    x = np.stack([2 * c[:, 0] - c[:, 1] + e[:, 0], c[:, 1] + e[:, 1] / 2], 1)
    path = tmp_path_factory.mktemp("linear") / "a.npz"
    np.savez(path, x=x * SCALES, context=c * [100.0, 1e-3] + [1e4, 0.0])
    return jaxgen.data.load(str(path))


def test_a_gaussian_of_unlike_scales_has_its_entropy_in_their_own_units(linear):
    """An actnorm begins as the Gaussian with the moments of the columns."""
    split = linear.splits["train"]
    spec = DataSpec("linear", {"x": linear.spec.x})
    method = Likelihood(model=ActNorm(), spec=spec)
    batch = {"x": jnp.asarray(split.take(np.arange(len(split)))["x"])}
    state = init_state(jax.random.key(0), batch, method=method, optimizers={}, emas={})
    expected = gaussian_entropy(split.own(np.arange(len(split)))["x"].std(0))
    assert abs(expected) < 10  # of 1e6 and 1e-6, which cancel
    half = spec.with_field("x", units=Units(spec.x.units.shift, (1.0, 1.0)))
    for wanted, of in ((expected, spec), (gaussian_entropy([1, 1]), half)):
        own = dataclasses.replace(method, spec=of)
        found = jax.jit(own.evaluate)(state, batch, jax.random.key(1))
        np.testing.assert_allclose(np.mean(found["nll"]), wanted, atol=1e-4)
        _, (_, metrics) = jax.jit(own.loss)(state, batch, jax.random.key(1))
        np.testing.assert_allclose(metrics["nll"], wanted, atol=1e-4)


def test_a_conditional_flow_reaches_the_conditional_entropy(linear):
    method = Likelihood(model=MAF(depth=1, hidden=(32,), norm=False), spec=linear.spec)
    train, test = (
        {k: jnp.asarray(v) for k, v in split.take(np.arange(len(split))).items()}
        for split in linear.splits.values()
    )
    adam = optax.adam(optax.cosine_decay_schedule(1e-2, 400))
    state = jax.jit(lambda rng: init_state(rng, train, method=method, optimizers={}, emas={}))(
        jax.random.key(0)
    )

    @jax.jit
    def fit(params):
        def step(carry, i):
            params, moments = carry
            rows = jax.random.randint(jax.random.fold_in(jax.random.key(1), i), (256,), 0, 5400)
            batch = {k: v[rows] for k, v in train.items()}
            loss = lambda p: method.loss(state.replace(params=p), batch, jax.random.key(2))[0]  # noqa: E731
            updates, moments = adam.update(jax.grad(loss)(params), moments)
            return (optax.apply_updates(params, updates), moments), None

        return jax.lax.scan(step, (params, adam.init(params)), jnp.arange(400))[0][0]

    state = state.replace(params=fit(state.params))
    nll = np.asarray(jax.jit(method.evaluate)(state, test, jax.random.key(0))["nll"])
    entropy = gaussian_entropy([1e6, 0.5e-6])
    assert abs(nll.mean() - entropy) < 0.03 + 2 * nll.std() / np.sqrt(len(nll)), nll.mean()
    own = {"context": test["context"]}
    again = jax.jit(method.log_prob)(state, test["x"], jax.random.key(0), own)
    np.testing.assert_allclose(again, -nll, atol=1e-4)

    given = linear.spec.fields["context"].units.inward(np.array([1e4 + 100.0, 1e-3]))
    draw = jax.jit(lambda c: method.sample(state, jax.random.key(3), 2000, {"context": c}))
    x = linear.spec.x.units.outward(np.asarray(draw(given)))
    np.testing.assert_allclose(x.mean(0) / SCALES, [1.0, 1.0], atol=0.1)
    np.testing.assert_allclose(x.std(0) / SCALES, [1.0, 0.5], atol=0.05)
    rows = {"context": np.repeat(np.stack([given, -given]), 3, 0)}
    shape = jax.eval_shape(lambda: method.sample(state, jax.random.key(3), 6, rows)).shape
    assert shape == (6, 2)
    with pytest.raises(ConfigError, match="given context: expected given=.*: context 0, context 1"):
        method.sample(state, jax.random.key(3), 2)
    with pytest.raises(ConfigError, match=r"context of shape \[3\], expected \[2\] or \[5, 2\]"):
        method.sample(state, jax.random.key(3), 5, given={"context": np.zeros(3)})


def test_a_model_that_would_ignore_the_context_is_refused(linear):
    method = Likelihood(model=ActNorm(), spec=linear.spec)
    batch = {k: jnp.asarray(v) for k, v in linear.splits["test"].take(np.arange(8)).items()}
    with pytest.raises(
        ConfigError, match="takes no condition, and it is given context.context 0, c"
    ):
        method.init(jax.random.key(0), batch)


@pytest.mark.parametrize("nested", [False, True])
def test_a_stored_config_opens_no_file(linear, tmp_path, monkeypatch, nested):
    """What a grid is given stands in the config, which may be a stranger's: numbers alone."""
    opened = []
    monkeypatch.setattr(givens, "read_rows", lambda path, *_: opened.append(path))
    np.savez(tmp_path / "c.npz", context=np.zeros((1, 2)))
    given = {"context": str(tmp_path / "c.npz")}
    method = Likelihood(model=MAF(depth=1, hidden=(8,)), spec=linear.spec)
    with pytest.raises(ConfigError, match="evaluate.sample: context: expected numbers, no file"):
        Observer(
            dataset=linear,
            method=method,
            mesh=make_mesh(),
            target=None,
            sample={"given": given} if nested else given,
        )
    assert not opened


def test_other_methods_say_that_they_take_no_context(linear):
    from jaxgen.train.assemble import assemble

    config = {
        "model": {"name": "flows.planar.PlanarFlow"},
        "method": {"name": "reverse_kl.ReverseKL"},
    }
    spec = dataclasses.replace(linear.spec, name="u1")
    with pytest.raises(ConfigError, match="KL takes no context, and u1 gives context 0, context 1"):
        assemble(config | {"optim": {}, "ema": {}, "train": {"batch_size": 1}}, spec)


def test_the_bound_of_a_gaussian_decoder_is_in_the_units_of_the_data():
    units = Units((0.0, 0.0), (1e3, 1e-2))
    for log_volume in (0.0, units.log_volume):
        spec = DataSpec.of("t", (2,), None, units=units if log_volume else None)
        decoder = ELBO(model=None, spec=spec, observation="gaussian").decoder
        found = decoder.log_prob(jnp.zeros((1, 2)), jnp.zeros((1, 2)))
        np.testing.assert_allclose(found, -np.log(2 * np.pi) - log_volume, rtol=1e-6)
