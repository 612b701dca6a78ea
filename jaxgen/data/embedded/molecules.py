"""`nci_molecules`: small molecules of the open database of the National Cancer Institute.

RDKit's package holds 5,000 of them. They are brought to canonical SMILES; salts, doubles and texts
of more than 60 characters are left out. A tenth, drawn once, is the test split.
"""

from __future__ import annotations

import pathlib

from jaxgen.data import prepare, smiles
from jaxgen.data.dataset import DataError, Dataset, holdout

NAMES = ("nci_molecules",)
LENGTH = 60
VERSION = "1.0.0"
TESTS = 0.1  # of the molecules


def load(name: str, data_dir: str | None = None) -> Dataset:
    """The molecules, with properties that are computed by the first who asks.

    Raises:
        DataError: on another name, without RDKit, or where `data_dir` cannot be written.
    """
    if name not in NAMES:
        raise DataError(f"expected one of {', '.join(NAMES)}; got {name!r}")
    target = prepare.data_root(data_dir) / name / VERSION
    return smiles.dataset(target, _splits, LENGTH, "molecules of NCI in the package rdkit")


def _splits() -> dict[str, list[str]]:
    smiles.chemistry()
    from rdkit import RDConfig

    path = pathlib.Path(RDConfig.RDDataDir) / "NCI" / "first_5K.smi"
    if not path.is_file():
        raise DataError(f"this RDKit has no {path}: pip install 'jaxgen[chemistry]' brings it")
    found = [smiles.canonical(line.split()[0]) for line in path.read_text().splitlines()]
    kept = [t for t in dict.fromkeys(found) if t and "." not in t and len(t) <= LENGTH]
    rows = dict(zip(("train", "test"), holdout(len(kept), TESTS, 0), strict=True))
    return {split: [kept[i] for i in index] for split, index in rows.items()}
