"""Warnings while a run trains: what the method is alarmed by, and numbers that run away."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from jaxgen import abilities

RUNAWAY = 1e4  # times the first value, or times 1 where that is smaller
ENORMOUS = 1e15  # whatever it was: squares of it are near the end of float32
WATCHED = ("loss", "grad_norm")


class Alarms:
    """Says each alarm once, and again only after it has ceased."""

    def __init__(self, method: Any, say: Callable[[str], None]):
        """Args: the method, whose own alarms are asked where it has any; where messages go."""
        self._method = method
        self._say = say
        self._first: dict[str, float] = {}
        self._on: set[str] = set()

    def check(self, step: int, values: Mapping[str, float]) -> None:
        """Looks at a row.

        Args:
            step: of the row.
            values: `turn/name` -> mean over the log interval.
        """
        own = self._method.alarms(values) if isinstance(self._method, abilities.Alarms) else {}
        found = {**own, **self._runaways(values)}
        for name, text in found.items():
            if name not in self._on:
                self._say(f"step {step}: warning: {text}")
        self._on = set(found)

    def _runaways(self, values: Mapping[str, float]) -> dict[str, str]:
        """A finite loss or gradient that is out of all proportion to what it was."""
        found = {}
        for name, value in values.items():
            if name.rpartition("/")[2] not in WATCHED or not math.isfinite(value):
                continue
            first = self._first.setdefault(name, abs(value))
            if abs(value) > min(RUNAWAY * max(first, 1.0), ENORMOUS):
                found[name] = (
                    f"{name} is {value:.3g}, and was {first:.3g}: training diverges; lower the "
                    "learning rate, or clip the gradient (config.optim.*.clip_norm)"
                )
        return found
