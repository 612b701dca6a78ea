"""What a bijector is, and the combinators that make one of several.

A bijector is a Flax module with two pure methods:

    y, logdet = b.forward(x, cond)   # data -> latent
    x, logdet = b.inverse(y, cond)   # latent -> data

`logdet` is the log absolute Jacobian determinant of that same direction: [B], in nats, float32
or wider. An event is an array [B, ...] or a pytree of them; `cond` is what the map is
conditioned on, [B, ...] or None. Parameters are created by the first `forward`, which is also
`__call__`, so that data-dependent initialisation sees the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.bijectors import reversible
from jaxgen.bijectors.reversible import Site
from jaxgen.errors import ConfigError

Event = Any
LogDet = Float[Array, " b"]

COLLECTIONS = ("params", "constants", "batch_stats")
MEMORY = ("store", "remat", "invert")


class Bijector(nn.Module):
    """Base class; see the module docstring for the contract."""

    def forward(self, x: Event, cond: Any = None) -> tuple[Event, LogDet]:
        """Data to latent."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def inverse(self, y: Event, cond: Any = None) -> tuple[Event, LogDet]:
        """Latent to data."""
        raise NotImplementedError(f"{type(self).__name__} has no inverse")

    def __call__(self, x: Event, cond: Any = None) -> tuple[Event, LogDet]:
        """The same as `forward`."""
        return self.forward(x, cond)

    def watch(self, log_slope: Float[Array, "b *event"]) -> None:
        """Notes each example's smallest log-scale, see `note`."""
        self.note("log_scale", jnp.min(log_slope.reshape(log_slope.shape[0], -1), axis=1))

    def note(self, name: str, values: Array) -> None:
        """Keeps a number of each example, [B], if the collection "health" is mutable."""
        if self.is_mutable_collection("health") and not self.is_initializing():
            self.sow("health", name, values)

    @property
    def kind(self) -> str:
        """What the density of continuous data is, see `abilities.DensityOf`."""
        return "exact"

    @property
    def reversible(self) -> bool:
        """Whether `inverse` costs about what `forward` does and loses rounding errors only."""
        return True

    @property
    def per(self) -> str:
        """Of x, the unit by whose volume the densities are measured that `forward` gives."""
        return "unit of x"

    def conditioned(self) -> Bijector:
        """The same, with every element dependent on the condition: itself, where it always is."""
        return self

    def unwind(
        self, site: Site, y: Event, cond: Any, ct_y: Event, ct_logdet: LogDet
    ) -> tuple[Event, Event, dict[str, Any], Any]:
        """One step back through `forward`, from its output alone; see `reversible.py`.

        Args:
            site: this bijector among its variables; `self` is unbound.
            y: what `forward` gave.
            cond: what it was given.
            ct_y: cotangent of y.
            ct_logdet: cotangent of the log-determinant.

        Returns:
            What `forward` was given, its cotangent, that of the parameters, that of `cond`.
        """
        x = site.play(lambda b, y, cond: b.inverse(y, cond)[0], y, cond)
        _, pull = site.vjp(lambda b, x, cond: b.forward(x, cond), x, cond)
        ct_params, ct_x, ct_cond = pull((ct_y, ct_logdet))
        return x, ct_x, ct_params, ct_cond


def zero_logdet(x: Event) -> LogDet:
    """The log-determinant of a map that keeps volume: zeros [B]."""
    leaf = jax.tree.leaves(x)[0]
    return jnp.zeros(leaf.shape[0], jnp.promote_types(leaf.dtype, jnp.float32))


def per_channel(v: Float[Array, " c"], ndim: int) -> Float[Array, "..."]:
    """[C] with as many leading axes of size one as broadcasting to `ndim` axes needs."""
    return v.reshape((1,) * (ndim - 1) + v.shape)


def positions(x: Float[Array, "b *event"]) -> int:
    """Number of places that share a channel's parameters: H * W of an image, 1 of a vector."""
    count = 1
    for size in x.shape[1:-1]:
        count *= size
    return count


class Chain(Bijector):
    """`Chain((f, g))` is g(f(x)): bijectors apply in reading order.

    Example:
        >>> from jaxgen.bijectors import Affine, Reverse
        >>> flow, x = Chain((Affine(), Reverse())), jnp.arange(6.0).reshape(2, 3)
        >>> params = flow.init(jax.random.key(0), x, method="forward")
        >>> y, logdet = flow.apply(params, x, method="forward")
        >>> back, of_inverse = flow.apply(params, y, method="inverse")
        >>> back.tolist() == x.tolist(), logdet.shape
        (True, (2,))
    """

    bijectors: Sequence[Bijector]

    def forward(self, x: Event, cond: Any = None) -> tuple[Event, LogDet]:
        """Every bijector's forward, first to last."""
        logdet = zero_logdet(x)
        for b in self.bijectors:
            x, ld = b.forward(x, cond)
            logdet += ld
        return x, logdet

    def inverse(self, y: Event, cond: Any = None) -> tuple[Event, LogDet]:
        """Every bijector's inverse, last to first."""
        logdet = zero_logdet(y)
        for b in reversed(self.bijectors):
            y, ld = b.inverse(y, cond)
            logdet += ld
        return y, logdet

    @property
    def reversible(self) -> bool:
        """Whether all of them are."""
        return all(b.reversible for b in self.bijectors)

    def unwind(
        self, site: Site, y: Event, cond: Any, ct_y: Event, ct_logdet: LogDet
    ) -> tuple[Event, Event, dict[str, Any], Any]:
        """Unwinds every bijector, last to first."""
        ct_params, ct_cond = {}, jax.tree.map(jnp.zeros_like, cond)
        for i, b in reversed(list(enumerate(self.bijectors))):
            name = f"bijectors_{i}"
            child = site.child(name, lambda chain, i=i: chain.bijectors[i])
            y, ct_y, params, ct = b.unwind(child, y, cond, ct_y, ct_logdet)
            ct_cond = jax.tree.map(jnp.add, ct_cond, ct)
            if params:
                ct_params[name] = params
        return y, ct_y, ct_params, ct_cond


class Invert(Bijector):
    """The bijector with its two directions exchanged."""

    bijector: Bijector

    @property
    def reversible(self) -> bool:
        """Whether the bijector is: a costly inverse is this one's forward."""
        return self.bijector.reversible

    def forward(self, x: Event, cond: Any = None) -> tuple[Event, LogDet]:
        """The inverse of the bijector."""
        return self.bijector.inverse(x, cond)

    def inverse(self, y: Event, cond: Any = None) -> tuple[Event, LogDet]:
        """The forward of the bijector."""
        return self.bijector.forward(y, cond)


class Repeat(Bijector):
    """`times` independent copies of one bijector in a row, compiled once.

    Parameters are stacked on a new first axis and the copies run in a scan, so that the time to
    compile does not grow with depth. Initialisation runs the scan too: each copy sees the data
    as the copies before it leave them.

    Attributes:
        bijector: what is repeated; its events keep their shape.
        times: number of copies.
        memory: "store" keeps all activations for the backward pass; "remat" keeps one event a
            copy and computes the rest again; "invert" keeps the last event only and computes
            the others from it by `inverse`, so that memory does not grow with `times` (see
            `reversible.py`). Its gradient is as exact as the inverse: watch the reconstruction
            error. It has no forward-mode derivatives.
        unroll: copies that one round of the loop plays: small bijectors run faster unrolled,
            and take longer to compile.

    Raises:
        ConfigError: when it is used, for less than one copy.
    """

    bijector: Bijector
    times: int
    memory: str = "store"
    unroll: int = 1

    def _scan(self, x: Event, cond: Any, inverse: bool) -> tuple[Event, LogDet]:
        if self.times < 1:
            raise ConfigError(f"{self.times} steps of a flow, expected 1 or more: raise its depth")

        def body(b: Bijector, carry: tuple[Event, LogDet], cond: Any) -> Any:
            y, ld = (b.inverse if inverse else b.forward)(carry[0], cond)
            return (y, carry[1] + ld), None

        if self.memory == "remat":
            body = nn.remat(body, prevent_cse=False)
        scan = nn.scan(
            body,
            variable_axes=dict.fromkeys((*COLLECTIONS, "health"), 0),
            split_rngs={"params": True, "dropout": True},
            in_axes=nn.broadcast,  # pyright: ignore[reportArgumentType]
            length=self.times,
            reverse=inverse,
            unroll=self.unroll,
        )
        (y, logdet), _ = scan(self.bijector, (x, zero_logdet(x)), cond)
        return y, logdet

    def forward(self, x: Event, cond: Any = None) -> tuple[Event, LogDet]:
        """The copies' forward, first to last.

        Raises:
            ValueError: for an unknown `memory`, and if "invert" is asked of a bijector, a state
                or a dtype whose inverse is not exact.
        """
        if self.memory not in MEMORY:
            raise ValueError(f"Repeat: memory={self.memory!r}, expected one of {MEMORY}")
        if self.memory == "invert":
            self._check_reversible(x)
            if not (self.is_initializing() or self.is_mutable_collection("health")):
                return self._reversible(x, cond)
        return self._scan(x, cond, inverse=False)

    def inverse(self, y: Event, cond: Any = None) -> tuple[Event, LogDet]:
        """The copies' inverse, last to first."""
        return self._scan(y, cond, inverse=True)

    @property
    def reversible(self) -> bool:
        """Whether one copy is."""
        return self.bijector.reversible

    def _check_reversible(self, x: Event) -> None:
        advice = "use memory='remat'"
        if not self.reversible:
            raise ValueError(
                f"memory='invert' cannot walk back through {type(self.bijector).__name__}, whose "
                f"inverse is numerical, slow, or of other statistics; {advice}"
            )
        narrow = [leaf.dtype for leaf in jax.tree.leaves(x) if jnp.finfo(leaf.dtype).bits < 32]
        if narrow:
            raise ValueError(
                f"memory='invert' needs a state in float32: {narrow[0]} has no exact inverse; "
                f"{advice}"
            )

    def _reversible(self, x: Event, cond: Any) -> tuple[Event, LogDet]:
        one, stacked = self.bijector.unbind()
        keys = None
        if self.has_rng("dropout"):
            keys = jax.random.split(self.make_rng("dropout"), self.times)
        return reversible.scan(one, self.unroll, dict(stacked), keys, x, zero_logdet(x), cond)
