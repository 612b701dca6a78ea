"""Neural posterior estimation: units do not matter, observations do, and it finds the posterior."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgen.data.embedded import simulated
from jaxgen.evaluate.metrics.calibration import calibrate
from jaxgen.methods.posterior import Posterior
from jaxgen.models.flows.npe import PosteriorFlow
from jaxgen.ops.simulators import SIMULATORS, linear_gaussian_posterior
from jaxgen.types import DataSpec, State

KEY = jax.random.key(0)
SPEC = DataSpec.of("linear_gaussian", (6,), None)
TINY = dict(depth=1, bins=4, width=8, form="coupling")


@pytest.fixture(scope="module")
def rows():
    return jnp.asarray(simulated.simulate(SIMULATORS["linear_gaussian"], 512, seed=5)[0])


def away(path, p):
    """Moves all parameters but those of actnorm, which are in the units of the data."""
    *_, module, name = (key.key for key in path)
    if module == "bijectors_0" and name in ("bias", "log_scale"):
        return p
    return jnp.asarray(p + 0.1 * np.cos(np.arange(p.size)).reshape(p.shape), p.dtype)


@pytest.fixture(scope="module")
def begin():
    """begin(x): a tiny flow with an embedding, initialised on x and then moved away."""
    method = Posterior(PosteriorFlow(embedding=(8, 4), **TINY), SPEC, parameters=3)
    init = jax.jit(method.init)

    def state_of(x):
        params, variables = init(KEY, {"x": x})
        params = jax.tree_util.tree_map_with_path(away, params)
        return method, State(jnp.int32(0), params, variables, {}, {})

    return state_of


@pytest.fixture(scope="module")
def scrambled(begin, rows):
    return begin(rows)


def test_units_change_the_likelihood_by_their_jacobian_only(begin, scrambled, rows):
    method, state = scrambled
    other = jnp.asarray(rows * np.array([[1e3] * 3 + [1e-3] * 3]), jnp.float32)
    evaluate = jax.jit(method.evaluate)
    pairs = ((state, rows), (begin(other)[1], other))
    nll, scaled = (np.asarray(evaluate(s, {"x": x}, KEY)["nll"]) for s, x in pairs)
    assert nll.std() > 0.1
    np.testing.assert_allclose(scaled - nll, 3 * np.log(1e3), atol=1e-3)


def test_the_observation_and_its_embedding_count(scrambled, rows):
    method, state = scrambled
    draw = jax.jit(lambda observed: method.sample(state, KEY, 64, observed))
    a, b = (np.asarray(draw(np.full(3, v, np.float32))) for v in (0.0, 2.0))
    assert np.abs(a - b).max() > 1e-2
    grads = jax.jit(jax.grad(lambda p: method.loss(state.replace(params=p), {"x": rows}, KEY)[0]))(
        state.params
    )
    for leaf in jax.tree.leaves(grads["model"]["embed"]):
        assert np.isfinite(leaf).all() and np.abs(leaf).max() > 0


def test_statistics_are_those_of_the_first_batch_and_never_trained(scrambled, rows):
    _, state = scrambled
    constants = state.vars["model"]["constants"]["standardize"]
    np.testing.assert_allclose(constants["mean"], rows[:, 3:].mean(0), atol=1e-5)
    np.testing.assert_allclose(constants["std"], rows[:, 3:].std(0), rtol=1e-4)
    assert "standardize" not in state.params["model"]


def test_a_missing_observation_is_refused():
    with pytest.raises(ValueError, match="a posterior needs cond"):
        PosteriorFlow(**TINY).init(KEY, jnp.zeros((2, 3)))


def test_a_layer_of_the_affine_form_is_a_gaussian_given_the_observation():
    """Each parameter is linear in its own noise; the log-determinant is that of the Jacobian."""
    flow = PosteriorFlow(depth=1, width=8, form="affine", given=True)
    theta, observed = jax.random.normal(KEY, (2, 32, 3))
    variables = flow.init(KEY, theta, observed)
    params = jax.tree_util.tree_map_with_path(away, variables["params"])
    variables = variables | {"params": params}
    z, logdet = flow.apply(variables, theta, observed)

    def one(theta, observed):
        return flow.apply(variables, theta[None], observed[None])[0][0]

    jacobians = np.asarray(jax.vmap(jax.jacfwd(one))(theta, observed))
    np.testing.assert_allclose(np.linalg.slogdet(jacobians)[1], logdet, atol=1e-5)
    back = flow.apply(variables, z, observed, method="inverse")[0]
    np.testing.assert_allclose(back, theta, atol=1e-5)
    slopes = np.abs(jacobians).max(0)
    assert sorted((slopes > 1e-6).sum(1).tolist()) == [1, 2, 3]  # each by those before it
    first = int((slopes > 1e-6).sum(1).argmin())
    scales = np.abs(jacobians[:, first]).max(-1)
    moved = jnp.asarray(theta + 1)
    shifted = flow.apply(variables, moved, observed)[0]
    np.testing.assert_allclose(np.abs(shifted - z)[:, first], scales, rtol=1e-3)  # a line
    assert scales.std() > 0.01  # given the observation


@pytest.mark.slow
def test_linear_gaussian_posterior_is_found_and_calibrated():
    """With the recipe of configs/npe.py: KL at most 0.05 nats, ranks uniform."""
    train, test = (
        jnp.asarray(simulated.simulate(SIMULATORS["linear_gaussian"], n, seed)[0])
        for n, seed in ((50_000, 0), (10_000, 1))
    )
    method = Posterior(PosteriorFlow(), SPEC, parameters=3)
    state = State(jnp.int32(0), *jax.jit(method.init)(KEY, {"x": train[:256]}), {}, {})
    optimizer = optax.chain(
        optax.clip_by_global_norm(5.0), optax.adam(optax.cosine_decay_schedule(1e-3, 3000))
    )

    def step(carry, key):
        params, opt = carry
        batch = {"x": train[jax.random.randint(key, (256,), 0, len(train))]}
        grads = jax.grad(lambda p: method.loss(state.replace(params=p), batch, key)[0])(params)
        updates, opt = optimizer.update(grads, opt)
        return (optax.apply_updates(params, updates), opt), None

    start = (state.params, optimizer.init(state.params))
    keys = jax.random.split(KEY, 3000)
    (params, _), _ = jax.jit(lambda c: jax.lax.scan(step, c, keys))(start)
    state = state.replace(params=params)
    draws = jax.jit(method.posterior, static_argnums=3)(state, KEY, test[:200], 200)
    mean, variance = linear_gaussian_posterior(test[:200, 3:])
    exact = -0.5 * (
        jnp.square(draws[2] - mean[:, None]) / variance + np.log(2 * np.pi * variance)
    ).sum(-1)
    assert -0.005 < float(jnp.mean(draws[3] - exact)) <= 0.05
    np.testing.assert_allclose(draws[2].std(1).mean(), np.sqrt(variance), rtol=0.05)
    result = calibrate(method, state, test[:500], KEY, 99)
    assert (result.p_values() > 0.01).all()
    assert result.report()["coverage_error"] <= 0.05
