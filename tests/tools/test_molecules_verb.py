"""`jaxgen molecules`: in Python and as a command, and what it refuses."""

import numpy as np
import PIL.Image
import pytest

import jaxgen
from jaxgen.config import ConfigError
from jaxgen.data import smiles
from jaxgen.data.limits import load_npz

pytest.importorskip("rdkit")
KNOWN = ["CCO", "c1ccccc1", "CCN", "CC(C)O"]


@pytest.fixture(scope="module")
def path(starter, data_root, tmp_path_factory):
    """A tiny run that is over."""
    workdir = tmp_path_factory.mktemp("molecules") / "run"
    starter.run("--config=configs/molecule_vae.py:tiny", f"--workdir={workdir}")
    return workdir


@pytest.fixture(scope="module")
def loaded(path, data_root):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXGEN_DATA_DIR", str(data_root))
        yield jaxgen.load(path)


@pytest.fixture
def spelling(loaded, monkeypatch):
    """The run, whose texts are known molecules, numbered by the sign of two latents."""

    def decode(z):
        rows = (np.asarray(z[0][:, 0]) > 0) * 2 + (np.asarray(z[0][:, 1]) > 0)
        return np.stack([loaded.spec.x.tokens(KNOWN[i]) for i in rows])

    monkeypatch.setattr(loaded, "decode", decode)
    return loaded


def test_the_command_is_the_function(loaded, path, tmp_path, jaxgen_command):
    found = loaded.molecules(num=20, seed=3, temperature=0.5)
    words = ("--num=20", "--seed=3", "--temperature=0.5")
    said = jaxgen_command("molecules", path, *words, f"--out={tmp_path / 'x.npz'}").out
    written = load_npz(tmp_path / "x.npz")
    np.testing.assert_array_equal(written["x"], found.arrays["x"])
    assert written["valid"].shape == (20,) and f"valid    {found.about['valid']:.3f}" in said
    texts = smiles.texts_of(loaded.spec.x, written["x"])
    assert [smiles.molecule(t) is not None for t in texts] == [*written["valid"]]
    jaxgen_command(
        "molecules", path, "--between=CCO,OCCO", "--points=3", f"--out={tmp_path / 'y.png'}"
    )
    with PIL.Image.open(tmp_path / "y.png") as image:
        assert image.size == (1200, 200)


def test_between_goes_from_one_to_the_other(spelling):
    first, second = np.float32([[-1.0, -1.0, 0, 0]]), np.float32([[1.0, 1.0, 0, 0]])
    texts = []
    for share in (0.0, 1.0):
        z = (1 - share) * first + share * second
        texts += smiles.texts_of(spelling.spec.x, spelling.decode((z,)))
    assert texts == ["CCO", "CC(C)O"]
    picture = spelling.between("CCO", "OCC", points=4)
    assert len(set(picture.about["texts"])) == 1 and picture.arrays["x"].shape == (4, 60)
    assert picture.image.shape == (200, 1200, 3) and picture.image.min() < 255


@pytest.mark.slow
def test_a_search_keeps_what_is_new_once(spelling):
    """Of four molecules that latents can say, those of no train molecule, by RDKit's values."""
    found = spelling.optimise("logP", num=40)
    split = spelling.dataset().splits["train"]
    train = {*smiles.texts_of(spelling.spec.x, split.take(np.arange(len(split)))["x"])}
    for name in ("process", "random", "genetic"):
        search = found.about[name]
        assert search.asked == 40 and set(search.texts) <= {smiles.canonical(k) for k in KNOWN}
        own = smiles.properties(search.texts)[:, 2]
        np.testing.assert_allclose(search.values, own)
        assert (np.diff(search.values) <= 0).all() and len(set(search.texts)) == len(search.texts)
    new = {smiles.canonical(k) for k in KNOWN} - train
    assert new <= {*found.about["random"].texts}


def test_what_cannot_be_is_one_line(loaded, zoo, jaxgen_command):
    with pytest.raises(ConfigError, match="'C1CC' is no SMILES"):
        loaded.between("C1CC", "C")
    with pytest.raises(ConfigError, match="none of the run's molecules: unknown character '@'"):
        loaded.between("C[C@H](N)O", "C")
    with pytest.raises(ConfigError, match="61 characters, expected at most 60"):
        loaded.between("C" * 61, "C")
    with pytest.raises(ConfigError, match="unknown objective 'logp': did you mean 'logP'"):
        loaded.optimise("logp")
    with pytest.raises(ConfigError, match="digits, which are no molecules"):
        jaxgen.load(zoo.run("vae").workdir).molecules()


@pytest.mark.slow
def test_the_metric(loaded):
    found = loaded.measure("molecules", num=20, sets=2)
    values = {m["name"]: m["value"] for m in found["measurements"]}
    assert values.keys() == {"valid", "unique", "novel", "restored"}
    assert all(0 <= v <= 1 for v in values.values())
