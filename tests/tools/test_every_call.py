"""Every call of every config's method: compiled once, and the same whatever the chunks are."""

import inspect

import jax
import numpy as np
import pytest
from tiny import DRAWING, tiny

from jaxgen.abilities import Decodes, Density, Encodes, Restores, given
from jaxgen.calls import FEW, Calls
from jaxgen.config import ConfigError

BATCH = 8
OF_DATA = {"log_prob": Density, "encode": Encodes, "reconstruct": Restores}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=DRAWING)
def made(request, data_root):
    """Calls on the state before the first step of a config's tiny preset, and examples."""
    method, spec, state, batch, _ = tiny(request.param, data_root, BATCH)
    return Calls(method, spec, request.param), state, batch


def given_to(calls, batch, rows, function):
    """What a conditional method has to be told of these rows."""
    takes = inspect.signature(getattr(calls._method, function)).parameters
    if "observation" in takes:
        return {"observation": batch["x"][0, calls._method.parameters :]}
    return {name: batch[name][rows] for name in given(calls._method) if name in takes}


def unchanged(few, many):
    """The first rows of every leaf, up to the rounding of sums in another order."""
    for a, b in zip(jax.tree.leaves(few), jax.tree.leaves(many), strict=True):
        np.testing.assert_array_equal(a, b[: len(a)])


def quietly(action):
    """The result of an action that compiles nothing."""
    found = []

    def listen(name, seconds, **_):
        if "backend_compile" in name:
            found.append(name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        out = action()
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert not found
    return out


def test_samples(made):
    calls, state, batch = made
    options = given_to(calls, batch, [0], "sample")
    options.pop("label", None)
    knobs = inspect.signature(calls._method.sample).parameters.values()
    floats = [k.name for k in knobs if isinstance(k.default, float)]
    few = calls.sample(state, 3, 7, options)
    unchanged(few, quietly(lambda: calls.sample(state, calls.size + 3, 7, options)))
    for name in floats:
        quietly(lambda n=name: calls.sample(state, 2, 8, options | {n: 0.5}))
        with pytest.raises(ConfigError, match=f"{name}="):
            calls.sample(state, 2, 8, options | {name: float("nan")})
    if len(calls._spec.shape) == 3:
        assert len(few.shape) == 4 and np.isfinite(few).all()


@pytest.mark.parametrize("name", OF_DATA)
def test_examples(made, name):
    calls, state, batch = made
    if not isinstance(calls._method, OF_DATA[name]):
        with pytest.raises(ConfigError, match=f"has no {name}"):
            calls.of_data(name, state, batch["x"], 0, {})
        return

    def of(num):
        rows = np.arange(num) % BATCH
        options = given_to(calls, batch, rows, name)
        return calls.of_data(name, state, batch["x"][rows], 7, options)

    some, few = of(FEW + 1), of(3)
    many = quietly(lambda: of(calls.size + 3))
    unchanged(some, many)
    quietly(lambda: of(FEW))
    for a, b in zip(jax.tree.leaves(few), jax.tree.leaves(some), strict=True):
        np.testing.assert_allclose(a, b[:3], rtol=1e-3, atol=1e-3)
    if name == "encode" and isinstance(calls._method, Decodes):
        decodes(calls, state, batch, some, many)


def decodes(calls, state, batch, some, many):
    rows = np.arange(calls.size + 3) % BATCH
    options = [given_to(calls, batch, r, "decode") for r in (rows[: FEW + 1], rows)]
    x = calls.decode(state, some, options[0])
    assert x.shape[1:] == batch["x"].shape[1:] and len(x) == FEW + 1
    unchanged(x, quietly(lambda: calls.decode(state, many, options[1])))
