"""A model that does not fit its data: what it is of, what the data are, and what to type."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import jax

from jaxgen.config import ConfigError
from jaxgen.names import Allowed
from jaxgen.train.assemble import assemble
from jaxgen.train.step import init_state
from jaxgen.types import DataSpec

# shapes that are tried, to find out which kind of data a model is of
IMAGES = [(side, side, channels) for channels in (1, 3) for side in (8, 32, 64, 28)]
POINTS = [(2,), (3,)]
CONFIGS = {
    "points": "configs/spline.py, configs/maf.py, configs/gan.py",
    "images": "configs/glow.py, configs/vae.py, configs/dcgan.py",
}


def explained(
    error: Exception, config: Mapping[str, Any], spec: DataSpec, allow: Allowed = ()
) -> ConfigError | None:
    """What an error means that was raised while a model was traced on data of `spec`.

    Args:
        error: of the model.
        config: resolved.
        spec: of the data.
        allow: modules whose classes the config may name, see `names.resolve`.

    Returns:
        None for an error that is not about the data: the model fails on others, too.
    """
    if isinstance(error, ConfigError | MemoryError | jax.errors.JaxRuntimeError):
        return None
    here = f"{_named(config['model'])} does not fit {described(spec)}"
    kinds = {"points": POINTS, "images": IMAGES}
    own, other = spec.unit, "points" if spec.unit == "images" else "images"
    if not _takes(config, spec, kinds[own], allow):
        if _takes(config, spec, kinds[other], allow):
            wants = "images [H, W, C]" if other == "images" else "points [D]"
            return ConfigError(
                f"{here}: it is a model of {wants}. Configs of {own}: {CONFIGS[own]}"
            )
        if not isinstance(error, ValueError):
            return None
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return ConfigError(f"{here}: {lines[0][:300]}")


def described(spec: DataSpec) -> str:
    """The data as a user knows them: "digits, images of 8x8x1"."""
    return f"{spec.name}, {spec.unit} of {'x'.join(map(str, spec.shape))}"


def _named(model: Mapping[str, Any]) -> str:
    """The networks of a section, for a message."""
    parts = [model] if "name" in model else [p for p in model.values() if isinstance(p, Mapping)]
    return " and ".join(str(part.get("name")) for part in parts)


def _takes(config: Mapping[str, Any], spec: DataSpec, shapes: Any, allow: Allowed) -> bool:
    """Whether the model can be initialised on data of one of these shapes; nothing is computed."""
    for shape in shapes:
        levels = (spec.levels or 256) if len(shape) == 3 else None
        probe = DataSpec.of("probe", shape, levels, spec.num_classes)
        try:
            method, optimizers, emas = assemble(config, probe, allow)
            init = functools.partial(init_state, method=method, optimizers=optimizers, emas=emas)
            size = config["train"]["batch_size"]
            jax.eval_shape(init, jax.random.key(0), probe.batch(size))
        except Exception:  # of a model that was given what it was not made for
            continue
        return True
    return False
