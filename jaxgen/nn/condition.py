"""What a network is given beside its input: fields of a batch as rows, or as maps of features.

Every field becomes numbers without parameters, so that a linear layer over them is an embedding:
of a label the row of a table, of tokens a table for each place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.fields import Field
from jaxgen.ops.boundaries import boundaries
from jaxgen.ops.ranges import symmetric

WITHOUT_CHANNELS = ("layout", "instances")  # kinds of fields
PLACED = ("image", "volume", *WITHOUT_CHANNELS)  # kinds of fields whose values have positions

Rows = Float[Array, "b k"]
Condition = Rows | Float[Array, "b *positions k"]


def condition(
    fields: Mapping[str, Field], names: Sequence[str], batch: Mapping[str, Array]
) -> Condition | None:
    """The named fields side by side, None without any.

    A label is a one-hot row, a vector its numbers, grey levels are in [-1, 1], tokens and layouts
    are one-hot at every place, instances are told by where they meet (`ops.boundaries`), and all
    places are flattened. But where x has positions, and one of
    the fields has as many axes of them, the condition is a map of features at the positions of
    that field, over which the other fields are repeated.

    Args:
        fields: of the data.
        names: of those that are given, in the order of the features.
        batch: with these, [B, ...] each.

    Returns:
        [B, K], or [B, *positions, K].

    Raises:
        ValueError: for two fields whose positions are not the same.
    """
    if not names:
        return None
    placed = [name for name in names if _is_placed(fields["x"], fields[name])]
    sizes = {tuple(positions(fields[name])) for name in placed}
    if len(sizes) > 1:
        found = ", ".join(f"{name} {list(positions(fields[name]))}" for name in placed)
        raise ValueError(f"given fields have other positions: {found}")
    size = sizes.pop() if sizes else ()
    parts = []
    for name in names:
        values = _numbers(fields[name], batch[name])
        if name not in placed:
            values = values.reshape(values.shape[0], *(1,) * len(size), -1)
            values = jnp.broadcast_to(values, (values.shape[0], *size, values.shape[-1]))
        parts.append(values)
    return jnp.concatenate(parts, axis=-1)


def condition_shape(
    fields: Mapping[str, Field], names: Sequence[str], num: int
) -> jax.ShapeDtypeStruct | None:
    """What `condition` is like for `num` examples."""
    batch = {
        name: jax.ShapeDtypeStruct((num, *fields[name].shape), fields[name].dtype) for name in names
    }
    return jax.eval_shape(lambda batch: condition(fields, names, batch), batch)


def positions(field: Field) -> tuple[int, ...]:
    """Of a field's values, without the channels."""
    return field.shape if field.kind in WITHOUT_CHANNELS else field.shape[:-1]


def aligned(cond: Condition, shape: Sequence[int]) -> Array:
    """A condition that can be added to an input of `shape`, [B, *positions, K].

    Rows get positions of size one; a map is brought to the input's positions by the means of
    blocks or by repeating, and flattened where the input has none.

    Raises:
        ValueError: for a map whose sides are no multiples of the input's, nor the reverse.
    """
    if len(shape) == 2:
        return cond.reshape(cond.shape[0], -1)
    if cond.ndim == 2:
        return cond.reshape(cond.shape[0], *(1,) * (len(shape) - 2), -1)
    for axis, (have, want) in enumerate(zip(cond.shape[1:-1], shape[1:-1], strict=True), start=1):
        if have % want and want % have:
            raise ValueError(
                f"what is given has positions {list(cond.shape[1:-1])}, no multiples or parts of "
                f"{list(shape[1:-1])}"
            )
        if have > want:
            blocks = (*cond.shape[:axis], want, have // want, *cond.shape[axis + 1 :])
            cond = jnp.mean(cond.reshape(blocks), axis=axis + 1)
        elif have < want:
            cond = jnp.repeat(cond, want // have, axis=axis)
    return cond


def beside(x: Array, cond: Condition | None) -> Array:
    """x [B, ..., C] with the condition, where there is one, in further channels."""
    if cond is None:
        return x
    near = aligned(cond, x.shape).astype(x.dtype)
    near = jnp.broadcast_to(near, (*x.shape[:-1], near.shape[-1]))
    return jnp.concatenate([x, near], axis=-1)


def divided(x: Array, cond: Condition | None) -> tuple[Array, Array | None]:
    """x with a map of features in further channels, or as it is; and the rows, where it is rows.

    So a low image is seen where it is, and a class everywhere.
    """
    if cond is None or cond.ndim == 2:
        return x, cond
    return beside(x, cond), None


def added(h: Array, cond: Condition | None, name: str = "cond", **options: Any) -> Array:
    """h [B, ..., C] plus a linear map of the condition, where there is one.

    To be called in a compact module, whose own the map is.

    Args:
        h: features.
        cond: what is given.
        name: of the layer.
        **options: of `nn.Dense`.
    """
    if cond is None:
        return h
    layer = nn.Dense(h.shape[-1], use_bias=False, name=name, **options)
    if h.ndim == 2:
        return h + layer(aligned(cond, h.shape))
    return h + aligned(layer(cond), h.shape)


def _is_placed(x: Field, field: Field) -> bool:
    axes = len(positions(x)) if x.kind in PLACED else 0
    return field.kind in PLACED and 0 < axes == len(positions(field))


def _numbers(field: Field, values: Array) -> Array:
    """[B, ...] of a field as real numbers, features last."""
    if field.kind in ("image", "volume"):
        return symmetric(jnp.asarray(values), field.levels)
    if field.kind == "instances":
        return boundaries(jnp.asarray(values))[..., None]
    if field.values is None:
        return jnp.asarray(values, jnp.float32)
    return jax.nn.one_hot(values, field.values)
