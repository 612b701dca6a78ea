"""Glow: sizes by formula, initialisation, temperature, precision."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from away import scrambled
from jax.sharding import NamedSharding, PartitionSpec

from jaxgen.bijectors.affine import ActNorm, ConditionalAffine, InvertibleConv
from jaxgen.bijectors.base import Chain
from jaxgen.bijectors.coupling import Coupling
from jaxgen.bijectors.image import Squeeze
from jaxgen.config import ConfigError
from jaxgen.methods.likelihood import Likelihood
from jaxgen.models.flows.glow import (
    COUPLINGS,
    CouplingNet,
    Glow,
    NormConv,
    SplitPrior,
    TopPrior,
    ZeroConv,
    pad_edge,
)
from jaxgen.sharding import make_mesh
from jaxgen.types import DataSpec, State

KEY = jax.random.key(0)


def parameters(coupling, levels, depth, width, edge=True, channels=3, classes=0):
    """Number of parameters of the official code's network, counted by hand."""
    e, total, c = int(edge), 0, channels
    for level in range(levels):
        c *= 4
        out = c if coupling == "affine" else c // 2
        net = 9 * (c // 2 + e) * width + width * width + 9 * (width + e) * out
        net += 2 * width + 2 * width  # two actnorms, in place of biases
        net += 2 * out  # bias and scale of the last convolution
        total += depth * (2 * c + c * c + net)
        if level < levels - 1:
            c //= 2
            total += 9 * (c + e) * 2 * c + 2 * 2 * c
    total += 9 * (2 * c + e) * 2 * c + 2 * 2 * c
    return total + ((classes + 2) * 2 * c if classes else 0)  # weights, bias and scale


def counted(side, labels=0, **options):
    x = jax.ShapeDtypeStruct((2, side, side, 3), jnp.float32)
    cond = jax.ShapeDtypeStruct((2, labels), jnp.float32) if labels else None
    shapes = jax.eval_shape(Glow(**options).init, KEY, x, cond)
    return sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))


PAPER = {
    "cifar10": (32, {"levels": 3, "depth": 32, "width": 512}, 44_603_604),
    "imagenet32": (32, {"levels": 3, "depth": 48, "width": 512}, 66_861_588),
    "imagenet64": (64, {"levels": 4, "depth": 48, "width": 512}, 112_377_540),
    "celebahq256": (
        256,
        {"levels": 6, "depth": 32, "width": 512, "coupling": "additive"},
        175_099_620,
    ),
}


LARGEST = pytest.param("celebahq256", marks=pytest.mark.slow)


@pytest.mark.parametrize("name", ["cifar10", "imagenet32", "imagenet64", LARGEST])
def test_parameter_counts_of_the_paper(name):
    side, options, expected = PAPER[name]
    assert parameters(**{"coupling": "affine"} | options) == expected
    assert counted(side, **options) == expected


def test_parameter_count_of_the_class_conditional_model():
    options = {"levels": 3, "depth": 32, "width": 512, "coupling": "additive"}
    classifier = 48 * 10 + 2 * 10
    assert parameters(**options, classes=10) + classifier == 38_397_320
    assert counted(32, labels=10, classes=10, **options) == 38_397_320


@pytest.mark.parametrize("coupling", ["affine", "additive"])
@pytest.mark.parametrize("edge", [True, False])
@pytest.mark.parametrize("classes", [0, 5])
def test_parameter_count_follows_the_formula(coupling, edge, classes):
    options = {"levels": 2, "depth": 3, "width": 20, "coupling": coupling, "edge": edge}
    assert counted(8, classes, **options) == parameters(**options, classes=classes)


def test_edge_channels_and_hidden_actnorms_are_the_difference_to_the_quoted_44_million():
    """44,037,552 is of a reimplementation that has neither; biases take the actnorms' place."""
    edge = 9 * 512 + 9 * np.array([12, 24, 48])  # of the two 3x3 convolutions of a step
    priors = 9 * (12 + 24 + 96)
    hidden = 2 * 2 * 512 - 2 * 512
    without = parameters("affine", 3, 32, 512) - 32 * (edge.sum() + 3 * hidden) - priors
    assert without == 44_037_552
    assert parameters("affine", 3, 32, 512, edge=False) == without + 32 * 3 * hidden


@pytest.mark.parametrize(
    ("side", "levels", "shapes"),
    [
        (32, 3, [(16, 16, 6), (8, 8, 12), (4, 4, 48)]),
        (32, 1, [(16, 16, 12)]),
        pytest.param(
            128,
            5,
            [(64, 64, 6), (32, 32, 12), (16, 16, 24), (8, 8, 48), (4, 4, 192)],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_latents_of_all_levels_are_the_image(side, levels, shapes):
    model = Glow(levels=levels, depth=1, width=4)
    x = jax.ShapeDtypeStruct((2, side, side, 3), jnp.float32)
    (z, logdet), variables = jax.eval_shape(model.init_with_output, KEY, x)
    assert [leaf.shape[1:] for leaf in z] == shapes and logdet.shape == (2,)
    assert sum(h * w * c for h, w, c in shapes) == side * side * 3
    back, _ = jax.eval_shape(lambda v, z: model.apply(v, z, method="inverse"), variables, z)
    assert back.shape == (2, side, side, 3)


TINY = Glow(levels=2, depth=3, width=8)
APPLY = jax.jit(TINY.apply)
RANDOM = np.random.RandomState(0)


def normals(*shape):
    return jnp.asarray(RANDOM.randn(*shape))


IMAGES = jnp.asarray(0.7 + 0.2 * RANDOM.randn(32, 8, 8, 2) ** 3)


@pytest.fixture(scope="module")
def tiny():
    """The variables after data-dependent initialisation, and the latents of the same images."""
    variables = jax.jit(TINY.init)(KEY, IMAGES)
    return variables, APPLY(variables, IMAGES)[0]


def test_every_actnorm_is_normalised_after_initialisation(tiny):
    """Hidden ones too: the scanned levels are played step by step to look inside."""
    variables, latents = tiny
    step = Chain((ActNorm(), InvertibleConv(), Coupling(COUPLINGS["affine"], CouplingNet(8))))

    @jax.jit
    def play(params, x):
        def is_norm(module, name):
            return (type(module), name) in {(ActNorm, "forward"), (NormConv, "__call__")}

        return step.apply({"params": params}, x, capture_intermediates=is_norm)

    seen, x = [], IMAGES
    for level in range(2):
        stacked = variables["params"]["flow"][f"levels_{level}"]["bijectors_1"]["bijector"]
        x, _ = Squeeze().forward(x)
        for i in range(3):
            (x, _), state = play(jax.tree.map(lambda p, i=i: np.asarray(p)[i], stacked), x)
            seen += find(state["intermediates"])
        if level == 0:
            x, leaving = map(jnp.asarray, np.split(x, 2, axis=-1))
            np.testing.assert_allclose(leaving, latents[0], atol=1e-5)  # its prior is N(0, 1)
    np.testing.assert_allclose(x, latents[1], atol=1e-5)
    assert len(seen) == 2 * 3 * 3
    for y in seen:
        y = np.asarray(y)
        np.testing.assert_allclose(np.mean(y, (0, 1, 2)), 0, atol=2e-5)
        np.testing.assert_allclose(np.std(y, (0, 1, 2)), 1, atol=2e-4)


def find(tree):
    """The captured arrays of nested dictionaries of calls: y, or (y, logdet) of a bijector."""
    for value in tree.values():
        if isinstance(value, dict):
            yield from find(value)
        else:
            yield from (out[0] if isinstance(out, tuple) else out for out in value)


def test_a_second_batch_does_not_initialise_again(tiny):
    variables, latents = tiny
    again = APPLY(variables, np.asarray(IMAGES) + 5)[0]
    assert all(np.abs(np.subtract(a, b)).mean() > 1 for a, b in zip(again, latents, strict=True))


def test_initialisation_of_a_sharded_batch_sees_all_of_it(tiny):
    mesh = make_mesh(8, 1)
    whole = NamedSharding(mesh, PartitionSpec())
    rows = NamedSharding(mesh, PartitionSpec("data"))
    init = jax.jit(TINY.init, in_shardings=(whole, rows), out_shardings=whole)
    variables = init(KEY, jax.device_put(IMAGES, rows))
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)  # noqa: E731
    jax.tree.map(close, jax.device_get(variables), jax.device_get(tiny[0]))


def test_split_prior_starts_standard_and_is_conditioned_on_what_stays():
    prior = ConditionalAffine(SplitPrior())
    leaving, staying = normals(3, 4, 4, 2), normals(3, 4, 4, 2)
    variables = jax.jit(prior.init)(KEY, leaving, staying)
    apply = jax.jit(prior.apply)
    eps, logdet = map(np.asarray, apply(variables, leaving, staying))
    np.testing.assert_array_equal(eps, leaving)
    assert not logdet.any()
    variables = scrambled(variables, 0.1)
    one = apply(variables, leaving, staying)
    other = apply(variables, leaving, np.asarray(staying) + 1)
    assert np.abs(one[0] - other[0]).min() > 1e-4 and (one[1] != other[1]).all()


@pytest.mark.parametrize("edge", [True, False])
def test_top_prior_starts_standard_and_learns_the_border_with_the_edge_channel(edge):
    prior, x = ConditionalAffine(TopPrior(edge)), normals(2, 4, 4, 6)
    variables = jax.jit(prior.init)(KEY, x)
    eps, logdet = map(np.asarray, jax.jit(prior.apply)(variables, x))
    np.testing.assert_array_equal(eps, x)
    assert not logdet.any()
    inverse = jax.jit(lambda v, z: prior.apply(v, z, method="inverse")[0])
    mean = np.asarray(inverse(scrambled(variables, 0.1), np.zeros_like(x)))
    np.testing.assert_allclose(mean[:, 1, 1], mean[:, 2, 2], atol=1e-6)
    assert (np.abs(mean[:, 0, 0] - mean[:, 1, 1]).min() > 1e-3) == edge


def test_zero_convolution_multiplies_its_output_by_exp_of_three_log_scales():
    conv, x = ZeroConv(2), normals(2, 4, 4, 3)
    variables, apply = jax.jit(conv.init)(KEY, x), jax.jit(conv.apply)
    assert not np.any(apply(variables, x))
    params = scrambled(variables, 0.1)["params"]
    plain, scaled = (
        np.asarray(apply({"params": params | {"log_scale": np.asarray(log_scale)}}, x))
        for log_scale in ([0.0, 0.0], [0.2, -0.1])
    )
    np.testing.assert_allclose(scaled, plain * np.exp([[[[0.6, -0.3]]]]), rtol=1e-5)


def test_edge_channel_is_one_on_the_border_alone():
    padded = np.asarray(jax.jit(pad_edge)(np.full((1, 2, 3, 1), 7.0)))
    assert padded[0, :, :, 1].tolist() == [[1] * 5, [1, 0, 0, 0, 1], [1, 0, 0, 0, 1], [1] * 5]
    assert padded[0, :, :, 0].tolist() == [[0] * 5, [0, 7, 7, 7, 0], [0, 7, 7, 7, 0], [0] * 5]


@pytest.fixture(scope="module")
def model(tiny):
    """A model of continuous images, so that samples are not rounded: (sample, encode)."""
    method = Likelihood(TINY, DataSpec.of("images", (8, 8, 2), None))
    state = State(
        jnp.int32(0), {"model": scrambled(tiny[0]["params"], 0.02)}, {"model": {}}, {}, {}
    )
    sample = jax.jit(lambda key, t: method.sample(state, key, 64, temperature=t))
    return sample, jax.jit(lambda x: method.encode(state, x, KEY))


def test_temperature_zero_is_one_image(model):
    sample, _ = model
    cold = np.asarray(sample(KEY, 0.0))
    np.testing.assert_array_equal(cold, sample(jax.random.key(1), 0.0))
    np.testing.assert_allclose(cold, np.broadcast_to(cold[:1], cold.shape), atol=1e-6)
    one, two = (np.asarray(sample(jax.random.key(k), 1.0)) for k in (0, 1))
    assert np.abs(one - two).max() > 0.1


@pytest.mark.parametrize("temperature", [0.3, 0.7, 1.0])
def test_temperature_scales_the_latents_of_every_level(model, temperature):
    sample, encode = model
    latents = jax.device_get(encode(sample(KEY, temperature)))
    unit = encode(sample(KEY, 1.0))
    for z, z1 in zip(latents, unit, strict=True):
        assert np.std(z) == pytest.approx(temperature, rel=0.03)  # of 4096 draws
        np.testing.assert_allclose(z, temperature * np.asarray(z1), atol=1e-4)


def test_bfloat16_is_of_the_convolutions_alone(tiny):
    """A state in bfloat16 could not be inverted, and the likelihood would not show it."""
    half = Glow(levels=2, depth=3, width=8, dtype="bfloat16")
    variables = {"params": scrambled(tiny[0]["params"], 0.02)}
    shapes = jax.eval_shape(half.init, KEY, IMAGES)
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype("float32")}
    z, logdet = jax.jit(half.apply)(variables, IMAGES)
    assert logdet.dtype == jnp.float32 and {leaf.dtype for leaf in z} == {jnp.dtype("float32")}
    exact, expected = APPLY(variables, IMAGES)
    difference = max(np.abs(np.subtract(a, b)).max() for a, b in zip(z, exact, strict=True))
    assert 1e-4 < difference < 0.2  # bfloat16 was used
    np.testing.assert_allclose(logdet, expected, atol=0.5)
    back, _ = jax.jit(half.apply, static_argnames="method")(variables, z, method="inverse")
    assert np.abs(np.subtract(back, IMAGES)).max() < 1e-2
    program = str(jax.make_jaxpr(half.apply)(variables, IMAGES))
    assert "bf16[" in program and "bf16[3,2,2]" not in program


def test_a_side_that_the_levels_do_not_halve_is_named():
    with pytest.raises(ValueError, match=r"got 5x6: .*divisible by 2\*\*levels"):
        jax.eval_shape(Glow(levels=3, depth=1, width=4).init, KEY, jnp.zeros((1, 20, 24, 1)))


def test_an_unknown_coupling_is_named():
    with pytest.raises(ValueError, match=r"coupling='afine', expected one of \['additive', 'aff"):
        jax.eval_shape(Glow(levels=1, depth=1, coupling="afine").init, KEY, jnp.zeros((1, 4, 4, 1)))


@pytest.fixture(scope="module")
def classified():
    """A class-conditional Glow with its auxiliary classifier, scrambled, and its first loss."""
    spec = DataSpec.of("bytes", (8, 8, 1), 256, num_classes=3)
    model = Glow(levels=2, depth=1, width=4, classes=3)
    method = Likelihood(model, spec, given=("label",), class_weight=0.25)
    x = np.arange(4 * 64).reshape(4, 8, 8, 1) % 256
    batch = {"x": jnp.asarray(x), "label": jnp.asarray(np.array([0, 1, 2, 1]))}
    params, variables = jax.jit(method.init)(KEY, batch)
    state = State(jnp.int32(0), scrambled(params, 0.05), variables, {}, {})
    return method, state, batch


@functools.partial(jax.jit, static_argnums=0)
def noted(method, x, label, params, rng):
    x, _ = method.pre.apply({}, x, rngs={"dequantize": rng})
    cond = jax.nn.one_hot(label, 3)
    return method.model.apply({"params": params}, x, cond, mutable=("logits",))[1]


def logits_of(method, state, batch, rng):
    found = noted(method, batch["x"], batch["label"], state.params["model"], rng)
    return np.asarray(jax.tree.leaves(found)[0], np.float64)


def test_the_classifier_is_part_of_the_loss_in_bits(classified):
    method, state, batch = classified
    unweighted = dataclasses.replace(method, class_weight=0.0)

    @jax.jit
    def losses(state):
        return method.loss(state, batch, KEY), unweighted.loss(state, batch, KEY)[0]

    (loss, (_, metrics)), without = losses(state)
    np.testing.assert_allclose(metrics["bpd"], without, rtol=1e-6)
    logits = logits_of(method, state, batch, jax.random.split(KEY, 3)[0])
    log_p = logits - scipy.special.logsumexp(logits, axis=1, keepdims=True)
    label = np.asarray(batch["label"])
    bits = -log_p[np.arange(4), label].mean() / np.log(2)
    assert bits > 0.1
    np.testing.assert_allclose(loss, float(without) + 0.25 * bits, rtol=1e-6)
    np.testing.assert_allclose(metrics["accuracy"], (log_p.argmax(1) == label).mean())


def test_the_classifier_does_not_see_the_label(classified):
    """It reads the latent before the prior, which is of the class."""
    method, state, batch = classified
    other = {**batch, "label": jnp.asarray((np.asarray(batch["label"]) + 1) % 3)}
    one, two = (logits_of(method, state, b, KEY) for b in (batch, other))
    np.testing.assert_array_equal(one, two)
    log_prob = jax.jit(method.log_prob)
    log_probs = [log_prob(state, b["x"], KEY, {"label": b["label"]}) for b in (batch, other)]
    assert np.abs(np.subtract(*log_probs)).min() > 1e-3


def test_a_class_weight_without_classifier_is_refused(classified):
    _, _, batch = classified
    spec = DataSpec.of("bytes", (8, 8, 1), 256, num_classes=3)
    method = Likelihood(Glow(levels=1, depth=1, width=4), spec, class_weight=0.01)
    params, variables = jax.eval_shape(method.init, KEY, batch)
    state = State(jnp.int32(0), params, variables, {}, {})
    with pytest.raises(ConfigError, match="needs a model with one classifier: set config.model"):
        jax.eval_shape(method.loss, state, batch, KEY)
