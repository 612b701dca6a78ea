"""Checkpoints: asynchronous, atomic, verified on restore; the only user of orbax.

Orbax writes no checksums: one flipped bit restores silently wrong. Every checkpoint here carries
shape, type and checksum of each leaf, its step, its score, and a checksum of the data position.

A checkpoint that cannot be read is not damaged: that is an error, and nothing is changed. Only one
whose bytes can all be read, and which twice does not restore to its checksums, is set aside as
`corrupt-<step>`, once the one before it has proved to be whole. Nothing is removed for it.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxgen.files import free_name, room
from jaxgen.train.array_files import check_claims
from jaxgen.train.faults import Unreadable, check_readable, check_room, first_line, unreadable
from jaxgen.train.integrity import (
    Mismatch,
    check_seal,
    fingerprint,
    paths,
    read_json,
    score_of,
    seal,
)
from jaxgen.types import FROZEN, PyTree, unfrozen

WHOLE, DAMAGED, UNREADABLE, FOREIGN = range(4)  # what came of reading; the worst of all counts
RESTART = "or start anew with --restart, which moves all of it to a folder before-restart-<time>"


class CheckpointError(RuntimeError):
    """A checkpoint that could not be written or used. One line: what, where, what to do."""


class Checkpoints:
    """The checkpoints of one run: the last `keep_last`, and the one with the lowest score."""

    def __init__(
        self,
        directory: pathlib.Path,
        *,
        keep_last: int = 2,
        keep_best: bool = True,
        read_only: bool = False,
        about: Mapping[str, Any] | None = None,
        say: Callable[[str], None] = print,
        saved: Callable[[int], None] | None = None,
        frozen: Callable[[], PyTree] = dict,
    ):
        """Opens the directory, and creates it unless `read_only`.

        Args:
            directory: of the checkpoints.
            keep_last: how many of the newest are kept; 2 or more leaves one to fall back on.
            keep_best: keep the best too.
            read_only: change nothing on disk.
            about: JSON-able, sealed into every checkpoint: see `integrity.seal`.
            say: where messages go.
            frozen: gives `vars["frozen"]`, which is in no checkpoint, for every state restored.
            saved: is called with each step whose checkpoint is whole on disk, soon after it is.

        Raises:
            CheckpointError: for a directory that cannot be read or made.
        """
        import orbax.checkpoint as ocp

        self._ocp, self._directory, self._say = ocp, directory, say
        self._read_only, self._about, self._saved = read_only, dict(about or {}), saved
        self._frozen = frozen
        self._pending: int | None = None
        self._size: int | None = None
        if keep_last < 1:
            raise ValueError(f"config.checkpoint.keep_last={keep_last}, expected 1 or more")
        options: dict[str, Any] = (
            {} if read_only else {"preservation_policy": _Kept(self, keep_last, keep_best)}
        )
        try:
            self._manager = _manager_class(ocp)(
                directory,
                options=ocp.CheckpointManagerOptions(
                    create=not read_only,
                    cleanup_tmp_directories=not read_only,
                    read_only=read_only,
                    **options,
                ),
            )
            found = self._manager.all_steps()
        except OSError as error:
            raise CheckpointError(
                f"the checkpoints in {directory} cannot be read: {first_line(error)}; nothing was "
                "changed"
            ) from error
        # the score of each step; None without one, NaN where it cannot be read
        self._scores = {step: score_of(directory / str(step), step, say) for step in found}

    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, ascending."""
        return sorted(self._manager.all_steps())

    def best_step(self) -> int | None:
        """The step with the lowest score, None without scores."""
        scores = {s: score for s in self.steps() if (score := self._scores.get(s)) is not None}
        if unknown := [s for s in scores if np.isnan(scores[s])]:
            self._say(f"the scores of steps {unknown} cannot be read, and do not count")
        known = [s for s in scores if s not in unknown]
        return min(known, key=scores.__getitem__, default=None)

    def save(
        self, step: int, state: PyTree, progress: dict[str, Any], score: float | None = None
    ) -> None:
        """Starts to write a checkpoint; the state may be donated as soon as this returns.

        Args:
            step: train steps done; a step that is already saved is left as it is.
            state: of the run.
            progress: JSON-able: the data position.
            score: what "best" means, lower is better; None when it was not measured.

        Raises:
            CheckpointError: if this or the write before failed, as on a full disk.
        """
        if step in self._manager.all_steps():
            return
        args, state = self._ocp.args, unfrozen(state)
        self._size = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))
        score = None if score is None else float(score)
        try:
            check_room(self._directory, self._size)
            self._scores[step] = score
            record = seal(fingerprint(state), progress, step, score, self._about)
            self._manager.save(
                step,
                args=args.Composite(
                    state=args.StandardSave(state),
                    progress=args.JsonSave(progress),
                    integrity=args.JsonSave(record),
                ),
            )
        except Exception as error:
            raise self._write_error(step, error) from error
        self.poll()  # the one before was waited for
        self._pending = step

    def poll(self) -> None:
        """Tells `saved` of the checkpoint under way, if it is whole by now."""
        step = self._pending
        if step is not None and self._saved and (self._directory / str(step)).is_dir():
            self._pending = None
            self._saved(step)

    def wait(self) -> None:
        """Waits until what was saved is on disk.

        Raises:
            CheckpointError: if it could not be written.
        """
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise self._write_error(None, error) from error
        self.poll()

    def close(self) -> None:
        """Releases the manager's threads. A failed write was reported by `wait`."""
        try:
            self._manager.close()
        except Exception as error:
            self._say(f"closing the checkpoints: {first_line(error)}")

    def restore(self, target: PyTree) -> tuple[int, PyTree, dict[str, Any]] | None:
        """The newest checkpoint that is whole: (step, state, progress); None if there is none.

        Those after it are set aside.

        Args:
            target: shapes, types and shardings, see `sharding.abstract`.

        Raises:
            CheckpointError: for a checkpoint that cannot be read, or of another model; and where
                all are damaged. Nothing is changed then.
        """
        damaged: dict[int, str] = {}
        for step in reversed(self.steps()):
            try:
                state, progress = self._read(step, target)
            except Mismatch as error:
                damaged[step] = first_line(error)
                continue
            for newer, reason in damaged.items():
                self._set_aside(newer, reason)
            return step, state, progress
        if damaged:
            reasons = "; ".join(f"that of step {s}: {why}" for s, why in damaged.items())
            raise CheckpointError(
                f"no checkpoint in {self._directory} is whole ({reasons}); nothing was changed: "
                f"put a copy of one back, {RESTART}"
            )
        return None

    def restore_step(self, step: int, target: PyTree) -> tuple[PyTree, dict[str, Any]]:
        """The checkpoint of that step, verified: (state, progress).

        Raises:
            CheckpointError: when it is absent, unreadable, damaged or of another model.
        """
        if step not in self.steps():
            raise CheckpointError(
                f"{self._directory}: no checkpoint of step {step}; there are {self.steps()}"
            )
        try:
            return self._read(step, target)
        except Mismatch as error:
            raise CheckpointError(
                f"checkpoint {self._directory / str(step)} is damaged: {first_line(error)}"
            ) from error

    def _read(self, step: int, target: PyTree) -> tuple[PyTree, dict[str, Any]]:
        """A checkpoint, read twice before it counts as damaged; all processes agree.

        Raises:
            Mismatch: when it is damaged.
            CheckpointError: when it cannot be read, or is of another model.
        """
        where = self._directory / str(step)
        found, error, worst = None, None, DAMAGED
        for _ in range(2):
            found, error = None, None
            try:
                found = self._restore(step, target)
            except CheckpointError as e:
                error = e
            except Exception as e:  # orbax raises all kinds, builtin Exception among them
                error = _cause(e, where)
            worst = _worst(_outcome(error))
            if worst == WHOLE and found is not None:
                return found
            if worst != DAMAGED:
                break
        if worst == FOREIGN and isinstance(error, CheckpointError):
            raise error
        if worst == DAMAGED:
            raise Mismatch(first_line(error) if error else "another process could not read it")
        why = first_line(error) if error else "another process could not"
        older = [s for s in self.steps() if s < step]
        way = f"move {where} away to go on from that of step {older[-1]}" if older else RESTART
        raise CheckpointError(
            f"checkpoint {where} cannot be read: {why}; it may well be whole, so nothing was "
            f"changed: mend that and try again, or {way.removeprefix('or ')}"
        ) from error

    def _restore(self, step: int, target: PyTree) -> tuple[PyTree, dict[str, Any]]:
        where = self._directory / str(step)
        record, progress = read_json(where / "integrity"), read_json(where / "progress")
        check_seal(record, progress, step)
        expected, target = record["leaves"], unfrozen(target)
        _check_structure(where, expected, target)
        check_claims(where / "state", target)
        args = self._ocp.args
        restored = self._manager.restore(
            step, args=args.Composite(state=args.StandardRestore(target))
        ).state
        for path, value in fingerprint(restored).items():
            if value != expected[path]:
                raise Mismatch(f"checksum of {path} is wrong")
        if (own := getattr(restored, "step", None)) is not None and int(own) != step:
            raise Mismatch(f"it is that of step {int(own)}")
        if frozen := self._frozen():
            restored = restored.replace(vars=restored.vars | {FROZEN: frozen})
        return restored, progress

    def _set_aside(self, step: int, reason: str) -> None:
        if self._read_only:
            self._say(f"checkpoint of step {step} is damaged ({reason}); using the one before")
            return
        aside = free_name(self._directory / f"corrupt-{step}")
        self._say(
            f"checkpoint of step {step} is damaged ({reason}); "
            f"set aside as {aside}, using the one before"
        )
        _barrier(f"named-{step}")
        if jax.process_index() == 0:
            os.rename(self._directory / str(step), aside)
        _barrier(f"aside-{step}")
        self._scores.pop(step, None)
        self._manager.reload()

    def _write_error(self, step: int | None, error: Exception) -> CheckpointError:
        what = "the checkpoint" if step is None else f"the checkpoint of step {step}"
        # orbax counts a step as soon as its write begins; its directory appears when it is whole
        saved = [s for s in self.steps() if (self._directory / str(s)).is_dir()]
        left = f"the checkpoint of step {saved[-1]} is whole" if saved else "none was saved before"
        return CheckpointError(
            f"could not write {what} to {self._directory}: {first_line(error)} "
            f"({room(self._directory, self._size)}); {left}; "
            "free some space or choose another --workdir, then run the same command again"
        )


def _manager_class(ocp: Any) -> Any:
    """Orbax's manager, but for its own scores: one that is damaged keeps it from opening."""

    class Manager(ocp.CheckpointManager):
        def metrics(self, step: int) -> None:
            return None

    return Manager


class _Kept:
    """Orbax's policy of what to preserve: the newest, the best, and scores that are not known."""

    def __init__(self, checkpoints: Checkpoints, last: int, best: bool):
        self._checkpoints, self._last, self._best = checkpoints, last, best

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        steps, all_scores = [c.step for c in checkpoints], self._checkpoints._scores
        scores = {s: score for s in steps if (score := all_scores.get(s)) is not None}
        known = [s for s in scores if not np.isnan(scores[s])]
        kept = set(sorted(steps)[-self._last :])
        if self._best:
            kept |= set(sorted(known, key=lambda s: (scores[s], s))[:1])
            kept |= {s for s in scores if np.isnan(scores[s])}
        return [step in kept for step in steps]


def _cause(error: Exception, where: pathlib.Path) -> Exception:
    """The error, or what keeps the files from being read."""
    if unreadable(error):
        return error if isinstance(error, Unreadable) else Unreadable(first_line(error))
    try:
        check_readable(where)
    except Unreadable as reason:
        return reason
    return error


def _outcome(error: Exception | None) -> int:
    if error is None:
        return WHOLE
    if isinstance(error, CheckpointError):
        return FOREIGN
    return UNREADABLE if isinstance(error, Unreadable) else DAMAGED


def _check_structure(where: pathlib.Path, expected: dict[str, list[Any]], target: PyTree) -> None:
    wanted = {path: [list(x.shape), str(x.dtype)] for path, x in paths(target)}
    differing = [
        f"{path}: {expected.get(path, ['absent'])[:2]} saved, {wanted.get(path, ['absent'])} wanted"
        for path in sorted(expected.keys() | wanted.keys())
        if expected.get(path, ["absent"])[:2] != wanted.get(path, ["absent"])
    ]
    if differing:
        raise CheckpointError(
            f"checkpoint {where} holds another model, {len(differing)} tensors differ, the first: "
            f"{differing[0]}; was jaxgen changed since it was written?"
        )


def _worst(outcome: int) -> int:
    if jax.process_count() == 1:
        return outcome
    return int(np.max(multihost_utils.process_allgather(np.asarray(outcome))))


def _barrier(name: str) -> None:
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)
