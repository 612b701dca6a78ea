"""Many images of a model, batch by batch: resumable, and the same on any number of devices.

Batch i is a function of (seed, set, i) alone and is computed on one device; several devices work
on several batches at a time. Every batch is one file, written whole or not at all, so that an
interrupted generation of 50,000 images goes on where it stopped and ends with the same images.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from jaxgen import sharding
from jaxgen.config import ConfigError
from jaxgen.evaluate.givens import check_given, split_given
from jaxgen.evaluate.validation import check_knobs, check_seed
from jaxgen.files import atomic
from jaxgen.rundir import write_json
from jaxgen.types import Array, DataSpec, Method, PyTree, State

CHUNK = 128  # examples at most: other sizes draw other examples
NUMBERS = 2**18  # of a chunk's examples together, at most
KEYS = 2  # raised when the same seed gives other images than before
AXES = ("data", "fsdp")


@dataclasses.dataclass(frozen=True, eq=False)
class Sampler:
    """Draws the batches of one set.

    Attributes:
        method: that samples.
        mesh: whose devices share the work.
        spec: of the data.
        knobs: of `Method.sample`, and fields of what it is given, see `givens.split_given`.
        seed: of the user.
        number: of the set: sets of different numbers are independent.
        batch: images of a key.
        balanced: give batch i the labels (i * batch + 0, 1, ...) modulo the number of classes.
        given: field -> [M, ...] in the units of batches, of which sample i is given row i modulo M.
    """

    method: Method
    mesh: Mesh
    spec: DataSpec
    knobs: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    seed: int = 0
    number: int = 0
    batch: int = CHUNK
    balanced: bool = False
    given: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks the knobs."""
        check_knobs(self.method, self.knobs)
        check_seed(self.seed, "--seed")
        if self.batch < 1:
            raise ConfigError(f"--batch={self.batch}, expected 1 or more")
        _ = self.fixed

    @functools.cached_property
    def fixed(self) -> dict[str, np.ndarray]:
        """Of what is given, what every batch is given alike, [batch, ...]."""
        return check_given(
            self.method, self.spec, split_given(self.spec, self.knobs)[0], self.batch
        )

    @functools.cached_property
    def draw(self) -> Callable[[State, Any, Any], Any]:
        """Compiled: (state, key, numbers of batches [devices]) -> [devices * batch, ...]."""
        _, knobs = split_given(self.spec, self.knobs)

        def one(state: State, key: Any, number: Any) -> Any:
            index = number[0] * self.batch + jnp.arange(self.batch)
            rows = {k: jnp.asarray(v)[index % len(v)] for k, v in self.given.items()} | self.fixed
            if self.balanced:
                rows["label"] = index % self.spec.num_classes
            given = {"given": rows} if rows else {}
            key = chunk_key(key, number[0], self.number)
            return self.method.sample(state, key, self.batch, **given, **knobs)

        whole, split = PartitionSpec(), PartitionSpec(AXES)
        every = jax.shard_map(
            one,
            mesh=self.mesh,
            in_specs=(whole, whole, split),
            out_specs=split,
            check_vma=False,
        )

        def draw(state: State, key: Any, numbers: Any) -> Any:
            used = state.averaged().replace(opt={}, ema={})
            return every(sharding.whole_params(used, self.mesh), key, numbers)

        return jax.jit(draw, out_shardings=sharding.replicated(self.mesh))

    @property
    def key(self) -> Any:
        """Of the seed."""
        return jax.random.key(self.seed)

    def batches(self, state: State, numbers: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        """(number, [batch, ...]) of these batches, as many at a time as there are devices.

        Raises:
            ConfigError: for knobs that the method refuses, or images that are not finite.
        """
        devices = self.mesh.size
        for first in range(0, len(numbers), devices):
            here = list(numbers[first : first + devices])
            padded = np.array(here + here[:1] * (devices - len(here)), np.uint32)
            x = self._images(state, padded)
            for i, number in enumerate(here):
                yield number, self._checked(x[i * self.batch : (i + 1) * self.batch], number)

    def _images(self, state: State, numbers: np.ndarray) -> np.ndarray:
        try:
            return np.asarray(self.draw(state, self.key, numbers))
        except (TypeError, ValueError) as error:  # of the method, about its knobs
            if not self.knobs:
                raise
            given = ", ".join(f"{k}={v!r}" for k, v in self.knobs.items())
            raise ConfigError(f"{given}: {str(error).splitlines()[0]}") from error

    def _checked(self, x: np.ndarray, number: int) -> np.ndarray:
        if x.dtype.kind != "f":
            return x
        bad = int((~np.isfinite(x)).reshape(len(x), -1).any(1).sum())
        if bad:
            raise ConfigError(
                f"{bad} of the {len(x)} {self.spec.unit} of batch {number} hold NaN or infinity: "
                "nothing is measured on them; look at the run's metrics, or take an earlier --step"
            )
        return to_levels(x, self.spec.levels)


def check_finite(state: State, step: int) -> None:
    """Refuses a state whose params are not finite: rounded to grey levels, NaN would be black.

    Raises:
        ConfigError: naming the first such tensor.
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(state.averaged().params):
        if jnp.issubdtype(leaf.dtype, jnp.floating) and not bool(jnp.isfinite(leaf).all()):
            raise ConfigError(
                f"the parameters of step {step} hold NaN or infinity "
                f"({jax.tree_util.keystr(path)}), and so would its images; take an earlier --step"
            )


def to_levels(x: np.ndarray, levels: int | None) -> np.ndarray:
    """Real-valued images in the units of the data to the nearest levels; others as they are."""
    if levels is None or x.dtype.kind != "f":
        return x
    return np.clip(np.rint(x), 0, levels - 1).astype(np.uint8 if levels <= 256 else np.uint16)


@dataclasses.dataclass(frozen=True, eq=False)
class Stored:
    """A set of generated images in files of one batch each; reading it makes what is missing.

    Attributes:
        sampler: of the batches.
        state: that it draws from.
        num: of images.
        folder: of the files, made by `stored`.
        say: is told how far it is, None for silence.
    """

    sampler: Sampler
    state: State
    num: int
    folder: pathlib.Path
    say: Callable[[str], None] | None = None

    def __len__(self) -> int:
        return self.num

    def __iter__(self) -> Iterator[np.ndarray]:
        """[B, ...] in the order of the batches; the last is cut to the number asked for."""
        self.complete()
        size = self.sampler.batch
        for number in range(self._count):
            yield np.load(self._path(number))[: self.num - number * size]

    def complete(self) -> None:
        """Makes the batches that are not there, or not whole."""
        missing = [n for n in range(self._count) if not self._whole(n)]
        if missing and len(missing) < self._count and self.say:
            there = self._count - len(missing)
            self.say(f"generation resumed: {there} of {self._count} batches are in {self.folder}")
        for made, (number, x) in enumerate(self.sampler.batches(self.state, missing), 1):
            with atomic(self._path(number)) as file:
                np.save(file, x)
            if self.say and made % 50 == 0:
                self.say(f"generated {made} of {len(missing)} batches")

    @property
    def _count(self) -> int:
        return math.ceil(self.num / self.sampler.batch)

    def _path(self, number: int) -> pathlib.Path:
        return self.folder / f"{number:06}.npy"

    def _whole(self, number: int) -> bool:
        path = self._path(number)
        if not path.exists():
            return False
        try:
            found = np.lib.format.open_memmap(path, mode="r")
        except (ValueError, EOFError):
            return False
        shape = (self.sampler.batch, *self.sampler.spec.shape)
        return found.shape == shape and found.dtype.kind in "biuf"


def stored(
    sampler: Sampler,
    state: State,
    num: int,
    root: pathlib.Path,
    about: Mapping[str, Any],
    say: Callable[[str], None] | None = None,
) -> Stored:
    """A set in a folder below `root`, named by the hash of all that the images depend on.

    Args:
        sampler: of the batches.
        state: that it draws from.
        num: of images; not in the hash, so that a larger set begins with a smaller one.
        root: of all such folders.
        about: what else tells models apart: the step, the digest of the state.
        say: see `Stored`.
    """
    if num < 1:
        raise ConfigError(f"--num={num}, expected 1 or more")
    recipe = dict(about) | {
        "knobs": {k: repr(v) for k, v in sorted(sampler.knobs.items())},
        "seed": sampler.seed,
        "keys": KEYS,
        "set": sampler.number,
        "batch": sampler.batch,
        "balanced": sampler.balanced,
    }
    for field, rows in sorted(sampler.given.items()):
        recipe[field] = hashlib.sha256(rows.tobytes()).hexdigest()
    name = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "about.json", recipe)
    return Stored(sampler, state, num, folder, say)


@dataclasses.dataclass(frozen=True, eq=False)
class Drawn:
    """A set that is generated when it is read, and not kept.

    Attributes:
        sampler: of the batches.
        state: that it draws from.
        num: of images.
    """

    sampler: Sampler
    state: State
    num: int

    def __len__(self) -> int:
        return self.num

    def __iter__(self) -> Iterator[np.ndarray]:
        """[B, ...], see `Stored`."""
        size = self.sampler.batch
        numbers = range(math.ceil(self.num / size))
        for number, x in self.sampler.batches(self.state, numbers):
            yield x[: self.num - number * size]


def chunk_size(spec: DataSpec) -> int:
    """Examples of a chunk: a power of two, 128 of 28x28x1, 64 of 32x32x3, 1 of 512x512x3."""
    return min(CHUNK, 2 ** max(0, int(math.log2(NUMBERS / spec.dims))))


def chunk_key(key: Array, number: Any, of_set: Any = 0) -> Array:
    """The key of a chunk.

    The first chunk of the first set draws with `key` itself: it is one call of `Method.sample`,
    as the grids of training are.

    Args:
        key: of the user's seed.
        number: of the chunk.
        of_set: sets of different numbers are independent.
    """
    later = jax.random.fold_in(jax.random.fold_in(key, of_set), number)
    return jnp.where((jnp.uint32(number) == 0) & (jnp.uint32(of_set) == 0), key, later)


def filled(rows: PyTree, start: int, size: int) -> PyTree:
    """`size` rows of every leaf from `start` on; beyond the end the last one again."""

    def part(leaf: np.ndarray) -> np.ndarray:
        found = leaf[start : start + size]
        missing = size - len(found)
        return np.concatenate([found, np.repeat(found[-1:], missing, 0)]) if missing else found

    return jax.tree.map(part, rows)
