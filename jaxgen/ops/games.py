"""What two players of an adversarial game are paid for their logits, per example and in nats.

The discriminator's logits are high where it takes an example for a real one. All functions take
logits [B] and give losses [B]; those of players are means of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float

Array = jax.Array
Logits = Float[Array, " b"]
softplus = jax.nn.softplus


class Game(NamedTuple):
    """The losses of both players.

    Attributes:
        discriminator: (real, fake) -> losses.
        generator: (real, fake) -> losses.
        paired: whether the generator's loss looks at `real`; where not, it may be None.
        targets: whether real examples can have a label between 0 and 1: `smoothed`.
        middle: the logit between real and fake; None where only differences count.
    """

    discriminator: Callable[[Logits, Logits], Logits]
    generator: Callable[[Logits | None, Logits], Logits]
    paired: bool = False
    targets: bool = False
    middle: float | None = None


def cross_entropy(real: Logits, fake: Logits) -> Logits:
    """-log D(x) - log(1 - D(G(z))), D the sigmoid of the logits (Goodfellow et al. 2014, eq. 1)."""
    return softplus(-real) + softplus(fake)


def smoothed(real: Logits, fake: Logits, target: Logits) -> Logits:
    """`cross_entropy` with labels of real examples below one, and those of fakes at zero.

    Its best discriminator is target p_data / (p_data + p_model).

    Source: Salimans et al. 2016, Improved techniques for training GANs, section 3.4.
    """
    return target * softplus(-real) + (1 - target) * softplus(real) + softplus(fake)


def _saturating(real: Logits | None, fake: Logits) -> Logits:
    return -softplus(fake)


def _non_saturating(real: Logits | None, fake: Logits) -> Logits:
    return softplus(-fake)


def _squares(real: Logits, fake: Logits) -> Logits:
    return 0.5 * jnp.square(real - 1) + 0.5 * jnp.square(fake)


def _square(real: Logits | None, fake: Logits) -> Logits:
    return 0.5 * jnp.square(fake - 1)


def _hinges(real: Logits, fake: Logits) -> Logits:
    return jax.nn.relu(1 - real) + jax.nn.relu(1 + fake)


def _difference(real: Logits, fake: Logits) -> Logits:
    return fake - real


def _score(real: Logits | None, fake: Logits) -> Logits:
    return -fake


def _relativistic(real: Logits, fake: Logits) -> Logits:
    return softplus(fake - real)


def _relativistic_back(real: Logits | None, fake: Logits) -> Logits:
    assert real is not None, "a paired game"
    return softplus(real - fake)


def _exponentials(real: Logits, fake: Logits) -> Logits:
    return jnp.exp(-real) + jnp.exp(fake)


def _roots(real: Logits, fake: Logits) -> Logits:
    return _root(-real) + _root(fake)


def _root(x: Logits) -> Logits:
    """x + sqrt(x^2 + 1), without cancellation where x is far below zero."""
    size = jnp.sqrt(jnp.square(x) + 1)
    return jnp.where(x >= 0, x + size, 1 / (size + jnp.abs(x)))


GAMES = {
    # Goodfellow et al. 2014, equation 1, and the loss of the generator that section 3 advises
    "minimax": Game(cross_entropy, _saturating, targets=True, middle=0.0),
    "non_saturating": Game(cross_entropy, _non_saturating, targets=True, middle=0.0),
    # Mao et al. 2017, Least squares GANs, equation 9
    "least_squares": Game(_squares, _square, middle=0.5),
    # Arjovsky et al. 2017, Wasserstein GAN, equation 2
    "wasserstein": Game(_difference, _score),
    # Lim & Ye 2017, Geometric GAN; Miyato et al. 2018, equations 16 and 17
    "hinge": Game(_hinges, _score, middle=0.0),
    # Jolicoeur-Martineau 2019; Huang et al. 2024, R3GAN, equation 2: real and fake in pairs
    "relativistic": Game(_relativistic, _relativistic_back, paired=True),
    # Zhou et al. 2019, Lipschitz generative adversarial nets: other convex functions of logits than
    # the x of "wasserstein"; the generator is paid the logit, as in the official code. The critic's
    # slope has to be bounded.
    "exponential": Game(_exponentials, _score, middle=0.0),
    "square_root": Game(_roots, _score, middle=0.0),
}
