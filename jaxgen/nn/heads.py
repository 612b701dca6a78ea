"""What an autoregressive network is asked for at every position."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Head:
    """Which values a network sees, and how many numbers it says of a position.

    Attributes:
        values: that an entry of x can have: integers 0 .. values - 1.
        width: of theta, as `ops.observations` has it for the channels of a position.
    """

    values: int
    width: int
