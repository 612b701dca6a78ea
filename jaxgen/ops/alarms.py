"""What a user should be told while two players train, from the means of a log interval."""

from __future__ import annotations

from collections.abc import Mapping

COLLAPSED = 0.1  # deviation of samples over that of the data
EXPLODED = 10.0
WON = 0.995  # both accuracies of the discriminator


def two_players(values: Mapping[str, float]) -> dict[str, str]:
    """A collapse, an explosion, and a discriminator that wins outright: name -> one line.

    Args:
        values: `generator/spread`, `discriminator/accuracy_real` and `.../accuracy_fake`.
    """
    found, spread = {}, values["generator/spread"]
    if spread < COLLAPSED:
        found["collapse"] = (
            f"samples have collapsed: they deviate {spread:.1%} as much as the data; add a "
            "penalty (method.penalties), or lower the learning rates"
        )
    if not spread <= EXPLODED:
        found["explosion"] = (
            f"samples have exploded: they deviate {spread:.3g} times as much as the data; lower "
            "the learning rates, or clip the gradients (config.optim.*.clip_norm)"
        )
    right = min(values[f"discriminator/accuracy_{side}"] for side in ("real", "fake"))
    if right > WON:
        found["won"] = (
            f"the discriminator tells {right:.1%} apart, which leaves the generator little to "
            "follow; add a penalty (method.penalties), or lower its learning rate"
        )
    return found
