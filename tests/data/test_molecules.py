"""Molecules: what is kept of the files, tokens and back, properties against RDKit's own tables."""

import pathlib
import sys

import numpy as np
import pytest

from jaxgen.data import DataError, load, moses, smiles
from jaxgen.data.embedded import molecules
from jaxgen.types import Field

SPELLED = Field(
    "tokens", (6,), "uint8", vocabulary=5, words=("<pad>", "C", "O", "c", "1"), spelled=True
)


def test_characters_and_back():
    found = smiles.tokens(SPELLED, ["c1C", "O", "CCCCCC"])
    for text, row in zip(["c1C", "O", "CCCCCC"], found, strict=True):
        np.testing.assert_array_equal(SPELLED.tokens(text), row)
        assert SPELLED.text(row) == text
    assert found.dtype == np.uint8
    assert SPELLED.text([1, 0, 2, 2, 2, 2]) == "C"  # the first that pads ends it
    assert Field.from_json(SPELLED.as_json()) == SPELLED
    with pytest.raises(ValueError, match="unknown character 'N'"):
        SPELLED.tokens("CN")
    with pytest.raises(ValueError, match="7 characters, expected at most 6"):
        SPELLED.tokens("C" * 7)
    with pytest.raises(DataError, match="7 characters, expected at most 6"):
        smiles.tokens(SPELLED, ["C", "C" * 7])
    with pytest.raises(ValueError, match="expected words of one character"):
        Field("tokens", (6,), "uint8", vocabulary=2, words=("<pad>", "Cl"), spelled=True)


def test_without_rdkit(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "rdkit", None)
    with pytest.raises(DataError, match=r"^molecules need RDKit: pip install 'jaxgen\[ch"):
        load("nci_molecules", data_dir=str(tmp_path))


@pytest.mark.slow
def test_nci_molecules(data_root):
    Chem = pytest.importorskip("rdkit.Chem")
    data = load("nci_molecules", data_dir=str(data_root))
    assert {k: len(v) for k, v in data.splits.items()} == {"train": 4163, "test": 463}
    field, known = data.spec.x, data.spec.fields["properties"]
    whole = [data.splits[k].take(np.arange(len(data.splits[k]))) for k in ("train", "test")]
    texts = [t for part in whole for t in smiles.texts_of(field, part["x"])]
    assert len(set(texts)) == 4626 and max(map(len, texts)) == molecules.LENGTH == field.shape[0]
    for text in texts[::50]:
        assert Chem.MolToSmiles(Chem.MolFromSmiles(text)) == text and "." not in text
    np.testing.assert_allclose(whole[0]["properties"].mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(whole[0]["properties"].std(0), 1, atol=1e-5)
    own = known.units.outward(whole[1]["properties"][:20])
    np.testing.assert_allclose(
        own, smiles.properties(smiles.texts_of(field, whole[1]["x"][:20])), atol=1e-5
    )
    again = load("nci_molecules", data_dir=str(data_root))
    assert again.fingerprint() == data.fingerprint()


def test_properties_are_those_that_are_published():
    """Ethane's logP by hand: 6 x 0.1230 + 2 x 0.1441 of Wildman & Crippen 1999, table 1; aspirin
    as it is quoted of RDKit."""
    pytest.importorskip("rdkit")
    (aspirin,), (ethane,) = (smiles.properties([t]) for t in ("CC(=O)Oc1ccccc1C(=O)O", "CC"))
    np.testing.assert_allclose(aspirin, (0.550, 1.580, 1.310), atol=2e-3)
    np.testing.assert_allclose(ethane[2], 6 * 0.1230 + 2 * 0.1441, atol=1e-9)
    assert smiles.canonical("OCC") == smiles.canonical("CCO") == "CCO"
    assert [smiles.canonical(t) for t in ("", "C1CC", "c1cc", "C(C)(C)(C)(C)C", "é")] == [None] * 5
    with pytest.raises(DataError, match="'C1CC' is no SMILES of a molecule"):
        smiles.properties(["C1CC"])


def test_moses_wants_its_wheel(tmp_path):
    pytest.importorskip("rdkit")
    data_dir = str(tmp_path / "data")
    with pytest.raises(DataError, match="moses is not on this machine: type pip download"):
        load("moses", data_dir=data_dir)
    with pytest.raises(DataError, match="no file .*none.whl: type pip download"):
        load("moses_20k", data_dir=data_dir, manual_dir=str(tmp_path / "none.whl"))
    (tmp_path / moses.WHEEL).write_bytes(b"PK")
    with pytest.raises(DataError, match="is not molsets-0.3.1.* as its authors gave it"):
        load("moses", data_dir=data_dir, manual_dir=str(tmp_path))
    assert not list((tmp_path / "data").glob("*/*/*"))


def test_moses_is_read_of_a_zip(tmp_path, monkeypatch):
    pytest.importorskip("rdkit")
    import gzip
    import zipfile

    own = {"train": ["CCO", "c1ccccc1", "CCN"], "test": ["CCC"], "test_scaffolds": ["C1CC1"]}
    with zipfile.ZipFile(tmp_path / moses.WHEEL, "w") as wheel:
        for stem, texts in own.items():
            content = gzip.compress("\n".join(["SMILES", *texts]).encode())
            wheel.writestr(f"moses/dataset/data/{stem}.csv.gz", content)
    monkeypatch.setattr(moses, "SHA256", moses.sha256_of(tmp_path / moses.WHEEL))
    options = dict(manual_dir=str(tmp_path / moses.WHEEL), data_dir=str(tmp_path / "data"))
    data = load("moses", **options)
    for split, stem in moses.FILES.items():
        rows = data.splits[split].take(np.arange(len(own[stem])))["x"]
        assert smiles.texts_of(data.spec.x, rows) == own[stem]
    (tmp_path / moses.WHEEL).unlink()
    assert len(load("moses", **options).splits["train"]) == 3  # it is prepared
    assert pathlib.Path(tmp_path / "data/moses").is_dir()
