"""StackGAN's second stage: its sizes, what it is shown, and that the first stays as it is."""

import dataclasses
import json
import runpy
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command import ROOT, has_row

import jaxgen
from jaxgen.config import ConfigError
from jaxgen.fields import DataSpec, Field
from jaxgen.methods.stackgan import StackGAN, code_divergence
from jaxgen.methods.stackgan_second import SecondStage
from jaxgen.models.gans import stackgan
from jaxgen.models.gans.stackgan_second import Discriminator, Generator
from jaxgen.ops.pairs import partners
from jaxgen.train.frozen import Stage, variables
from jaxgen.types import FROZEN, State

KEY = jax.random.key(0)
TEXT = Field("tokens", (4,), "int32", vocabulary=5)


def spec(side, **changes):
    x = Field("image", (side, side, 3), "uint8", levels=256)
    return DataSpec("objects", {"x": x, "text": TEXT} | changes)


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_parameter_counts_are_those_of_the_official_layers():
    """Of 256x256 from 64x64 and texts of 1,024 numbers: stageII/model.py, gf 128, df 64, ef 128."""

    def conv(side, before, after):
        return side**2 * before * after

    norm = 2  # numbers of a channel
    streams = {"params": KEY, "noise": KEY}
    args = jnp.zeros((2, 64, 64, 3)), (2, 256, 256, 3), jnp.zeros((2, 1024))
    made = jax.eval_shape(lambda: Generator().init(streams, *args, method="painted"))
    found = made["params"]
    wanted = {
        "augmentation": 1024 * 256 + 256,
        "picture": conv(3, 3, 128),
        "down_0": conv(4, 128, 256) + norm * 256,
        "down_1": conv(4, 256, 512) + norm * 512,
        "joint": conv(3, 512 + 128, 512) + norm * 512,
        **{f"residual_{i}": 2 * (conv(3, 512, 512) + norm * 512) for i in range(4)},
        "up_0": conv(3, 512, 256) + norm * 256,
        "up_1": conv(3, 256, 128) + norm * 128,
        "up_2": conv(3, 128, 64) + norm * 64,
        "up_3": conv(3, 64, 32) + norm * 32,
        "image": conv(3, 32, 3),
    }
    assert {k: count(v) for k, v in found.items()} == wanted
    assert count(found) == 26_290_080
    judge = jax.eval_shape(lambda: Discriminator().init(KEY, (jnp.zeros(args[1]),), args[2]))
    found = judge["params"]
    sizes = [64 << i for i in range(6)]
    wanted = {
        "picture": conv(4, 3, 64),
        **{f"down_{i}": conv(4, sizes[i - 1], sizes[i]) + norm * sizes[i] for i in range(1, 6)},
        "narrow_1024": conv(1, 2048, 1024) + norm * 1024,
        "narrow_512": conv(1, 1024, 512) + norm * 512,
        "first": conv(1, 512, 128) + norm * 128,
        "second": conv(3, 128, 128) + norm * 128,
        "third": conv(3, 128, 512) + norm * 512,
        "text": 1024 * 128 + 128,
        "joint": conv(1, 512 + 128, 512) + norm * 512,
        "matching": conv(4, 512, 1),
    }
    assert {k: count(v) for k, v in found.items()} == wanted
    assert count(found) == 48_603_520


@pytest.mark.parametrize(("small", "large"), [(8, 8), (8, 16), (16, 64)])
def test_shapes(small, large):
    low, text = jnp.zeros((2, small, small, 3)), jnp.ones((2, 5))
    streams = {"params": KEY, "noise": KEY}
    paint = Generator(4, 2, 1).init_with_output
    out, _ = jax.eval_shape(
        lambda: paint(streams, low, (2, large, large, 3), text, method="painted")
    )
    assert [x.shape for x in out.images] == [(2, large, large, 3)] and out.mean.shape == (2, 2)
    logits, _ = jax.eval_shape(
        lambda: Discriminator(4, 2).init_with_output(KEY, (jnp.zeros(out.images[0].shape),), text)
    )
    ((matching, plain),) = logits
    assert matching.shape == (2,) and plain is None


@pytest.mark.parametrize(("small", "large"), [(6, 12), (8, 24), (16, 8)])
def test_sizes_that_cannot_be(small, large):
    low, text = jnp.zeros((2, small, small, 3)), jnp.ones((2, 5))
    streams = {"params": KEY, "noise": KEY}
    with pytest.raises(ValueError, match=f"images of {large}x{large} from {small}x{small}, exp"):
        Generator(4, 2, 1).init(streams, low, (2, large, large, 3), text, method="painted")
    with pytest.raises(ValueError, match="images of 24x24, expected a square of 8 times"):
        Discriminator(4, 2).init(KEY, (jnp.zeros((2, 24, 24, 3)),), text)


@pytest.fixture(scope="module")
def made():
    """A second stage of 16x16 over a first of 8x8, and a batch."""
    networks = dict(
        generator=stackgan.Generator(3, 4, 2, stages=1, augmentation="leaky"),
        discriminator=stackgan.Discriminators(4, unconditional=False),
        matcher=stackgan.Matcher(4, 2, 3, 5),
    )
    first = StackGAN(**networks, spec=spec(8), matching_steps=1)
    random = np.random.RandomState(0)
    batch = {
        "x": jnp.asarray(random.randint(0, 256, (6, 16, 16, 3)), jnp.uint8),
        "text": jnp.asarray(random.randint(0, 5, (6, 4)), jnp.int32),
    }
    params, variables_ = jax.jit(first.init)(KEY, batch | {"x": batch["x"][:, ::2, ::2]})
    arrays = jax.tree.map(np.asarray, {"params": params, "vars": variables_})
    stage = Stage("first", first, spec(8), arrays, "", 7, "")
    method = SecondStage(Generator(4, 2, 1), Discriminator(4, 2), spec(16), first=stage)
    params, moving = jax.jit(method.init)(KEY, batch)
    held = {FROZEN: jax.tree.map(jnp.asarray, variables({"first": stage}))}
    return method, State(jnp.int32(0), params, moving | held, {}, {}), batch


@pytest.mark.slow
def test_the_first_stage_has_no_gradient_and_does_not_move(made):
    method, state, batch = made
    assert [turn.player for turn in method.turns] == ["discriminator", "generator"]

    def paid(params, stage, turn):
        now = state.replace(params=params, vars=state.vars | {FROZEN: {"first": stage}})
        return turn.loss(now, batch, KEY)

    for turn in method.turns:
        stage = state.vars[FROZEN]["first"]
        slope, (after, _) = jax.jit(
            jax.grad(lambda p, s, turn=turn: paid(p, s, turn), argnums=(0, 1), has_aux=True)
        )(state.params, stage)
        moved = {k for k, tree in slope[0].items() if any(map(np.any, jax.tree.leaves(tree)))}
        assert moved >= {turn.player} and not any(map(np.any, jax.tree.leaves(slope[1])))
        jax.tree.map(np.testing.assert_array_equal, after[FROZEN], state.vars[FROZEN])
        before = state.vars["generator"]["batch_stats"], after["generator"]["batch_stats"]
        assert any(jax.tree.leaves(jax.tree.map(lambda a, b: np.any(a != b), *before)))


def test_losses_are_those_of_the_paper(made):
    """Real pairs, half of wrong and half of generated ones; both see the text itself."""
    method, state, batch = made
    losses = {turn.player: jax.jit(turn.loss) for turn in method.turns}
    first = method.first.method
    text = first.code(method.first.state(state), method.givens.of_batch(batch))
    x = method.scaled(batch["x"])

    def logits(pictures):
        found, _ = method.judge.train(state, (pictures,), text)
        return np.asarray(found[0][0], np.float64)

    def nats(logit):
        return np.mean(np.log1p(np.exp(logit)))

    keys = jax.random.split(KEY, 2)
    below, noise = jax.random.split(keys[0])
    low = first.painted(method.first.state(state), below, text, 1.0).images[-1]
    args = state, low, (6, 16, 16, 3), text
    out, _ = method.painter.train(*args, rngs={"noise": noise}, method="painted")
    other, there = partners(keys[1], method.wrong(batch))
    assert np.all(there) and low.shape == (6, 8, 8, 3)
    wanted = nats(-logits(x)) + 0.5 * (nats(logits(x[other])) + nats(logits(out.images[0])))
    found = losses["discriminator"](state, batch, KEY)[0]
    np.testing.assert_allclose(found, wanted, rtol=1e-4)
    below, noise = jax.random.split(KEY)
    low = first.painted(method.first.state(state), below, text, 1.0).images[-1]
    args = state, low, (6, 16, 16, 3), text
    out, _ = method.painter.train(*args, rngs={"noise": noise}, method="painted")
    wanted = nats(-logits(out.images[0])) + 2 * float(code_divergence(out.mean, out.log_var))
    np.testing.assert_allclose(losses["generator"](state, batch, KEY)[0], wanted, rtol=1e-4)


def test_pictures_of_both_stages_are_shown(made):
    method, state, batch = made
    assert method.stages == 2
    given = {"text": np.asarray(batch["text"][:2])}
    draw = jax.jit(lambda stage: method.sample(state, KEY, 2, given, stage=stage), static_argnums=0)
    below, last = draw(1), draw(2)
    assert below.shape == last.shape == (2, 16, 16, 3) and last.dtype == jnp.uint8
    np.testing.assert_array_equal(below, np.repeat(np.repeat(below[:, ::2, ::2], 2, 1), 2, 2))
    np.testing.assert_array_equal(last, draw(0))
    with pytest.raises(ConfigError, match="stage=3, expected 1 to 2, or 0"):
        method.sample(state, KEY, 2, given, stage=3)


WORDS = Field("tokens", (4,), "int32", vocabulary=6)
GREY = Field("image", (16, 16, 1), "uint8", levels=256)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spec": spec(16, text=WORDS)}, "was trained on objects, whose field text is another"),
        ({"spec": spec(16, x=GREY)}, "3 channels and 256 levels, and objects has 1 and 256"),
        ({"colour": 1.0}, "a second stage has no matcher of its own, and no colour"),
        ({"given": ("kind",), "spec": spec(16, kind=TEXT)}, "is given text, and config.method.giv"),
    ],
)
def test_stages_that_do_not_fit(made, changes, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(made[0], **changes)


def test_a_stage_of_another_kind(made):
    stage = dataclasses.replace(made[0].first, method=object())
    with pytest.raises(ConfigError, match="object makes no pictures of texts"):
        dataclasses.replace(made[0], first=stage)


def test_rates_of_the_second_stage_are_halved_every_hundred_epochs():
    config = runpy.run_path(str(ROOT / "configs/stackgan.py"))["get_config"]("second_birds")
    epoch = 8855 // config.train.batch_size
    assert config.train.steps == 600 * epoch
    for player in ("generator", "discriminator"):
        for epochs in (0, 99, 100, 599):
            rate = [r for step, r in config.optim[player].rates if step <= epochs * epoch][-1]
            assert rate == 2e-4 * 0.5 ** (epochs // 100)


@pytest.mark.slow
def test_a_run_over_a_run_that_was_killed_ends_in_the_same_state(starter, tmp_path):
    """And shows the pictures of the first."""
    first = tmp_path / "first"
    starter.run("--config=configs/stackgan.py:first,tiny", f"--workdir={first}", limit=600)
    options = (
        "--config=configs/stackgan.py:second,tiny",
        f"--config.frozen.first={first}",
        "--config.train.log_every_steps=1",
        "--config.train.save_every_steps=5",
        f"--workdir={tmp_path / 'run'}",
    )
    whole = starter.run(*options[:-1], f"--workdir={tmp_path / 'whole'}", limit=600)
    job = starter.start(*options).until(has_row(tmp_path / "run", 13), 600)
    job.kill().wait(-signal.SIGKILL)
    resumed = starter.run(*options, limit=600)
    assert "resumed at step" in resumed.out and resumed.digest == whole.digest
    assert json.loads((whole.workdir / "summary.json").read_text())["step"] == 20
    run = jaxgen.load(whole.workdir)
    assert run.sample(2, text="a red disc", stage=1).shape == (2, 32, 32, 3)
