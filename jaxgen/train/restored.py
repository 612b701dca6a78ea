"""The state in a run directory, out of its checkpoints or of the weights that stand for them."""

from __future__ import annotations

from collections.abc import Callable

from jaxgen.config import ConfigError
from jaxgen.rundir import RunDir
from jaxgen.train import weights_file
from jaxgen.train.checkpoint import CheckpointError, Checkpoints
from jaxgen.train.log import quiet, say
from jaxgen.types import FROZEN, PyTree, State


def restored(
    run: RunDir,
    target: State,
    step: int | str | None = None,
    stages: Callable[[], PyTree] = dict,
) -> tuple[int, State, dict[str, str]]:
    """Its step, its state, and player -> average that its params are already.

    Args:
        run: its directory.
        target: shapes, types and shardings; of weights alone see `weights_file.target_of`.
        step: of the checkpoint, or "best"; None takes the newest.
        stages: gives `vars["frozen"]`, which is in no checkpoint.

    Raises:
        ConfigError: for another step than that of weights.
        CheckpointError: without such a checkpoint.
    """
    if run.weights.exists():
        at, state, averages = weights_file.read(run, target)
        if step not in (None, at):
            raise ConfigError(
                f"step={step}: {run.path} was packed, and holds step {at} alone: leave it out"
            )
        frozen = stages()
        more = {FROZEN: frozen} if frozen else {}
        return at, state.replace(vars=state.vars | more), averages
    if not run.checkpoints.exists():
        raise CheckpointError(f"{run.path} has no checkpoint yet")
    with quiet():
        checkpoints = Checkpoints(run.checkpoints, read_only=True, say=say, frozen=stages)
        try:
            return *_of(checkpoints, run, target, step), {}
        finally:
            checkpoints.close()


def steps(run: RunDir) -> list[int]:
    """Steps of the checkpoints that there are, ascending; [] of weights alone."""
    if run.weights.exists() or not run.checkpoints.exists():
        return []
    with quiet():
        checkpoints = Checkpoints(run.checkpoints, read_only=True, say=say)
        try:
            return checkpoints.steps()
        finally:
            checkpoints.close()


def _of(
    checkpoints: Checkpoints, run: RunDir, target: State, step: int | str | None
) -> tuple[int, State]:
    if step == "best":
        step = checkpoints.best_step()
        if step is None:
            raise CheckpointError(
                f"{run.path}: no checkpoint has a score, so none is the best; "
                f"there are {checkpoints.steps()}"
            )
    if step is not None:
        return int(step), checkpoints.restore_step(int(step), target)[0]
    found = checkpoints.restore(target)
    if found is None:
        raise CheckpointError(f"{run.path} has no whole checkpoint")
    return found[0], found[1]
