"""Train steps of ours beside a peer's, in rounds A B A B in one process: medians and counts."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from jaxgen.sharding import make_mesh
from jaxgen.train.optim import optimizer
from jaxgen.train.program import build_program

ROUNDS, STEPS = 5, 3

Run = tuple[Callable[[], Any], int]  # `STEPS` train steps, and the number of parameters


def compared(name: str, ours: Run, theirs: Run, peer: str = "PyTorch eager") -> None:
    """Prints the ratio of medians of a step, below 1 where ours is the faster, and both counts."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(ROUNDS + 1):
        for (call, _), found in zip((ours, theirs), times, strict=True):
            start = time.perf_counter()
            call()
            if number:  # the first compiles
                found.append((time.perf_counter() - start) / STEPS)
    a, b = map(statistics.median, times)
    print(f"{name}, ours / {peer}: {a / b:.3f} ({a:.3f} s, {b:.3f} s)", flush=True)
    print(f"  parameters {ours[1]:,} and {theirs[1]:,}")


def steps_of(method: Any, batch: Mapping[str, np.ndarray], **rules: Mapping[str, Any]) -> Run:
    """Train steps of a method on one batch, with an Adam of these options for each player."""
    optimizers = {player: optimizer("adam", **options) for player, options in rules.items()}
    program = build_program(method, optimizers, {}, make_mesh(), batch, seed=0)
    step, holder = program.compile(), [program.init(batch)]
    placed = program.put([batch])

    def run() -> None:
        for _ in range(STEPS):
            holder[0], out = step(holder[0], placed, program.rng, np.int32(1))
        jax.block_until_ready(out)

    return run, sum(leaf.size for leaf in jax.tree.leaves(holder[0].params))


def repeated(step: Callable[[], Any], *parts: Any) -> Run:
    """As many train steps of PyTorch modules."""

    def run() -> None:
        for _ in range(STEPS):
            step()

    return run, sum(p.numel() for part in parts for p in part.parameters())
