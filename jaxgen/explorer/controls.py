"""What can be set of a run, and what a page has set of it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jaxgen.abilities import Stepped, given
from jaxgen.config import ConfigError, unknown
from jaxgen.evaluate.validation import check_seed, parameters, short
from jaxgen.types import DataSpec

CLASS = "class"
LEVEL, MOVE = "level.", "move."  # beginnings of the names of what acts on codes
MOVES = (-3.0, 3.0, 0.05)  # of attributes, in their units
SCALES = (0.0, 1.5, 0.01)  # of levels of latents
USUAL_STEPS = 50
# numbers of `sample` that one compiled program serves -> least, most, step
KNOBS = {
    "temperature": (0.0, 1.5, 0.01),
    "truncation": (0.0, 1.25, 0.01),
    "guidance": (0.0, 10.0, 0.1),
    "scale": (0.0, 10.0, 0.1),
}
BOUND = (0.1, 4.0, 0.01)  # of normal draws that are kept: a truncation whose default is None
UPLOAD = re.compile("[0-9a-f]{64}")


@dataclasses.dataclass(frozen=True)
class Control:
    """A slider, or a choice.

    Attributes:
        name: as it is sent.
        label: as it is shown.
        of: what it acts on: "seed", "codes", or "all".
        least: smallest value.
        most: largest value.
        step: between two values.
        value: at first.
        optional: None is a value, too, and the first one.
        choices: values and what they are called, instead of a slider.
    """

    name: str
    label: str
    of: str
    least: float
    most: float
    step: float
    value: float
    optional: bool = False
    choices: tuple[tuple[int, str], ...] = ()

    def checked(self, value: Any) -> float | int | None:
        """A value of this control.

        Raises:
            ConfigError: for any other.
        """
        if value is None and self.optional:
            return None
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is None or not number or not self.least <= value <= self.most:  # so is NaN
            none = ", or nothing" if self.optional else ""
            raise ConfigError(
                f"{self.name}={short(value)}: expected a number from {self.least:g} to "
                f"{self.most:g}{none}"
            )
        if self.step != 1:
            return float(value)
        if value != int(value):
            raise ConfigError(f"{self.name}={short(value)}: expected a whole number")
        return int(value)

    def within(self, value: float | int) -> float | int:
        """The nearest value in the range, of a control that has a larger one beside another run."""
        return min(max(value, type(value)(self.least)), type(value)(self.most))

    def as_json(self) -> dict[str, Any]:
        """For the page."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Asked:
    """A picture that a page asks for.

    Attributes:
        seed: of what is drawn, where no picture was uploaded.
        upload: digest of a picture, None for none.
        values: name of a control -> its value.
    """

    seed: int
    upload: str | None
    values: Mapping[str, float | int | None]

    @classmethod
    def of(cls, body: Any, controls: Iterable[Control]) -> Asked:
        """From what a page has sent.

        Raises:
            ConfigError: naming what is wrong with it.
        """
        if not isinstance(body, dict) or set(body) - {"seed", "upload", "values"}:
            raise ConfigError("expected a state of seed, upload and values")
        upload, sent = body.get("upload"), body.get("values", {})
        if upload is not None and not (isinstance(upload, str) and UPLOAD.fullmatch(upload)):
            raise ConfigError(f"upload={short(upload)}: expected the digest of an uploaded picture")
        if not isinstance(sent, dict):
            raise ConfigError(f"values={short(sent)}: expected names and numbers")
        known = {control.name: control for control in controls}
        for name in sent:
            if name not in known:
                raise ConfigError(unknown("control", name, known))
        values = {name: c.checked(sent.get(name, _first(c))) for name, c in known.items()}
        return cls(check_seed(body.get("seed", 0)), upload, values)

    def only(self, controls: Iterable[Control], of: str) -> dict[str, float | int]:
        """Values of a run's controls of one kind, in its ranges, without those that are None."""
        found = {c: self.values.get(c.name) for c in controls if c.of == of}
        return {c.name: c.within(value) for c, value in found.items() if value is not None}


def _first(control: Control) -> float | None:
    return None if control.optional else control.value


def of_samples(method: Any, spec: DataSpec) -> list[Control]:
    """Of the knobs of `sample`, and of the class."""
    out = []
    conditional = "label" in given(method)
    for name, parameter in parameters(method.sample, 3).items():
        default = parameter.default
        if name == "steps" and isinstance(method, Stepped):
            most, usual = method.most_steps, min(method.most_steps, USUAL_STEPS)
            out.append(Control(name, "Steps", "seed", 1, most, 1, usual))
        if name not in KNOBS or (name == "guidance" and not conditional):
            continue
        range_ = BOUND if name == "truncation" and default is None else KNOBS[name]
        optional = default is None
        value = range_[1] / 2 if optional else float(default)
        out.append(Control(name, name.capitalize(), "seed", *range_, value, optional))
    if conditional and spec.num_classes:
        out.append(choice(CLASS, "Class", "all", [(k, str(k)) for k in range(spec.num_classes)]))
    return out


def choice(name: str, label: str, of: str, values: Sequence[tuple[int, str]]) -> Control:
    """A control of a few whole numbers, of which the first is chosen."""
    numbers = [value for value, _ in values]
    return Control(
        name, label, of, min(numbers), max(numbers), 1, numbers[0], choices=tuple(values)
    )


def of_codes(levels: int, directions: Iterable[str]) -> list[Control]:
    """Of levels of latents, where there are several, and of attributes."""
    out = [Control(f"{MOVE}{name}", name, "codes", *MOVES, 0.0) for name in directions]
    if levels > 1:
        out += [
            Control(f"{LEVEL}{k}", f"Level {k + 1}", "codes", *SCALES, 1.0) for k in range(levels)
        ]
    return out


def united(several: Sequence[Sequence[Control]]) -> list[Control]:
    """The controls of several runs as one set, each over what any of them takes."""
    found: dict[str, Control] = {}
    for control in (c for controls in several for c in controls):
        before = found.setdefault(control.name, control)
        least, most = min(before.least, control.least), max(before.most, control.most)
        longest = max(before.choices, control.choices, key=len)
        optional = before.optional or control.optional
        found[control.name] = dataclasses.replace(
            before, least=least, most=most, choices=longest, optional=optional
        )
    return list(found.values())
