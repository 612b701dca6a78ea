"""From a config and the data's spec to the parts of the train step."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import jax
from jax.sharding import Mesh

from jaxgen import sharding
from jaxgen.abilities import given
from jaxgen.config import ConfigError
from jaxgen.contract import check
from jaxgen.names import Allowed, build_method
from jaxgen.schedules import counted
from jaxgen.train.frozen import Stages, with_shapes
from jaxgen.train.optim import build_averages, build_optimizers
from jaxgen.train.step import Averages, Optimizers, init_state
from jaxgen.types import DataSpec, Method, State


def assemble(
    config: Mapping[str, Any],
    spec: DataSpec,
    allow: Allowed = (),
    stages: Stages = MappingProxyType({}),
) -> tuple[Method, Optimizers, Averages]:
    """The method with its networks, its optimisers and averages.

    Args:
        config: resolved, with all sections.
        spec: of the data.
        allow: modules whose classes the config may name, see `names.resolve`.
        stages: name -> trained model that the method holds.

    Raises:
        ConfigError: for a method that cannot use what the data give, or whose abilities are not
            as `abilities` has them, or a config that is wrong.
    """
    config = counted(config)
    method = build_method(config, spec, allow, stages)
    check(method)
    if spec.context and "context" not in given(method):
        raise ConfigError(
            f"{type(method).__name__} takes no context, and {spec.name} gives "
            f"{', '.join(spec.context)}: a flow does, as configs/spline.py and configs/maf.py"
        )
    optimizers = build_optimizers(config["optim"], method)
    return method, optimizers, build_averages(config["ema"], method)


def state_target(
    config: Mapping[str, Any],
    spec: DataSpec,
    mesh: Mesh,
    allow: Allowed = (),
    stages: Stages = MappingProxyType({}),
) -> tuple[Method, State]:
    """The method, and shapes, types and shardings of its state, without data or training."""
    method, optimizers, emas = assemble(config, spec, allow, stages)
    init = functools.partial(init_state, method=method, optimizers=optimizers, emas=emas)
    shapes = jax.eval_shape(init, jax.random.key(0), spec.batch(config["train"]["batch_size"]))
    shapes = with_shapes(shapes, stages)
    return method, sharding.abstract(shapes, sharding.state_sharding(shapes, mesh))
