"""Bounds against a model whose marginal likelihood is known: x = W z + b + noise."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.methods.elbo import ELBO
from jaxgen.methods.iwae import IWAE
from jaxgen.models.vaes.vae import VAE, ConvVAE
from jaxgen.nn.latents import Draw, Normal, draw_group, standard_normal
from jaxgen.types import DataSpec, State

KEY = jax.random.key(0)
RANDOM = np.random.RandomState(0)
VARIANCE, STD = 0.3, np.sqrt(0.3)
W, B, X = RANDOM.randn(6, 2), RANDOM.randn(6), 2 * RANDOM.randn(6)
PRECISION = np.eye(2) + W.T @ W / VARIANCE
MEAN = np.linalg.solve(PRECISION, W.T @ (X - B) / VARIANCE)
EXACT, MEAN_FIELD = -40.635076579131486, -40.64297093407898  # in nats
SCALE = 6 * np.log(STD)  # the decoder's noise has unit variance: x is given in units of STD
SPEC = DataSpec.of("line", (6,), None)


class LinearGaussian(nn.Module):
    """The decoder W z + b; a posterior with free mean and covariance, or independent normals."""

    full: bool = False

    @nn.compact
    def tensors(self):
        mean = self.param("mean", lambda _: jnp.asarray(MEAN))
        log_std = self.param("log_std", lambda _: jnp.asarray(-0.5 * np.log(np.diag(PRECISION))))
        weights = self.param("weights", lambda _: jnp.asarray(W / STD))
        return mean, log_std, weights

    def __call__(self, x, size, cond=None):
        return self.top_down(self.bottom_up(x), size)

    def bottom_up(self, x, cond=None):
        mean, log_std, _ = self.tensors()
        tile = functools.partial(jnp.broadcast_to, shape=(len(x), 2))
        return Normal(tile(mean), tile(log_std))

    def top_down(self, h, size, cond=None, given=None, temperature=1.0):
        _, _, weights = self.tensors()
        prior = standard_normal((size[0], 2), weights.dtype)
        known = given[0] if given else None
        if self.full and h is not None and known is None:
            root = jnp.asarray(np.linalg.cholesky(np.linalg.inv(PRECISION)))
            noise = jax.random.normal(self.make_rng("latent"), h.mean.shape, weights.dtype)
            known = h.mean + noise @ root.T
        group = draw_group(self.make_rng("latent"), prior, h, known, temperature)
        log_q = group.log_q
        if self.full and h is not None:
            d = group.z - h.mean
            square = jnp.einsum("bi,ij,bj->b", d, jnp.asarray(PRECISION), d)
            log_q = 0.5 * (np.linalg.slogdet(PRECISION)[1] - square) - np.log(2 * np.pi)
        theta = group.z @ weights.T + jnp.asarray(B / STD)[None]
        kl = () if group.kl is None else (group.kl,)
        return Draw(theta, (group.z,), kl, log_q, group.log_p)


@pytest.fixture
def x64():
    """Float64 for one test."""
    with jax.enable_x64(True):
        yield


def method_and_state(cls=ELBO, full=False, count=1, **options):
    method = cls(LinearGaussian(full), SPEC, observation="gaussian", **options)
    batch = {"x": jnp.asarray(np.tile(X / STD, (count, 1)))}
    params, variables = jax.jit(method.init)(KEY, batch)
    return method, State(jnp.int32(0), params, variables, {}, {}), batch


def cubature(state):
    """Four draws of the mean-field posterior whose average is exact for quadratic functions."""
    mean, log_std = state.params["model"]["mean"], state.params["model"]["log_std"]
    steps = np.sqrt(2) * np.concatenate([np.eye(2), -np.eye(2)])
    return steps, [mean + np.exp(log_std) * s for s in steps]


def test_weights_of_the_true_posterior_are_the_marginal_likelihood(x64):
    method, state, batch = method_and_state(full=True, count=5, importance_samples=3)
    log_p = np.asarray(jax.jit(method.log_prob)(state, batch["x"], KEY))
    np.testing.assert_allclose(log_p - SCALE, EXACT, atol=1e-10)


def test_bound_of_the_mean_field_posterior(x64):
    method, state, batch = method_and_state()

    @jax.jit
    def bound(z):
        h = method.player.apply(state, batch["x"], method="bottom_up")
        draw = method.top_down(state, h, 1, None, KEY, given=(z[None],))
        return (method.decoder.log_prob(batch["x"], draw.theta) - draw.kl[0].sum())[0]

    bounds = [bound(z) for z in cubature(state)[1]]
    np.testing.assert_allclose(np.mean(bounds) - SCALE, MEAN_FIELD, atol=1e-10)


def test_evaluate_averages_to_the_bound():
    method, state, batch = method_and_state(count=20_000)
    values = jax.tree.map(np.asarray, jax.jit(method.evaluate)(state, batch, KEY))
    error = np.std(values["nelbo"]) / np.sqrt(20_000)
    np.testing.assert_allclose(-np.mean(values["nelbo"]) - SCALE, MEAN_FIELD, atol=4 * error)
    np.testing.assert_allclose(values["nelbo"], values["reconstruction"] + values["kl"], rtol=1e-6)


def test_importance_weighted_bound_rises_to_the_marginal_likelihood():
    """The figures are Monte Carlo means with errors below 9e-4."""
    expected = {1: -40.6445, 2: -40.6393, 5: -40.6373, 10: -40.6367, 50: -40.63526}
    got = []
    for samples, value in expected.items():
        method, state, batch = method_and_state(count=20_000, importance_samples=samples)
        bounds = np.asarray(jax.jit(method.log_prob)(state, batch["x"], KEY), np.float64) - SCALE
        error = np.std(bounds) / np.sqrt(len(bounds))
        np.testing.assert_allclose(bounds.mean(), value, atol=9e-4 + 4 * error)
        got.append(bounds.mean())
    assert np.all(np.diff(got) > -5e-4)
    assert got[-1] < EXACT + 5e-4
    assert got[0] < got[2] < got[-1]


def test_bound_in_chunks_is_that_of_all_its_draws_at_once(x64):
    """The same draws, summed in one piece by hand."""
    method, state, batch = method_and_state(count=2, importance_samples=12, chunk=4)

    @jax.jit
    def weights(k):
        h = method.player.apply(state, batch["x"], method="bottom_up")
        return method.log_weights(state, batch["x"], h, None, jax.random.fold_in(KEY, k), 4)

    every = np.concatenate([weights(k) for k in range(3)])
    assert every.shape == (12, 2)
    direct = np.log(np.mean(np.exp(every), axis=0))
    got = jax.jit(lambda state: method.importance_bound(state, batch["x"], None, KEY, 12))(state)
    np.testing.assert_allclose(got, direct, atol=1e-10)


def test_memory_of_the_bound_does_not_grow_with_its_draws():
    def temporary(samples):
        method, state, batch = method_and_state(count=8, importance_samples=samples, chunk=10)
        compiled = jax.jit(method.log_prob).lower(state, batch["x"], KEY).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporary(5000) == temporary(50)


def test_gradient_of_one_importance_sample_is_that_of_the_bound(x64, monkeypatch):
    """On average over the noise, which four draws give exactly."""
    totals = {}
    for cls, options in ((ELBO, {}), (IWAE, {"samples": 1})):
        method, state, batch = method_and_state(cls, **options)
        moved = {"mean": 0.1, "log_std": -0.2, "weights": 0.05}
        model = {k: v + moved[k] for k, v in state.params["model"].items()}
        state = state.replace(params={"model": model})

        @jax.jit
        @jax.grad
        def slope(params, noise, method=method, state=state, batch=batch):
            def draw(self, rng, temperature=1.0):
                return self.mean + temperature * jnp.exp(self.log_std) * noise[None]

            with monkeypatch.context() as patch:
                patch.setattr(Normal, "sample", draw)
                return method.loss(state.replace(params=params), batch, KEY)[0]

        grads = [slope(state.params, noise) for noise in cubature(state)[0]]
        totals[cls] = jax.tree.map(lambda *g: np.sum(g, axis=0), *grads)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, atol=1e-9), totals[ELBO], totals[IWAE]
    )


def test_samples_have_the_covariance_of_the_model():
    method, state, _ = method_and_state()
    count = 40_000
    x = STD * np.asarray(jax.jit(method.sample, static_argnums=2)(state, KEY, count))
    np.testing.assert_allclose(x.mean(0), B, atol=4 * np.sqrt(x.var(0).max() / count))
    expected = W @ W.T + VARIANCE * np.eye(6)
    error = np.linalg.norm(np.cov(x.T) - expected) / np.linalg.norm(expected)
    assert error < 3 / np.sqrt(count) * 2
    cold = jax.jit(lambda s: method.sample(s, KEY, 3, temperature=0.0, mean=True))(state)
    np.testing.assert_allclose(cold, np.tile(B / STD, (3, 1)), rtol=1e-6)


def test_divergence_of_normals_is_its_monte_carlo_mean():
    count = 100_000

    @jax.jit
    def found():
        q = Normal(jnp.asarray([[0.3, -1.0]]), jnp.asarray([[-0.5, 0.4]]))
        p = Normal(jnp.asarray([[-0.2, 0.5]]), jnp.asarray([[0.1, -0.3]]))
        z = Normal(*(jnp.tile(v, (count, 1)) for v in (q.mean, q.log_std))).sample(KEY)
        return q.log_prob(z) - p.log_prob(z), q.kl(p)[0]

    differences, kl = (np.asarray(v, np.float64) for v in found())
    error = differences.std(0) / np.sqrt(count)
    assert np.all(np.abs(differences.mean(0) - kl) < 4 * error)


@functools.cache
def pixels():
    """Data, and the ELBO of a small VAE of binary images with its gradient."""
    spec = DataSpec.of("bits", (4, 4, 1), 2, num_classes=3)
    batch = {
        "x": jnp.asarray(np.random.RandomState(0).rand(16, 4, 4, 1) < 0.4, jnp.uint8),
        "label": jnp.asarray(np.arange(16) % 3, jnp.int32),
    }
    return spec, batch


def losses_of(cases):
    """(loss, metrics) of every (step, options), of the same parameters, in one program."""
    spec, batch = pixels()

    @jax.jit
    def found():
        params, variables = ELBO(VAE(3, (8,)), spec).init(KEY, batch)
        out = []
        for step, options in cases:
            state = State(jnp.int32(step), params, variables, {}, {})
            loss, (_, metrics) = ELBO(VAE(3, (8,)), spec, **options).loss(state, batch, KEY)
            out.append((loss, metrics))
        return out

    return jax.tree.map(float, found())


def test_options_of_the_divergence():
    cases = [
        (0, {}),
        (0, {"beta": 1.0}),
        (0, {"beta": 4.0}),
        (0, {"beta": 0.0}),
        (25, {"warmup_steps": 100}),
        (500, {"warmup_steps": 100}),
        (0, {"free_nats": 100.0}),
        (0, {"free_nats": 1e-9}),
        (50, {"beta": 10.0, "capacity": 20.0, "capacity_steps": 100}),
        (0, {"per_dim": True}),
    ]
    (plain, metrics), *others = losses_of(cases)
    nll, kl = metrics["reconstruction"], metrics["kl"]
    one, four, zero, quarter, whole, free, least, bounded, per_dim = (loss for loss, _ in others)
    np.testing.assert_allclose(plain, nll + kl, rtol=1e-6)
    np.testing.assert_allclose(metrics["bpd"], plain / (16 * np.log(2)), rtol=1e-6)
    assert one == plain
    np.testing.assert_allclose(four, nll + 4 * kl, rtol=1e-6)
    np.testing.assert_allclose(zero, nll, rtol=1e-6)
    np.testing.assert_allclose(quarter, nll + 0.25 * kl, rtol=1e-6)
    np.testing.assert_allclose(whole, plain, rtol=1e-6)
    np.testing.assert_allclose(free, nll + 300, rtol=1e-6)
    np.testing.assert_allclose(least, plain, rtol=1e-6)
    np.testing.assert_allclose(bounded, nll + 10 * abs(kl - 10), rtol=1e-5)
    np.testing.assert_allclose(per_dim, plain / 16, rtol=1e-6)


def test_free_nats_count_the_average_over_the_batch():
    """A channel below the least has no gradient, one above it has the whole."""
    spec, batch = pixels()
    method = ELBO(VAE(2, (8,)), spec, free_nats=0.5)
    kl = np.asarray([[0.0, 4.0], [0.6, 0.0]], np.float32)
    draw = Draw(None, (), (kl,), None, None)
    total = lambda kl: method.divergence(draw._replace(kl=(kl,)), jnp.int32(0))[0]  # noqa: E731
    grad = jax.jit(jax.grad(total))(kl)
    np.testing.assert_allclose(grad, [[0.0, 0.5], [0.0, 0.5]])


@pytest.mark.slow
def test_classes_enter_encoder_and_decoder():
    spec, batch = pixels()
    method = ELBO(ConvVAE(3, (8,), channels=(4,), kernels=(4,)), spec, given=("label",))
    params, variables = jax.jit(method.init)(KEY, batch)
    state = State(jnp.int32(0), params, variables, {}, {})
    z = method.encode(state, batch["x"], KEY, given={"label": batch["label"]})
    one, two = (method.decode(state, z, given={"label": jnp.full(16, k)}) for k in (0, 1))
    assert one.shape == (16, 4, 4, 1)
    assert float(jnp.abs(one - two).max()) > 1e-3
    assert method.sample(state, KEY, 5).shape == (5, 4, 4, 1)
    with pytest.raises(ValueError, match="this model is given label"):
        method.encode(state, batch["x"], KEY)


@pytest.mark.parametrize(
    "cls, options, words",
    [
        (ELBO, {"observation": "bernouli"}, "expected one of"),
        (ELBO, {"beta": -1.0}, "expected 0 or more"),
        (ELBO, {"chunk": 0}, "expected 1 or more"),
        (IWAE, {"samples": 0}, "expected 1 or more"),
        (IWAE, {"beta": 4.0}, "has no beta"),
    ],
)
def test_bad_options_are_refused(cls, options, words):
    with pytest.raises(ValueError, match=words):
        cls(VAE(3, (8,)), pixels()[0], **options)
