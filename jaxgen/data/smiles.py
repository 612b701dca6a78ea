"""Molecules as texts: SMILES, one canonical text a molecule, and numbers that RDKit knows of them.

Source: Weininger 1988, SMILES, a chemical language and information system; QED: Bickerton et al.
2012, Quantifying the chemical beauty of drugs; SAS: Ertl & Schuffenhauer 2009, Estimation of
synthetic accessibility score, by the code that RDKit ships; logP: Wildman & Crippen 1999.
"""

from __future__ import annotations

import functools
import importlib.util
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from jaxgen.data.dataset import ArraySplit, DataError, Dataset
from jaxgen.progress import track
from jaxgen.types import DataSpec, Field, Units

PROPERTIES = ("qed", "SAS", "logP")
FIELD = "properties"  # of a data set of molecules
PAD = "<pad>"
MANY = 50_000  # molecules from which on processes share the work
AT_ONCE = 1000


def chemistry() -> Any:
    """RDKit's `Chem`, silent about what is no molecule.

    Raises:
        DataError: where it is not installed.
    """
    try:
        from rdkit import Chem, RDLogger
    except ImportError:
        raise DataError("molecules need RDKit: pip install 'jaxgen[chemistry]'") from None
    RDLogger.DisableLog("rdApp.*")
    return Chem


def molecule(text: str) -> Any:
    """RDKit's molecule of a SMILES; None for what is none, or has no atom."""
    found = chemistry().MolFromSmiles(text, sanitize=True) if text.isascii() else None
    return found if found is not None and found.GetNumAtoms() else None


def canonical(text: str) -> str | None:
    """The one SMILES of RDKit for the molecule that a text says; None for none."""
    found = molecule(text)
    return None if found is None else chemistry().MolToSmiles(found)


@functools.cache
def _accessibility() -> ModuleType:
    """Of synthesis: a script beside RDKit, which is in no package of it."""
    from rdkit import RDConfig

    path = pathlib.Path(RDConfig.RDContribDir) / "SA_Score" / "sascorer.py"
    spec = importlib.util.spec_from_file_location("sascorer", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise DataError(f"this RDKit has no {path}: pip install 'jaxgen[chemistry]' brings one")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def properties(texts: Iterable[str]) -> np.ndarray:
    """QED, SAS and logP, float64 [N, 3], of SMILES of molecules; logP as log10 of a ratio.

    Raises:
        DataError: for a text that is no molecule.
    """
    chemistry()
    from rdkit.Chem import QED, Crippen

    found = []
    for text in texts:
        mol = molecule(text)
        if mol is None:
            raise DataError(f"{text!r} is no SMILES of a molecule")
        score = _accessibility().calculateScore(mol)
        found.append((QED.qed(mol), score, Crippen.MolLogP(mol)))
    return np.array(found, np.float64).reshape(-1, len(PROPERTIES))


def computed(texts: Sequence[str]) -> np.ndarray:
    """As `properties`, with a bar of progress, and of many in processes."""
    parts = [texts[i : i + AT_ONCE] for i in range(0, len(texts), AT_ONCE)]
    what = ("computing properties", len(texts), "molecules", len)
    if len(texts) < MANY:
        return np.concatenate([properties(part) for part in track(parts, *what)])
    import loky

    with loky.ProcessPoolExecutor() as pool:
        found = zip(parts, pool.map(properties, parts), strict=True)
        return np.concatenate([of for _, of in track(found, *what[:3], lambda pair: len(pair[0]))])


def fill(made: pathlib.Path, splits: Mapping[str, Sequence[str]]) -> None:
    """Writes the texts of each split, a line each, and what is known of them."""
    for name, texts in splits.items():
        (made / f"{name}.smi").write_text("\n".join(texts))
        np.save(made / f"{name}.npy", computed(texts))


def read(
    made: pathlib.Path, names: Sequence[str], length: int
) -> tuple[DataSpec, dict[str, ArraySplit]]:
    """Spec and splits of what `fill` wrote: `x` are characters, `properties` in units of train's.

    Args:
        made: the directory; its name's parent is that of the data set.
        names: of the splits.
        length: characters of the longest text, at least.
    """
    texts = {name: (made / f"{name}.smi").read_text().split("\n") for name in names}
    letters = sorted(set().union(*(set("".join(split)) for split in texts.values())))
    known = {name: np.load(made / f"{name}.npy") for name in names}
    units = Units(*(tuple(map(float, f(known["train"], 0))) for f in (np.mean, np.std)))
    x = Field(
        "tokens",
        (length,),
        "uint8",
        vocabulary=len(letters) + 1,
        words=(PAD, *letters),
        spelled=True,
    )
    wide = Field("vector", (len(PROPERTIES),), names=PROPERTIES, units=units)
    splits = {
        name: ArraySplit({"x": tokens(x, split), FIELD: units.inward(known[name])})
        for name, split in texts.items()
    }
    return DataSpec(made.parent.name, {"x": x, FIELD: wide}), splits


def tokens(field: Field, texts: Sequence[str]) -> np.ndarray:
    """As `Field.tokens` of each, uint8 [N, T]; of texts of the field's own characters."""
    table = np.zeros(256, np.uint8)
    table[[ord(c) for c in field.words[1:]]] = np.arange(1, len(field.words))
    length = field.shape[0]
    if (longest := max(map(len, texts))) > length:
        raise DataError(f"a SMILES of {longest} characters, expected at most {length}")
    letters = np.array([text.encode("ascii") for text in texts], f"S{length}")
    return table[letters.view(np.uint8).reshape(-1, length)]


def texts_of(field: Field, x: np.ndarray) -> list[str]:
    """The texts of tokens [N, T]."""
    return [field.text(row) for row in np.asarray(x)]


def are(spec: DataSpec) -> bool:
    """Whether data are SMILES of molecules with their properties."""
    known = spec.fields.get(FIELD)
    return spec.x.spelled and known is not None and known.names == PROPERTIES


Splits = Callable[[], Mapping[str, Sequence[str]]]


def dataset(target: pathlib.Path, make: Splits, length: int, source: str) -> Dataset:
    """A data set that is prepared once, in `target`, of the texts that `make` gives by split.

    Raises:
        DataError: where `target` cannot be written, or of `make`.
    """
    from jaxgen.data import prepare

    notes: list[str] = []

    def opened(made: pathlib.Path) -> tuple[DataSpec, dict[str, ArraySplit]]:
        names = sorted((p.stem for p in made.glob("*.smi")), key=lambda n: (n != "train", n))
        return read(made, names, length)

    spec, splits = prepare.opened(target, lambda work: fill(work, make()), opened, notes)
    kept: dict[str, Any] = dict(splits)
    return Dataset(spec, kept, f"{source}, kept in {target}", notes=tuple(notes))
