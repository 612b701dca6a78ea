"""Slices of a run beside the cosmic web: power, masses, peaks, with their scatter among boxes."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxgen.config import ConfigError
from jaxgen.data.embedded import cosmic_web
from jaxgen.evaluate.metrics.spectrum import NUMBERS, errors
from jaxgen.evaluate.validation import check_count
from jaxgen.ops import cosmic
from jaxgen.pictures import panels, rendered
from jaxgen.progress import track
from jaxgen.views.picture import Picture

SHOWN = 2  # slices of either kind
COMPARED = 48  # slices whose nearest train slice is looked for
OF_BOX = 3 * cosmic_web.SLICES


def spectrum(run: Any, num: int = 384, seed: int = 0, boxes: int = 0, **places: Any) -> Picture:
    """Slices of a run beside test slices.

    The picture has the mean power, the histogram of masses and that of the heights of peaks; grey
    is the mean of the train boxes with two of their deviations, the cosmic variance; below are
    slices in colours of logarithms. `about` has "table", rows of text, with the numbers of
    `evaluate.metrics.spectrum`, their floor (as many train slices) and control (random phases);
    "nearest", the median distance of "run" and "test" slices from the nearest train slice in all
    its shifts, in what networks see.

    Arrays: "x" and "real" [N, 64, 64], counts, "k" [K], "power" and "real_power" [N, K].

    Args:
        run: trained on `cosmic_web`.
        num: slices.
        seed: of the samples.
        boxes: new ones, beyond those of the data set, whose slices join the test's: what is
            compared with then has fewer chances of its own. Seconds each.
        **places: `data_dir` where the data have moved.

    Raises:
        ConfigError: for a run on other data.
    """
    if run.spec.name not in cosmic_web.NAMES:
        raise ConfigError(
            f"{run.directory.path} is of {run.spec.name}, and no run on cosmic_web: use jaxgen "
            "sample"
        )
    seen = run.sample(check_count(num, "num"), seed)[..., 0]
    splits = run.dataset(**places).splits
    train, real = (
        cosmic.counts(splits[k].take(np.arange(len(splits[k])))["x"][..., 0])
        for k in ("train", "test")
    )
    x = cosmic.counts(seen)
    first = sum(cosmic_web.BOXES.values())
    numbers = range(first, first + boxes)
    new = track(numbers, "making", boxes, "boxes")
    real = np.concatenate([real, *(cosmic_web.slices(cosmic_web.box(n)) for n in new)])
    columns = {
        "run": errors(real, x),
        "floor": errors(real, train[: len(real)]),
        "control": errors(real, cosmic.randomised(np.random.RandomState(0), real)),
    }
    table = [f"{'':32}" + "".join(f" {name:>8}" for name in columns)]
    for name, number in NUMBERS.items():
        table.append(f"{number.title:32}" + "".join(f" {c[name]:8.3f}" for c in columns.values()))
    table.append(f"cells cut off before the map is inverted: {cosmic.clipped(seen):.3%}")
    shown = cosmic.seen(train)
    near = {
        name: float(np.median(cosmic.nearest(cosmic.seen(v[:: -(-len(v) // COMPARED)]), shown)))
        for name, v in (("run", x), ("test", real))
    }
    table.append(f"nearest train slice, shifted: run {near['run']:.4f}, test {near['test']:.4f}")
    k, power = cosmic.spectrum(x)
    arrays = {"x": x, "real": real, "k": k, "power": power, "real_power": cosmic.spectrum(real)[1]}
    return Picture(
        arrays, lambda: _picture(x, real, train), about={"table": table, "nearest": near}
    )


def _picture(x: np.ndarray, real: np.ndarray, train: np.ndarray) -> np.ndarray:
    """A row of panels, and one of slices."""
    figure, axes = panels(4, 2)
    boxes = train.reshape(-1, OF_BOX, *train.shape[1:])
    k = cosmic.spectrum(x[:1])[0]
    ends = np.geomspace(0.5, max(real.max(), 100), 30)

    def power(x: np.ndarray) -> np.ndarray:
        return k**2 * cosmic.spectrum(x)[1].mean(0)

    def masses(x: np.ndarray) -> np.ndarray:
        return np.histogram(x, ends)[0] / len(x)

    def heights(x: np.ndarray) -> np.ndarray:
        return np.histogram(np.concatenate(cosmic.peaks(x)), ends)[0] / len(x)

    middle = np.sqrt(ends[1:] * ends[:-1])
    shown = ((power, k, "k^2 P(k), waves a side"), (masses, middle, "cells of a count, a slice"))
    shown += ((heights, middle, "peaks of a count, a slice"),)
    for ax, (of, across, title) in zip(axes, shown, strict=False):
        every = np.stack([of(box) for box in boxes])
        mean, wide = every.mean(0), 2 * every.std(0, ddof=1) if len(every) > 1 else 0
        ax.fill_between(across, np.maximum(mean - wide, 0), mean + wide, color="0.8")
        ax.plot(across, of(real), color="0.3", label="test")
        ax.plot(across, of(x), color="C0", label="run")
        ax.set(xscale="log", title=title)
    axes[0].legend()
    axes[3].set_axis_off()
    slices = [("test", one) for one in real[:SHOWN]] + [("run", one) for one in x[:SHOWN]]
    for ax, (who, one) in zip(axes[4:], slices, strict=False):
        ax.imshow(np.log10(1 + one), vmin=0, vmax=np.log10(1 + real.max()), cmap="magma")
        ax.set_title(who)
    return rendered(figure)
