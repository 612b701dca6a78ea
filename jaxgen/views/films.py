"""What is known of a film: which view of which weights, with which options."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxgen.machine import versions
from jaxgen.train.integrity import state_digest
from jaxgen.train.weights_file import held
from jaxgen.views.picture import Picture


def filmed(view: Callable[..., Picture]) -> Callable[..., Picture]:
    """A view whose picture knows its recipe: name, options, and the digest of the weights.

    What the view itself says of it is added.
    """
    signature = inspect.signature(view)

    @functools.wraps(view)
    def shown(run: Any, *options: Any, **more: Any) -> Picture:
        bound = signature.bind(run, *options, **more)
        bound.apply_defaults()
        told = {k: plain(v) for k, v in list(bound.arguments.items())[1:]}

        def recipe() -> Mapping[str, Any]:
            about = {"run": run.directory.path.name, "step": run.step}
            digest = state_digest(held(run.state.averaged()))
            own = {k: versions()[k] for k in ("jaxgen", "jax", "numpy")}
            made = {"digest": digest, "versions": own}
            return about | made | {"view": view.__name__, "options": told, **picture.recipe()}

        picture = view(run, *options, **more)
        return dataclasses.replace(picture, recipe=recipe)

    return shown


def plain(value: Any) -> Any:
    """An option as JSON has it: of an array its sha256."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, Sequence):
        return [plain(v) for v in value]
    array = np.ascontiguousarray(value)
    digest = hashlib.sha256(array.data).hexdigest()
    return {"shape": list(array.shape), "dtype": str(array.dtype), "sha256": digest}
