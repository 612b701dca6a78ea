"""`moses`: the molecules of the benchmark MOSES, from the package in which its authors gave them.

The package, a wheel, is read as the zip file that it is; nothing of it is imported. `moses` has
1,584,663 train molecules, 176,074 test molecules and the split "scaffolds" of 176,225 whose
scaffolds no other split has. `moses_20k` has 20,000, 2,000 and 2,000 of them, evenly spaced.

Source: Polykovskiy et al. 2020, Molecular Sets (MOSES): a benchmarking platform for molecular
generation models, section 4.
"""

from __future__ import annotations

import pathlib
import zipfile

from jaxgen.data import prepare, smiles
from jaxgen.data.dataset import DataError, Dataset
from jaxgen.data.limits import gunzip, regular
from jaxgen.data.loader import evenly
from jaxgen.fetch import sha256_of

NAMES = ("moses", "moses_20k")
WHEEL = "molsets-0.3.1-py3-none-any.whl"
SHA256 = "7f4450e3ebecebe79c3a2a55950c93daddee071120daf64a163d03481e811d34"
FILES = {"train": "train", "test": "test", "scaffolds": "test_scaffolds"}
FEW = {"train": 20_000, "test": 2_000, "scaffolds": 2_000}
LENGTH = 57  # characters of the longest
VERSION = "1.0.0"
WANTED = (
    "type pip download --no-deps molsets==0.3.1 (52 MB), and add "
    f"--config.data.manual_dir={WHEEL}, the file or its folder"
)


def load(name: str, manual_dir: str | None, data_dir: str | None = None) -> Dataset:
    """One of the two; the wheel is needed until it is prepared, the first time.

    Args:
        name: one of `NAMES`.
        manual_dir: the wheel, or its folder.
        data_dir: where prepared data live.

    Raises:
        DataError: without the wheel or RDKit, or for another file.
    """
    target = prepare.data_root(data_dir) / name / VERSION

    def make() -> dict[str, list[str]]:
        every = _texts(manual_dir)
        if name == "moses":
            return every
        return {k: [texts[i] for i in evenly(len(texts), FEW[k])] for k, texts in every.items()}

    return smiles.dataset(target, make, LENGTH, f"molecules of {WHEEL}")


def _texts(manual_dir: str | None) -> dict[str, list[str]]:
    """All molecules by split, as the file has them."""
    smiles.chemistry()
    if manual_dir is None:
        raise DataError(f"moses is not on this machine: {WANTED}")
    path = pathlib.Path(manual_dir).expanduser()
    path = path / WHEEL if path.is_dir() else path
    if not path.is_file():
        raise DataError(f"no file {path}: {WANTED}")
    if sha256_of(path) != SHA256:
        raise DataError(f"{path} is not {WHEEL} as its authors gave it: {WANTED}")
    found = {}
    with regular(path) as file, zipfile.ZipFile(file) as wheel:
        for split, stem in FILES.items():
            raw = wheel.read(f"moses/dataset/data/{stem}.csv.gz")
            found[split] = gunzip(raw).decode("ascii").split()[1:]
    return found
