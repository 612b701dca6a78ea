"""Any tfds data set that is prepared on disk as array_record, by name, without TensorFlow."""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxgen.data import images, prepare
from jaxgen.data.dataset import DataError, Dataset, Split, holdout
from jaxgen.data.tfds import prepared
from jaxgen.stored import parse, read_bytes
from jaxgen.types import DataSpec

NAME = re.compile(r"[A-Za-z]\w*(/[\w.+=-]+){0,2}(:[\d.*]+)?", re.ASCII)
FEATURES = "tensorflow_datasets.core.features."


def find(name: str, data_dir: str | None) -> Any | None:
    """The builder of a data set that is on disk, or None; never touches the network.

    Args:
        name: "name", "name/config" or "name/config:version".
        data_dir: where to look; by default $JAXGEN_DATA_DIR, else where tfds keeps its data,
            ~/tensorflow_datasets or $TFDS_DATA_DIR.

    Raises:
        DataError: for what is no such name, as one with a namespace, whose code tfds would fetch;
            and for a prepared data set with features that are not of tfds itself.
    """
    if not NAME.fullmatch(name) or ".." in name:
        raise DataError(
            f"{name!r} is no data set of tfds: expected a name as cifar10 or mnist:3.0.1"
        )
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import read_only_builder

    place = _place(data_dir)
    _check_features(name, place)
    try:
        return read_only_builder.builder_from_files(name, **({"data_dir": place} if place else {}))
    except tfds.core.registered.DatasetNotFoundError:
        return None
    except Exception as error:  # of files of any content
        first = " ".join(str(error).split())[:200]
        where = place or "~/tensorflow_datasets"
        raise DataError(f"{name} in {where} cannot be opened: {first}; prepare it again") from error


def _check_features(name: str, place: str | None) -> None:
    """Refuses features of other modules, which tfds would import from what a file says."""
    first = re.split("[/:]", name, maxsplit=1)[0]
    for root in places(place):
        for file in sorted(root.glob(f"{first}/**/features.json")):
            try:
                found = list(_classes_of(parse(read_bytes(file))))
            except (ValueError, RecursionError) as error:
                raise DataError(f"{file} is damaged: {error}") from error
            if strange := [kind for kind in found if not kind.startswith(FEATURES)]:
                raise DataError(
                    f"{file} names {strange[0][:80]!r}, which is no feature of tfds: it is not run"
                )


def places(data_dir: str | None) -> list[pathlib.Path]:
    """Where data sets may be prepared, see `find`."""
    from tensorflow_datasets.core.utils import file_utils

    found = file_utils.list_data_dirs(given_data_dir=_place(data_dir))
    return [pathlib.Path(root).expanduser() for root in found]


def _classes_of(value: Any) -> Iterator[str]:
    """Names of classes in the description of features."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("type", "pythonClassName", "python_class_name") and isinstance(inner, str):
                yield inner
            yield from _classes_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _classes_of(inner)


def registered() -> list[str]:
    """The names that tfds knows, without asking the network."""
    import tensorflow_datasets as tfds

    return tfds.list_builders(with_community_datasets=False)


def download(name: str, data_dir: str | None, manual_dir: str | None) -> Any:
    """Downloads and prepares a stock data set as array_record; needs the extra `jaxgen[tf]`.

    Raises:
        DataError: without TensorFlow, or when the download fails.
    """
    import importlib.util

    import tensorflow_datasets as tfds

    if importlib.util.find_spec("tensorflow") is None:
        raise DataError(
            f"preparing the tfds data set {name} needs TensorFlow (reading it does not): "
            f'pip install "jaxgen[tf]"'
        )
    config = tfds.download.DownloadConfig(
        manual_dir=manual_dir and str(pathlib.Path(manual_dir).expanduser())
    )
    try:
        builder = tfds.builder(name, data_dir=_place(data_dir), file_format="array_record")
        builder.download_and_prepare(download_config=config)
    except Exception as error:  # whatever a stock builder and a network may raise
        raise DataError(f"could not prepare the tfds data set {name}: {error}") from error
    return builder


def load(
    name: str,
    builder: Any,
    *,
    data_dir: str | None,
    size: tuple[int, int] | None,
    fit: str,
    test_fraction: float,
    seed: int,
    in_memory_mb: float,
) -> Dataset:
    """The train and test split of a prepared data set, with one image or vector feature.

    Without a test split the validation split stands in; without either, a seeded draw of
    `test_fraction` of the train examples is held out.

    Raises:
        DataError: on a data set that has no such feature or is not array_record.
    """
    key, label_key = _features(name, builder)
    feature = builder.info.features[key]
    shape, geometry = _shape(name, builder, key, size, fit)
    rows, notes = _rows(name, builder, test_fraction, seed)
    spare = [k for k in builder.info.features if k not in (key, label_key)]
    notes += [f"not used: features {', '.join(spare)}"] if spare else []
    try:
        records = {
            split: prepared.record_split(builder, source, key, label_key, chosen, geometry)
            for split, (source, chosen) in rows.items()
        }
    except NotImplementedError as error:
        raise DataError(
            f"{name} in {builder.data_path} is not in array_record format; {again(name)}"
        ) from error
    dtype = np.dtype(feature.np_dtype)
    total = sum(len(split) for split in records.values())
    splits: dict[str, Split] = dict(records)
    if total * int(np.prod(shape)) * dtype.itemsize <= in_memory_mb * 1e6:
        root = prepare.data_root(data_dir)
        splits = {
            split: prepared.decoded(
                lambda found=found: found,
                f"{builder.data_path} {split} {key} {size} {fit}",
                found.identity + found.rows.tobytes(),
                root,
                notes,
            )
            for split, found in records.items()
        }
    info = builder.info.features[label_key] if label_key else None
    classes = tuple(info.names) if info is not None and info.num_classes <= 1000 else ()
    spec = DataSpec.of(
        name=name,
        shape=shape,
        levels={"uint8": 256, "uint16": 65536}.get(dtype.name),
        num_classes=info.num_classes if info is not None else 0,
    )
    return Dataset(spec, splits, f"tfds, {builder.data_path}", classes, tuple(notes))


def absent(name: str) -> str:
    """What to do about a stock data set that is not prepared, for messages."""
    return (
        f"the tfds data set {name} is not prepared on this machine; prepare it once, with the "
        f'extra jaxgen[tf] (pip install "jaxgen[tf]"): {_command(name)}, or add '
        f"--config.data.download=True; if it lies elsewhere add --config.data.data_dir=DIR"
    )


def again(name: str) -> str:
    """The same of one that is prepared, and cannot be read."""
    return f"prepare it again: {_command(name)}"


def _command(name: str) -> str:
    return f"tfds build {name} --file_format=array_record"


def _place(data_dir: str | None) -> str | None:
    chosen = data_dir or os.environ.get("JAXGEN_DATA_DIR")
    return str(pathlib.Path(chosen).expanduser()) if chosen else None


def _features(name: str, builder: Any) -> tuple[str, str | None]:
    """Names of the feature that is "x" and of the one that is "label"."""
    import tensorflow_datasets as tfds

    features = dict(builder.info.features)
    pictures = [
        key
        for key, feature in features.items()
        if isinstance(feature, tfds.features.Image) and np.dtype(feature.np_dtype).kind == "u"
    ]
    tensors = [key for key, f in features.items() if type(f) is tfds.features.Tensor and _plain(f)]
    candidates = pictures or tensors
    usual = [key for key in candidates if key in ("image", "x")]
    if not candidates:
        raise DataError(
            f"{name} has no image and no vector of floats of fixed size; it has "
            f"{', '.join(f'{key} ({type(f).__name__})' for key, f in features.items())}"
        )
    if len(usual or candidates) > 1:
        raise DataError(
            f"{name}: several features could be the data: {', '.join(sorted(candidates))}"
        )
    (key,) = usual or candidates
    labels = [key for key, f in features.items() if isinstance(f, tfds.features.ClassLabel)]
    if "label" in labels:
        return key, "label"
    return key, labels[0] if len(labels) == 1 else None


def _plain(feature: Any) -> bool:
    """Whether a tensor feature is points [D] or images [H, W, C] as they are."""
    dtype = np.dtype(feature.np_dtype)
    if None in feature.shape:
        return False
    if len(feature.shape) == 1:
        return dtype.kind == "f"
    return len(feature.shape) == 3 and (dtype.kind == "f" or dtype.name in ("uint8", "uint16"))


def _shape(
    name: str, builder: Any, key: str, size: tuple[int, int] | None, fit: str
) -> tuple[tuple[int, ...], images.Geometry | None]:
    """Shape of one example, and how to get there where images differ in size."""
    feature = builder.info.features[key]
    if None not in feature.shape:
        return tuple(feature.shape), None
    if feature.shape[-1] is None:
        raise DataError(f"{name}: images have no fixed number of channels: {feature.shape}")
    if size is None or fit == "none":
        raise DataError(
            f"images of {name} differ in size; models need one size: add {images.ADVICE}"
        )
    levels = int(np.iinfo(feature.np_dtype).max) + 1
    return (*size, feature.shape[-1]), images.Geometry(*size, fit, levels)


def _rows(
    name: str, builder: Any, test_fraction: float, seed: int
) -> tuple[dict[str, tuple[str, np.ndarray | None]], list[str]]:
    """The split of tfds and its records, by split of ours; and notes."""
    held = builder.info.splits
    if "train" not in held:
        raise DataError(f"{name} has no train split; it has {', '.join(held) or 'none'}")
    for test in ("test", "validation"):
        if test in held and held[test].num_examples:
            notes = [] if test == "test" else ["no test split: the validation split stands in"]
            spare = [split for split in held if split not in ("train", test)]
            notes += [f"not used: splits {', '.join(spare)}"] if spare else []
            return {"train": ("train", None), "test": (test, None)}, notes
    trains, tests = holdout(held["train"].num_examples, test_fraction, seed)
    notes = [f"no test split: {len(tests):,} of the train examples are held out"]
    return {"train": ("train", trains), "test": ("train", tests)}, notes
