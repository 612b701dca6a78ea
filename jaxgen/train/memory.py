"""What a run needs of memory, estimated before it is allocated."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.errors import ConfigError
from jaxgen.machine import MARGIN, available_bytes, check_memory, size
from jaxgen.pictures import pixels
from jaxgen.types import DataSpec, PyTree

COPIES = 2  # of a batch: NumPy's, and the one on its way to the device


def batch_bytes(spec: DataSpec, examples: int) -> int:
    """Of a batch."""
    one = sum(s.size * s.dtype.itemsize for s in spec.batch(1).values())
    return one * examples


def check_batches(spec: DataSpec, examples: int, what: str, instead: str) -> None:
    """Refuses batches that cannot fit into the memory of this process.

    Args:
        spec: of the data.
        examples: held at a time.
        what: asks for them, as "config.train.batch_size=64".
        instead: what to type.

    Raises:
        ConfigError: with the estimate.
    """
    check_memory(COPIES * batch_bytes(spec, examples), what, instead)


def check_examples(spec: DataSpec, num: int, drawn: bool, what: str = "") -> None:
    """Refuses more examples than memory holds.

    Args:
        spec: of the data.
        num: of examples that are made.
        drawn: whether they become one picture.
        what: asks for them, as "--num=64".

    Raises:
        ConfigError: with the estimate.
    """
    need = batch_bytes(spec, num)
    if drawn and spec.x.kind == "image":
        need += 2 * num * 3 * pixels(spec.shape)
    shown = f"{num:,} examples of {'x'.join(map(str, spec.shape))}"
    check_memory(need, f"{what}: {shown}" if what else shown, "ask for fewer")


def device_bytes() -> int | None:
    """Memory that one device of this process can still have; None if unknown."""
    device = jax.local_devices()[0]
    stats = device.memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    free = available_bytes()
    return None if free is None else free // jax.local_device_count()  # a share of the host's


def check_device(need: int, what: str, instead: str) -> None:
    """Refuses what cannot fit on a device.

    Raises:
        ConfigError: with the estimate.
    """
    free = device_bytes()
    if free is not None and need > MARGIN * free:
        raise ConfigError(
            f"{what}: {size(need)} on each device, {size(free)} are available; {instead}"
        )


def state_bytes(shapes: PyTree, shardings: PyTree) -> int:
    """Of a state, on one device."""

    def of_leaf(shape: Any, sharding: Any) -> int:
        if jnp.issubdtype(shape.dtype, jax.dtypes.extended):
            return 0
        return math.prod(sharding.shard_shape(shape.shape)) * shape.dtype.itemsize

    return sum(jax.tree.leaves(jax.tree.map(of_leaf, shapes, shardings)))
