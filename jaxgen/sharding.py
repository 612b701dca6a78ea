"""The mesh, and where each part of the state and the batch lives on it.

Batches are split over both mesh axes. Big leaves of params, optimiser state and averages are
split over "fsdp" and made whole where they are used. `vars` are replicated: they may hold
images, and a convolution whose input is split along a spatial axis of a two-axis mesh gets a
kernel gradient twice too large (XLA, jax 0.10.2), while the forward pass is right.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxgen.config import ConfigError
from jaxgen.types import PyTree, State

MIN_SIZE = 2**18  # elements; below, a leaf costs less to copy than to gather


def make_mesh(data: int = -1, fsdp: int = 1) -> Mesh:
    """A mesh ("data", "fsdp") over all devices of all processes.

    Args:
        data: devices along "data"; -1 takes all that are left.
        fsdp: devices along "fsdp", over which big leaves are split.

    Raises:
        ConfigError: when data * fsdp is not the number of devices.
    """
    count = jax.device_count()
    data = count // fsdp if data == -1 else data
    if data * fsdp != count:
        raise ConfigError(
            f"config.mesh: data={data} x fsdp={fsdp} is not the number of devices, {count}"
        )
    return jax.make_mesh((data, fsdp), ("data", "fsdp"), axis_types=(AxisType.Auto,) * 2)


def one_device() -> Mesh:
    """A mesh of the first device of this process."""
    devices, axes = jax.local_devices()[:1], (AxisType.Auto,) * 2
    return jax.make_mesh((1, 1), ("data", "fsdp"), axis_types=axes, devices=devices)


def replicated(mesh: Mesh) -> NamedSharding:
    """The same on every device."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh, stacked: bool = False) -> NamedSharding:
    """[B, ...] split over all devices; with `stacked`, [N, B, ...]."""
    axes = ("data", "fsdp")
    return NamedSharding(mesh, PartitionSpec(None, axes) if stacked else PartitionSpec(axes))


def state_sharding(shapes: State, mesh: Mesh, min_size: int = MIN_SIZE) -> State:
    """A State of shardings.

    A leaf of at least `min_size` elements is split over "fsdp" by its last divisible axis: the
    first axis of a scanned stack is depth, and splitting it would serialise the scan.

    Args:
        shapes: the state or its `jax.eval_shape`.
        mesh: from `make_mesh`.
        min_size: smallest leaf, in elements, that is split.
    """
    parts = mesh.shape["fsdp"]

    def place(leaf: Any) -> NamedSharding:
        axes = [i for i, size in enumerate(leaf.shape) if size % parts == 0]
        if parts == 1 or leaf.size < min_size or not axes:
            return replicated(mesh)
        return NamedSharding(mesh, PartitionSpec(*(None,) * axes[-1], "fsdp"))

    copied = jax.tree.map(lambda _: replicated(mesh), shapes)
    split = {k: jax.tree.map(place, getattr(shapes, k)) for k in ("params", "opt", "ema")}
    return copied.replace(**split)


def abstract(shapes: PyTree, shardings: PyTree) -> PyTree:
    """Shapes with their shardings, as a restore or an ahead-of-time compilation wants them."""

    def join(shape: Any, sharding: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=sharding)

    return jax.tree.map(join, shapes, shardings)


def put(batch: Mapping[str, np.ndarray], sharding: NamedSharding) -> dict[str, jax.Array]:
    """This process's rows of a batch, as part of the global array."""
    return {k: jax.make_array_from_process_local_data(sharding, v) for k, v in batch.items()}


def whole_params(state: PyTree, mesh: Mesh) -> PyTree:
    """The state with its params made whole, for use inside a jitted function."""
    whole = replicated(mesh)
    return state.replace(params=jax.lax.with_sharding_constraint(state.params, whole))
