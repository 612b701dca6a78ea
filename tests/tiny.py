"""The tiny preset of every config, as it is before its first step."""

import functools
import runpy
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from command import ROOT

from jaxgen.config import build
from jaxgen.data import load
from jaxgen.session import as_json
from jaxgen.train.assemble import assemble
from jaxgen.train.step import init_state
from jaxgen.types import DataSpec, Method, State

CONFIGS = sorted(p.stem for p in (ROOT / "configs").glob("*.py"))


class Tiny(NamedTuple):
    """A method, its first state, and examples of its data."""

    method: Method
    spec: DataSpec
    state: State
    batch: dict[str, np.ndarray]


def config_of(name: str) -> dict[str, Any]:
    """The tiny preset of a config, as JSON."""
    make = runpy.run_path(str(ROOT / "configs" / f"{name}.py"))["get_config"]
    return as_json(make("tiny").to_dict())


def tiny(name: str, data_root: Any, size: int) -> Tiny:
    """Initialised on `size` examples; skipped where they need files or a first stage."""
    config = config_of(name)
    if "frozen" in config:
        pytest.skip("needs a first stage: tests/train/test_frozen.py")
    try:
        dataset = build(load, "data", **config["data"] | {"data_dir": str(data_root)})
    except FileNotFoundError:
        pytest.skip("needs files")
    method, optimizers, emas = assemble(config, dataset.spec)
    rows = np.arange(size, dtype=np.int64) % len(dataset.splits["train"])
    batch = dict(dataset.splits["train"].take(rows))
    assert batch.keys() >= dataset.spec.batch(size).keys()
    init = functools.partial(init_state, method=method, optimizers=optimizers, emas=emas)
    return Tiny(method, dataset.spec, jax.jit(init)(jax.random.key(0), batch), batch)
