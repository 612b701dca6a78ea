"""What a number depends on, as a flat dictionary: numbers are compared where all of it is equal.

A fingerprint holds what changes the meaning of a number: data and their hash, split, grey levels,
counts of real and generated examples, extractor and hash of its weights, resize, quantisation, kind
of bound, draws. What changes only its value (seed, step, versions, device) stands beside it, in the
context.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxgen.config import ConfigError

Fingerprint = dict[str, Any]
SCALARS = (str, int, float, bool, type(None))


def fingerprint(*parts: Mapping[str, Any], **more: Any) -> Fingerprint:
    """Several mappings as one, in the order of its names.

    Args:
        *parts: later ones win.
        **more: wins over all.

    Raises:
        ConfigError: for a value that is no string, number, boolean or None.
    """
    joined: Fingerprint = {}
    for part in (*parts, more):
        joined |= part
    for name, value in joined.items():
        if not isinstance(value, SCALARS):
            raise ConfigError(f"fingerprint: {name} is {type(value).__name__}, expected a scalar")
    return {name: joined[name] for name in sorted(joined)}


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Name -> both values, of what is not equal; None stands for what is absent."""
    names = sorted(a.keys() | b.keys())
    return {k: (a.get(k), b.get(k)) for k in names if _differ(k, a, b)}


def equal(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether numbers with these fingerprints may be ranked against each other."""
    return not differences(a, b)


def _differ(name: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return (name in a) != (name in b) or a.get(name) != b.get(name)
