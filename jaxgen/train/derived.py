"""Fields that a frozen stage gives: the latents of every example, computed once and kept.

`config.frozen.first = {"run": RUN, "field": "z"}` adds the field "z" to every batch: what the
stage's `encode` finds in "x". Of a stage that names its latents (`abilities.Coded`) they are fields
of these names, "top,bottom". All are kept beside prepared data, under a name that is a hash of the
stage, the data and how they were computed; a computation that was stopped goes on where it was.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from jaxgen.abilities import Coded, Encodes, given
from jaxgen.config import ConfigError
from jaxgen.data import prepare
from jaxgen.data.dataset import Dataset, Split
from jaxgen.data.redrawn import RedrawnSplit
from jaxgen.files import write_arrays
from jaxgen.train.frozen import Stage, Stages, Wanted
from jaxgen.types import DataSpec, Field, Units

CHUNK = 1000  # examples encoded at a time
ONE = "z"  # name of the latents of a stage that names none
KINDS = {1: "vector", 2: "sequence", 3: "image"}  # by the rank of one example
Gives = Mapping[str, Mapping[str, Any]]  # stage -> {field: its JSON}, as the manifest has it


@dataclasses.dataclass(frozen=True, eq=False)
class DerivedSplit(Split):
    """A split with more fields, [N, ...] each, in the units of the spec."""

    base: Split
    arrays: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.base)

    @property
    def place(self) -> str:
        """Of the examples."""
        return self.base.place

    def take(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """See `Split.take`."""
        return self.base.take(indices) | {k: a[indices] for k, a in self.arrays.items()}

    def draw(
        self, indices: np.ndarray, rows: slice, seed: int, index: int
    ) -> dict[str, np.ndarray]:
        """See `Split.draw`. What is derived belongs to the x of `take`."""
        if self.base.redraws:
            return self.take(indices[rows])
        own = {k: a[indices[rows]] for k, a in self.arrays.items()}
        return self.base.draw(indices, rows, seed, index) | own

    def sha256(self) -> str:
        """Of the examples: what is derived follows from them."""
        return self.base.sha256()

    @property
    def labels(self) -> np.ndarray | None:
        """See `Split.labels`."""
        return self.base.labels

    def describe(self, spec: DataSpec) -> list[str]:
        """See `Split.describe`."""
        return self.base.describe(spec)


def wanted(config: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """stage -> fields, of the stages that give some."""
    section = config.get("frozen") or {}
    every = {name: Wanted.of(name, entry).field for name, entry in section.items()}
    return {name: tuple(field.split(",")) for name, field in every.items() if field}


def described(spec: DataSpec, config: Mapping[str, Any]) -> Gives:
    """What the manifest says of derived fields."""
    return {
        name: {field: spec.fields[field].as_json() for field in fields}
        for name, fields in wanted(config).items()
    }


def derived(
    dataset: Dataset,
    stages: Stages,
    config: Mapping[str, Any],
    gives: Gives,
    notes: Callable[[str], None],
) -> Dataset:
    """The data set with the fields that stages give.

    Args:
        dataset: whose "x" they see.
        stages: name -> stage.
        config: whose sections `frozen` and `data` say which fields, and where they are kept.
        gives: what a run that began before knows of them; {} for a new one.
        notes: where messages go.

    Raises:
        ConfigError: for a stage that finds no latents, or is of other data.
    """
    fields = wanted(config)
    anew = isinstance(dataset.splits["train"], RedrawnSplit)
    if fields and (dataset.flip or dataset.shift or anew):
        raise ConfigError(
            "config.frozen: a field is of the examples as they are, so that they can be neither "
            "flipped, shifted nor drawn anew: data.flip=False, data.shift=0, data.resampled=0, "
            "data.binarize=none, fixed or threshold"
        )
    root = prepare.data_root(config["data"].get("data_dir")) / "derived"
    for name, names in fields.items():
        for field in names:
            if field in dataset.spec.fields:
                raise ConfigError(f"config.frozen.{name}: the data have a field {field!r} already")
        arrays = _kept(dataset, stages[name], names, root, notes)
        for field in names:
            known = gives.get(name, {}).get(field)
            of_train = arrays["train"][field]
            made = Field.from_json(known) if known else _described(stages[name], field, of_train)
            dataset = _with_field(dataset, field, made, {k: a[field] for k, a in arrays.items()})
    return dataset


def _with_field(
    dataset: Dataset, name: str, field: Field, arrays: Mapping[str, np.ndarray]
) -> Dataset:
    """The data set with one more field, split -> [N, ...] in its own units."""
    spec = dataclasses.replace(dataset.spec, fields={**dataset.spec.fields, name: field})
    splits: dict[str, Split] = {
        k: DerivedSplit(dataset.splits[k], {name: field.units.inward(a) if field.units else a})
        for k, a in arrays.items()
    }
    return dataclasses.replace(dataset, spec=spec, splits=splits)


def _described(stage: Stage, name: str, z: np.ndarray) -> Field:
    """The field of latents [N, ...]; numbers of a vector, channels of a map are standardised."""
    if isinstance(stage.method, Coded):
        return stage.method.latent_fields[name]
    if (kind := KINDS.get(z.ndim - 1)) is None:
        raise ConfigError(f"config.frozen: latents of shape {z.shape[1:]} are no field")
    columns = z.reshape(-1, z.shape[-1])
    mean, std = columns.mean(0, dtype=np.float64), columns.std(0, dtype=np.float64)
    units = Units(tuple(mean.tolist()), tuple(np.where(std > 0, std, 1.0).tolist()))
    return Field(kind, z.shape[1:], units=units)


def _check(dataset: Dataset, stage: Stage, names: tuple[str, ...]) -> None:
    """Whether the stage finds these latents, in data like those that it was trained on."""
    method, x, own = stage.method, dataset.spec.x, stage.spec.x
    if not isinstance(method, Encodes):
        raise ConfigError(f"config.frozen.{stage.name}: {type(method).__name__} has no encode")
    known = tuple(method.latent_fields) if isinstance(method, Coded) else names[:1]
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(
            f"config.frozen.{stage.name}.field: {type(method).__name__} gives "
            f"{', '.join(known)}, and no {', '.join(unknown)}"
        )
    if (own.kind, own.shape, own.values) != (x.kind, x.shape, x.values):
        raise ConfigError(
            f"config.frozen.{stage.name} was trained on {own.kind} of {own.shape}, {own.values} "
            f"levels; {dataset.spec.name} has {x.kind} of {x.shape}, {x.values}"
        )


def _kept(
    dataset: Dataset,
    stage: Stage,
    fields: tuple[str, ...],
    root: pathlib.Path,
    notes: Callable[[str], None],
) -> dict[str, dict[str, np.ndarray]]:
    """split -> field -> [N, ...], float32 or integers, computed by the first who asks."""
    _check(dataset, stage, fields)
    coded = isinstance(stage.method, Coded)
    about = {"stage": stage.digest, "data": dataset.fingerprint(), "chunk": CHUNK}
    key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32]
    target, parts = root / key, root / f".{key}.parts"

    def file(split: str, latent: str) -> str:
        return f"{split}.{latent}.npy" if coded else f"{split}.npy"

    def fill(work: pathlib.Path) -> None:
        notes(f"computing latents of {dataset.spec.name} by stage {stage.name}, once, in {target}")
        for name, split in dataset.splits.items():
            chunks = list(_chunks(split, stage, parts / name))
            for latent in chunks[0]:
                np.save(work / file(name, latent), np.concatenate([c[latent] for c in chunks]))

    def opened(at: pathlib.Path) -> dict[str, dict[str, np.ndarray]]:
        return {k: {f: np.load(at / file(k, f)) for f in fields} for k in dataset.splits}

    said: list[str] = []
    arrays = prepare.opened(target, fill, opened, said)
    for note in said:
        notes(note)
    shutil.rmtree(parts, ignore_errors=True)
    return arrays


def _chunks(split: Split, stage: Stage, parts: pathlib.Path) -> Iterator[Mapping[str, np.ndarray]]:
    """Latents of `CHUNK` examples after another; those that are on disk are not computed again."""
    method, state = stage.method, stage.state()
    assert isinstance(method, Encodes)
    encode = jax.jit(method.encode)
    parts.mkdir(parents=True, exist_ok=True)
    for number in range(-(-len(split) // CHUNK)):
        rows = np.arange(number * CHUNK, min((number + 1) * CHUNK, len(split)))
        path = parts / f"{number:06}.npz"
        if path.exists():
            with np.load(path) as archive:
                yield dict(archive)
            continue
        batch = split.take(np.resize(rows, CHUNK))  # one shape; the surplus is cut off
        more = {k: batch[k] for k in given(method)}
        found = encode(state, batch["x"], jax.random.fold_in(jax.random.key(0), number), **more)
        arrays = _named(stage, found, len(rows))
        write_arrays(path, compressed=False, **arrays)
        yield arrays


def _named(stage: Stage, found: Any, num: int) -> dict[str, np.ndarray]:
    """The first latents by name."""
    if isinstance(stage.method, Coded):
        return {name: np.asarray(z)[:num] for name, z in found.items()}
    leaves = jax.tree.leaves(found)
    if len(leaves) != 1:
        raise ConfigError(
            f"config.frozen.{stage.name} finds {len(leaves)} arrays of latents, expected one"
        )
    z = np.asarray(leaves[0], np.float32)[:num]
    if not np.isfinite(z).all():
        raise ConfigError(f"config.frozen.{stage.name}: latents that are not finite")
    return {ONE: z}
