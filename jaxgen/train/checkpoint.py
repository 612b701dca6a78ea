"""Checkpoints: asynchronous, atomic, verified on restore; the only user of orbax.

Orbax writes no checksums: one flipped bit restores silently wrong. Every checkpoint here carries
shape, type and checksum of each leaf, and a checksum of the data position. A checkpoint that does
not restore to them is set aside as `corrupt-<step>`, and the one before is used.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from jaxgen.types import PyTree

FULL_DISK_MARGIN = 1.1
FEW_BYTES = 2**25  # of a state whose checksums take less time than to compile them


class CheckpointError(RuntimeError):
    """A checkpoint that could not be written or used. One line: what, where, what to do."""


def _paths(tree: PyTree) -> list[tuple[str, Any]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [(jax.tree_util.keystr(path, simple=True, separator="/"), x) for path, x in leaves]


@jax.jit
def _checksums(tree: PyTree) -> Any:
    """Per leaf, the sum modulo 2**32 of its words, each mixed with its position.

    Any single changed word changes the sum, for the mixing is a bijection of the word; an
    exchange of words does too, but for one case in 2**32. How the leaf is sharded does not.

    Source: MurmurHash3 (Appleby, public domain), the final mix of 32 bits.
    """

    def mix(h: jax.Array) -> jax.Array:
        h = (h ^ (h >> 16)) * jnp.uint32(0x85EBCA6B)
        h = (h ^ (h >> 13)) * jnp.uint32(0xC2B2AE35)
        return h ^ (h >> 16)

    def of(x: jax.Array) -> jax.Array:
        if x.dtype == jnp.bool_:
            x = x.astype(jnp.uint8)
        words = jax.lax.bitcast_convert_type(x, f"uint{8 * min(x.dtype.itemsize, 4)}")
        words = words.astype(jnp.uint32)
        index = jnp.zeros(words.shape, jnp.uint32)
        for axis, size in enumerate(words.shape):
            index = index * jnp.uint32(size) + jax.lax.broadcasted_iota(
                jnp.uint32, words.shape, axis
            )
        return jnp.sum(mix(words ^ mix(index + 1)), dtype=jnp.uint32)

    return [of(x) for x in jax.tree.leaves(tree)]


def _checksum(x: Any) -> int:
    """What `_checksums` gives of one leaf, by NumPy: a program of many leaves compiles for long."""
    x = np.ascontiguousarray(x)
    words = x.reshape(-1).view(f"uint{8 * min(x.dtype.itemsize, 4)}")

    def mix(h: np.ndarray) -> np.ndarray:
        h = (h ^ (h >> 16)) * np.uint32(0x85EBCA6B)
        h = (h ^ (h >> 13)) * np.uint32(0xC2B2AE35)
        return h ^ (h >> 16)

    index = np.arange(1, len(words) + 1, dtype=np.uint32)
    return int(np.sum(mix(words.astype(np.uint32) ^ mix(index)), dtype=np.uint32))


def fingerprint(tree: PyTree) -> dict[str, list[Any]]:
    """path -> [shape, dtype, checksum] of every leaf."""
    leaves = jax.tree.leaves(tree)
    few = sum(x.nbytes for x in leaves) <= FEW_BYTES
    if few and all(getattr(x, "is_fully_addressable", True) for x in leaves):
        sums = [_checksum(x) for x in jax.device_get(leaves)]
    else:
        sums = jax.device_get(_checksums(tree))
    return {
        path: [list(x.shape), str(x.dtype), int(s)]
        for (path, x), s in zip(_paths(tree), sums, strict=True)
    }


def _seal(leaves: dict[str, list[Any]], progress: dict[str, Any]) -> dict[str, Any]:
    """What is written beside a state: its fingerprint, and a checksum of all that is JSON."""
    text = json.dumps([leaves, progress], sort_keys=True)
    return {"leaves": leaves, "sha256": hashlib.sha256(text.encode()).hexdigest()}


def state_digest(state: PyTree) -> str:
    """sha256 over path, type, shape and bytes of every leaf: equal digests are equal states."""
    digest = hashlib.sha256()
    for path, x in _paths(state):
        if isinstance(x, jax.Array) and not x.is_fully_addressable:
            x = multihost_utils.process_allgather(x, tiled=True)
        array = np.ascontiguousarray(jax.device_get(x))
        digest.update(f"{path}|{array.dtype}|{array.shape}|".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


class Checkpoints:
    """The checkpoints of one run: the last `keep_last`, and the one with the lowest score."""

    def __init__(
        self,
        directory: pathlib.Path,
        *,
        keep_last: int = 2,
        keep_best: bool = True,
        read_only: bool = False,
        say: Callable[[str], None] = print,
    ):
        """Opens the directory, and creates it unless `read_only`.

        Args:
            directory: of the checkpoints.
            keep_last: how many of the newest are kept; 2 or more leaves one to fall back on.
            keep_best: keep the best too.
            read_only: change nothing on disk.
            say: where messages go.

        Raises:
            CheckpointError: for a damaged score, if `read_only`.
        """
        import orbax.checkpoint as ocp

        self._ocp, self._directory, self._say = ocp, directory, say
        self._read_only = read_only
        if keep_last < 1:
            raise ValueError(f"config.checkpoint.keep_last={keep_last}, expected 1 or more")
        damaged = _damaged_scores(directory) if read_only or jax.process_index() == 0 else []
        for path in damaged:  # one would keep orbax from opening the rest
            if read_only:
                raise CheckpointError(f"{path} is damaged: delete {path.parent}, a mere score")
            shutil.rmtree(path.parent)
        if not read_only:
            _barrier("scores")
        policies = ocp.checkpoint_managers
        keep = [policies.LatestN(keep_last)]
        if keep_best:
            best = policies.BestN(
                get_metric_fn=_score, reverse=True, n=1, keep_checkpoints_without_metrics=False
            )
            keep.append(best)
        options = {} if read_only else {"preservation_policy": policies.AnyPreservationPolicy(keep)}
        self._manager = ocp.CheckpointManager(
            directory,
            options=ocp.CheckpointManagerOptions(
                best_fn=_score,
                best_mode="min",
                create=not read_only,
                cleanup_tmp_directories=not read_only,
                read_only=read_only,
                **options,
            ),
        )

    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, ascending."""
        return sorted(self._manager.all_steps())

    def best_step(self) -> int | None:
        """The step with the lowest score, None without scores."""
        return self._manager.best_step()

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
        args = self._ocp.args
        size = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))
        try:
            self._check_room(size)
            self._manager.save(
                step,
                args=args.Composite(
                    state=args.StandardSave(state),
                    progress=args.JsonSave(progress),
                    integrity=args.JsonSave(_seal(fingerprint(state), progress)),
                ),
                metrics=None if score is None else {"score": float(score)},
            )
        except Exception as error:
            raise self._write_error(step, error) from error

    def wait(self) -> None:
        """Waits until what was saved is on disk.

        Raises:
            CheckpointError: if it could not be written.
        """
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise self._write_error(None, error) from error

    def close(self) -> None:
        """Releases the manager's threads. A failed write was reported by `wait`."""
        try:
            self._manager.close()
        except Exception as error:
            self._say(f"closing the checkpoints: {_first_line(error)}")

    def restore(self, target: PyTree) -> tuple[int, PyTree, dict[str, Any]] | None:
        """The newest checkpoint that is whole: (step, state, progress); None if there is none.

        Args:
            target: shapes, types and shardings, see `sharding.abstract`.

        Raises:
            CheckpointError: for a checkpoint of another model, which is not damaged.
        """
        for step in reversed(self.steps()):
            try:
                state, progress = self._restore(step, target)
                error = None
            except CheckpointError:
                raise
            except Exception as e:  # orbax raises all kinds, builtin Exception among them
                error = e
            if _all_agree(error is None):
                return step, state, progress
            reason = _first_line(error) if error else "another process could not read it"
            self._set_aside(step, reason)
        return None

    def restore_step(self, step: int, target: PyTree) -> tuple[PyTree, dict[str, Any]]:
        """The checkpoint of that step, verified: (state, progress).

        Raises:
            CheckpointError: when it is absent, damaged or of another model.
        """
        if step not in self.steps():
            raise CheckpointError(
                f"{self._directory}: no checkpoint of step {step}; there are {self.steps()}"
            )
        try:
            return self._restore(step, target)
        except CheckpointError:
            raise
        except Exception as error:
            raise CheckpointError(
                f"checkpoint {self._directory / str(step)} is damaged: {_first_line(error)}"
            ) from error

    def _restore(self, step: int, target: PyTree) -> tuple[PyTree, dict[str, Any]]:
        args = self._ocp.args
        small = args.Composite(progress=args.JsonRestore(), integrity=args.JsonRestore())
        small = self._manager.restore(step, args=small)
        expected = small.integrity["leaves"]
        if small.integrity != _seal(expected, small.progress):
            raise ValueError("checksum of the data position is wrong")
        _check_structure(self._directory / str(step), expected, target)
        restored = self._manager.restore(
            step, args=args.Composite(state=args.StandardRestore(target))
        ).state
        for path, value in fingerprint(restored).items():
            if value != expected[path]:
                raise ValueError(f"checksum of {path} is wrong")
        return restored, small.progress

    def _set_aside(self, step: int, reason: str) -> None:
        if self._read_only:
            self._say(f"checkpoint of step {step} is damaged ({reason}); using the one before")
            return
        aside = self._directory / f"corrupt-{step}"
        self._say(
            f"checkpoint of step {step} is damaged ({reason}); "
            f"set aside as {aside}, using the one before"
        )
        if jax.process_index() == 0:
            shutil.rmtree(aside, ignore_errors=True)
            os.replace(self._directory / str(step), aside)
        _barrier(f"aside-{step}")
        self._manager.reload()

    def _check_room(self, size: int) -> None:
        free = shutil.disk_usage(self._directory).free
        if free < FULL_DISK_MARGIN * size:
            raise OSError(
                errno.ENOSPC, f"{size / 2**20:.1f} MiB to write, {free / 2**20:.1f} MiB free"
            )

    def _write_error(self, step: int | None, error: Exception) -> CheckpointError:
        what = "the checkpoint" if step is None else f"the checkpoint of step {step}"
        # orbax counts a step as soon as its write begins; its directory appears when it is whole
        saved = [s for s in self.steps() if (self._directory / str(s)).is_dir()]
        left = f"the checkpoint of step {saved[-1]} is whole" if saved else "none was saved before"
        return CheckpointError(
            f"could not write {what} to {self._directory}: {_first_line(error)}; {left}; "
            "free some space or choose another --workdir, then run the same command again"
        )


def _score(metrics: dict[str, float]) -> float:
    return metrics["score"]


def _damaged_scores(directory: pathlib.Path) -> list[pathlib.Path]:
    damaged = []
    for path in directory.glob("*/metrics/metrics"):
        try:
            float(_score(json.loads(path.read_text())))
        except (ValueError, KeyError, TypeError):
            damaged.append(path)
    return damaged


def _check_structure(where: pathlib.Path, expected: dict[str, list[Any]], target: PyTree) -> None:
    wanted = {path: [list(x.shape), str(x.dtype)] for path, x in _paths(target)}
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


def _first_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if "No space left" in text or getattr(error, "errno", None) == errno.ENOSPC:
        text = f"no space left on the disk ({text})"
    return text if len(text) <= 300 else f"{text[:150]} ... {text[-145:]}"  # the cause comes last


def _all_agree(ok: bool) -> bool:
    if jax.process_count() == 1:
        return ok
    return bool(np.all(multihost_utils.process_allgather(np.asarray(ok))))


def _barrier(name: str) -> None:
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)
