"""How well a run's latents tell the known factors of its data apart."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from jaxgen.config import ConfigError
from jaxgen.data.embedded import factors
from jaxgen.data.loader import evenly
from jaxgen.evaluate.disentanglement import scores
from jaxgen.progress import stage, track
from jaxgen.run import Run

BATCH = 500  # images encoded at a time


def disentangle(run: Run, num: int = 5000, seed: int = 0, **places: Any) -> dict[str, Any]:
    """Scores of the codes of test images; of one group of latents their posterior means.

    Args:
        run: on data with known factors.
        num: test images, evenly spaced.
        seed: of the scores' samplers.
        **places: of the data.

    Raises:
        ConfigError: for data whose factors nobody knows.
    """
    name = run.spec.name
    if name not in factors.NAMES:
        known = ", ".join(factors.NAMES)
        raise ConfigError(f"the factors of {name} are not known; those of {known} are")
    table = factors.truth(name, "test")
    split = run.dataset(**places).splits["test"]
    index = evenly(len(split), num)
    codes = []
    starts = range(0, len(index), BATCH)
    for start in track(starts, "encoding", len(index), "images", lambda _: BATCH):
        z = run.encode(split.take(index[start : start + BATCH])["x"], seed)
        flat = [np.asarray(leaf).reshape(len(leaf), -1) for leaf in jax.tree.leaves(z)]
        codes.append(np.concatenate(flat, axis=1))
    with stage("scoring"):
        return {"images": len(index)} | scores(np.concatenate(codes), table.values[index], seed)
