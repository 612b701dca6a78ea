"""`jaxgen study`: the two games in which one sees why adversarial training needs penalties."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.config import ConfigError, unknown
from jaxgen.ops import dynamics
from jaxgen.ops.dynamics import Rule, trajectory
from jaxgen.pictures import trajectories

STEPS = 500
START = (1.0, 1.0)

_TOGETHER, _IN_TURN = Rule("simultaneous", 0.2), Rule("alternating", 0.2)
_NON_SATURATING = functools.partial(dynamics.dirac, saturating=False)
STUDIES: dict[str, dict[str, tuple[Any, Rule]]] = {
    "dirac": {
        "GAN": (dynamics.dirac, _TOGETHER),
        "GAN, alternating": (dynamics.dirac, _IN_TURN),
        "NSGAN": (_NON_SATURATING, _TOGETHER),
        "WGAN, clipped": (dynamics.bilinear, Rule("simultaneous", 0.2, bound=1.0)),
        "WGAN-GP": (
            functools.partial(dynamics.wasserstein_with_penalty, weight=0.7),
            Rule("alternating", 0.2, critic_steps=5),
        ),
        "instance noise": (
            functools.partial(dynamics.dirac_with_noise, deviation=0.7),
            _TOGETHER,
        ),
        "consensus": (dynamics.consensus(dynamics.dirac, 1.0), _TOGETHER),
        "R1, 0.3": (functools.partial(dynamics.dirac, r1=0.3), _TOGETHER),
        "R1, 1": (functools.partial(dynamics.dirac, r1=1.0), _TOGETHER),
    },
    "bilinear": {
        "simultaneous": (dynamics.bilinear, Rule("simultaneous", 0.1)),
        "alternating": (dynamics.bilinear, Rule("alternating", 0.1)),
        "extragradient": (dynamics.bilinear, Rule("extragradient", 0.1)),
        "optimistic": (dynamics.bilinear, Rule("optimistic", 0.1)),
    },
}


def paths(name: str) -> dict[str, np.ndarray]:
    """Method -> its trajectory, [STEPS + 1, 2].

    Raises:
        ConfigError: for an unknown study.
    """
    if name not in STUDIES:
        raise ConfigError(unknown("study", name, STUDIES))
    start = jnp.array(START)
    return {
        method: np.asarray(
            jax.jit(functools.partial(trajectory, field, rule, steps=STEPS))(start=start)
        )
        for method, (field, rule) in STUDIES[name].items()
    }


def report(name: str, out: Any) -> str:
    """A table of distances from the equilibrium; draws the trajectories into `out`."""
    from jaxgen.pictures import save_png

    found = paths(name)
    save_png(out, trajectories(found))
    lines = [f"{'method':20}{'distance at':>12} 0 {'half':>12} {STEPS:>12}"]
    for method, path in found.items():
        radius = np.linalg.norm(path, axis=1)
        half = radius[STEPS // 2]
        lines.append(f"{method:20}{radius[0]:>14.3f} {half:>12.3g} {radius[-1]:>12.3g}")
    return "\n".join([*lines, str(out)])
