"""What a method is given beside x: which fields of the data, and their values in a call."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxgen.config import ConfigError
from jaxgen.nn.condition import condition, condition_shape
from jaxgen.types import Array, Batch, DataSpec, Given


def chosen(names: Sequence[str], spec: DataSpec) -> tuple[str, ...]:
    """The fields that a method is given: those named, and the context, where the data have one.

    Args:
        names: of fields; commas part them, too, as on a command line.
        spec: of the data.

    Raises:
        ConfigError: for one that the data do not have.
    """
    found = [name.strip() for name in ",".join(names).split(",") if name.strip()]
    if spec.context and "context" not in found:
        found.append("context")
    known = [name for name in spec.fields if name != "x"]
    for name in found:
        if name not in known:
            has = f"of {', '.join(known)}" if known else "of none: it has x alone"
            raise ConfigError(
                f"config.method.given={name}: {spec.name} has no such field, expected one {has}"
            )
    return tuple(dict.fromkeys(found))


def without(cond: Array | None, null: float, rng: Array) -> Array | None:
    """A condition [B, ...] with zeros for the share `null` of the examples, each by itself."""
    if not null or cond is None:
        return cond
    kept = jax.random.bernoulli(rng, 1 - null, (cond.shape[0],))
    return cond * kept.reshape(-1, *(1,) * (cond.ndim - 1))


@dataclasses.dataclass(frozen=True)
class Givens:
    """The fields that a method's networks are given.

    Attributes:
        spec: of the data.
        names: of fields, see `chosen`.
    """

    spec: DataSpec
    names: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """What a density is conditional on: each number by its name, where it has one."""
        fields = self.spec.fields
        return tuple(
            column
            for name in self.names
            for column in ([f"{name}.{n}" for n in fields[name].names] or [name])
        )

    def of_batch(self, batch: Batch) -> Array | None:
        """What networks are given with a batch, see `nn.condition`; None for nothing."""
        return condition(self.spec.fields, self.names, batch)

    def shape(self, num: int) -> jax.ShapeDtypeStruct | None:
        """What `of_batch` is like for `num` examples."""
        return condition_shape(self.spec.fields, self.names, num)

    def of_call(
        self, given: Given, num: int, rng: Array | None = None, first: bool = False
    ) -> Array | None:
        """What networks are given in a call.

        Args:
            given: field -> values [num, ...] in the units of batches, or one of all.
            num: of examples.
            rng: draws the classes that are not given, evenly.
            first: take the first class for those that are not given.

        Raises:
            ConfigError: for a field that the method is not given, one that is missing, or values
                of another shape or range.
        """
        return self.of_batch(self.fields_of_call(given, num, rng, first))

    def fields_of_call(
        self, given: Given, num: int, rng: Array | None = None, first: bool = False
    ) -> Batch:
        """Field -> values [num, ...] in the units of batches, as `of_call` takes them.

        Raises:
            ConfigError: as `of_call` does.
        """
        if not (given is None or isinstance(given, Mapping)):
            raise ConfigError("given: expected a mapping, field -> values")
        given = dict(given or {})
        for name in given:
            if name not in self.names:
                takes = f"is given {', '.join(self.names)}" if self.names else "is given nothing"
                raise ConfigError(f"{name}: this model {takes} (config.method.given): omit it")
        return {k: self._values(k, given.get(k), num, rng, first) for k in self.names}

    def _values(
        self, name: str, value: Array | None, num: int, rng: Array | None, first: bool
    ) -> Array:
        field = self.spec.fields[name]
        shape = (num, *field.shape)
        if value is None:
            if field.kind != "label" or (rng is None and not first):
                of = f": {', '.join(field.names)}" if field.names else ""
                raise ConfigError(
                    f"this model is given {name}: expected given={{{name!r}: {list(shape)}}}{of}"
                )
            if rng is None:
                return jnp.zeros(shape, jnp.int32)
            return jax.random.randint(rng, shape, 0, field.classes or 0)
        if np.shape(value) not in (field.shape, shape):
            of = f": {', '.join(field.names)}" if field.names else ""
            raise ConfigError(
                f"{name} of shape {list(np.shape(value))}, expected {list(field.shape)} or "
                f"{list(shape)}{of}"
            )
        if field.values is not None and not isinstance(value, Tracer) and np.size(value):
            if int(np.min(value)) < 0 or int(np.max(value)) >= field.values:
                raise ConfigError(f"{name}: expected integers from 0 to {field.values - 1}")
        return jnp.broadcast_to(jnp.asarray(value, field.dtype), shape)


def sized(network: Any, name: str, size: int | None, player: str, data: str) -> Any:
    """The network, whose number `name` is that of the data; 0 takes it from there.

    Args:
        network: with the number, a Flax module.
        name: of its field.
        size: that the data have.
        player: its name in config.model, for the message.
        data: name of the data.

    Raises:
        ConfigError: for another number.
    """
    own = getattr(network, name)
    if own and own != size:
        raise ConfigError(
            f"config.model.{player}.{name}={own}, and {data} has {size}: leave it at 0"
        )
    return network.clone(**{name: size})
