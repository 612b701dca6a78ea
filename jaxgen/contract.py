"""Whether a method's abilities are as `jaxgen.abilities` has them."""

from __future__ import annotations

import inspect
from typing import Any

from jaxgen.abilities import ABILITIES, Conditional, Density, DensityOf, given
from jaxgen.errors import ConfigError


def check(method: Any) -> None:
    """Refuses a method whose abilities are not as the protocols have them.

    Raises:
        ConfigError: naming the ability, what is there and what is missing.
    """
    who = type(method).__name__
    for ability in ABILITIES:
        _check_whole(method, ability)
    if isinstance(method, Conditional) and not _are_names(method.given):
        raise ConfigError(f"{who}.given={method.given!r}: expected a tuple of str")
    if isinstance(method, Density):
        for of in (method.density, *method.likelihoods.values()):
            if not isinstance(of, DensityOf):
                raise ConfigError(f"{who} says {of!r} of a likelihood, expected a DensityOf")


def _check_whole(method: Any, ability: type) -> None:
    """Whether an ability is there in all its parts and with its arguments, or not at all."""
    who, where = type(method).__name__, f"jaxgen.abilities.{ability.__name__}"
    members = _members(ability)
    functions = [name for name in members if inspect.isfunction(members[name])]
    there = {name: getattr(method, name) for name in members if hasattr(method, name)}
    if any(name in there and there[name] is None for name in functions):
        return  # it was taken away
    missing = [name for name in members if name not in there]
    if missing:
        added = vars(ability).keys()  # to the ability that it extends, or all of it
        if there.keys() & added and set(missing) & added:
            raise ConfigError(
                f"{who} has {', '.join(there)} and no {', '.join(missing)}: {where} asks for both"
            )
        return
    fields = given(method)
    for name in functions:
        _check_call(there[name], f"{who}.{name}", members[name], fields, where)


def _members(ability: type) -> dict[str, Any]:
    """Name -> function, or property, of a protocol and of those that it extends."""
    parts = [vars(base) for base in reversed(ability.__mro__) if base in ABILITIES]
    return {k: v for part in parts for k, v in part.items() if not k.startswith("_")}


def _check_call(call: Any, name: str, wanted: Any, fields: tuple[str, ...], where: str) -> None:
    """Whether a function takes what the protocol's is called with."""
    parameters = list(inspect.signature(wanted).parameters.values())[1:]
    by_place = [
        p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "given"
    ]
    by_name = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "given"]
    if any(p.name == "given" for p in parameters) and fields:
        by_name.append("given")
    try:
        inspect.signature(call).bind(*by_place, **dict.fromkeys(by_name))
    except (TypeError, ValueError):
        asked = ", ".join([*by_place, *(f"{k}=" for k in by_name)])
        raise ConfigError(f"{name}: expected to be called as ({asked}), see {where}") from None


def _are_names(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(name, str) for name in value)
