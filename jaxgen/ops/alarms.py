"""What a user should be told while a model trains, from the means of a log interval."""

from __future__ import annotations

from collections.abc import Mapping

COLLAPSED = 0.1  # deviation of samples over that of the data
EXPLODED = 10.0
WON = 0.995  # both accuracies of the discriminator
DEAD = 0.5  # share of the codes


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


def few_codes(name: str, dead: float, codes: int) -> dict[str, str]:
    """That most codes are dead: name -> one line, or nothing.

    Args:
        name: of the map of codes.
        dead: how many are hardly chosen.
        codes: how many there are.
    """
    if dead <= DEAD * codes:
        return {}
    return {
        name: f"{dead:.0f} of {codes} codes ({name}) are hardly used; of a codebook, begin with "
        "start='kmeans' and revive=True (config.model.quantizer), or take fewer codes"
    }
