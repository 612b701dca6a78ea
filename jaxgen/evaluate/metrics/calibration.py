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
import io
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.abilities import Infers
from jaxgen.config import ConfigError
from jaxgen.data.loader import evenly
from jaxgen.evaluate.comparison import Comparison, able, model
from jaxgen.evaluate.measurement import Interval, Measurement, Number, fingerprint
from jaxgen.evaluate.sampling import chunk_key, filled
from jaxgen.machine import check_memory
from jaxgen.progress import track
from jaxgen.types import Array, Method, State

BINS = 20  # of the ranks at most, for the test and the picture
BAND = 0.99  # of the counts of uniform ranks that lie inside of the grey band
LEVELS = np.arange(1, 20) / 20  # at which coverage is compared
ROWS, CHUNK_DRAWS = 500, 50_000  # of one call, at most
OBSERVATIONS = 500  # of the test split, by default
NUMBERS = {
    "calibration_error": Number(
        "Calibration error",
        "mean distance of the coverage of highest-density regions from their levels",
        "posterior",
    ),
    "rank_p": Number(
        "Ranks, p-value",
        "that the ranks are uniform, of the worst parameter, times the number of parameters",
        "posterior",
        "none",
        most=1,
    ),
}
NEEDS = (model, able(Infers, "posterior: it infers no parameters"))


def measure(c: Comparison) -> list[Measurement]:
    """Of evenly spaced observations of the test split; ranks are kept for the picture."""
    test = c.dataset.splits["test"]
    num = min(OBSERVATIONS, len(test)) if c.observations is None else c.observations
    if num > len(test):
        raise ConfigError(f"--num={num}, expected 1 to {len(test)}, the examples of the test split")
    x = test.take(evenly(len(test), num))["x"]
    method, state = c.subject.method, c.subject.state
    assert method is not None and state is not None
    found = calibrate(method, state, x, jax.random.key(c.seed), c.draws)
    c.arrays["calibration"] = {k: np.asarray(v) for k, v in dataclasses.asdict(found).items()}
    parts = {"num_real": len(x), "draws": found.draws}
    fields: dict[str, Any] = dict(fingerprint=fingerprint(c.print_of_data("test"), parts))
    p_values = found.p_values()
    each = {f"p of parameter {i + 1}": float(p) for i, p in enumerate(p_values)}
    error = float(np.abs(found.coverage() - LEVELS).mean())
    worst = min(1.0, float(p_values.min()) * len(p_values))
    return [
        c.measured(
            "calibration_error",
            Interval(error),
            context=c.context(floor=found.expected_error()),
            settings={},
            **fields,
        ),
        c.measured("rank_p", Interval(worst), context=c.context(**each), settings={}, **fields),
    ]


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

    def expected_error(self) -> float:
        """What the mean distance of `coverage` from `LEVELS` is for an exact posterior."""
        from scipy.stats import binom

        count = len(self.ranks)
        k = np.arange(count + 1)
        chances = binom.pmf(k, count, LEVELS[:, None])
        return float((chances * np.abs(k / count - LEVELS[:, None])).sum(1).mean())

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


def counter(method: Infers, draws: int) -> Callable[..., Any]:
    """`counted` of (state, rng, number of the chunk, rows [B, D]), compiled."""

    def ranked(state: State, rng: Array, number: Any, x: Array) -> tuple[Array, Array]:
        return counted(method, state, chunk_key(rng, number), x, draws)

    return jax.jit(ranked)


def calibrate(
    method: Method,
    state: State,
    x: np.ndarray,
    rng: Array,
    draws: int = 99,
    count: Callable[..., Any] | None = None,
) -> Calibration:
    """Ranks every row's parameters among draws from the posterior of its observation.

    Args:
        method: that infers.
        state: of averaged params.
        x: rows [N, D] that the method was not trained on.
        rng: a key.
        draws: from each posterior.
        count: of `counter`, to compile once for several calls.

    Raises:
        ConfigError: for a method that has no posterior, too few rows to test, or more draws from
            one posterior than memory holds.
    """
    if not isinstance(method, Infers):
        raise ConfigError(f"{type(method).__name__} infers no parameters: nothing to calibrate")
    if draws < 1 or len(x) < 5 * BINS:
        raise ConfigError(f"expected at least {5 * BINS} data sets and 1 draw, got {len(x)}")
    size = max(1, min(ROWS, CHUNK_DRAWS // draws))
    need = size * draws * 8 * x.shape[1]  # draws and the noise that they are made of
    check_memory(need, f"draws={draws:,} from one posterior", "ask for fewer")
    count = count or counter(method, draws)
    parts = []
    starts = track(range(0, len(x), size), "ranking", len(x), "data sets", lambda _: size)
    for number, start in enumerate(starts):
        found = jax.device_get(count(state, rng, np.uint32(number), filled(x, start, size)))
        parts.append([leaf[: len(x) - start] for leaf in found])
    ranks, above = (np.concatenate(leaves) for leaves in zip(*parts, strict=True))
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
