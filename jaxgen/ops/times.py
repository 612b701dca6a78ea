"""At which times a model learns: laws of t, and one that goes by the losses."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

LAWS = ("uniform", "antithetic", "logit_normal", "mixed")
KEPT = 10  # losses of a step that the law of `by_losses` knows
ANY = 0.001  # share of it that is uniform


def shares(rng: Any, num: int, law: str = "uniform", mean: float = 0.0, std: float = 1.0) -> Any:
    """[num] in (0, 1).

    Args:
        rng: a key.
        num: of examples.
        law: "uniform"; "antithetic", evenly spaced from a random start, so that each interval of
            1 / num has one (Kingma et al. 2021, Variational diffusion models, appendix I.1);
            "logit_normal", the sigmoid of a normal (Esser et al. 2024, Scaling rectified flow
            transformers, equation 19); "mixed", half of the examples this, the others uniform.
        mean: of that normal.
        std: of it.

    Raises:
        ValueError: for an unknown law.
    """
    if law not in LAWS:
        raise ValueError(f"times={law!r}, expected one of {LAWS}")
    if law == "antithetic":
        return (jax.random.uniform(rng) + jnp.arange(num) / num) % 1.0
    even, bell = jax.random.split(rng)
    uniform = jax.random.uniform(even, (num,))
    if law == "uniform":
        return uniform
    normal = jax.nn.sigmoid(mean + std * jax.random.normal(bell, (num,)))
    return normal if law == "logit_normal" else jnp.where(jnp.arange(num) % 2 == 0, uniform, normal)


def no_losses(steps: int) -> dict[str, Any]:
    """What `by_losses` knows before the first one: `losses` [steps, KEPT] and `seen` [steps]."""
    return {"losses": jnp.zeros((steps, KEPT)), "seen": jnp.zeros(steps, jnp.int32)}


def by_losses(rng: Any, num: int, known: dict[str, Any]) -> tuple[Any, Any]:
    """Steps [num], drawn by the root of the mean square of their losses, and weights [num].

    A loss times its weight has the expectation that it has under evenly drawn steps. Before all
    steps have `KEPT` losses, they are drawn evenly.

    Source: Nichol & Dhariwal 2021, Improved DDPM, equation 18; the share of uniform draws is of
    the official code.
    """
    steps = len(known["seen"])
    roots = jnp.sqrt(jnp.mean(jnp.square(known["losses"]), axis=1))
    law = roots / jnp.maximum(jnp.sum(roots), 1e-20) * (1 - ANY) + ANY / steps
    law = jnp.where(jnp.all(known["seen"] >= KEPT), law, 1 / steps)
    drawn = jax.random.choice(rng, steps, (num,), p=law)
    return drawn, 1 / (steps * law[drawn])


def noted(known: dict[str, Any], steps: Any, losses: Any) -> dict[str, Any]:
    """The same with further losses [B] of steps [B], each in place of the oldest of its step."""

    def note(known: dict[str, Any], new: tuple[Any, Any]) -> tuple[dict[str, Any], None]:
        step, loss = new
        place = known["seen"][step] % KEPT
        return {
            "losses": known["losses"].at[step, place].set(loss),
            "seen": known["seen"].at[step].add(1),
        }, None

    return jax.lax.scan(note, known, (steps, losses.astype(jnp.float32)))[0]
