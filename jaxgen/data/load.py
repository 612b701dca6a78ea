"""`load`: from the name of a data set, or a path, to the data set."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from jaxgen.data import (
    arrays,
    captions,
    domains,
    folder,
    images,
    kept,
    named,
    painted,
    points,
    ranges,
    resample,
    shower_files,
    spoken,
    tables,
)
from jaxgen.data import binarize as binarization
from jaxgen.data.dataset import DataError, Dataset, differences
from jaxgen.data.embedded import EMBEDDED
from jaxgen.data.named import ARRAYS, FILES, NAMED, SUFFIXES, TABLES
from jaxgen.data.workers import worked
from jaxgen.errors import ConfigError
from jaxgen.fields import DataSpec
from jaxgen.names import DOTTED, Allowed, resolve

Reader = Callable[..., Dataset]
MOVED = "--data=PLACE, or for python -m jaxgen.main --config.data.name=PLACE"
FOLDERS: dict[str, Reader] = {
    "folder:": folder.load,
    "domains:": domains.load,
    "layouts:": painted.load,
    "captions:": captions.load,
    "captions_reversed:": functools.partial(captions.load, of_pictures=True),
    "showers:": shower_files.load,
    "speech:": spoken.load,
    "speech_mel:": functools.partial(spoken.load, bands=spoken.BANDS),
}
OWN = re.compile(
    f"(?!{'|'.join(FOLDERS)}|tfds:){DOTTED.pattern}", re.ASCII
)  # of a function, when it has a ":"


def check_size(size: Any, where: str) -> None:
    """Refuses what is no size of images.

    Raises:
        ConfigError: naming the field.
    """
    try:
        images.parse_size(size)
    except DataError:
        shown = str(size)[:40]
        raise ConfigError(
            f"{where}={shown}, expected height and width in pixels, as 64,64"
        ) from None


def load(
    name: Reader | str,
    *,
    manual_dir: str | None = None,
    data_dir: str | None = None,
    size: Annotated[Any, check_size] = None,
    fit: str = "none",
    mode: str | None = None,
    binarize: str = "none",
    resampled: float = 0.0,
    columns: Any = None,
    context: Any = None,
    label: str | None = None,
    standardize: bool | None = None,
    range: Any = None,
    flip: bool = False,
    shift: int = 0,
    test_fraction: float = 0.1,
    seed: int = 0,
    in_memory_mb: float = 512,
    threads: int = 2,
    workers: int = 0,
    download: bool = False,
    earlier: bool = False,
    words: int | None = None,
    least_count: int | None = None,
    sample_rate: int | None = None,
    samples: int | None = None,
) -> Dataset:
    """Loads a data set with a train and a test split.

    Args:
        name: of `EMBEDDED`: `digits`, `captions`, `nci_molecules`, `showers`, a toy, a simulator,
            others; `mnist`, `fashion_mnist`, `kmnist`, `cifar10`, `celeb_a`, `moses`, a tfds name
            ("cifar100", "tfds:imagenet_resized/64x64"), a folder of images ("folder:photos", or its
            path) or a .zip of it, or how else a folder is read, "domains:FOLDER", "layouts:FOLDER",
            "captions:FOLDER", "captions_reversed:FOLDER", "showers:FOLDER", "speech:FOLDER" or
            "speech_mel:FOLDER" (see the `load` of `domains`, `painted`, `captions`,
            `shower_files`, `spoken`), an array (.npz, .npy), or a table
            (.csv, .tsv, .parquet). Or a function (data_dir=, manual_dir=, seed=) that gives a
            `Dataset` of whatever fields; a config calls it "my_package.my_module:name".
        manual_dir: folder of files that were fetched by hand: those of `published.FILES`, the
            wheel of `moses`, or with `download` what a tfds builder asks for.
        data_dir: where prepared data lives; by default $JAXGEN_DATA_DIR, else ~/.cache/jaxgen/tfds
            for embedded sets and ~/tensorflow_datasets for those of tfds.
        size: (height, width) to bring images to; also 64 and "64,64". None keeps their size.
        fit: how: "crop", "pad", "stretch", or "none" to refuse others; see `images.Geometry`.
        mode: of Pillow, to which the images of a folder or .zip are brought: "L", "LA", "RGB" or
            "RGBA"; None takes the one that all of them have.
        binarize: grey levels to 0 and 1: "none", "dynamic", "fixed" or "threshold"; see
            `binarize.binarized`.
        resampled: the share of pixels that are replaced by any grey level, as of data that a
            background model is trained on; see `resample.resampled`.
        columns: names of the columns of a table that are modelled, as "a,b"; None takes all that
            are neither context nor label. Those of an array are called 0, 1 and on.
        context: names of the columns that every row is given.
        label: the column of the classes.
        standardize: bring every column of a table, and of an array [N, D], to mean zero and unit
            deviation; None does.
        range: (lowest, highest) value of images of floats, for pictures of them; None finds it.
        flip: mirror training images at random, left to right; evaluation sees them as they are.
        shift: move training images at random by up to that many pixels either way.
        test_fraction: held out for the test where there is no test split.
        seed: of that division and of bits that are drawn once; not the seed of the run.
        in_memory_mb: up to that many megabytes of decoded arrays are kept in memory.
        threads: that read and decode batches ahead of the steps; no number changes a batch.
        workers: processes that decode instead, where images stay on disk: threads share Python's
            lock. 0 for threads alone.
        download: fetches what is not on disk; tfds, for other names than those of `published`,
            prepares it, which needs `jaxgen[tf]`.
        earlier: divide a folder or array into train and test by the rules of version 0.1; a run
            of that version finds by itself that it needs them.
        words: of a caption in a folder that are kept, see `captions.load`.
        least_count: see there.
        sample_rate: samples a second to which sounds in a folder are brought, see `spoken.load`.
        samples: of the pieces into which these are cut.

    Returns:
        The data set; print its `report()`.

    Raises:
        DataError: in one message, what is wrong, where, and what to do.

    Example:
        >>> import numpy as np
        >>> data = load("digits", flip=True)
        >>> data.spec.shape, data.spec.levels, len(data.splits["train"])
        ((8, 8, 1), 17, 1500)
        >>> batch = data.splits["test"].take(np.arange(5))
        >>> batch["x"].shape, batch["label"].tolist()
        ((5, 8, 8, 1), [2, 2, 9, 8, 8])
    """
    shape = _checked(size, fit, binarize, test_fraction, mode)
    _check_readers(threads, workers)
    chosen = points.Choice(_listed(columns), _listed(context), label, standardize)
    path = None if callable(name) else _path(name)
    is_table = path is not None and path.is_file() and _suffix(path) in (*ARRAYS, *TABLES)
    if chosen.given and not is_table:
        raise DataError(f"data.{chosen.given[0]} is of a table or an array; {name} is none")
    if mode is not None and (path is None or is_table):
        raise DataError(f"data.mode={mode} is of a folder or .zip of images; {name} is none")
    prefix = "" if path is None else _prefix(name)
    texts = _of_folders(name, prefix, "captions", words=words, least_count=least_count)
    texts |= _of_folders(name, prefix, "speech", sample_rate=sample_rate, samples=samples)
    if callable(name):
        dataset = _read(name, data_dir=data_dir, manual_dir=manual_dir, seed=seed)
    elif path is None:
        sizes = dict(size=shape, fit=fit, test_fraction=test_fraction, in_memory_mb=in_memory_mb)
        places = dict(data_dir=data_dir, manual_dir=manual_dir)
        dataset = named.load(name, download=download, seed=seed, **places, **sizes)
    elif is_table and _suffix(path) in TABLES:
        dataset = tables.load(path, chosen, test_fraction, seed)
    elif is_table:
        dataset = arrays.load(path, chosen, test_fraction, seed, in_memory_mb, earlier)
    else:
        options = dict(size=shape, fit=fit, mode=mode, test_fraction=test_fraction, seed=seed)
        read = FOLDERS[prefix or "folder:"]
        dataset = read(path, in_memory_mb=in_memory_mb, earlier=earlier, **options, **texts)
        shape = None  # images have it
    dataset = ranges.ranged(images.resized(dataset, shape, fit), range)
    dataset = _redrawn(dataset, binarize, resampled, seed).augmented(flip, shift)
    return dataclasses.replace(worked(dataset, workers), threads=max(threads, workers))


def from_arrays(
    data: Any,
    *,
    columns: Any = None,
    context: Any = None,
    label: str | None = None,
    standardize: bool | None = None,
    test_fraction: float = 0.1,
    seed: int = 0,
) -> Dataset:
    """The data set of arrays in memory, which is that of a `.npz` of them.

    Args:
        data: images [N, H, W, C] or [N, H, W], or points [N, D]; or a mapping `{"x": ...}` with
            "label" [N] or "context" [N, C], or with both splits as "x_train", "x_test",
            "label_train" and so on.
        columns: see `load`, as all others.
        context: of `columns`.
        label: of tables alone.
        standardize: see `load`.
        test_fraction: held out where there is no test split.
        seed: of that division.

    Raises:
        DataError: in one line, for arrays that cannot be used, saying how to make them so.

    Example:
        >>> import numpy as np
        >>> data = from_arrays({"x": np.random.RandomState(0).randn(100, 2)})
        >>> data.spec.shape, len(data.splits["train"]), len(data.splits["test"])
        ((2,), 90, 10)
    """
    if isinstance(data, Dataset):
        return data
    _checked(None, "none", "none", test_fraction)
    chosen = points.Choice(_listed(columns), _listed(context), label, standardize)
    parts, notes = arrays.picked("data", kept.Archive(kept.as_arrays(data)))
    if unused := [note for note in notes if note.startswith("not used")]:
        raise DataError(f"data: {unused[0]}; expected {arrays.KEYS}")
    about = ("arrays", "data", "arrays in memory")
    return arrays.joined(parts, notes, chosen, test_fraction, seed, *about)


def own(name: Any, allow: Allowed = None) -> Any:
    """The function that a config names "my_package.my_module:function"; other names as they are.

    Args:
        name: of data.
        allow: see `names.resolve`; None for a config of one's own.

    Raises:
        ConfigError: for a name of nothing, or of what is not allowed.
    """
    is_own = isinstance(name, str) and ":" in name and OWN.fullmatch(name)
    return resolve(name, "jaxgen.data", allow) if is_own else name


def _read(reader: Reader, **places: Any) -> Dataset:
    """What a function of the user gives, or what is wrong with it."""
    found = reader(**places)
    return kept.checked(found, f"{reader.__module__}:{reader.__name__}")


def _check_readers(threads: int, workers: int) -> None:
    if min(threads, workers) < 0:
        raise DataError(f"expected data.threads and data.workers >= 0, got {threads}, {workers}")


def _redrawn(dataset: Dataset, binarize: str, share: float, seed: int) -> Dataset:
    """Bits of the grey levels, then a share of them at random."""
    return resample.resampled(binarization.binarized(dataset, binarize, seed), share, seed)


def _of_folders(name: Any, prefix: str, kind: str, **options: Any) -> dict[str, Any]:
    """The options that are given, of one kind of folders alone."""
    found = {k: v for k, v in options.items() if v is not None}
    if found and not prefix.startswith(kind):
        raise DataError(f"data.{min(found)} is of a folder of {kind}; {name} is none")
    return found


def _checked(
    size: Any, fit: str, binarize: str, test_fraction: float, mode: str | None = None
) -> tuple[int, int] | None:
    """The size that is asked for, of options that can be."""
    if fit not in images.FITS:
        raise DataError(f"expected data.fit as one of {', '.join(images.FITS)}; got {fit!r}")
    if mode is not None and mode not in images.MODES:
        raise DataError(f"expected data.mode as one of {', '.join(images.MODES)}; got {mode!r}")
    if not 0 < test_fraction < 1:
        raise DataError(f"expected 0 < data.test_fraction < 1, got {test_fraction}")
    if binarize not in binarization.MODES:
        modes = ", ".join(binarization.MODES)
        raise DataError(f"expected data.binarize as one of {modes}; got {binarize!r}")
    shape = images.parse_size(size)
    if shape is None and fit != "none":
        raise DataError(f"data.fit={fit} needs a size: add --config.data.size=64,64")
    return shape


def load_as(recorded: Mapping[str, Any], allow: Allowed = None) -> Callable[..., Dataset]:
    """`load` for the data of a run, wherever they are now, by the name that the run knows.

    Args:
        recorded: what the run's manifest says of its data, "fingerprint" and "spec".
        allow: modules whose functions the name may stand for, see `own`.

    Returns:
        A function like `load`. Its DataError says also what tells other data from those of the
        run, or how to say where they are now.
    """

    @functools.wraps(load)
    def load_again(name: Any, **options: Any) -> Dataset:
        name = own(name, allow)
        known, spec = recorded["fingerprint"], DataSpec.from_json(recorded["spec"])
        if options.get("standardize") is None and spec.x.units is None:
            options["standardize"] = False  # tables were not, before there was a choice
        try:
            dataset = load(name, **options)
            if found := differences(known, dataset.fingerprint()):
                raise DataError(f"the data are not those of the run: {'; '.join(found)}")
        except DataError as error:
            if not _is_there(name):
                raise DataError(f"{error}; if the data were moved, add {MOVED}") from error
            if (before := _divided_earlier(name, known, options)) is None:
                raise
            dataset = before
        return dataset.stated_in(spec)

    return load_again


def _divided_earlier(
    name: Any, known: Mapping[str, Any], options: Mapping[str, Any]
) -> Dataset | None:
    """The data by the rules of version 0.1, if those of the run are found so."""
    if callable(name) or name in EMBEDDED or _path(name) is None:
        return None
    try:
        dataset = load(name, **{**options, "earlier": True})
    except DataError:
        return None
    return None if differences(known, dataset.fingerprint()) else dataset


def _is_there(name: Any) -> bool:
    return callable(name) or name in EMBEDDED or pathlib.Path(_plain(name)).expanduser().exists()


def absolute(name: str) -> str:
    """The name as it is stored: a file or folder by its absolute path, a data set by its name."""
    try:
        path = _path(name)
    except DataError:  # nothing is there, which is for `load` to say
        return name
    return name if path is None else _prefix(name).replace("folder:", "") + os.path.abspath(path)


def _suffix(path: pathlib.Path) -> str:
    """One of `FILES`, in small letters, or what else the name ends in."""
    name = path.name.lower()
    return next((s for s in sorted(FILES, key=len)[::-1] if name.endswith(s)), path.suffix)


def _listed(names: Any) -> tuple[str, ...]:
    """Names from None, "a,b" or a sequence of them."""
    if names is None or names == "":
        return ()
    parts = names.split(",") if isinstance(names, str) else names
    return tuple(str(part).strip() for part in parts)


def _prefix(name: str) -> str:
    """How a folder is read, of `FOLDERS`; "" where the name does not say."""
    return next((prefix for prefix in FOLDERS if name.startswith(prefix)), "")


def _plain(name: str) -> str:
    return name.removeprefix(_prefix(name))


def _path(name: str) -> pathlib.Path | None:
    """The file or folder that a name stands for; None if it is the name of a data set."""
    plain = _plain(name)
    if not plain.strip():
        raise DataError("data.name is empty: expected a data set, a folder or a file")
    path = pathlib.Path(plain).expanduser()
    is_file = _suffix(path) in FILES
    spelt_as_path = plain != name or is_file or plain.startswith((".", "/", "~"))
    known = name in NAMED or name.startswith("tfds:")
    if not spelt_as_path and (known or not path.exists()):
        return None
    if path.is_dir() or is_file and path.is_file():
        return path
    if path.exists():
        raise DataError(f"{path} is neither a folder of images nor a {SUFFIXES} file")
    raise DataError(f"no such file or folder: {path.absolute()}")
