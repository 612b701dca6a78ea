"""Two autoencoders: where the second starts, what it is taught, and what stays as it is."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgen
from jaxgen.config import ConfigError
from jaxgen.data import load
from jaxgen.data.dataset import ArraySplit, Dataset
from jaxgen.data.embedded import blocks
from jaxgen.methods.sim_to_real import Positions, misses
from jaxgen.types import DataSpec, State

KEY = jax.random.key(0)


def few(name, count=64):
    made = {s: ArraySplit(blocks.drawn(name, count, n)) for n, s in enumerate(("train", "test"))}
    return Dataset(blocks.spec_of(name), made, "seeded pictures of a block")


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    place = tmp_path_factory.mktemp("stages") / "first"
    return jaxgen.fit("sim_to_real:tiny", few("sim_block"), workdir=place, quiet=True)


@pytest.fixture(scope="module", params=[pytest.param("mixed", marks=pytest.mark.slow), "frozen"])
def second(request, first, tmp_path_factory):
    stage = {"frozen.first": str(first.directory.path)}
    place = tmp_path_factory.mktemp("stages") / request.param
    preset = f"sim_to_real:{request.param},tiny"
    return jaxgen.fit(preset, few("real_block"), workdir=place, quiet=True, **stage)


def test_the_second_starts_from_the_first(first, second):
    batch = few("real_block").splits["train"].take(np.arange(16))
    method, begun = second.method, first.state.params["model"]
    params, variables = jax.jit(method.init)(KEY, batch)
    jax.tree.map(np.testing.assert_array_equal, params, {"model": begun})
    trained = second.state.params["model"]
    moved = {
        part: max(
            float(jnp.abs(a - b).max())
            for a, b in zip(
                jax.tree.leaves(trained[part]), jax.tree.leaves(begun[part]), strict=True
            )
        )
        for part in begun
    }
    assert moved["encoder"] > 1e-4 and moved["posterior"] > 1e-4
    assert (moved["decoder"] > 1e-4) == (method.trained == "all")


def test_what_it_is_taught_is_what_the_first_gives_of_the_rendered_picture(first, second):
    """By hand, with the code's mean for its draw."""
    method, state = second.method, second.state
    if method.mixed:
        method = dataclasses.replace(method, mixed=False)
    batch = few("real_block").splits["test"].take(np.arange(16))
    batch = jax.tree.map(jnp.asarray, batch)
    target = first.method.through(first.state, batch["synthetic"]) / 255
    loss, _ = jax.jit(method.loss)(state, batch, KEY)
    latent = jax.random.split(KEY, 3)[1]
    draw = method.player.apply(
        state, batch["x"] / np.float32(255), method.theta_size(16), None, rngs={"latent": latent}
    )
    square = 0.5 * jnp.sum(jnp.square(target - draw.theta), axis=(1, 2, 3))
    nll = square + 24 * 24 * 0.5 * np.log(2 * np.pi)
    kl = jnp.sum(draw.kl[0], axis=1)
    np.testing.assert_allclose(loss, jnp.mean(nll + 0.003 * kl), rtol=1e-4)


def test_its_error_is_that_of_the_regressor_of_the_first(first, second):
    batch = few("real_block").splits["test"].take(np.arange(16))
    made = second.decode(second.encode(batch["x"]), rounded=False)
    told = first.method.located(first.state, jnp.asarray(made))
    found = second.per_example("test")["pixels"][:16]
    np.testing.assert_allclose(found, misses(told, batch["position"]), rtol=1e-3)


class Right(nn.Module):
    """Says (1, -0.5) of whatever, in halves of a picture from its middle: (24, 6) pixels."""

    @nn.compact
    def __call__(self, x):
        return jnp.broadcast_to(jnp.array([[1.0, -0.5]]), (len(x), 2)) + 0 * x[:, :1, 0, 0]


def test_errors_are_distances_in_pixels():
    method = Positions(Right(), blocks.spec_of("sim_block"))
    batch = {
        "x": jnp.zeros((2, 24, 24, 1), jnp.uint8),
        "position": jnp.array([[24.0, 6], [21, 10]]),
    }
    state = State(jnp.int32(0), {"model": {}}, {"model": {}}, {}, {})
    np.testing.assert_allclose(method.evaluate(state, batch, KEY)["pixels"], [0, 5], atol=1e-5)
    loss, (_, metrics) = method.loss(state, batch, KEY)
    np.testing.assert_allclose([loss, metrics["pixels"]], [12.5 / 144, 2.5], rtol=1e-5)


def test_what_does_not_fit_is_refused(first, tmp_path):
    with pytest.raises(ConfigError, match="expected grey pictures and a field position"):
        Positions(Right(), DataSpec.of("digits", (8, 8, 1), 17))
    with pytest.raises(ConfigError, match="jitter=1.0, expected 0 or more, below 1"):
        Positions(Right(), blocks.spec_of("sim_block"), jitter=1.0)
    with pytest.raises(ConfigError, match="this is a regressor of positions, which draws nothing"):
        Positions(Right(), blocks.spec_of("sim_block")).sample(None, KEY, 1)
    stage = {"frozen.first": str(first.directory.path)}
    for data, change, message in (
        ("sim_block", {}, "sim_block has no field synthetic"),
        ("real_block", {"method.trained": "decoder"}, "trained='decoder', expected one of"),
        ("real_block", {"model.latent": 3}, "with the network of this config.model"),
    ):
        with pytest.raises(ConfigError, match=message):
            jaxgen.fit(
                "sim_to_real:mixed,tiny",
                few(data),
                workdir=tmp_path / message[:5],
                **stage,
                **change,
            )


def test_the_set_of_the_config_is_there():
    assert load("real_block").spec.fields.keys() == {"x", "position", "synthetic"}
