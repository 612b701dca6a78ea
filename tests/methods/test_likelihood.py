"""The accounting of likelihoods, against closed forms: no constant may be lost or counted twice."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.bijectors.affine import Affine, ConditionalAffine, InvertibleConv
from jaxgen.bijectors.base import Bijector, Chain
from jaxgen.bijectors.coupling import Coupling
from jaxgen.bijectors.transforms import Shift
from jaxgen.methods.likelihood import Likelihood
from jaxgen.models.flows.glow import Glow
from jaxgen.types import DataSpec, State

KEY = jax.random.key(0)
SHAPE = (4, 4, 3)
NAMES = {"ids": lambda v: v.name if isinstance(v, DataSpec) else str(v)}
BYTES = DataSpec.of("bytes", SHAPE, 256, num_classes=3)
SCANS = DataSpec.of("scans", SHAPE, 17)
POINTS = DataSpec.of("points", (2,), None)
IDENTITY = Chain(())


def state_of(params=None, variables=None) -> State:
    return State(jnp.int32(0), {"model": params or {}}, {"model": variables or {}}, {}, {})


def images(levels=256, n=6, seed=0):
    """Random images; the first is all 0, the second all white."""
    x = np.random.RandomState(seed).randint(levels, size=(n, *SHAPE)).astype(np.uint8)
    x[0], x[1] = 0, levels - 1
    return jnp.asarray(x)


@pytest.mark.parametrize(
    ("spec", "n_bits", "bits"),
    [(BYTES, None, 8), (BYTES, 8, 8), (BYTES, 5, 5), (BYTES, 3, 3), (SCANS, None, math.log2(17))],
    **NAMES,
)
def test_a_uniform_model_costs_all_bits_of_any_image(spec, n_bits, bits):
    method = Likelihood(IDENTITY, spec, n_bits=n_bits, preprocess="none", base="uniform")
    bpd = method.evaluate(state_of(), {"x": images(spec.levels)}, KEY)["bpd"]
    assert bpd.shape == (6,) and bpd.dtype == jnp.float32
    np.testing.assert_allclose(bpd, bits, rtol=1e-6)


@pytest.mark.parametrize("alpha", [1e-6, 0.05])
@pytest.mark.parametrize("n_bits", [8, 5, 3])
def test_logit_and_logistic_are_uniform_on_a_wider_interval(alpha, n_bits):
    method = Likelihood(
        IDENTITY, BYTES, n_bits=n_bits, preprocess="logit", alpha=alpha, base="logistic"
    )
    bpd = method.evaluate(state_of(), {"x": images()}, KEY)["bpd"]
    np.testing.assert_allclose(bpd, n_bits - math.log2(1 - 2 * alpha), rtol=2e-6)


@pytest.mark.parametrize("n_bits", [8, 5, 3])
@pytest.mark.parametrize("interval", [1, 2], ids=["(-1/2, 1/2) of Glow", "(-1, 1)"])
def test_a_uniform_model_of_centred_data_costs_all_bits(interval, n_bits):
    """The flow widens what it is given, and the model of it is uniform on that interval."""
    wide, unit = Affine(scale=float(interval)), Affine(interval / 2, 1 / interval)
    method = Likelihood(Chain((wide, unit)), BYTES, n_bits=n_bits, base="uniform")
    bpd = method.evaluate(state_of(), {"x": images()}, KEY)["bpd"]
    np.testing.assert_allclose(bpd, n_bits, rtol=1e-6)


def test_log_prob_loss_and_evaluate_agree():
    method = Likelihood(IDENTITY, BYTES, preprocess="none", base="uniform")
    x = images()
    log_prob = method.log_prob(state_of(), x, KEY)
    np.testing.assert_allclose(log_prob, -48 * math.log(256), rtol=1e-6)
    loss, (_, metrics) = method.loss(state_of(), {"x": x}, KEY)
    np.testing.assert_allclose([loss, metrics["bpd"]], 8, rtol=1e-6)


def test_a_centred_normal_is_counted_in_full():
    """Against the density written out in float64, with the noise that the method draws."""
    method = Likelihood(IDENTITY, BYTES)
    x = images()
    z = np.asarray(method.encode(state_of(), x, KEY), np.float64)
    assert np.array_equal(np.floor((z + 0.5) * 256).clip(0, 255), x)
    nats = 0.5 * (z**2 + math.log(2 * math.pi)).sum((1, 2, 3)) + 48 * math.log(256)
    bpd = method.evaluate(state_of(), {"x": x}, KEY)["bpd"]
    np.testing.assert_allclose(bpd, nats / (48 * math.log(2)), rtol=1e-6)
    rms = method.loss(state_of(), {"x": x}, KEY)[1][1]["latent_rms"]
    assert 0.2 < rms < 0.4


@pytest.fixture(scope="module")
def glow():
    """A class-conditional Glow moved away from its initialisation."""
    method = Likelihood(Glow(levels=2, depth=1, width=8), BYTES, n_bits=5, given=("label",))
    x, label = images(), jnp.array([0, 1, 2, 0, 1, 2])
    params, variables = jax.jit(method.init)(KEY, {"x": x, "label": label})
    random = np.random.RandomState(0)
    moved = jax.tree.map(lambda p: p + np.float32(0.05 * random.randn(*p.shape)), params)
    state = state_of().replace(params=moved, vars=variables)
    return method, state, x, label


def test_glow_bits_equal_a_count_by_hand(glow):
    method, state, x, label = glow
    z, logdet = jax.jit(method.model.apply)(
        {"params": state.params["model"]}, dequantised(method, x), jax.nn.one_hot(label, 3)
    )
    assert sum(leaf[0].size for leaf in z) == 48
    nats = -np.asarray(logdet, np.float64) + 48 * math.log(32)
    for leaf in z:
        leaf = np.asarray(leaf, np.float64).reshape(len(x), -1)
        nats += 0.5 * (leaf**2 + math.log(2 * math.pi)).sum(1)
    bpd = jax.jit(method.evaluate)(state, {"x": x, "label": label}, KEY)["bpd"]
    np.testing.assert_allclose(bpd, nats / (48 * math.log(2)), rtol=2e-6)


def dequantised(method, x):
    """What the model sees, by another route: the preprocessing of the identity."""
    same = Likelihood(IDENTITY, method.spec, n_bits=method.n_bits)
    return same.encode(state_of(), x, KEY)


def test_the_class_enters_through_the_top_prior_alone(glow):
    method, state, x, label = glow
    encode = jax.jit(method.encode)
    fine, top = encode(state, x, KEY, {"label": label})
    other_fine, other_top = encode(state, x, KEY, {"label": (label + 1) % 3})
    np.testing.assert_array_equal(fine, other_fine)
    assert np.abs(top - other_top).reshape(6, -1).max(1).min() > 1e-3
    log_prob = jax.jit(method.log_prob)
    own, other = (log_prob(state, x, KEY, {"label": k}) for k in (label, 2 - label))
    assert np.abs(own - other).max() > 1e-3


def test_samples_of_a_class(glow):
    method, state, *_ = glow
    sample = jax.jit(method.sample, static_argnames="num")
    drawn = {k: sample(state, KEY, num=4, given={"label": k}) for k in (0, 1)}
    assert drawn[0].shape == (4, *SHAPE) and drawn[0].dtype == jnp.uint8
    assert (drawn[0] != drawn[1]).any()
    each = sample(state, KEY, num=4, given={"label": jnp.array([0, 1, 0, 1])})
    np.testing.assert_array_equal(each[::2], drawn[0][::2])
    np.testing.assert_array_equal(each[1::2], drawn[1][1::2])
    anything = sample(state, KEY, num=4)
    assert not any(np.array_equal(anything, d) for d in drawn.values())


def test_decode_is_encode_backwards(glow):
    method, state, x, label = glow
    given = {"label": label}
    z = jax.jit(method.encode)(state, x, KEY, given)
    back = jax.jit(method.decode)(state, z, given)
    np.testing.assert_array_equal(back, x // 8 * 8)  # 5 of 8 bits are kept
    assert back.dtype == jnp.uint8


@pytest.mark.parametrize("preprocess", ["center", "logit", "none"])
@pytest.mark.parametrize(
    ("spec", "n_bits"), [(BYTES, None), (BYTES, 5), (BYTES, 1), (SCANS, None)], **NAMES
)
def test_integers_come_back_exactly(spec, n_bits, preprocess):
    method = Likelihood(IDENTITY, spec, n_bits=n_bits, preprocess=preprocess)
    x = images(spec.levels)
    back = method.decode(state_of(), method.encode(state_of(), x, KEY))
    kept = 2 ** (8 - n_bits) if n_bits else 1
    np.testing.assert_array_equal(back, x // kept * kept)
    assert back.dtype == jnp.uint8


def test_every_level_comes_back_for_almost_every_noise():
    """The centred float32 cannot tell the last 2**-18 of a level from the next one."""
    spec = DataSpec.of("levels", (256,), 256)
    method = Likelihood(IDENTITY, spec)
    x = np.broadcast_to(np.arange(256, dtype=np.uint8), (1024, 256))
    there_and_back = jax.jit(lambda x: method.decode(state_of(), method.encode(state_of(), x, KEY)))
    back = np.asarray(there_and_back(x))
    assert np.mean(back != x) < 2**-15 and np.abs(back.astype(int) - np.asarray(x)).max() <= 1


def test_noise_is_uniform_within_a_level():
    spec = DataSpec.of("levels", (100,), 17)
    method = Likelihood(IDENTITY, spec, preprocess="none")
    x = np.random.RandomState(0).randint(17, size=(500, 100)).astype(np.uint8)
    encode = jax.jit(method.encode)
    noise = np.asarray(encode(state_of(), x, KEY), np.float64) * 17 - x
    assert noise.min() > -1e-5 and noise.max() < 1 + 1e-5
    n = noise.size
    distance = np.abs(np.sort(noise.ravel()) - (np.arange(n) + 0.5) / n).max()
    assert distance < 1.95 / math.sqrt(n)  # Kolmogorov-Smirnov at p = 0.001
    correlation = np.corrcoef(noise[:, 0], noise[:, 1])[0, 1]
    assert abs(correlation) < 0.15
    again = np.asarray(encode(state_of(), x, jax.random.key(1)), np.float64) * 17 - x
    assert np.abs(noise - again).mean() > 0.3


def test_continuous_data_are_in_nats_and_have_the_gaussian_closed_form():
    flow = Chain((Affine(shift=-1.0, scale=2.0), InvertibleConv()))
    method = Likelihood(flow, POINTS)
    x = jnp.asarray(np.random.RandomState(0).randn(7, 2), jnp.float32)
    params, variables = jax.jit(method.init)(KEY, {"x": x})
    weight = jnp.array([[1.0, 0.5], [0.3, -2.0]])
    assert params["model"]["bijectors_1"]["weight"].shape == (2, 2)
    state = state_of({"bijectors_1": {"weight": weight}}, variables["model"])

    @jax.jit
    def found(state):
        back = method.decode(state, method.encode(state, x, KEY))
        values = method.evaluate(state, {"x": x}, KEY), method.log_prob(state, x, KEY)
        return *values, method.loss(state, {"x": x}, KEY), back, method.sample(state, KEY, 4000)

    values, log_prob, (loss, (_, metrics)), back, samples = found(state)
    assert "nll" in values and "bpd" not in values
    a = 2 * np.asarray(weight, np.float64)  # z = (x - 1) a is standard normal
    precision = a @ a.T
    d = np.asarray(x, np.float64) - 1
    square = np.einsum("bi,ij,bj->b", d, precision, d)
    nll = 0.5 * square + math.log(2 * math.pi) - 0.5 * np.linalg.slogdet(precision)[1]
    np.testing.assert_allclose(values["nll"], nll, rtol=1e-5)
    np.testing.assert_allclose(log_prob, -nll, rtol=1e-5)
    np.testing.assert_allclose(loss, nll.mean() / 2, rtol=1e-5)  # a dimension
    np.testing.assert_allclose(metrics["nll"], nll.mean(), rtol=1e-5)
    np.testing.assert_allclose(back, x, atol=1e-5)
    np.testing.assert_allclose(np.cov(samples.T), np.linalg.inv(precision), atol=0.05)
    assert samples.shape == (4000, 2) and samples.dtype == jnp.float32


class Dropping(nn.Module):
    """A shift that is noise unless dropout is off."""

    @nn.compact
    def __call__(self, x, cond, features):
        h = nn.Dropout(0.5, deterministic=not self.has_rng("dropout"))(jnp.ones_like(x))
        return jnp.tile(h, (1, features // x.shape[-1]))


def test_dropout_is_of_training_alone():
    method = Likelihood(Coupling(Shift(), Dropping()), DataSpec.of("points", (8,), None))
    x = jnp.asarray(np.random.RandomState(0).randn(5, 8), jnp.float32)
    loss = jax.jit(lambda key: method.loss(state_of(), {"x": x}, key)[0])
    assert len({float(loss(jax.random.key(i))) for i in range(4)}) == 4
    evaluate = jax.jit(lambda key: method.evaluate(state_of(), {"x": x}, key)["nll"])
    calm = [evaluate(jax.random.key(i)) for i in range(2)]
    np.testing.assert_array_equal(*calm)
    shifted = np.concatenate([x[:, :4], x[:, 4:] + 1], 1)
    np.testing.assert_allclose(method.encode(state_of(), x, KEY), shifted, rtol=1e-6)


def test_temperature_scales_every_draw():
    method = Likelihood(IDENTITY, POINTS)
    one = method.sample(state_of(), KEY, 64)
    np.testing.assert_allclose(method.sample(state_of(), KEY, 64, temperature=0.5), one / 2)
    assert not method.sample(state_of(), KEY, 64, temperature=0.0).any()
    assert 0.6 < np.std(one) < 1.4


def test_the_turn_is_the_loss():
    method = Likelihood(IDENTITY, POINTS)
    (turn,) = method.turns
    assert (turn.player, turn.every, turn.times, turn.label) == ("model", 1, 1, "model")
    assert turn.loss == method.loss


def test_vars_pass_through_the_loss():
    class Counting(Bijector):
        @nn.compact
        def forward(self, x, cond=None):
            self.variable("constants", "c", lambda: jnp.ones(()))
            return x, jnp.zeros(len(x))

    method = Likelihood(Counting(), POINTS)
    x = jnp.ones((2, 2))
    params, variables = method.init(KEY, {"x": x})
    assert variables == {"model": {"constants": {"c": 1.0}}} and params == {"model": {}}
    state = state_of(variables=variables["model"])
    assert method.loss(state, {"x": x}, KEY)[1][0] == variables


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        (BYTES, {"preprocess": "centre"}, "preprocess='centre', expected one of"),
        (BYTES, {"base": "gaussian"}, "base='gaussian', expected one of .*'logistic', 'normal'"),
        (SCANS, {"n_bits": 5}, "n_bits=5 needs 8-bit data, but scans has 17 grey levels"),
        (POINTS, {"n_bits": 5}, "n_bits=5 needs 8-bit data, but points has None"),
        (BYTES, {"n_bits": 9}, "n_bits=9, expected 1 to 8"),
        (BYTES, {"n_bits": 0}, "n_bits=0, expected 1 to 8"),
        (
            SCANS,
            {"given": ("label",)},
            "given=label: scans has no such field",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(spec, options, message):
    with pytest.raises(ValueError, match=message):
        Likelihood(IDENTITY, spec, **options)


def test_a_label_needs_a_conditional_model():
    with pytest.raises(ValueError, match="label: this model is given nothing"):
        Likelihood(IDENTITY, BYTES).sample(state_of(), KEY, 2, given={"label": 1})


def test_a_conditional_model_needs_labels(glow):
    method, state, x, _ = glow
    with pytest.raises(ValueError, match="this model is given label: expected given="):
        method.log_prob(state, x, KEY)


def test_an_image_with_a_learned_prior_of_nothing_is_the_base():
    """A prior whose net gives zeros changes neither the latents nor the count."""

    class Zeros(nn.Module):
        @nn.compact
        def __call__(self, x, cond, features):
            return jnp.zeros((*x.shape[:-1], features))

    plain, prior = (Likelihood(b, BYTES) for b in (IDENTITY, ConditionalAffine(Zeros())))
    x = images()
    values = [m.evaluate(state_of(), {"x": x}, KEY)["bpd"] for m in (plain, prior)]
    np.testing.assert_array_equal(*values)
