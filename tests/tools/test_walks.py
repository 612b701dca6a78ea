"""Walks of groups of latents, of styles and of knobs: what moves, and what is held."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import parts_of

import jaxgen
from jaxgen.config import ConfigError
from jaxgen.types import State
from jaxgen.views.walks import check_temperatures


@pytest.fixture(scope="module")
def deep(data_root):
    """A VAE of three groups and its state, before the first step."""
    parts = parts_of("conv_draw", data_root, 4)
    method = dataclasses.replace(parts.method, model=parts.method.model.clone(steps=3))
    params, variables = jax.jit(method.init)(jax.random.key(0), parts.batch)
    return method, State(jnp.int32(0), params, variables, {}, {})


def descend(deep, z, seed, temperatures, num=3):
    method, state = deep
    call = functools.partial(method.descend, num=num, temperatures=temperatures)
    groups, x = jax.jit(call)(state, z, jax.random.key(seed))
    return [np.asarray(g) for g in groups], np.asarray(x)


def test_all_from_the_prior_are_samples(deep):
    """The expected data of `sample`, whose latents have the first of its three keys."""
    method, state = deep
    rng = jax.random.key(3)
    x = jax.jit(functools.partial(method.sample, num=3, mean=True))(state, rng, temperature=0.7)
    call = functools.partial(method.descend, num=3, temperatures=(0.7,))
    _, found = jax.jit(call)(state, (), jax.random.split(rng, 3)[0])
    np.testing.assert_allclose(found, x, rtol=1e-6)  # another program: a rounding


def test_a_temperature_for_each_group(deep):
    """The first groups are those of their own temperature; at zero nothing is drawn."""
    whole, _ = descend(deep, (), 1, (1.0,))
    assert len(whole) > 2
    some, x = descend(deep, (), 1, (1.0, 0.5, 0.0))
    np.testing.assert_array_equal(some[0], whole[0])
    half, _ = descend(deep, (whole[0],), 1, (0.5,))
    np.testing.assert_array_equal(some[1], half[1])
    assert np.abs(some[1] - whole[1]).max() > 1e-3
    means, back = descend(deep, some[:2], 99, (0.0,))  # another key: no noise is left
    for a, b in zip(means, some, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(back, x, rtol=1e-4, atol=1e-4)


def test_the_noise_of_lower_groups_is_held(deep):
    """Of the same key: z = mean + deviation * noise, so that the same top is the same image."""
    first, x = descend(deep, (), 5, (1.0,))
    again, same = descend(deep, first[:1], 7, (1.0,))
    third, twice = descend(deep, first[:1], 7, (1.0,))
    np.testing.assert_array_equal(same, twice)
    np.testing.assert_array_equal(again[1], third[1])
    assert np.abs(same - x).max() > 1e-3  # other noise below


def test_a_walk_of_the_top(zoo, data_root, monkeypatch):
    """Of one group: a circle around the prior's mean, here zero, of draws of the prior."""
    monkeypatch.setenv("JAXGEN_DATA_DIR", str(data_root))
    run = jaxgen.load(zoo.run("vae").workdir)
    x = run.walk(num=3, frames=4, seed=2, top=True).arrays["x"]
    assert x.shape == (3, 4, 8, 8, 1)
    key = jax.random.split(jax.random.key(2), 3)[0]
    call = functools.partial(run.method.descend, num=3, temperatures=(1.0,))
    (z,), _ = jax.jit(call)(run.state.averaged(), (), key)
    # frame 0 is the first draw, frame 2 its mirror
    np.testing.assert_allclose(x[:, 0], run.decode((np.asarray(z),)), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(x[:, 2], run.decode((-np.asarray(z),)), rtol=1e-4, atol=1e-5)
    cold = run.walk(num=3, frames=4, seed=2, temperatures="0").arrays["x"]
    np.testing.assert_array_equal(cold, np.broadcast_to(cold[:1, :1], cold.shape))


def test_walks_that_there_are_not(zoo, data_root, monkeypatch):
    monkeypatch.setenv("JAXGEN_DATA_DIR", str(data_root))
    flow = jaxgen.load(zoo.run("flow").workdir)
    with pytest.raises(ConfigError, match="has no groups of latents: omit --top"):
        flow.walk(num=2, frames=2, top=True)
    with pytest.raises(ConfigError, match="has no styles: omit --truncation"):
        flow.walk(num=2, frames=2, truncation=0.5)
    with pytest.raises(ConfigError, match="truncation is of styles"):
        flow.walk(num=2, frames=2, truncation=0.5, temperatures="1")
    for bad in ("a", "1,-1", "nan", "inf", [None]):
        with pytest.raises(ConfigError, match="expected numbers from 0 on, as 0.7,1"):
            check_temperatures(bad)
    assert check_temperatures("0.7,1") == check_temperatures((0.7, 1)) == [0.7, 1.0]
    assert check_temperatures("") == []


def test_a_sweep_of_a_knob(zoo, tmp_path, jaxgen_command):
    """Columns are the samples of the value, of the same latents."""
    path = zoo.run("flow").workdir
    run = jaxgen.load(path)
    picture = run.knob_sweep("temperature", 0.2, 0.8, num=3, steps=3, seed=4)
    for column, value in enumerate((0.2, 0.5, 0.8)):
        x = run.sample(3, seed=4, temperature=value)
        np.testing.assert_array_equal(picture.arrays["x"][:, column], x)
    with pytest.raises(ConfigError, match="no such knob 'temperatur'"):
        run.knob_sweep("temperatur")
    out = tmp_path / "x.webp"
    words = ("--knob=temperature", "--low=0.2", "--high=0.8", "--dims=3", "--steps=3", "--seed=4")
    jaxgen_command("sweep", path, *words, f"--out={out}")
    told = json.loads((tmp_path / "x.film.json").read_text())
    assert told["view"] == "knob_sweep" and told["options"]["high"] == 0.8
    error = jaxgen_command("sweep", path, "--knob=temperature", "--manifold", code=2).err
    assert "--manifold and --knob: name one of them" in error


@pytest.fixture(scope="module")
def styled(starter, tmp_path_factory):
    path = tmp_path_factory.mktemp("styled") / "stylegan2-digits"
    options = ("--config.train.steps=2", "--config.evaluate.num_samples=0")
    starter.run("--config=configs/stylegan2.py:digits,tiny", *options, f"--workdir={path}")
    return jaxgen.load(path)


@pytest.mark.slow
def test_a_walk_of_styles(styled):
    """At no distance from the mean of w all are one image; at its own, that of `decode`."""
    run, state = styled, styled.state.averaged()
    x = run.walk(num=2, frames=3, truncation=1e-9).arrays["x"]
    np.testing.assert_allclose(x, np.broadcast_to(x[:1, :1], x.shape), atol=1e-4)
    x = run.walk(num=2, frames=3, seed=3, truncation=1.0).arrays["x"]
    z = run.method.latents(jax.random.split(jax.random.key(3))[0], 2)
    w = jax.jit(run.method.styles_of)(state, z)
    wanted = jax.jit(functools.partial(run.method.render, rounded=False))(state, w)
    np.testing.assert_allclose(x[:, 0], wanted, rtol=1e-4, atol=1e-3)
    assert np.abs(x[:, 1] - x[:, 0]).max() > 1e-3


def test_a_film_of_mixed_styles(styled, tmp_path):
    """It begins with the grid, and moves; with all layers coarse nothing does."""
    picture = styled.mix(rows=2, columns=2, coarse=1, frames=3)
    frames = picture.frames
    assert len(frames) == 3
    np.testing.assert_array_equal(frames[0], picture.image)
    still = styled.mix(rows=2, columns=2, coarse=99, frames=2).frames
    np.testing.assert_array_equal(still[0], still[1])
    x = styled.mix(rows=2, columns=2, coarse=1, frames=3).arrays["x"]
    np.testing.assert_array_equal(x, picture.arrays["x"])
