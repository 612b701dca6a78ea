"""Numbers of the command line: what is not in range is refused before anything is imported."""

from __future__ import annotations

import argparse
import dataclasses
import math

MOST = 10**9  # of what is counted: more fits no memory


@dataclasses.dataclass(frozen=True)
class Whole:
    """The type of an option that is a whole number.

    Attributes:
        least: smallest value.
        most: largest value.
        word: that may stand instead, as "best".
    """

    least: int = 1
    most: int = MOST
    word: str | None = None

    def __call__(self, text: str) -> int | str:
        """The value.

        Raises:
            argparse.ArgumentTypeError: saying the range.
        """
        if text == self.word:
            return text
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or not self.least <= value <= self.most:
            raise argparse.ArgumentTypeError(f"={shown(text)}, expected {self}")
        return value

    def __str__(self) -> str:
        word = f", or {self.word}" if self.word else ""
        return f"a whole number from {self.least:,} to {self.most:,}{word}"


@dataclasses.dataclass(frozen=True)
class Real:
    """The type of an option that is a finite number from `least`, or above it, to `most`."""

    least: float = 0.0
    most: float = 1e6
    above: bool = True

    def __call__(self, text: str) -> float:
        """The value.

        Raises:
            argparse.ArgumentTypeError: saying the range.
        """
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        inside = self.least < value if self.above else self.least <= value
        if not (inside and value <= self.most):  # so is NaN
            raise argparse.ArgumentTypeError(f"={shown(text)}, expected {self}")
        return value

    def __str__(self) -> str:
        return f"a number {'above' if self.above else 'from'} {self.least:g} to {self.most:g}"


@dataclasses.dataclass(frozen=True)
class Span:
    """The type of an option that is two finite numbers, -2..2, within plus and minus `most`."""

    most: float = 1e6

    def __call__(self, text: str) -> tuple[float, float]:
        """Both.

        Raises:
            argparse.ArgumentTypeError: saying what is expected.
        """
        try:
            low, high = map(float, text.split(".."))
        except ValueError:
            low, high = math.nan, math.nan
        if not -self.most <= low <= high <= self.most:
            raise argparse.ArgumentTypeError(f"={shown(text)}, expected {self}")
        return low, high

    def __str__(self) -> str:
        return f"the least and the most, as -2..2, from {-self.most:g} to {self.most:g}"


def shown(text: str) -> str:
    """What was typed, shortened."""
    return text if len(text) <= 60 else f"{text[:60]}..."


COUNT = Whole()
SIDE = Whole(1, 10_000)  # of a picture, in images
SEED = Whole(0, 2**32 - 1)
CLASS = Whole(0, 10**6)
STEP = Whole(0, 10**12, word="best")
DEVIATIONS = Real(0.0, 1000.0)
SHARE = Real(0.0, 10.0)  # of a distance
VALUE = Real(-1e6, 1e6, above=False)  # of a knob
