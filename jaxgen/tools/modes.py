"""`jaxgen modes`: a table of the modes that runs cover, and a picture of real and generated."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxgen.config import ConfigError
from jaxgen.data.loader import evenly
from jaxgen.evaluate.metrics import modes as metric
from jaxgen.evaluate.metrics.modes import Coverage
from jaxgen.pictures import save_png, scatters
from jaxgen.progress import track
from jaxgen.run import Run


def coverage(run: Run, num: int = 2500, seed: int = 0) -> tuple[Coverage, np.ndarray]:
    """What `num` samples of a run cover, and the samples.

    Raises:
        ConfigError: for a run on data whose modes are not known.
    """
    name = run.spec.name
    if name not in metric.KNOWN:
        known = ", ".join(metric.KNOWN)
        raise ConfigError(f"the modes of {name} are not known, only those of {known}")
    x = run.sample(num, seed)
    return metric.coverage(name, x), x


def table(paths: Sequence[str], found: Sequence[Coverage]) -> str:
    """A row for each run."""
    rows = [("run", "modes", "high quality", "reverse KL (nats)", "samples")]
    for path, c in zip(paths, found, strict=True):
        share = "" if c.high_quality is None else f"{c.high_quality:.1%}"
        rows.append((path, f"{c.modes}/{c.of}", share, f"{c.reverse_kl:.3f}", str(c.num)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def drawing(runs: Sequence[Run], samples: Sequence[np.ndarray]) -> np.ndarray:
    """Test points and the samples of each run, side by side, [H, W, 3] uint8.

    Raises:
        ConfigError: for runs on other data than the first, or not on points.
    """
    names = {run.spec.name for run in runs}
    if len(names) > 1:
        raise ConfigError(f"one picture shows runs on the same data, not on {', '.join(names)}")
    if len(runs[0].spec.shape) != 1:
        raise ConfigError("a picture of modes is of points; use jaxgen sample for images")
    split = runs[0].dataset().splits["test"]
    real = split.take(evenly(len(split), len(samples[0])))["x"]
    titles = [f"{runs[0].spec.name}: test", *(run.directory.path.name for run in runs)]
    return scatters([real, *samples], titles)


def modes(
    runs: Sequence[Any],
    num: int = 2500,
    seed: int = 0,
    out: Any = None,
    allow: Sequence[str] = (),
) -> list[Coverage]:
    """What samples of runs cover, and a picture of real and generated points.

    Args:
        runs: paths, or what `jaxgen.load` gives.
        num: samples of each.
        seed: of the samples.
        out: place of the picture, `.png`; None draws none.
        allow: see `jaxgen.load`.

    Raises:
        ConfigError: for a run on data whose modes are not known.
    """
    loaded = [run if isinstance(run, Run) else Run(run, allow=allow) for run in runs]
    each = track(loaded, "sampling", len(loaded), "runs")
    found, samples = zip(*(coverage(run, num, seed) for run in each), strict=True)
    if out is not None:
        save_png(pathlib.Path(out), drawing(loaded, samples))
    return list(found)
