"""What one samples and evaluates of a state, as `weights.safetensors`: no optimiser, no averages.

A run directory with such a file in place of checkpoints is one that was packed or exported: it
opens as any other and cannot be trained further.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.config import ConfigError
from jaxgen.rundir import RunDir
from jaxgen.stored import parse
from jaxgen.train.integrity import paths, state_digest
from jaxgen.types import FROZEN, PyTree, State
from jaxgen.weights import safetensors

TEXTS = ("step", "digest", "averages", "config")  # of the metadata


def held(state: State) -> PyTree:
    """{"params", "vars"} of a state whose params are what is meant, without its stages."""
    return {
        "params": dict(state.params),
        "vars": {k: v for k, v in state.vars.items() if k != FROZEN},
    }


def tensors(tree: PyTree) -> dict[str, np.ndarray]:
    """Dotted name -> array, as "params.model.kernel".

    Raises:
        ConfigError: for names that hold dots, so that two would be one.
    """
    found: dict[str, np.ndarray] = {}
    for path, leaf in paths(tree):
        name = path.replace("/", ".")
        if name in found:
            raise ConfigError(f"two arrays are called {name}: no dots in names of parameters")
        found[name] = np.asarray(leaf)
    return found


def write(
    run: RunDir,
    tree: PyTree,
    step: int,
    config: Mapping[str, Any],
    averages: Mapping[str, str],
) -> None:
    """Writes the file of a run directory.

    Args:
        run: where.
        tree: see `held`.
        step: train steps that made it.
        config: of the run.
        averages: player -> name of the average that stands for its params.

    Raises:
        WriteError: see `files.atomic`.
    """
    about = {
        "step": str(step),
        "digest": state_digest(tree),
        "averages": json.dumps(dict(averages)),
        "config": json.dumps(config),
    }
    safetensors.write(run.weights, tensors(tree), about)


def target_of(target: State) -> State:
    """Shapes of a state, without those that the file does not hold."""
    return target.replace(opt={}, ema={}, players=())


def read(run: RunDir, target: State) -> tuple[int, State, dict[str, str]]:
    """The step, the state without its stages, and player -> average that stands for its params.

    Args:
        run: its directory.
        target: shapes, types and shardings, see `target_of`.

    Raises:
        ConfigError: for a file that is damaged, of another model, or another step than it says.
    """
    arrays, about = safetensors.read(run.weights)
    tree, where = held(target), run.weights
    try:
        step, digest = int(about["step"]), about["digest"]
        averages = parse(about["averages"])
        if step < 0 or not isinstance(averages, dict):
            raise ValueError("of another kind")
    except (KeyError, ValueError) as error:
        raise ConfigError(f"{where} does not say {', '.join(TEXTS)}: {error}") from None
    wanted = {p.replace("/", "."): x for p, x in paths(tree)}
    for name in sorted(wanted.keys() | arrays.keys()):
        found, shape = arrays.get(name), wanted.get(name)
        told = "nothing" if found is None else f"{found.dtype} {list(found.shape)}"
        asked = "nothing" if shape is None else f"{shape.dtype} {list(shape.shape)}"
        if told != asked:
            raise ConfigError(
                f"{where} holds another model than config.json: {name} is {told}, expected {asked}"
            )
    leaves = [
        jax.device_put(arrays[path.replace("/", ".")], leaf.sharding) for path, leaf in paths(tree)
    ]
    tree = jax.tree.unflatten(jax.tree.structure(tree), leaves)
    if state_digest(tree) != digest:
        raise ConfigError(f"{where} is damaged: its digest is not that of its arrays")
    state = target.replace(step=jnp.asarray(step, jnp.int32), **tree)
    return step, state, {str(k): str(v) for k, v in averages.items()}
