"""The samples of a model: image i of a set is a function of the seed, the set and i alone.

Every image that jaxgen shows, writes or measures is drawn here. Images come in chunks of one key
each, whose size is a property of the data: how many are asked for, how many devices share the
work and how many chunks a device draws at once changes nothing but roundings.

`Kept` sets are files of one chunk each, written whole or not at all: an interrupted generation of
50,000 images goes on where it stopped and ends with the same images.
"""

from __future__ import annotations

import dataclasses
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
from jaxgen.evaluate.givens import check_given, check_whole, split_given
from jaxgen.evaluate.validation import Options, check_count, check_seed, options_of, short
from jaxgen.files import atomic
from jaxgen.progress import track
from jaxgen.rundir import write_json
from jaxgen.types import Array, DataSpec, Method, PyTree, State

CHUNK = 128  # examples at most: other sizes draw other examples
NUMBERS = 2**18  # of a chunk's examples together, at most
KEYS = 3  # raised when the same seed gives other images than before
AXES = ("data", "fsdp")
IDLE = 2**32 - 1  # number of a chunk that nobody asked for, on a device for which none is left


def chunk_size(spec: DataSpec) -> int:
    """Examples of a chunk: a power of two, 128 of 28x28x1, 64 of 32x32x3, 1 of 512x512x3."""
    return min(CHUNK, 2 ** max(0, int(math.log2(NUMBERS / spec.dims))))


def chunk_key(key: Array, number: Any, of_set: Any = 0) -> Array:
    """The key of a chunk.

    The first chunk of the first set draws with `key` itself: it is one call of `Method.sample`.

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


class Sampler:
    """Draws a method's samples; what it compiled serves all seeds, sets, numbers and classes."""

    def __init__(
        self,
        method: Method,
        spec: DataSpec,
        mesh: Mesh,
        who: str = "this model",
        size: int | None = None,
    ):
        """Compiles at the first use.

        Args:
            method: that samples.
            spec: of the data.
            mesh: whose devices share the work.
            who: samples, for messages.
            size: of a chunk; of another one than the default come other samples.
        """
        self.method, self.spec, self.mesh = method, spec, mesh
        self.size = size or chunk_size(spec)
        self._who = who
        self._compiled: dict[Any, Callable[..., Any]] = {}

    def samples(
        self,
        state: State,
        num: int,
        seed: int = 0,
        knobs: Mapping[str, Any] | None = None,
        *,
        of_set: int = 0,
        given: Mapping[str, np.ndarray] | None = None,
        batch: int | None = None,
    ) -> Samples:
        """A set of samples, checked now and drawn when it is read.

        Args:
            state: to draw from, of averaged params.
            num: how many.
            seed: of the latents, 0 to 2**32 - 1.
            knobs: of `Method.sample`, and fields of what it is given: see `givens.split_given`.
            of_set: sets of different numbers are independent of each other.
            given: field -> [num, ...] in the units of batches, of what `knobs` does not give.
            batch: images that a device draws at once, in whole chunks, at least one.

        Raises:
            ConfigError: for a number, a seed or a knob that cannot be, or a field that is missing.
        """
        num, seed = check_count(num, "num"), check_seed(seed)
        batch = self.size if batch is None else check_count(batch, "batch")
        fields, rest = split_given(self.spec, knobs or {})
        options = options_of(self.method.sample, 3, rest)
        rows = dict(given or {}) | check_given(self.method, self.spec, fields, num, self._who)
        check_whole(self.method, self.spec, rows, self._who)
        options = options._replace(given=rows)
        chunks = max(1, batch // self.size)
        return Samples(self, state, num, seed, of_set, options, dict(knobs or {}), chunks)

    def program(self, options: Options, chunks: int) -> Callable[..., Any]:
        """Compiled: (state, key, set, numbers, values, rows) -> [devices * chunks * size, ...].

        Args:
            options: whose static ones it is made for.
            chunks: of a device.
        """
        key = (chunks, *sorted(options.static.items()))
        if key not in self._compiled:
            self._compiled[key] = self._made(dict(options.static), chunks)
        return self._compiled[key]

    def _made(self, static: dict[str, Any], chunks: int) -> Callable[..., Any]:
        def chunk(state: State, key: Any, of_set: Any, number: Any, values: Any, rows: Any) -> Any:
            given = {"given": rows} if rows else {}
            key = chunk_key(key, number, of_set)
            return self.method.sample(state, key, self.size, **given, **values, **static)

        once = jax.jit(chunk, inline=True)  # is traced once for both uses

        def worked(state: State, key: Any, of_set: Any, number: Any, values: Any, rows: Any) -> Any:
            arguments = (state, key, of_set, number, values, rows)
            shape = jax.eval_shape(once, *arguments)
            idle = jnp.zeros(shape.shape, shape.dtype)
            return jax.lax.cond(number == np.uint32(IDLE), lambda *_: idle, once, *arguments)

        def of_device(
            state: State, key: Any, of_set: Any, numbers: Any, values: Any, rows: Any
        ) -> Any:
            if chunks == 1:
                return worked(state, key, of_set, numbers[0], values, rows)
            rows = jax.tree.map(lambda r: r.reshape(chunks, self.size, *r.shape[1:]), rows)
            every = jax.vmap(chunk, in_axes=(None, None, None, 0, None, 0))
            x = every(state, key, of_set, numbers, values, rows)
            return x.reshape(-1, *x.shape[2:])

        whole, split = PartitionSpec(), PartitionSpec(AXES)
        every = jax.shard_map(
            of_device,
            mesh=self.mesh,
            in_specs=(whole, whole, whole, split, whole, split),
            out_specs=split,
            check_vma=False,
        )

        def draw(state: State, *arguments: Any) -> Any:
            used = state.averaged().replace(opt={}, ema={})
            return every(sharding.whole_params(used, self.mesh), *arguments)

        return jax.jit(draw, out_shardings=sharding.replicated(self.mesh))


@dataclasses.dataclass(frozen=True, eq=False)
class Samples:
    """A set of samples that are drawn when they are read: see `Sampler.samples`.

    Attributes:
        sampler: of the chunks.
        state: that it draws from.
        num: of samples.
        seed: of the latents.
        of_set: its number.
        options: checked.
        knobs: as they were given.
        chunks: that a device draws at once.
    """

    sampler: Sampler
    state: State
    num: int
    seed: int
    of_set: int
    options: Options
    knobs: Mapping[str, Any]
    chunks: int

    def __len__(self) -> int:
        return self.num

    def __iter__(self) -> Iterator[np.ndarray]:
        """[B, ...] in the units of batches, chunk by chunk, the last one cut to the number."""
        size = self.sampler.size
        for number, x in self.drawn(range(math.ceil(self.num / size))):
            yield x[: self.num - number * size]

    @property
    def at_once(self) -> int:
        """Chunks of one call, on all devices."""
        return self.chunks * self.sampler.mesh.size

    def drawn(self, numbers: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        """(number, [size, ...]) of these chunks, as many of one call as devices draw at once.

        Raises:
            ConfigError: for knobs that the method refuses, or samples that are not finite.
        """
        size, step = self.sampler.size, self.at_once
        total = min(len(numbers) * size, self.num)
        what = f"drawing set {self.of_set + 1}" if self.of_set else "drawing"
        starts = range(0, len(numbers), step)
        for first in track(starts, what, total, self.sampler.spec.unit, lambda _: step * size):
            here = list(numbers[first : first + step])
            x = self._images(here + [IDLE] * (step - len(here)))
            for i, number in enumerate(here):
                yield number, self._checked(x[i * size : (i + 1) * size], number)

    def on_devices(self, numbers: Sequence[int]) -> Any:
        """The chunks of one call as they come, without waiting for them."""
        call = self.sampler.program(self.options, self.chunks)
        return call(self.state, *self._arguments(numbers))

    def compiled(self) -> Any:
        """The program of one call."""
        call: Any = self.sampler.program(self.options, self.chunks)
        return call.lower(self.state, *self._arguments(range(self.at_once))).compile()

    def _arguments(self, numbers: Sequence[int]) -> tuple[Any, ...]:
        size, options = self.sampler.size, self.options
        parts = [
            filled(options.given, min(n * size, self.num - 1), size)
            for n in numbers
            if options.given
        ]
        rows = jax.tree.map(lambda *r: np.concatenate(r), *parts) if parts else {}
        key, of_set = jax.random.key(self.seed), np.uint32(self.of_set)
        return key, of_set, np.asarray(numbers, np.uint32), options.values, rows

    def _images(self, numbers: Sequence[int]) -> np.ndarray:
        try:
            return np.asarray(self.on_devices(numbers))
        except (TypeError, ValueError) as error:  # of the method, about its knobs
            if not self.knobs:
                raise
            text = ", ".join(f"{k}={short(v)}" for k, v in self.knobs.items())
            raise ConfigError(f"{text}: {str(error).splitlines()[0]}") from error

    def _checked(self, x: np.ndarray, number: int) -> np.ndarray:
        spec = self.sampler.spec
        if x.dtype.kind != "f":
            return x
        bad = int((~np.isfinite(x)).reshape(len(x), -1).any(1).sum())
        if bad:
            raise ConfigError(
                f"{bad} of the {len(x)} {spec.unit} of chunk {number} hold NaN or infinity; look "
                "at the run's metrics, or take an earlier --step"
            )
        return to_levels(x, spec.levels)


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
class Kept:
    """A set in files of one chunk each; reading it makes what is missing.

    Attributes:
        samples: the set.
        folder: of the files, made by `kept`.
        say: is told how far it is, None for silence.
    """

    samples: Samples
    folder: pathlib.Path
    say: Callable[[str], None] | None = None

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[np.ndarray]:
        """See `Samples`."""
        self.complete()
        size = self.samples.sampler.size
        for number in range(self._count):
            yield np.load(self._path(number))[: len(self) - number * size]

    def head(self, num: int) -> np.ndarray:
        """The first of them, [num, ...], without making the rest."""
        samples = dataclasses.replace(self.samples, num=min(num, len(self)))
        return np.concatenate(list(dataclasses.replace(self, samples=samples)))

    def complete(self) -> None:
        """Makes the chunks that are not there, or not whole."""
        missing = [n for n in range(self._count) if not self._whole(n)]
        if missing and len(missing) < self._count and self.say:
            there = self._count - len(missing)
            self.say(f"generation resumed: {there} of {self._count} chunks are in {self.folder}")
        for number, x in self.samples.drawn(missing):
            with atomic(self._path(number)) as file:
                np.save(file, x)

    @property
    def _count(self) -> int:
        return math.ceil(len(self) / self.samples.sampler.size)

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
        sampler = self.samples.sampler
        shape = (sampler.size, *sampler.spec.shape)
        return found.shape == shape and found.dtype.kind in "biuf"


def kept(
    samples: Samples,
    root: pathlib.Path,
    about: Mapping[str, Any],
    say: Callable[[str], None] | None = None,
) -> Kept:
    """A set in a folder below `root`, named by the hash of all that the images depend on.

    The number of samples is not in it: a larger set begins with a smaller one.

    Args:
        samples: the set.
        root: of all such folders.
        about: what else tells models apart: the step, the digest of the state.
        say: see `Kept`.
    """
    recipe = dict(about) | {
        "knobs": {k: _told(v) for k, v in sorted(samples.knobs.items())},
        "seed": samples.seed,
        "keys": KEYS,
        "set": samples.of_set,
        "chunk": samples.sampler.size,
    }
    told = split_given(samples.sampler.spec, samples.knobs)[0]
    own = {k: rows for k, rows in samples.options.given.items() if k not in told}
    recipe |= {field: _told(rows) for field, rows in own.items()}
    name = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "about.json", recipe)
    return Kept(samples, folder, say)


def _told(value: Any) -> str:
    """An array by its hash, whose text may leave numbers out; other values by their text."""
    plain = value is None or isinstance(value, str | int | float)
    return repr(value) if plain else hashlib.sha256(np.asarray(value).tobytes()).hexdigest()
