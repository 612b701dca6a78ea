"""Data sets that are drawn when first asked for: exact draws from targets, pairs of simulators.

A target (`ops/targets.py`) needs no data to be fitted; its draws are there to see whether a fit
has found all of it. A simulator (`ops/simulators.py`) gives one row for each simulation: the
parameters, then the observation.
"""

from __future__ import annotations

import math
import pathlib

import numpy as np

from jaxgen.data import prepare
from jaxgen.data.dataset import ArraySplit, DataError, Dataset
from jaxgen.ops.simulators import SIMULATORS, Simulator
from jaxgen.ops.targets import TARGETS, Target
from jaxgen.types import DataSpec

NAMES = (*TARGETS, *SIMULATORS)
COUNTS = {"train": 50_000, "test": 10_000}
SEEDS = {"train": 0, "test": 1}
VERSION = "1.0.0"
HALF_WIDTH = 7.5  # of the square that holds all but 1e-9 of the targets in the plane
PROPOSALS = 100_000  # made at a time


def load(name: str, data_dir: str | None = None) -> Dataset:
    """A target or a simulator, drawn into `data_dir` by the first who asks.

    The draws are kept so that a run that is resumed sees the same bytes, whatever versions of
    its libraries are installed by then.

    Raises:
        DataError: on an unknown name, or where `data_dir` cannot be written.
    """
    if name not in NAMES:
        raise DataError(f"expected one of {', '.join(NAMES)}; got {name!r}")
    target = prepare.data_root(data_dir) / name / VERSION
    notes: list[str] = []
    arrays, said = prepare.opened(target, lambda work: _fill(name, work), _read, notes)
    notes += said
    entropy = TARGETS[name].entropy if name in TARGETS else None
    spec = DataSpec.of(name, arrays["train"].shape[1:], None, entropy=entropy)
    splits = {split: ArraySplit({"x": x}) for split, x in arrays.items()}
    return Dataset(spec, splits, source=f"seeded draws, kept in {target}", notes=tuple(notes))


def _read(target: pathlib.Path) -> tuple[dict[str, np.ndarray], list[str]]:
    arrays = {split: np.load(target / f"{split}.npy") for split in COUNTS}
    return arrays, (target / "notes.txt").read_text().splitlines()


def _fill(name: str, made: pathlib.Path) -> None:
    import jax

    notes = []
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        for split, count in COUNTS.items():
            if name in TARGETS:
                x = sample(TARGETS[name], count, SEEDS[split])
            else:
                x, failed = simulate(SIMULATORS[name], count, SEEDS[split])
                if failed:
                    notes.append(f"{failed:,} of {count:,} {split} simulations failed, left out")
            np.save(made / f"{split}.npy", x)
    (made / "notes.txt").write_text("\n".join(notes))


def sample(target: Target, count: int, seed: int) -> np.ndarray:
    """Independent exact draws of a target by rejection, float32 [count, D]."""
    import jax

    random = np.random.RandomState(seed)
    log_density = jax.jit(target.log_density)
    kept: list[np.ndarray] = []
    while sum(map(len, kept)) < count:
        x = _propose(random, target)
        log_accept = np.asarray(log_density(x), np.float64) - target.peak
        kept.append(x[np.log(random.rand(len(x))) < log_accept])
    return np.concatenate(kept)[:count]


def _propose(random: np.random.RandomState, target: Target) -> np.ndarray:
    """Uniform points of the target's space."""
    shape = (PROPOSALS, target.dims)
    if target.space == "sphere":
        x = random.randn(*shape)
        x /= np.linalg.norm(x, axis=-1, keepdims=True)
    elif target.space == "torus":
        x = 2 * math.pi * random.rand(*shape)
    else:
        x = HALF_WIDTH * (2 * random.rand(*shape) - 1)
    return x.astype(np.float32)


def simulate(simulator: Simulator, count: int, seed: int) -> tuple[np.ndarray, int]:
    """Pairs of parameters and observations, without the simulations that failed.

    Args:
        simulator: what draws them.
        count: of simulations.
        seed: of prior and simulator.

    Returns:
        float32 [N, D + E] with N <= count, and the number of failures count - N.

    Raises:
        DataError: when all of them fail.
    """
    import jax

    of_prior, of_simulator = jax.random.split(jax.random.key(seed))
    theta = simulator.prior(of_prior, count)
    observed = jax.jit(simulator.simulate)(of_simulator, theta)
    pairs = np.concatenate([np.asarray(theta), np.asarray(observed)], -1).astype(np.float32)
    whole = np.isfinite(pairs).all(-1)
    if not whole.any():
        raise DataError(f"all of {count:,} simulations gave values that are not finite")
    return pairs[whole], int(count - whole.sum())
