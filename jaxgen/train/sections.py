"""All values of a config, checked before data are read or anything is compiled."""

from __future__ import annotations

import inspect
import types
from collections.abc import Mapping
from typing import Any

from jaxgen.config import ConfigError, build, check_options, check_sections
from jaxgen.data import load
from jaxgen.evaluate.validation import check_knobs, check_seed
from jaxgen.methods.handing import of_class
from jaxgen.names import Allowed, check_method
from jaxgen.sharding import make_mesh
from jaxgen.train.checkpoint import Checkpoints
from jaxgen.train.frozen import Wanted
from jaxgen.train.loop import Options
from jaxgen.train.observe import Observer
from jaxgen.train.optim import build_average, build_optimizer


def check(config: Mapping[str, Any], allow: Allowed = ()) -> None:
    """Refuses names, types and ranges that nothing takes, in every section.

    What depends on the data, as whether a model fits them, is found when it is built.

    Args:
        config: resolved.
        allow: modules whose classes the config may name, see `names.resolve`.

    Raises:
        ConfigError: naming the first field, what it has and what is expected.
    """
    check_sections(config)
    check_seed(config["seed"], "config.seed")
    check_options(load, "data", config["data"])
    for name, entry in (config.get("frozen") or {}).items():
        Wanted.of(name, entry)
    method = check_method(config, allow)
    for player, options in config["optim"].items():
        build_optimizer(player, options)
    for name, options in config["ema"].items():
        build_average(name, options)
    build(make_mesh, "mesh", **config["mesh"])
    build(Options, "train", **config["train"])
    given = inspect.signature(Checkpoints).parameters.keys() - {"keep_last", "keep_best"}
    check_options(Checkpoints, "checkpoint", config["checkpoint"], given)
    given = ("method", "mesh", "target", "dataset")
    check_options(Observer, "evaluate", config["evaluate"], given)
    sample = of_class(method, config["method"], allow)
    _check_samples(sample, config["evaluate"].get("sample") or {})


def _check_samples(sample: Any, knobs: Mapping[str, Any]) -> None:
    """Refuses knobs of sampling that the method does not have, or values out of range."""
    try:
        check_knobs(types.SimpleNamespace(sample=sample), knobs)
    except ConfigError as error:
        raise ConfigError(f"config.evaluate.sample: {error}") from error
