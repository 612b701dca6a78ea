"""What two players of an adversarial game are paid for their logits, per patch and in nats.

The discriminator's logits are high where it takes an example for a real one. They are [B], a logit
an example, or maps [B, h, w], a logit a patch; a discriminator of several scales gives a tree of
maps, one a scale. The functions of a game take one map and give losses of its shape; what a player
is paid is `mean_loss`: their mean over examples and patches, then over scales.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, PyTree

Array = jax.Array
Logits = Float[Array, "b *patches"]
Maps = PyTree[Float[Array, "b ..."]]  # of one scale, or of each
softplus = jax.nn.softplus


class Game(NamedTuple):
    """The losses of both players.

    Attributes:
        discriminator: (real, fake) -> losses, of logits of one scale.
        generator: the same.
        paired: whether the generator's loss looks at `real`; where not, it may be None.
        targets: whether real examples can have a label between 0 and 1: `smoothed`.
        middle: the logit between real and fake; None where only differences count.
    """

    discriminator: Callable[[Logits, Logits], Logits]
    generator: Callable[[Logits | None, Logits], Logits]
    paired: bool = False
    targets: bool = False
    middle: float | None = None


def mean_over(maps: Maps) -> Float[Array, ""]:
    """Mean over examples and patches of each map, then over scales, which count alike.

    Wang et al. 2018 (pix2pixHD, equation 2) add the scales up: so many times as much.
    """
    means = [jnp.mean(values) for values in jax.tree.leaves(maps)]
    return functools.reduce(jnp.add, means) / len(means)


def per_example(maps: Maps) -> Float[Array, " b"]:
    """Mean over the patches of each example, then over scales."""
    means = [jnp.mean(v, axis=tuple(range(1, v.ndim))) for v in jax.tree.leaves(maps)]
    return functools.reduce(jnp.add, means) / len(means)


def mean_loss(loss: Callable[[Any, Any], Any], real: Any, fake: Maps) -> Float[Array, ""]:
    """What a player pays: the loss of each patch, averaged as `mean_over` does.

    Args:
        loss: of one scale, as `Game.generator`.
        real: logits, of the structure of `fake`; None for a generator that does not look at them.
        fake: logits.

    Source: Isola et al. 2017 (pix2pix), section 3.2.2, for patches.
    """
    if real is None:
        return mean_over(jax.tree.map(functools.partial(loss, None), fake))
    return mean_over(jax.tree.map(loss, real, fake))


def cross_entropy(real: Logits, fake: Logits) -> Logits:
    """-log D(x) - log(1 - D(G(z))), D the sigmoid of the logits (Goodfellow et al. 2014, eq. 1)."""
    return softplus(-real) + softplus(fake)


def smoothed(real: Logits, fake: Logits, target: Logits) -> Logits:
    """`cross_entropy` with labels of real examples below one, and those of fakes at zero.

    Its best discriminator is target p_data / (p_data + p_model).

    Source: Salimans et al. 2016, Improved techniques for training GANs, section 3.4.
    """
    return target * softplus(-real) + (1 - target) * softplus(real) + softplus(fake)


def smoothing(rng: Array, low: float, high: float) -> Callable[[Logits, Logits], Logits]:
    """`smoothed` with labels drawn between `low` and `high`, one an example, at all scales."""

    def loss(real: Logits, fake: Logits) -> Logits:
        target = jax.random.uniform(rng, real.shape[:1], minval=low, maxval=high)
        wide = target.reshape(-1, *(1,) * (real.ndim - 1))
        return smoothed(real, fake, jnp.broadcast_to(wide, real.shape))

    return loss


def accuracies(game: Game, real: Maps, fake: Maps) -> dict[str, Array]:
    """Shares of logits, averaged as losses are, that are on the side of what they are of."""

    def right(real: Logits, fake: Logits) -> tuple[Array, Array]:
        middle = game.middle
        middle = 0.5 * (jnp.mean(real) + jnp.mean(fake)) if middle is None else middle
        return (real > middle).astype(jnp.float32), (fake < middle).astype(jnp.float32)

    pairs = [right(*p) for p in zip(jax.tree.leaves(real), jax.tree.leaves(fake), strict=True)]
    shares = (mean_over([pair[i] for pair in pairs]) for i in (0, 1))
    return dict(zip(("accuracy_real", "accuracy_fake"), shares, strict=True))


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
