"""Calls of a method that hand knobs on to the calls of another, whose they are."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import itertools
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jaxgen.names import Allowed, resolve

Receivers = Callable[[Any], Sequence[Callable[..., Any]]]


@dataclasses.dataclass(frozen=True, eq=False)
class Handed:
    """A call of a method, with a signature that names what its **knobs may be.

    Attributes:
        function: of the class.
        owner: the method.
        receivers: calls that are given the knobs.
    """

    function: Callable[..., Any]
    owner: Any
    receivers: Receivers

    def __call__(self, *args: Any, **options: Any) -> Any:
        """As the function's."""
        return self.function(self.owner, *args, **options)

    def __eq__(self, other: object) -> bool:
        """As of bound methods: the same function of the same object."""
        if not isinstance(other, Handed):
            return False
        return self.function is other.function and self.owner is other.owner

    def __hash__(self) -> int:
        return hash((self.function, id(self.owner)))

    @property
    def __name__(self) -> str:
        """Of the function."""
        return self.function.__name__

    @property
    def __signature__(self) -> inspect.Signature:
        """Its own arguments, and those that all receivers have besides."""
        own = list(inspect.signature(self.function).parameters.values())[1:]
        own = [p for p in own if p.kind is not p.VAR_KEYWORD]
        theirs = [inspect.signature(call).parameters for call in self.receivers(self.owner)]
        names = {p.name for p in own}
        more = [
            p.replace(kind=p.KEYWORD_ONLY)
            for name, p in (theirs[0] if theirs else {}).items()
            if name not in names
            and p.default is not p.empty
            and all(name in other for other in theirs[1:])
        ]
        return inspect.Signature([*own, *more])


def owners(call: Callable[..., Any]) -> list[Any]:
    """The methods whose knobs a call has: its own, and those that it hands some on to."""
    if isinstance(call, Handed):
        theirs = [owner for taken in call.receivers(call.owner) for owner in owners(taken)]
        return [call.owner, *theirs]
    return [call.__self__] if isinstance(call, types.MethodType) else []


class Handing:
    """A call in a class, which an instance has as `Handed`.

    Attributes:
        function: of the class.
        receivers: of a method, the calls that are given its knobs.
    """

    def __init__(self, function: Callable[..., Any], receivers: Receivers) -> None:
        """Takes the function's name and words."""
        wrapper: Any = self
        functools.update_wrapper(wrapper, function)
        self.function, self.receivers = function, receivers

    def __get__(self, owner: Any, kind: Any = None) -> Any:
        """The function of a class, the call of a method."""
        return self.function if owner is None else Handed(self.function, owner, self.receivers)


def of_class(method: type, section: Mapping[str, Any], allow: Allowed = ()) -> Callable[..., Any]:
    """`sample` of a class, without self, before there is a method that could hand its knobs on.

    Args:
        method: that class.
        section: its options in a config; the one that names a method is who takes the knobs.
        allow: see `names.resolve`.
    """
    named = [v.get("name") for v in section.values() if isinstance(v, Mapping)]
    named = [name for name in named if isinstance(name, str) and "." in name]  # no schedules
    inner: Any = resolve(named[0], "jaxgen.methods", allow) if named else method
    found: Callable[..., Any] = functools.partial(inner.sample, None)
    own = [vars(base)["sample"] for base in method.__mro__ if "sample" in vars(base)]
    chain = list(itertools.takewhile(lambda call: isinstance(call, Handing), own))
    for call in reversed(chain):
        found = Handed(call.function, None, lambda _, found=found: [found])
    return found if chain else functools.partial(own[0], None)


def handing(receivers: Receivers) -> Callable[..., Any]:
    """A decorator of a call (self, ..., **knobs), of which `receivers` take the knobs.

    >>> class Inner:
    ...     def sample(self, num, steps=10): ...
    >>> class Outer:
    ...     inner = Inner()
    ...     @handing(lambda self: [self.inner.sample])
    ...     def sample(self, num, mean=False, **knobs): ...
    >>> print(inspect.signature(Outer().sample))
    (num, mean=False, *, steps=10)
    """
    return lambda function: Handing(function, receivers)
