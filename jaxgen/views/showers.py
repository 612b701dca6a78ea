"""Showers of a run beside simulated ones: distances, histograms, mean pictures of layers."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxgen.abilities import given
from jaxgen.config import ConfigError, unknown
from jaxgen.data.loader import evenly
from jaxgen.evaluate.metrics.showers import distances, mean, read_apart, told_apart
from jaxgen.evaluate.validation import check_count
from jaxgen.ops.calorimeter import CELLS, LAYERS, LEAST, OBSERVABLES, layers, observables
from jaxgen.pictures import panels, rendered
from jaxgen.views.picture import Picture

NEAR = 0.1  # share of an energy that was asked for, within which test showers are taken
FEW = 20  # showers
BINS = 30


def showers(
    run: Any,
    energy: float | None = None,
    particle: str | None = None,
    num: int = 2000,
    seed: int = 0,
    **places: Any,
) -> Picture:
    """Showers of a run that are given what test showers were given, beside these.

    The picture has a histogram of each observable, grey the test showers with two standard errors
    of each count, and the mean layers of both, on one scale of colours. `about` has "table", rows
    of text; "mean", the mean distance of the observables (`evaluate.metrics.showers`), "floor",
    that of as many train showers, "control", of the other particles' showers where there are any;
    "auc", how well trees tell each of these from test showers (`told_apart`); "particles", how well
    those of two particles' train showers tell the particles of "test" and of "run" (`read_apart`),
    where both are there; "milliseconds" of a shower, compiled before.

    Arrays: "x" and "real" [N, 504], GeV, and "energy" [N] of both.

    Args:
        run: trained on showers.
        energy: GeV; test showers within a tenth of it are taken. None takes all.
        particle: name of the class; None takes all.
        num: showers, as many as there are at most.
        seed: of the samples.
        **places: `data`, `data_dir` where the data have moved.

    Raises:
        ConfigError: for a run on other data, a particle that there is not, or an energy of which
            there are too few test showers.
    """
    if run.spec.shape != (CELLS,) or run.spec.context != ("energy",):
        raise ConfigError(
            f"{run.directory.path} is of {run.spec.name}, which are no showers: use jaxgen sample"
        )
    num = check_count(num, "num")
    data = run.dataset(**places)
    label = _class(run, data.classes, particle)
    test = _chosen(data.splits["test"], energy, label, num)
    if len(test["x"]) < FEW:
        raise ConfigError(
            f"energy={energy:g}: {len(test['x'])} test showers within a tenth of it, expected "
            f"{FEW} or more"
        )
    asked = {name: test[name] for name in given(run.method)}
    x = run.sample(len(test["x"]), seed, **asked)
    began = time.perf_counter()
    run.sample(len(x), seed, **asked)
    about: dict[str, Any] = {"milliseconds": 1000 * (time.perf_counter() - began) / len(x)}
    sets = {"run": test | {"x": x}}
    sets["floor"] = _chosen(data.splits["train"], energy, label, len(x))
    if label is not None:
        sets["control"] = _chosen(data.splits["test"], energy, label, len(x), others=True)
    real, found = _read(test), {name: _read(batch) for name, batch in sets.items()}
    columns = {name: distances(real, values) for name, values in found.items()}
    about |= {("mean" if k == "run" else k): mean(far) for k, far in columns.items()}
    about["auc"] = {name: told_apart(real, values) for name, values in found.items()}
    made = found["run"]
    about["table"] = _table(real, made, columns, about["auc"]) + _responses(test, x)
    if "label" in asked and len(set(test["label"])) == 2:
        read = [(values, test["label"]) for values in (real, made)]
        apart = read_apart(found["floor"], sets["floor"]["label"], read)
        about["particles"] = dict(zip(("test", "run"), apart, strict=True))
        about["table"].append(
            "particles told by trees of train showers (AUC): test {:.3f}, run {:.3f}".format(*apart)
        )
    arrays = {"x": x, "real": test["x"], "energy": test["context"][:, 0]}
    return Picture(arrays, lambda: _picture(test["x"], x, real, made), about=about)


def _class(run: Any, classes: Sequence[str], particle: str | None) -> int | None:
    """The number of a particle."""
    if particle is None:
        return None
    if "label" not in given(run.method):
        raise ConfigError(f"particle={particle}: {run.directory.path} is not given one: omit it")
    if particle not in classes:
        raise ConfigError(unknown("particle", particle, classes))
    return classes.index(particle)


def _chosen(
    split: Any, energy: float | None, label: int | None, num: int, others: bool = False
) -> dict[str, np.ndarray]:
    """At most `num` showers of a split, evenly spaced, of an energy and a class or the others."""
    every = split.take(np.arange(len(split)))
    kept = np.ones(len(split), bool)
    if energy is not None:
        kept &= np.abs(every["context"][:, 0] - energy) <= NEAR * energy
    if label is not None:
        kept &= (every["label"] == label) != others
    rows = np.flatnonzero(kept)
    rows = rows[evenly(len(rows), num)]
    return {name: array[rows] for name, array in every.items()}


def _read(batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The observables of showers, and the energy that came in."""
    return observables(batch["x"]) | {"incoming": batch["context"][:, 0]}


def _table(
    real: Mapping[str, np.ndarray],
    made: Mapping[str, np.ndarray],
    columns: Mapping[str, Mapping[str, float]],
    auc: Mapping[str, float],
) -> list[str]:
    """A row for each observable: its means, and the distances; then what is of all."""
    head = f"{'observable':16} {'test':>9} {'run':>9}"
    lines = [head + "".join(f" {'W1/sd' if k == 'run' else k:>8}" for k in columns)]
    for name in OBSERVABLES:
        means = f"{name:16} {np.mean(real[name]):9.4g} {np.mean(made[name]):9.4g}"
        lines.append(means + "".join(f" {found[name]:8.3f}" for found in columns.values()))
    lines.append(f"{'mean':36}" + "".join(f" {mean(found):8.3f}" for found in columns.values()))
    lines.append(f"{'told apart by trees (AUC)':36}" + "".join(f" {v:8.3f}" for v in auc.values()))
    return lines


def _responses(test: Mapping[str, np.ndarray], x: np.ndarray) -> list[str]:
    """Mean and deviation of what is seen of the energy that came in, in three parts of it."""
    energy = test["context"][:, 0]
    ends = np.quantile(energy, [0, 1 / 3, 2 / 3, 1])
    lines = []
    for i, (low, high) in enumerate(zip(ends[:-1], ends[1:], strict=True)):
        rows = (low <= energy) & ((energy < high) | (i == 2))
        seen = [part[rows].sum(1, dtype=np.float64) / energy[rows] for part in (test["x"], x)]
        said = ", ".join(
            f"{who} {s.mean():.3f} +- {s.std():.3f}"
            for who, s in zip(("test", "run"), seen, strict=True)
        )
        lines.append(f"response at {low:.0f} to {high:.0f} GeV: {said}")
    return lines


def _picture(
    x: np.ndarray,
    made: np.ndarray,
    real: Mapping[str, np.ndarray],
    fake: Mapping[str, np.ndarray],
) -> np.ndarray:
    """Three rows of histograms, and a row of mean layers."""
    figure, axes = panels(6, 4)
    for ax, name in zip(axes, OBSERVABLES, strict=False):
        ends = np.histogram_bin_edges(np.concatenate([real[name], fake[name]]), BINS)
        counts, ours = (np.histogram(v[name], ends)[0] for v in (real, fake))
        error = 2 * np.sqrt(counts)
        low, high = (np.append(v, v[-1]) for v in (np.maximum(counts - error, 0), counts + error))
        ax.fill_between(ends, low, high, step="post", color="0.8", linewidth=0)
        ax.stairs(ours, ends, color="C0")
        ax.set_title(name, fontsize=9)
    from matplotlib.colors import LogNorm

    for row, (who, showers) in enumerate((("test", x), ("run", made))):
        for i, layer in enumerate(layers(showers.mean(0, dtype=np.float64)[None])):
            ax, top = axes[18 + 3 * row + i], max(float(layers(x.mean(0)[None])[i].max()), LEAST)
            ax.imshow(layer[0], norm=LogNorm(top * 1e-4, top, clip=True), aspect="auto")
            rows, columns = LAYERS[i]
            ax.set_title(f"{who}: mean layer {i}, {rows}x{columns}", fontsize=9)
    return rendered(figure)
