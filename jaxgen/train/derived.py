"""Fields that a frozen stage gives: the latents of every example, computed once and kept.

`config.frozen.first = {"run": RUN, "field": "z"}` adds the field "z" to every batch: what the
stage's `encode` finds in "x". It is kept beside prepared data, under a name that is a hash of the
stage, the data and how it was computed; a computation that was stopped goes on where it was.
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

from jaxgen.abilities import Encodes, given
from jaxgen.config import ConfigError
from jaxgen.data import prepare
from jaxgen.data.dataset import Dataset, Split
from jaxgen.files import write_arrays
from jaxgen.train.frozen import Stage, Stages, Wanted
from jaxgen.types import DataSpec, Field, Units

CHUNK = 1000  # examples encoded at a time
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


def wanted(config: Mapping[str, Any]) -> dict[str, str]:
    """stage -> field, of the stages that give one."""
    section = config.get("frozen") or {}
    every = {name: Wanted.of(name, entry).field for name, entry in section.items()}
    return {name: field for name, field in every.items() if field}


def described(spec: DataSpec, config: Mapping[str, Any]) -> Gives:
    """What the manifest says of derived fields."""
    return {k: {field: spec.fields[field].as_json()} for k, field in wanted(config).items()}


def spec_with(spec: DataSpec, gives: Gives) -> DataSpec:
    """The spec of a run's data with the fields that its stages give."""
    more = {k: Field.from_json(v) for fields in gives.values() for k, v in fields.items()}
    return dataclasses.replace(spec, fields={**spec.fields, **more})


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
    if fields and (dataset.flip or dataset.shift or "dynamic" in dataset.binarized):
        raise ConfigError(
            "config.frozen: a field is of the examples as they are, so that they can be neither "
            "flipped, shifted nor binarised anew: data.flip=False, data.shift=0, data.binarize"
        )
    root = prepare.data_root(config["data"].get("data_dir")) / "derived"
    for name, field in fields.items():
        if field in dataset.spec.fields:
            raise ConfigError(f"config.frozen.{name}: the data have a field {field!r} already")
        arrays = _kept(dataset, stages[name], root, notes)
        known = gives.get(name, {}).get(field)
        made = Field.from_json(known) if known else _described(arrays["train"])
        spec = dataclasses.replace(dataset.spec, fields={**dataset.spec.fields, field: made})
        splits: dict[str, Split] = {
            k: DerivedSplit(dataset.splits[k], {field: made.units.inward(a) if made.units else a})
            for k, a in arrays.items()
        }
        dataset = dataclasses.replace(dataset, spec=spec, splits=splits)
    return dataset


def _described(z: np.ndarray) -> Field:
    """The field of latents [N, ...]; the numbers of a vector are standardised."""
    if (kind := KINDS.get(z.ndim - 1)) is None:
        raise ConfigError(f"config.frozen: latents of shape {z.shape[1:]} are no field")
    units = None
    if kind == "vector":
        mean, std = z.mean(0, dtype=np.float64), z.std(0, dtype=np.float64)
        units = Units(tuple(mean.tolist()), tuple(np.where(std > 0, std, 1.0).tolist()))
    return Field(kind, z.shape[1:], units=units)


def _kept(
    dataset: Dataset, stage: Stage, root: pathlib.Path, notes: Callable[[str], None]
) -> dict[str, np.ndarray]:
    """Latents of every split, [N, ...] float32, computed by the first who asks."""
    method, x = stage.method, dataset.spec.x
    if not isinstance(method, Encodes):
        raise ConfigError(f"config.frozen.{stage.name}: {type(method).__name__} has no encode")
    own = stage.spec.x
    if (own.kind, own.shape, own.values) != (x.kind, x.shape, x.values):
        raise ConfigError(
            f"config.frozen.{stage.name} was trained on {own.kind} of {own.shape}, {own.values} "
            f"levels; {dataset.spec.name} has {x.kind} of {x.shape}, {x.values}"
        )
    about = {"stage": stage.digest, "data": dataset.fingerprint(), "chunk": CHUNK}
    key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32]
    target, parts = root / key, root / f".{key}.parts"

    def fill(work: pathlib.Path) -> None:
        notes(f"computing latents of {dataset.spec.name} by stage {stage.name}, once, in {target}")
        for name, split in dataset.splits.items():
            chunks = list(_chunks(split, stage, parts / name))
            np.save(work / f"{name}.npy", np.concatenate(chunks))

    said: list[str] = []
    names = tuple(dataset.splits)
    arrays = prepare.opened(
        target, fill, lambda at: {k: np.load(at / f"{k}.npy") for k in names}, said
    )
    for note in said:
        notes(note)
    shutil.rmtree(parts, ignore_errors=True)
    return arrays


def _chunks(split: Split, stage: Stage, parts: pathlib.Path) -> Iterator[np.ndarray]:
    """Latents of `CHUNK` examples after another; those that are on disk are not computed again."""
    method, state = stage.method, stage.state()
    assert isinstance(method, Encodes)
    encode = jax.jit(method.encode)
    parts.mkdir(parents=True, exist_ok=True)
    for number in range(-(-len(split) // CHUNK)):
        rows = np.arange(number * CHUNK, min((number + 1) * CHUNK, len(split)))
        path = parts / f"{number:06}.npz"
        if path.exists():
            yield np.load(path)["z"]
            continue
        batch = split.take(np.resize(rows, CHUNK))  # one shape; the surplus is cut off
        more = {k: batch[k] for k in given(method)}
        leaves = jax.tree.leaves(
            encode(state, batch["x"], jax.random.fold_in(jax.random.key(0), number), **more)
        )
        if len(leaves) != 1:
            raise ConfigError(
                f"config.frozen.{stage.name} finds {len(leaves)} arrays of latents, expected one"
            )
        z = np.asarray(leaves[0], np.float32)[: len(rows)]
        if not np.isfinite(z).all():
            raise ConfigError(f"config.frozen.{stage.name}: latents that are not finite")
        write_arrays(path, z=z)
        yield z
