"""The tiny preset of every config, as it is before its first step."""

import functools
import runpy
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from command import ROOT

from jaxgen.config import build
from jaxgen.data import load
from jaxgen.data.embedded import molecules
from jaxgen.session import as_json
from jaxgen.train.assemble import assemble
from jaxgen.train.step import Averages, Optimizers, init_state, train_step
from jaxgen.types import DataSpec, Method, State

SAME = {"moons": "ring8"}  # points of the plane, too: to prepare a toy takes seconds
CONFIGS = sorted(p.stem for p in (ROOT / "configs").glob("*.py"))
DRAWING = [name for name in CONFIGS if name != "adm_classifier"]  # of methods that draw samples


class Tiny(NamedTuple):
    """A method, its first state, examples of its data, and its train step, not compiled yet."""

    method: Method
    spec: DataSpec
    state: State
    batch: dict[str, np.ndarray]
    step: Callable[..., Any]


@functools.cache
def _module(name: str) -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "configs" / f"{name}.py"))


def config_of(name: str) -> dict[str, Any]:
    """The tiny preset of a config, "CONFIG" or "CONFIG:PRESET", as JSON."""
    name, _, preset = name.partition(":")
    return as_json(_module(name)["get_config"](f"{preset},tiny" if preset else "tiny").to_dict())


def every_method() -> list[str]:
    """Every config, and those of the other presets that take a method which none of these has."""
    seen = {config_of(name)["method"]["name"] for name in CONFIGS}
    found = list(CONFIGS)
    for name in (f"{c}:{preset}" for c in CONFIGS for preset in _module(c)["PRESETS"]):
        method = config_of(name)["method"]["name"]
        found += [] if method in seen else [name]
        seen.add(method)
    return found


class Parts(NamedTuple):
    """What a config's sections are built to, and the first examples."""

    method: Method
    spec: DataSpec
    optimizers: Optimizers
    emas: Averages
    batch: dict[str, np.ndarray]


def parts_of(name: str, data_root: Any, size: int) -> Parts:
    """With `size` examples; skipped where they need files or a first stage."""
    config = config_of(name)
    if "frozen" in config:
        pytest.skip("needs a first stage: tests/train/test_frozen.py")
    if config["data"]["name"] in molecules.NAMES:
        pytest.importorskip("rdkit")
    place = {"name": SAME.get(config["data"]["name"], config["data"]["name"])}
    try:
        dataset = build(load, "data", **config["data"] | place | {"data_dir": str(data_root)})
    except FileNotFoundError:
        pytest.skip("needs files")
    method, optimizers, emas = assemble(config, dataset.spec)
    rows = np.arange(size, dtype=np.int64) % len(dataset.splits["train"])
    batch = dict(dataset.splits["train"].take(rows))
    assert batch.keys() >= dataset.spec.batch(size).keys()
    return Parts(method, dataset.spec, optimizers, emas, batch)


def tiny(name: str, data_root: Any, size: int) -> Tiny:
    """Initialised on `size` examples; skipped as `parts_of` is."""
    method, spec, optimizers, emas, batch = parts_of(name, data_root, size)
    parts = dict(method=method, optimizers=optimizers, emas=emas)
    state = jax.jit(functools.partial(init_state, **parts))(jax.random.key(0), batch)
    return Tiny(method, spec, state, batch, functools.partial(train_step, **parts))
