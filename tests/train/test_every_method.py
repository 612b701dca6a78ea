"""A mesh trains every method, in the tiny preset of every config, as one device does."""

import importlib
import inspect
import pkgutil

import jax
import numpy as np
import pytest
from jax.sharding import AxisType
from tiny import config_of, every_method, parts_of

import jaxgen.methods
from jaxgen.sharding import make_mesh
from jaxgen.train.optim import optimizer
from jaxgen.train.program import build_program

AXES = ("data", "fsdp")
NAMES = every_method()
# those that no table in test_sharding.py holds, and that compile soon
QUICK = {"autoencoder", "npe", "planar"} | {n for n in NAMES if ":" in n}
QUICK -= {"pix2pixhd:features", "sim_to_real:direct", "voice_vae:wave"}
PARAMS = [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in NAMES]
RATE, STEPS = 0.03, 2


def test_every_method_is_in_a_config():
    found = set()
    for module in pkgutil.iter_modules(jaxgen.methods.__path__):
        place = importlib.import_module(f"jaxgen.methods.{module.name}")
        for name, kind in inspect.getmembers(place, inspect.isclass):
            whole = all(hasattr(kind, ability) for ability in ("turns", "init", "evaluate"))
            if whole and kind.__module__ == place.__name__:
                found.add(f"{module.name}.{name}")
    named = [config_of(name)["method"] for name in NAMES]
    named += [m["prior"] for m in named if isinstance(m.get("prior"), dict)]
    found.remove("guided.Guided")  # which a run is made of, by `Run.guided_by`
    assert found == {method["name"] for method in named}


def program_on(mesh, method, batch):
    """With SGD for every player."""
    players = {turn.player: optimizer("sgd", RATE) for turn in method.turns}
    return build_program(method, players, {}, mesh, batch, seed=0, min_size=2)


def trained(program, state, batch):
    """After some steps: parameters and variables, and the state."""
    state = jax.device_put(state, jax.tree.map(lambda leaf: leaf.sharding, program.target))
    step = program.compile()
    for _ in range(STEPS):
        state, _ = step(state, program.put([batch]), program.rng, np.int32(1))
    return jax.device_get((state.params, state.vars)), state


def assert_close(tree, expected, moved):
    """But for rounding, and a hundredth of the way that the steps went."""

    def close(path, a, b, way):
        bound = 1e-5 * np.abs(b).max(initial=1) + 1e-2 * np.max(way, initial=0)
        where = jax.tree_util.keystr(path)
        np.testing.assert_allclose(a, b, rtol=0, atol=bound, err_msg=where)

    jax.tree_util.tree_map_with_path(close, tree, expected, moved)


def programs(name, data_root):
    """On one device and on a mesh, and a batch."""
    method, _, _, _, batch = parts_of(name, data_root, 16)
    most = max(turn.times for turn in method.turns)
    batch = {k: np.concatenate([v] * most) for k, v in batch.items()}
    alone = jax.make_mesh((1, 1), AXES, axis_types=(AxisType.Auto,) * 2, devices=jax.devices()[:1])
    return *(program_on(mesh, method, batch) for mesh in (alone, make_mesh(4, 2))), batch


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_sharded_initialisation_equals_single(name, data_root):
    """By default it is of a Glow, which sees the batch, and of two more in test_sharding.py."""
    single, mesh, batch = programs(name, data_root)
    start = jax.device_get(single.init(batch))
    assert_close(jax.device_get(mesh.init(batch)), start, jax.tree.map(np.zeros_like, start))


@pytest.mark.parametrize("name", PARAMS)
def test_sharded_equals_single_on_updated_parameters(name, data_root):
    single, mesh, batch = programs(name, data_root)
    state = jax.device_get(single.init(batch))
    start = state.params, state.vars
    end, _ = trained(single, state, batch)
    after, state = trained(mesh, state, batch)
    assert any(not x.sharding.is_fully_replicated for x in jax.tree.leaves(state.params))
    moved = jax.tree.map(lambda a, b: np.abs(np.subtract(a, b, dtype=np.float64)), end, start)
    assert_close(after, end, moved)
    # a gradient twice too large would be seen, in some tensor of every player
    for player, ways in moved[0].items():
        assert max(way.max() for way in jax.tree.leaves(ways)) > 1e-4, player
