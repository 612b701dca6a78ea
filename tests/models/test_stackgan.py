"""StackGAN: the paper's sizes, what a text becomes, what wrong pairs and colours cost."""

import dataclasses
import functools
import runpy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command import ROOT

from jaxgen.config import ConfigError
from jaxgen.data.embedded import captions
from jaxgen.fields import DataSpec, Field
from jaxgen.methods import stackgan as objective
from jaxgen.methods.stackgan import StackGAN
from jaxgen.models.gans.stackgan import (
    Augmentation,
    Discriminators,
    Gated,
    Generator,
    Matcher,
)
from jaxgen.types import State

try:
    import torch
except ModuleNotFoundError:
    torch = None

needs_torch = pytest.mark.skipif(torch is None, reason="pip install torch")

KEY = jax.random.key(0)
SPEC = DataSpec(
    "objects",
    {
        "x": Field("image", (32, 32, 3), "uint8", levels=256),
        "text": Field("tokens", (4,), "int32", vocabulary=5),
        "shape": Field("label", dtype="int32", classes=3),
        "said": Field("label", dtype="int32", classes=4),
    },
)


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_parameter_counts_are_those_of_the_official_networks():
    """Of 256x256, texts of 1,024 numbers; counted by the layers of the official code."""
    streams = {"params": KEY, "noise": KEY}
    args = jnp.zeros((2, 100)), (2, 256, 256, 3), jnp.zeros((2, 1024))
    shapes = jax.eval_shape(lambda: Generator().init(streams, *args))
    assert count(shapes["params"]) == 21_239_696
    pictures = tuple(jnp.zeros((2, side, side, 3)) for side in (64, 128, 256))
    shapes = jax.eval_shape(lambda: Discriminators().init(KEY, pictures, jnp.zeros((2, 128))))
    found = [count(shapes["params"][f"size_{i}"]) for i in range(3)]
    assert found == [5_723_906, 18_834_178, 71_269_122]


def test_pictures_double_and_every_size_has_two_logits():
    generator = Generator(latent=3, width=4, code=2, residual=1)
    streams = {"params": KEY, "noise": KEY}
    z, text = jnp.zeros((2, 3)), jnp.ones((2, 5))
    paint = functools.partial(generator.init_with_output, streams, z, (2, 32, 32, 3), text)
    out, _ = jax.eval_shape(lambda: paint(method="painted"))
    assert [x.shape for x in out.images] == [(2, 8, 8, 3), (2, 16, 16, 3), (2, 32, 32, 3)]
    assert out.mean.shape == out.log_var.shape == (2, 2)
    for unconditional in (True, False):
        judge = Discriminators(4, unconditional)
        images = tuple(jnp.zeros(x.shape) for x in out.images)
        logits, _ = jax.jit(judge.init_with_output)(KEY, images, jnp.zeros((2, 2)))
        assert len(logits) == 3 and all(with_text.shape == (2,) for with_text, _ in logits)
        assert all((plain is not None) == unconditional for _, plain in logits)
    for size in ((2, 24, 24, 3), (2, 16, 16, 3), (2, 32, 64, 3)):
        with pytest.raises(ValueError, match="StackGAN of 3 stages: images of"):
            generator.init(streams, z, size, text)
    with pytest.raises(ValueError, match="StackGAN is given a text"):
        jax.eval_shape(lambda: generator.init(streams, z, (2, 32, 32, 3)))


@needs_torch
def test_gated_units_halve_the_channels():
    """By PyTorch's, of the same convolution and moments."""
    layer, x = Gated(3), jax.random.normal(KEY, (2, 5, 5, 4))
    variables = layer.init(KEY, x)
    found, _ = layer.apply(variables, x, mutable=["batch_stats"])
    kernel = np.asarray(variables["params"]["conv"]["kernel"])
    assert kernel.shape == (3, 3, 4, 6) and found.shape == (2, 5, 5, 3)
    h = torch.conv2d(
        torch.tensor(np.asarray(x)).permute(0, 3, 1, 2),
        torch.tensor(kernel).permute(3, 2, 0, 1),
        padding=1,
    )
    h = torch.nn.functional.batch_norm(h, None, None, training=True)
    wanted = torch.nn.functional.glu(h, dim=1).permute(0, 2, 3, 1)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("kind", ["glu", "leaky"])
def test_codes_of_a_text_have_the_mean_and_variance_that_are_said(kind):
    layer = Augmentation(3, kind)
    text = jnp.asarray(np.random.RandomState(0).randn(1, 6), jnp.float32)
    variables = layer.init({"params": KEY, "noise": KEY}, text)
    rows = jnp.broadcast_to(text, (40_000, 6))
    drawn, mean, log_var = layer.apply(variables, rows, rngs={"noise": KEY})
    kernel, bias = (np.asarray(variables["params"]["dense"][k]) for k in ("kernel", "bias"))
    h = np.asarray(text)[0] @ kernel + bias
    if kind == "glu":
        h = h[:6] / (1 + np.exp(-h[6:]))
        variance, kept = np.exp(h[3:]), 1.0
    else:
        h = np.where(h > 0, h, 0.2 * h)
        variance, kept = np.exp(2 * h[3:]), 0.7737  # of a normal cut off at two deviations
    np.testing.assert_allclose(mean[0], h[:3], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(np.exp(log_var[0]), variance, rtol=1e-4)
    error = np.sqrt(variance / len(drawn))
    assert (np.abs(drawn.mean(0) - h[:3]) < 4 * error).all()
    np.testing.assert_allclose(drawn.var(0), kept * variance, rtol=0.03)
    if kind == "leaky":
        assert (np.abs(drawn - mean) <= 2 * np.sqrt(variance) * 1.0001).all()
    with pytest.raises(ValueError, match="augmentation='none', expected of glu, leaky"):
        Augmentation(3, "none").init({"params": KEY, "noise": KEY}, text)


@needs_torch
def test_divergence_is_that_of_torch():
    mean, log_var = np.random.RandomState(1).randn(2, 7, 4).astype(np.float32)
    own = torch.distributions.Normal(torch.tensor(mean), torch.tensor(log_var).mul(0.5).exp())
    wanted = torch.distributions.kl_divergence(own, torch.distributions.Normal(0.0, 1.0)).mean()
    found = objective.code_divergence(jnp.asarray(mean), jnp.asarray(log_var))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


@needs_torch
def test_weights_of_right_wrong_and_generated_pairs():
    """By PyTorch's binary cross-entropies with the labels of the papers."""
    logits = np.random.RandomState(2).randn(3, 2, 6).astype(np.float32)
    there = np.array([1, 1, 0, 1, 1, 1], np.float32)
    right, wrong, fake = ((jnp.asarray(a), jnp.asarray(b)) for a, b in logits)

    def cross(values, label, weights=None):
        nats = torch.nn.functional.binary_cross_entropy_with_logits(
            torch.tensor(values), torch.full((6,), float(label)), reduction="none"
        ).numpy()
        return np.average(nats, weights=weights)

    (r, r_plain), (w, w_plain), (f, f_plain) = logits
    plain = cross(r_plain, 1) + cross(w_plain, 1, there) + cross(f_plain, 0)
    wanted = cross(r, 1) + cross(w, 0, there) + cross(f, 0) + 0.7 * plain
    found = objective.discriminators_pay(right, wrong, fake, jnp.asarray(there), 0.7)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    first = [(a, None) for a, _ in (right, wrong, fake)]
    wanted = cross(r, 1) + 0.5 * (cross(w, 0, there) + cross(f, 0))
    found = objective.discriminators_pay(*first, jnp.asarray(there), 0.7)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    wanted = cross(f, 1) + 0.7 * cross(f_plain, 1)
    np.testing.assert_allclose(objective.generator_pays(fake, 0.7), wanted, rtol=1e-5)


def test_colours_of_sizes_are_those_of_numpy():
    random = np.random.RandomState(3)
    small, large = random.rand(4, 8, 8, 3), random.rand(4, 16, 16, 3)
    wanted = 0.0
    for weight, statistic in ((1, lambda p: p.mean(1)), (5, lambda p: np.cov(p.T, bias=True))):
        apart = [
            statistic(b.reshape(-1, 3).T if weight == 1 else b.reshape(-1, 3))
            - statistic(a.reshape(-1, 3).T if weight == 1 else a.reshape(-1, 3))
            for a, b in zip(small, large, strict=True)
        ]
        wanted += weight * np.mean(np.square(apart))
    pair = jnp.asarray(small, jnp.float32), jnp.asarray(large, jnp.float32)
    np.testing.assert_allclose(objective.colour_distance(pair), wanted, rtol=1e-4)
    slopes = jax.grad(objective.colour_distance)(pair)
    assert not slopes[0].any() and slopes[1].any()


@pytest.fixture(scope="module")
def made():
    method = StackGAN(
        Generator(3, 4, 2, residual=1),
        Discriminators(4),
        SPEC,
        Matcher(4, 2, 3, 6),
        apart={"shape": "said"},
        colour=1.0,
        matching_steps=2,
    )
    random = np.random.RandomState(0)
    batch = {
        "x": jnp.asarray(random.randint(0, 256, (6, 32, 32, 3)), jnp.uint8),
        "text": jnp.asarray(
            [[1, 2, 0, 0], [3, 4, 1, 2], [1, 2, 0, 3], [2, 0, 0, 0]] + [[4] * 4] * 2
        ),
        "shape": jnp.asarray([0, 0, 1, 2, 1, 1]),
        "said": jnp.asarray([0, 0, 1, 3, 1, 3]),
    }
    state = State(jnp.int32(0), *jax.jit(method.init)(KEY, batch), {}, {})
    return method, state, batch


@pytest.mark.slow
def test_wrong_pairs_contradict_what_is_said(made):
    """Text 3 and 5 say nothing of the shape: no picture is wrong of them."""
    method, _, batch = made
    wanted = np.array(batch["said"])[:, None] != np.array(batch["shape"])[None]
    wanted[[3, 5]] = False
    np.testing.assert_array_equal(method.wrong(batch), wanted)
    every = dataclasses.replace(method, apart={})
    np.testing.assert_array_equal(every.wrong(batch), ~np.eye(6, dtype=bool))


def test_wrong_pairs_of_captions_are_those_that_the_grammar_refutes(made):
    method, data = made[0], captions.load("captions")
    tokens = data.splits["train"].take(np.arange(64))
    config = runpy.run_path(str(ROOT / "configs/stackgan.py"))["get_config"]("")
    matcher, apart = method.matcher.clone(words=0), dict(config.method.apart)
    own = dataclasses.replace(method, spec=data.spec, matcher=matcher, apart=apart)
    assert own.matcher.words == captions.LENGTH
    found = np.asarray(own.wrong({k: jnp.asarray(v) for k, v in tokens.items()}))
    meanings = np.stack([tokens[k] for k in captions.COUNT_OF], 1)
    said = [captions.SENTENCES[captions.TEXT.text(t)] for t in tokens["text"]]
    for row, sentence in zip(found, said, strict=True):
        np.testing.assert_array_equal(row, [not sentence.is_true(m) for m in meanings])


@pytest.mark.slow
def test_phases_of_the_training(made):
    """First the matcher moves and then the two, for whom its vectors have no gradient."""
    method, state, batch = made
    losses = {turn.player: turn.loss for turn in method.turns}
    assert list(losses) == ["matcher", "discriminator", "generator"]
    slopes = {
        player: jax.jit(jax.grad(lambda p, now, f=f: f(now.replace(params=p), batch, KEY)[0]))
        for player, f in losses.items()
    }
    for step, active in ((0, {"matcher"}), (1, {"matcher"}), (2, set(losses) - {"matcher"})):
        now = state.replace(step=jnp.int32(step))
        for player, slope_of in slopes.items():
            slope = slope_of(now.params, now)
            moved = {k for k, tree in slope.items() if any(map(np.any, jax.tree.leaves(tree)))}
            assert (player in moved) == (player in active), (step, player)
            assert "matcher" not in moved or player == "matcher"


@pytest.mark.slow
def test_the_matcher_tells_the_generator_how_its_pictures_are_read(made):
    """By the nats of numpy, of its last picture and the texts that are wrong of it."""
    method, state, batch = made
    told = dataclasses.replace(method, matching=2.0)
    plain, (_, without) = jax.jit(method.generator_loss)(state, batch, KEY)
    loss, (_, shown) = jax.jit(told.generator_loss)(state, batch, KEY)
    assert "nats" not in without
    np.testing.assert_allclose(loss - plain, 2 * shown["nats"], rtol=1e-3)
    rows = jax.nn.one_hot(batch["text"], 5).reshape(6, -1)
    out, _ = method.trained(state, KEY, method.code(state, method.givens.of_batch(batch)))
    pictures, texts = method.reader.apply(state, out.images[-1], rows)
    products = method.sharpness * np.asarray(texts) @ np.asarray(pictures).T
    seen = np.where(np.asarray(method.wrong(batch)) | np.eye(6, dtype=bool), products, -np.inf)
    both = [np.diag(seen) - np.log(np.exp(seen).sum(axis)) for axis in (0, 1)]
    np.testing.assert_allclose(shown["nats"], -np.mean(both), rtol=1e-4)


def test_smaller_pictures_are_shown_at_full_size(made):
    method, state, batch = made
    given = {"text": np.asarray(batch["text"][:2])}
    draw = jax.jit(lambda stage: method.sample(state, KEY, 2, given, stage=stage), static_argnums=0)
    first, last = draw(1), draw(3)
    assert first.shape == last.shape == (2, 32, 32, 3) and first.dtype == jnp.uint8
    np.testing.assert_array_equal(first, np.repeat(np.repeat(first[:, ::4, ::4], 4, 1), 4, 2))
    np.testing.assert_array_equal(last, draw(0))
    with pytest.raises(ConfigError, match="stage=4, expected 1 to 3, or 0"):
        method.sample(state, KEY, 2, given, stage=4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"matcher": None}, "matching_steps=2: expected 1 or more with config.model.matcher"),
        ({"given": ("shape",)}, "reads the one field of text"),
        ({"given": ()}, "config.method.given is empty"),
        ({"matcher": Matcher(2)}, "matcher.words=2, and objects has 4: leave it at 0"),
        ({"apart": {"shap": "said"}}, "unknown field in config.method.apart 'shap'"),
        ({"kl": -1.0}, "are 0 or more"),
        (
            {"matcher": None, "matching_steps": 0, "given": ("shape",), "matching": 1.0},
            "expected co",
        ),
    ],
)
def test_options_that_cannot_be(made, changes, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(made[0], **changes)


def test_rates_of_the_first_paper_are_halved_every_fifty_epochs():
    """Of 8,855 pictures of CUB, in batches of 64: 138 steps an epoch, 600 epochs."""
    config = runpy.run_path(str(ROOT / "configs/stackgan.py"))["get_config"]("stage")
    epoch, start = 8855 // config.train.batch_size, config.method.matching_steps
    assert config.train.steps == start + 600 * epoch
    for player in ("generator", "discriminator"):
        rates = config.optim[player].rates
        for epochs in (0, 49, 50, 99, 100, 599):
            rate = [r for step, r in rates if step <= start + epochs * epoch][-1]
            assert rate == 2e-4 * 0.5 ** (epochs // 50)
