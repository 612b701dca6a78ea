"""What proves that a state is the one that was saved: checksums of its leaves, and a seal."""

from __future__ import annotations

import hashlib
import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from jaxgen.train.faults import first_line, unreadable
from jaxgen.types import PyTree

FEW_BYTES = 2**25  # of a state whose checksums take less time than to compile them


class Mismatch(ValueError):
    """Bytes that could be read and are not those that were written."""


def paths(tree: PyTree) -> list[tuple[str, Any]]:
    """(path, leaf) of every leaf, as "params/model/kernel"."""
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
        for (path, x), s in zip(paths(tree), sums, strict=True)
    }


def seal(
    leaves: dict[str, list[Any]],
    progress: Mapping[str, Any],
    step: int,
    score: float | None,
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """What is written beside a state, with a checksum over all of it and the data position.

    Args:
        leaves: of `fingerprint`.
        progress: the data position.
        step: of the checkpoint; a copy under another number is recognised.
        score: see `Checkpoints.save`.
        about: config and data of the run, for the day when its own files are missing.
    """
    record = {"leaves": leaves, "step": step, "score": score, "about": dict(about)}
    return record | {"sha256": _sha256([record, progress])}


def check_seal(record: Any, progress: Any, step: int) -> None:
    """Checks what `seal` has written, and what was written before the step was in it.

    Raises:
        Mismatch: saying what is wrong.
    """
    if not isinstance(record, dict) or not isinstance(progress, dict):
        raise Mismatch("integrity and progress are no JSON objects")
    sealed = {k: v for k, v in record.items() if k != "sha256"}
    if "step" not in sealed:
        sealed = sealed.get("leaves")
    if record.get("sha256") != _sha256([sealed, progress]):
        raise Mismatch("checksum of the data position is wrong")
    if record.get("step", step) != step:
        raise Mismatch(f"it is that of step {record['step']}")


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def state_digest(state: PyTree) -> str:
    """sha256 over path, type, shape and bytes of every leaf: equal digests are equal states."""
    digest = hashlib.sha256()
    for path, x in paths(state):
        if isinstance(x, jax.Array) and not x.is_fully_addressable:
            x = multihost_utils.process_allgather(x, tiled=True)
        array = np.ascontiguousarray(jax.device_get(x))
        digest.update(f"{path}|{array.dtype}|{array.shape}|".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def read_json(item: pathlib.Path) -> Any:
    """The value of one JSON item of a checkpoint; raises Mismatch where it is none."""
    try:
        return json.loads((item / "metadata").read_bytes())
    except (ValueError, RecursionError) as error:
        raise Mismatch(f"{item.name} is damaged: {first_line(error)}") from error


def score_of(where: pathlib.Path, step: int, say: Callable[[str], None]) -> float | None:
    """The sealed score of a checkpoint, or that of a version that kept it in a file of its own.

    The latter was never lower than the lowest one so far, which is part of the data position.
    """
    try:
        record, progress = read_json(where / "integrity"), read_json(where / "progress")
        check_seal(record, progress, step)
        if "score" in record:
            return record["score"]
        path = where / "metrics" / "metrics"
        if not path.exists():
            return None
        try:
            score = float(json.loads(path.read_bytes())["score"])
            if score >= progress.get("best", score):
                return score
        except (ValueError, KeyError, TypeError, RecursionError):
            pass
        say(f"{path} is damaged: the score of step {step} does not count")
        return None
    except OSError as error:
        return float("nan") if unreadable(error) else None
    except Mismatch:
        return None  # its state will not restore either, and that is said then
