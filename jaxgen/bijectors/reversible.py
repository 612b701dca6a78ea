"""Backpropagation through repeated bijectors from their last output alone.

The forward pass keeps one event. The backward pass walks back: each bijector's `unwind` computes
its input from its output by the inverse, and the gradients at that input, so that memory does not
grow with the number of copies. A coupling needs its network for both and evaluates it once.

Source: Gomez et al. 2017, The reversible residual network, section 3; Behrmann et al. 2021,
Understanding and mitigating exploding inverses, on what can go wrong.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import flax.linen as nn
import jax
import jax.numpy as jnp


@runtime_checkable
class Reversing(Protocol):
    """A transform or a network that says whether a bijector with it may be walked back."""

    @property
    def reversible(self) -> bool:
        """See `Bijector.reversible`."""
        ...


def are_reversible(*parts: Any) -> bool:
    """Whether no transform and no network of a bijector says that it is not."""
    return all(part.reversible for part in parts if isinstance(part, Reversing))


@dataclasses.dataclass(frozen=True)
class Site:
    """One module within a root module, at which functions can be played and differentiated.

    Everything is played from the root, so that a dropout mask depends on the path of its module
    as it does in an ordinary call.

    Attributes:
        root: an unbound module.
        variables: of the root.
        rngs: of the root.
        path: names of the parameters' dictionaries from the root to the module.
        find: root -> module.
    """

    root: nn.Module
    variables: dict[str, Any]
    rngs: dict[str, Any]
    path: tuple[str, ...] = ()
    find: Callable[[Any], Any] = lambda root: root

    def child(self, name: str, find: Callable[[Any], Any]) -> Site:
        """The site of a module's submodule `find(module)`, whose parameters are under `name`."""
        return dataclasses.replace(
            self, path=(*self.path, name), find=lambda root: find(self.find(root))
        )

    def play(self, function: Callable[..., Any], *args: Any) -> Any:
        """`function(module, *args)`."""
        return self._play(self.variables, function, *args)

    def vjp(self, function: Callable[..., Any], *args: Any) -> tuple[Any, Callable[..., Any]]:
        """`play`, and cotangent -> (that of the module's parameters, those of args)."""
        params = functools.reduce(lambda p, name: p.get(name, {}), self.path, self._params())

        def run(params: Any, *args: Any) -> Any:
            for depth in reversed(range(len(self.path))):
                outer = functools.reduce(
                    lambda p, n: p.get(n, {}), self.path[:depth], self._params()
                )
                params = {**outer, self.path[depth]: params}
            return self._play({**self.variables, "params": params}, function, *args)

        return jax.vjp(run, params, *args)

    def _params(self) -> dict[str, Any]:
        return self.variables.get("params", {})

    def _play(self, variables: Any, function: Callable[..., Any], *args: Any) -> Any:
        def method(root: nn.Module, *args: Any) -> Any:
            return function(self.find(root), *args)

        return self.root.apply(variables, *args, method=method, rngs=self.rngs)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def scan(
    one: Any, unroll: int, stacked: Any, keys: Any, x: Any, logdet: Any, cond: Any
) -> tuple[Any, Any]:
    """Plays copies of a bijector, keeping only their last output for the backward pass.

    Args:
        one: the unbound bijector.
        unroll: copies that one round of the loop plays.
        stacked: its variables, those of the copies along a first axis. Only "params" has a
            gradient.
        keys: [copies] keys of dropout, or None.
        x: event.
        logdet: [B], to which the log-determinants are added.
        cond: or None.

    Returns:
        The event after the last copy, and the sum of log-determinants.
    """

    def body(carry: tuple[Any, Any], step: Any) -> Any:
        variables, key = step
        y, ld = one.apply(variables, carry[0], cond, rngs=_rngs(key))
        return (y, carry[1] + ld), None

    return jax.lax.scan(body, (x, logdet), (stacked, keys), unroll=unroll)[0]


def _rngs(key: Any) -> dict[str, Any]:
    return {} if key is None else {"dropout": key}


def _forward(
    one: Any, unroll: int, stacked: Any, keys: Any, x: Any, logdet: Any, cond: Any
) -> tuple[tuple[Any, Any], Any]:
    out: Any = scan(one, unroll, stacked, keys, x, logdet, cond)
    y, logdet = out
    return (y, logdet), (stacked, keys, y, cond)


def _backward(one: Any, unroll: int, kept: Any, cotangents: tuple[Any, Any]) -> tuple[Any, ...]:
    stacked, keys, y, cond = kept
    ct_y, ct_logdet = cotangents

    def body(carry: Any, step: Any) -> Any:
        y, ct_y, ct_cond = carry
        variables, key = step
        site = Site(one, variables, _rngs(key))
        x, ct_x, ct_params, ct = one.unwind(site, y, cond, ct_y, ct_logdet)
        return (x, ct_x, jax.tree.map(jnp.add, ct_cond, ct)), ct_params

    start = (y, ct_y, jax.tree.map(jnp.zeros_like, cond))
    (_, ct_x, ct_cond), ct_params = jax.lax.scan(
        body, start, (stacked, keys), reverse=True, unroll=unroll
    )
    ct_stacked = {name: ct_params if name == "params" else None for name in stacked}
    return ct_stacked, None, ct_x, ct_logdet, ct_cond


scan.defvjp(_forward, _backward)
