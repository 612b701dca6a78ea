"""From noise to data, or back: one loop for every sampler, of any number of steps.

Source: ancestral, Ho et al. 2020, Denoising diffusion probabilistic models, algorithm 2; DDIM, Song
et al. 2021, Denoising diffusion implicit models, equations 12 and 16; Heun and churn, Karras et
al. 2022, Elucidating the design space, algorithms 1 and 2; DPM-Solver++ 2M, Lu et al. 2022,
algorithm 2; the stochastic equation, Ma et al. 2024, SiT, equation 6, with a diffusion of sigma.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxgen.ops.noise import Noising
from jaxgen.ops.prediction import Estimate

SAMPLERS = ("ancestral", "ddim", "euler", "heun", "midpoint", "dpm", "sde")
DETERMINISTIC = ("euler", "heun", "midpoint", "dpm")  # and "ddim" of eta 0

Field = Callable[[Any, Any, Any], Estimate]  # z [B, ...], its time, and the one to go to


class Settings(NamedTuple):
    """How to move.

    Attributes:
        sampler: one of `SAMPLERS`. "euler", "heun" and "midpoint" solve the ODE of the path,
            "sde" its stochastic equation.
        eta: of "ddim": 1 adds as much noise as "ancestral" with small variances.
        variance: of "ancestral": "small", "large", or "learned", between both.
        churn: of "heun" on a path without a scale: share of the noise that is added anew before a
            step, see Karras et al. 2022, equation of gamma_i in algorithm 2, here for all levels.
        middle: (t, s) -> a time between, for "midpoint"; half-way by default.
        whole: the last node is an end as every other, and no data: a solver does not change to
            Euler's step there.
    """

    sampler: str
    eta: Any = 0.0
    variance: str = "small"
    churn: Any = None
    middle: Callable[[Any, Any], Any] | None = None
    whole: bool = False


class Move(NamedTuple):
    """One step.

    Attributes:
        t: time of z.
        s: time to go to.
        last: whether s is the data.
        key: of the step's noise.
    """

    t: Any
    s: Any
    last: Any
    key: Any


def integrate(
    field: Field,
    path: Noising,
    node: Callable[[Any], Any],
    z: Any,
    rng: Any,
    steps: Any,
    how: Settings,
    until: Any = None,
) -> Any:
    """z at the last node, or at node `until`.

    Args:
        field: what the model says of z at a time of all examples. The time that a step goes to is
            told for Euler's; at others it is the same.
        path: of the noise.
        node: (i) -> time of node i, from 0 where z is, to `steps`.
        z: [B, ...].
        rng: a key.
        steps: number of them, an integer that may be traced: the program is the same for all.
        how: see `Settings`.
        until: number of steps after which to stop; None for all.

    Raises:
        ValueError: for an unknown sampler.
    """
    check_sampler(how.sampler)
    step = _step_of(how)
    taken = steps if until is None else jnp.minimum(until, steps)

    def body(i: Any, carry: Any) -> Any:
        z, memory = carry
        last = jnp.logical_and(i == steps - 1, not how.whole)
        move = Move(node(i), node(i + 1), last, jax.random.fold_in(rng, i))
        return step(field, path, z, move, memory)

    start = Memory(jnp.zeros_like(z), jnp.asarray(jnp.inf, z.dtype))
    return jax.lax.fori_loop(0, taken, body, (z, start))[0]


class Memory(NamedTuple):
    """What "dpm" remembers of the step before: the data of its estimate, and its size."""

    x: Any
    size: Any


def check_sampler(name: str) -> None:
    """Raises ValueError for an unknown sampler."""
    if name not in SAMPLERS:
        raise ValueError(f"sampler={name!r}, expected one of {', '.join(SAMPLERS)}")


def _step_of(how: Settings) -> Callable[..., Any]:
    """(field, path, z, move, memory) -> (z, memory)."""

    def step(field: Field, path: Noising, z: Any, move: Move, memory: Memory) -> Any:
        if how.sampler == "dpm":
            return _multistep(field, path, z, move, memory)
        if how.sampler in ("ancestral", "ddim"):
            return _posterior(field, path, z, move, how), memory
        if how.sampler == "sde":
            return _stochastic(field, path, z, move), memory
        return _runge_kutta(field, path, z, move, how), memory

    return step


def _kept(path: Noising, move: Move) -> Any:
    """exp(-h) of a step of size h in log(alpha / sigma): 0 where it ends at data."""
    return jnp.exp(path.log_ratio(move.t) - path.log_ratio(move.s))


def _posterior(field: Field, path: Noising, z: Any, move: Move, how: Settings) -> Any:
    """A draw of q(z_s | z_t, x), x as estimated; or one with another variance."""
    found = field(z, move.t, move.t)
    kept, alpha, sigma = _kept(path, move), path.alpha(move.s), path.sigma(move.s)
    new = -jnp.expm1(2 * jnp.log(kept))  # share of the variance that is drawn anew
    small = sigma**2 * new
    if how.sampler == "ddim":
        variance = how.eta**2 * small
        mean = alpha * found.x + jnp.sqrt(jnp.maximum(sigma**2 - variance, 0)) * found.eps
    else:
        large = path.sigma(move.t) ** 2 * new
        mean = alpha * found.x + sigma * kept * found.eps
        variance = large if how.variance == "large" else small
        if how.variance == "learned":
            low, high = jnp.log(jnp.maximum(small, 1e-20)), jnp.log(large)
            variance = jnp.exp(low + found.between * (high - low))
    noise = jax.random.normal(move.key, z.shape, z.dtype)
    return mean + jnp.where(move.last, 0.0, jnp.sqrt(variance)) * noise


def _multistep(field: Field, path: Noising, z: Any, move: Move, memory: Memory) -> Any:
    """Second order with one evaluation a step: the estimate of the data is extrapolated."""
    found, kept = field(z, move.t, move.t), _kept(path, move)
    size = -jnp.log(kept)
    ratio = jnp.where(move.last | jnp.isinf(memory.size), 0.0, size / (2 * memory.size))
    x = found.x + ratio * (found.x - memory.x)
    z = path.sigma(move.s) / path.sigma(move.t) * z + path.alpha(move.s) * (1 - kept) * x
    return z, Memory(found.x, size.astype(z.dtype))


def _stochastic(field: Field, path: Any, z: Any, move: Move) -> Any:
    """Euler-Maruyama on dz = (v - w score) dt + sqrt(2 w) dB, w = sigma; the last step is Euler's.

    Where the solver counts by sigma / alpha, all of it is of z / alpha.
    """
    found, clock = field(z, move.t, move.t), _clock(path)
    slope = _slope(path, found, move.t)
    gone = clock(move.s) - clock(move.t)
    spread = path.sigma(move.t) if path.by_time else clock(move.t)
    noise = jnp.sqrt(2 * spread * jnp.abs(gone)) * jax.random.normal(move.key, z.shape, z.dtype)
    y = _moved(path, z, move.t) + gone * slope
    y += jnp.where(move.last, 0.0, gone * found.eps + noise)
    return _placed(path, y, move.s)


def _runge_kutta(field: Field, path: Noising, z: Any, move: Move, how: Settings) -> Any:
    """Euler's step, or a second slope at the end or between, of order two wherever that is."""
    clock = _clock(path)
    t = move.t
    if how.churn is not None:
        t = move.t * (1 + how.churn)
        noise = jax.random.normal(move.key, z.shape, z.dtype)
        z = z + jnp.sqrt(jnp.maximum(t**2 - move.t**2, 0)) * noise
    y, gone = _moved(path, z, t), clock(move.s) - clock(t)
    first = _slope(path, field(z, t, move.s if how.sampler == "euler" else t), t)
    ahead = y + gone * first
    if how.sampler == "euler":
        return _placed(path, ahead, move.s)
    between = move.s
    if how.sampler == "midpoint":
        between = how.middle(t, move.s) if how.middle else 0.5 * (t + move.s)

    def second() -> Any:
        share = jnp.where(gone == 0, 1.0, clock(between) - clock(t)) / jnp.where(
            gone == 0, 1.0, gone
        )
        there = _placed(path, y + share * gone * first, between)
        slope = _slope(path, field(there, between, between), between)
        return y + gone * (first + (slope - first) / (2 * share))

    return _placed(path, jax.lax.cond(move.last, lambda: ahead, second), move.s)


def _clock(path: Noising) -> Callable[[Any], Any]:
    """What a solver counts by."""
    return (lambda t: t) if path.by_time else (lambda t: path.sigma(t) / path.alpha(t))


def _moved(path: Noising, z: Any, t: Any) -> Any:
    """What a solver moves."""
    return z if path.by_time else z / path.alpha(t)


def _placed(path: Noising, y: Any, t: Any) -> Any:
    """The inverse of `_moved`."""
    return y if path.by_time else y * path.alpha(t)


def _slope(path: Any, found: Estimate, t: Any) -> Any:
    """Of what a solver moves, by what it counts by."""
    if not path.by_time:
        return found.eps
    d_alpha, d_sigma = path.rates(t)
    return d_alpha * found.x + d_sigma * found.eps
