"""Whether a posterior means what it says: simulation-based calibration and expected coverage.

If parameters are drawn from the prior and the observation from them, the parameters are one more
draw from the posterior: their rank among draws from it is uniform, and a region that is said to
hold a part of the posterior holds that part of them.

Source: Talts et al. 2018, "Validating Bayesian inference algorithms with simulation-based
calibration", algorithm 1 and section 4.2 for the band; Hermans et al. 2022, "A trust crisis in
simulation-based inference?" (TMLR), equation 5, for the coverage of highest-density regions.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.abilities import Infers
from jaxgen.config import ConfigError
from jaxgen.types import Array, Method, State

BINS = 20  # of the ranks at most, for the test and the picture
BAND = 0.99  # of the counts of uniform ranks that lie inside of the grey band
LEVELS = np.arange(1, 20) / 20  # at which coverage is compared


@dataclasses.dataclass(frozen=True, eq=False)
class Calibration:
    """Ranks and credibilities of true parameters.

    Attributes:
        ranks: int [N, D], how many of the draws are below the parameter, 0 .. draws.
        credibility: [N], the part of the draws whose density is above that of the parameters.
        draws: from each posterior.
    """

    ranks: np.ndarray
    credibility: np.ndarray
    draws: int

    @property
    def bins(self) -> int:
        """The most, up to `BINS`, that divide the draws + 1 possible ranks evenly."""
        return max(b for b in range(1, BINS + 1) if (self.draws + 1) % b == 0)

    def counts(self) -> np.ndarray:
        """Ranks in each bin, [D, bins]."""
        edges = np.arange(self.bins + 1) * ((self.draws + 1) // self.bins)
        return np.stack([np.histogram(r, edges)[0] for r in self.ranks.T])

    def p_values(self) -> np.ndarray:
        """Of Pearson's chi-squared test that the ranks of each parameter are uniform, [D]."""
        from scipy.stats import chisquare

        return chisquare(self.counts(), axis=1).pvalue

    def coverage(self) -> np.ndarray:
        """The part of the parameters inside of the highest-density region of each of `LEVELS`."""
        return (self.credibility[:, None] < LEVELS).mean(0)

    def report(self) -> dict[str, Any]:
        """What the command prints."""
        return {
            "datasets": len(self.ranks),
            "draws": self.draws,
            "test": f"Pearson chi-squared, {self.bins} bins, {self.bins - 1} degrees of freedom",
            "p_values": [float(f"{p:.4g}") for p in self.p_values()],
            "coverage_error": float(f"{np.abs(self.coverage() - LEVELS).mean():.4g}"),
        }


def counted(method: Infers, state: State, rng: Array, x: Array, draws: int) -> tuple[Array, Array]:
    """Of each row's draws from the posterior, how many are below the row's own parameters.

    Args:
        method: that infers.
        state: of averaged params.
        rng: a key.
        x: rows [B, D + E].
        draws: from each posterior.

    Returns:
        How many are below each parameter, int32 [B, D], and how many have a density above the
        parameters' own, int32 [B].
    """
    theta, own, samples, log_prob = method.posterior(state, rng, x, draws)
    return jnp.sum(samples < theta[:, None], axis=1), jnp.sum(log_prob > own[:, None], axis=1)


def calibrate(
    method: Method, state: State, x: Array, rng: Array, draws: int = 99, count: Any = None
) -> Calibration:
    """Ranks every row's parameters among draws from the posterior of its observation.

    Args:
        method: that infers.
        state: of averaged params.
        x: rows that the method was not trained on.
        rng: a key.
        draws: from each posterior.
        count: `counted` of (state, rng, x, draws), compiled; None compiles it here.

    Raises:
        ConfigError: for a method that has no posterior, or too few rows to test.
    """
    if not isinstance(method, Infers):
        raise ConfigError(f"{type(method).__name__} infers no parameters: nothing to calibrate")
    if draws < 1 or len(x) < 5 * BINS:
        raise ConfigError(f"expected at least {5 * BINS} data sets and 1 draw, got {len(x)}")
    count = count or jax.jit(functools.partial(counted, method), static_argnums=3)
    ranks, above = jax.device_get(count(state, rng, x, draws))
    return Calibration(ranks, above / draws, draws)


def calibration_picture(result: Calibration) -> np.ndarray:
    """Histograms of the ranks, and coverage against level, as one picture [H, W, 3] uint8.

    In the grey bands lie 99 % of the counts, and of the coverages, of an exact posterior.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image
    from scipy.stats import binom

    counts, n = result.counts(), len(result.ranks)
    panels = len(counts) + 1
    columns = min(panels, 4)
    rows = math.ceil(panels / columns)
    figure = Figure(figsize=(3 * columns, 2.8 * rows), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    edges = np.arange(result.bins + 1) * ((result.draws + 1) // result.bins)
    for i, (ax, count, p) in enumerate(zip(axes, counts, result.p_values(), strict=False)):
        ax.axhspan(*binom.interval(BAND, n, 1 / result.bins), color="0.85")
        ax.stairs(count, edges, color="C0", linewidth=1.5)
        ax.set(title=f"parameter {i + 1}: p = {p:.2g}", xlabel="rank", xlim=(0, edges[-1]))
        ax.set_ylim(bottom=0)
    axes[0].set_ylabel("data sets")
    last = axes[len(counts)]
    ends = np.linspace(0, 1, 101)
    low, high = (bound / n for bound in binom.interval(BAND, n, ends))
    last.fill_between(ends, low, high, color="0.85")
    last.plot([0, *LEVELS, 1], [0, *result.coverage(), 1], color="C0")
    last.set(title="expected coverage", xlabel="level", ylabel="covered", xlim=(0, 1), ylim=(0, 1))
    for ax in axes[panels:]:
        ax.set_axis_off()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return np.asarray(Image.open(buffer).convert("RGB"))
