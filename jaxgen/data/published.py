"""MNIST and its kin, CIFAR-10 and CelebA from the files of their authors, without TensorFlow."""

from __future__ import annotations

import io
import pathlib
import tarfile
from collections.abc import Callable, Mapping

import numpy as np

from jaxgen.data import celeba, idx
from jaxgen.data.dataset import ArraySplit, DataError, Dataset
from jaxgen.data.prepare import data_root
from jaxgen.errors import ConfigError
from jaxgen.fetch import Remote, fetched, sha256_of
from jaxgen.progress import shown
from jaxgen.types import DataSpec

_MNIST = "https://storage.googleapis.com/cvdf-datasets/mnist/"
_FASHION = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
_DRIVE = "https://drive.usercontent.google.com/download?export=download&confirm=t&id="
_KMNIST = "http://codh.rois.ac.jp/kmnist/dataset/kmnist/"
_TRAIN, _TEST = "train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz"
_TRAIN_LABELS, _TEST_LABELS = "train-labels-idx1-ubyte.gz", "t10k-labels-idx1-ubyte.gz"
# hashes and sizes: tensorflow-datasets 4.9, url_checksums
FILES: Mapping[str, tuple[Remote, ...]] = {
    "mnist": (
        Remote(
            _MNIST + _TRAIN,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            9_912_422,
        ),
        Remote(
            _MNIST + _TRAIN_LABELS,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            28_881,
        ),
        Remote(
            _MNIST + _TEST,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            1_648_877,
        ),
        Remote(
            _MNIST + _TEST_LABELS,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            4_542,
        ),
    ),
    "fashion_mnist": (
        Remote(
            _FASHION + _TRAIN,
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            26_421_880,
        ),
        Remote(
            _FASHION + _TRAIN_LABELS,
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            29_515,
        ),
        Remote(
            _FASHION + _TEST,
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            4_422_102,
        ),
        Remote(
            _FASHION + _TEST_LABELS,
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            5_148,
        ),
    ),
    "kmnist": (
        Remote(
            _KMNIST + _TRAIN,
            "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
            18_165_135,
        ),
        Remote(
            _KMNIST + _TRAIN_LABELS,
            "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
            29_497,
        ),
        Remote(
            _KMNIST + _TEST,
            "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
            3_041_136,
        ),
        Remote(
            _KMNIST + _TEST_LABELS,
            "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
            5_120,
        ),
    ),
    "cifar10": (
        Remote(
            "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            170_052_171,
        ),
    ),
    celeba.NAME: (
        Remote(
            f"{_DRIVE}0B7EVK8r0v71pZjFTYXZWM3FlRnM",
            "46fb89443c578308acf364d7d379fe1b9efb793042c0af734b6112e4fd3a8c74",
            1_443_490_838,
            celeba.ARCHIVE,
        ),
        Remote(
            f"{_DRIVE}0B7EVK8r0v71pY0NSMzRuSXJEVkk",
            "fc955bcb3ef8fbdf7d5640d9a8693a8431b5f2ee291a5c1449a1549e7e073fe7",
            2_836_386,
            celeba.DIVISION,
        ),
    ),
}
NAMES = tuple(FILES)
CIFAR = "cifar-10-batches-bin"
CIFAR_SPLITS = {
    "train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
    "test": ("test_batch.bin",),
}
CIFAR_RECORD = 1 + 32 * 32 * 3  # the label, then red, green and blue, row by row
CIFAR_CLASSES = tuple("airplane automobile bird cat deer dog frog horse ship truck".split())
MOST_CIFAR = 10_000 * CIFAR_RECORD  # bytes of one of its files


def place(name: str, data_dir: str | None) -> pathlib.Path:
    """Where the fetched files of a data set are kept, beside the prepared data."""
    return data_root(data_dir) / "published" / name


def wanted(name: str) -> str:
    """What to do to have a data set, for messages."""
    size = sum(remote.size for remote in FILES[name]) / 1e6
    urls = ", ".join(remote.url for remote in FILES[name])
    return (
        f"type jaxgen data {name} ({size:.0f} MB), or without a network fetch {urls} elsewhere, "
        f"put the files in a folder and add --config.data.manual_dir=DIR"
    )


def fetch(name: str, data_dir: str | None, say: Callable[[str], None]) -> pathlib.Path:
    """Fetches the files of a data set that are not there yet, and returns their folder.

    Raises:
        DataError: without a network, or when other bytes came.
    """
    root = place(name, data_dir)

    for remote in FILES[name]:

        def check(path: pathlib.Path, remote: Remote = remote) -> None:
            with open(path, "rb") as start:
                page = start.read(64).lstrip().lower().startswith((b"<!doctype", b"<html"))
            if page:
                raise DataError(
                    f"{remote.url} gave a web page: too many have asked today, or it wants a "
                    f"confirmation; {wanted(name)}"
                )
            if (found := sha256_of(path)) != remote.sha256:
                raise DataError(
                    f"{remote.url} gave other bytes than were published, sha256 {found[:16]}... "
                    f"and not {remote.sha256[:16]}...; {wanted(name)}"
                )

        if not (root / remote.file).is_file():
            say(f"{remote.file}, {remote.size / 1e6:.1f} MB, from {remote.url}")
        try:
            fetched(remote, root / remote.file, check, wanted(name))
        except ConfigError as error:
            raise DataError(str(error)) from error
    return root


def load(
    name: str,
    manual_dir: str | None,
    data_dir: str | None,
    download: bool,
    size: tuple[int, int] | None = None,
    fit: str = "none",
    in_memory_mb: float = 512,
) -> Dataset | None:
    """The data set from `manual_dir`, else from what was fetched; None where there is neither.

    Args:
        name: one of `NAMES`.
        manual_dir: see `jaxgen.data.load`, as the rest.
        data_dir: see there.
        download: see there.
        size: of images that are decoded when asked for, CelebA's; others are resized afterwards.
        fit: of these.
        in_memory_mb: see there.

    Raises:
        DataError: for a file that is absent from `manual_dir`, or damaged.
    """
    root = place(name, data_dir)
    if manual_dir is None and download:
        with shown(f"fetching {name}"):  # in trainings too: a gigabyte takes its time
            fetch(name, data_dir, print)
    if manual_dir is None and not root.is_dir():
        return None
    where = str(manual_dir or root)
    if name == celeba.NAME:
        place_of = pathlib.Path(where).expanduser()
        return celeba.load(place_of, size, fit, in_memory_mb, wanted(name))
    return cifar10(where) if name == "cifar10" else idx.load(name, where)


def cifar10(folder: str) -> Dataset:
    """CIFAR-10 from `cifar-10-binary.tar.gz`, or what it holds.

    Source: Krizhevsky 2009, Learning multiple layers of features from tiny images; the "binary
    version" of https://www.cs.toronto.edu/~kriz/cifar.html.

    Raises:
        DataError: naming the file that is absent or damaged.
    """
    root = pathlib.Path(folder).expanduser()
    if not root.is_dir():
        raise DataError(f"data.manual_dir={root} is no directory; {wanted('cifar10')}")
    archive = root / FILES["cifar10"][0].file
    if archive.is_file():
        read = _of_archive(archive)
    else:
        inner = root / CIFAR if (root / CIFAR).is_dir() else root
        read = {}
        for file in (file for part in CIFAR_SPLITS.values() for file in part):
            path = inner / file
            if not path.is_file():
                python = any(root.glob("**/data_batch_1")) or any(root.glob("*python*"))
                hint = " (those are of the Python version, which are pickles)" if python else ""
                raise DataError(f"no {path}{hint}; {wanted('cifar10')}")
            with open(path, "rb") as open_file:
                read[file] = open_file.read(MOST_CIFAR + 1)
    splits = {}
    for split, files in CIFAR_SPLITS.items():
        parts = [_records(read[file], f"{root}: {file}") for file in files]
        label = np.concatenate([part[:, 0] for part in parts]).astype(np.int32)
        pixels = np.concatenate([part[:, 1:] for part in parts]).reshape(-1, 3, 32, 32)
        splits[split] = ArraySplit(
            {"x": np.ascontiguousarray(pixels.transpose(0, 2, 3, 1)), "label": label}
        )
    spec = DataSpec.of("cifar10", (32, 32, 3), levels=256, num_classes=10)
    return Dataset(spec, splits, source=f"binary files in {root}", classes=CIFAR_CLASSES)


def _of_archive(archive: pathlib.Path) -> dict[str, bytes]:
    """Its six files; nothing is unpacked onto the disk."""
    read: dict[str, bytes] = {}
    known = {f"{CIFAR}/{file}": file for part in CIFAR_SPLITS.values() for file in part}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                file = known.get(member.name)
                if file is not None and member.isreg():
                    read[file] = (tar.extractfile(member) or io.BytesIO()).read(MOST_CIFAR + 1)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(f"{archive} is truncated or damaged ({error}); fetch it anew") from error
    if missing := [file for file in known.values() if file not in read]:
        raise DataError(f"{archive} holds no {CIFAR}/{missing[0]}; {wanted('cifar10')}")
    return read


def _records(raw: bytes, where: str) -> np.ndarray:
    """[N, 3073]."""
    if not raw or len(raw) % CIFAR_RECORD or len(raw) > MOST_CIFAR:
        raise DataError(
            f"{where} is truncated or damaged: expected up to 10,000 records of {CIFAR_RECORD} "
            f"bytes, got {min(len(raw), MOST_CIFAR)} bytes; fetch it anew"
        )
    found = np.frombuffer(raw, np.uint8).reshape(-1, CIFAR_RECORD)
    if found[:, 0].max() > 9:
        raise DataError(f"{where}: expected labels 0 .. 9, got {found[:, 0].max()}")
    return found
