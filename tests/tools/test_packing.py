"""Packs: what a run is without its optimiser, given away and read back; and what is no pack."""

import gzip
import hashlib
import io
import re
import subprocess
import tarfile

import jax
import numpy as np
import pytest

import jaxgen
from jaxgen.config import ConfigError
from jaxgen.tools.packing import SUMS, pack, unpack
from jaxgen.train.integrity import state_digest
from jaxgen.train.weights_file import held
from jaxgen.weights import safetensors


@pytest.fixture(scope="module")
def packed(zoo, tmp_path_factory):
    """A run, its pack, and what is unpacked of it."""
    folder = tmp_path_factory.mktemp("packs")
    run = jaxgen.load(zoo.run("vae").workdir)
    return run, pack(run, folder / "x.tar.gz"), unpack(folder / "x.tar.gz", folder / "run").path


def refused(file, tmp_path):
    """The line with which it is refused; nothing is left of it."""
    with pytest.raises(ConfigError) as error:
        unpack(file, tmp_path / "new" / "run")
    assert not (tmp_path / "new").exists() or not list((tmp_path / "new").iterdir())
    assert "\n" not in str(error.value)
    return str(error.value)


def repacked(file, change):
    """Entries name -> bytes of a pack after `change`, as a new one with a true list."""
    with tarfile.open(file) as tar:
        files = {m.name: tar.extractfile(m).read() for m in tar}
    change(files)
    lines = [
        f"{hashlib.sha256(data).hexdigest()}  {name}\n"
        for name, data in sorted(files.items())
        if name != SUMS
    ]
    files[SUMS] = "".join(lines).encode()
    return files


def tarred(path, files, *entries):
    """A .tar.gz of plain files and of entries that are not."""
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
        for entry in entries:
            tar.addfile(entry)
    return path


def entry(name, kind, to=""):
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, to
    return found


def test_a_pack_samples_encodes_and_evaluates_as_the_run(packed, data_root, monkeypatch):
    monkeypatch.setenv("JAXGEN_DATA_DIR", str(data_root))
    run, _, path = packed
    other = jaxgen.load(path)
    assert other.step == run.step and other.averages == run.averages
    x = run.sample(20, seed=3)
    np.testing.assert_array_equal(other.sample(20, seed=3), x)
    for a, b in zip(*map(jax.tree.leaves, (run.encode(x), other.encode(x))), strict=True):
        np.testing.assert_array_equal(a, b)
    assert other.evaluate(splits=("test",)) == run.evaluate(splits=("test",))
    digests = [state_digest(held(r.state.averaged())) for r in (run, other)]
    assert digests[0] == digests[1]
    assert not other.state.opt and not (path / "checkpoints").exists()


def test_a_pack_of_a_pack_is_the_pack(packed, tmp_path):
    """The same bytes: nothing of time, place or user is in it but what the run has recorded."""
    run, file, path = packed
    assert pack(run, tmp_path / "again.tar.gz").read_bytes() == file.read_bytes()
    copy = tmp_path / run.directory.path.name
    path = unpack(file, copy).path
    again = repacked(pack(jaxgen.load(path), tmp_path / "y.tar.gz"), lambda files: None)
    first = repacked(file, lambda files: None)
    again.pop(SUMS), first.pop(SUMS)
    cards = [files.pop("README.md").decode() for files in (first, again)]
    assert again == first
    assert "cannot be trained further" in cards[1] and "cannot be trained" not in cards[0]


def test_the_list_is_one_of_sha256sum(packed):
    path = packed[2]
    found = subprocess.run(
        ["sha256sum", "--strict", "--check", SUMS], cwd=path, capture_output=True, text=True
    )
    assert found.returncode == 0 and found.stdout.count(": OK\n") >= 5, found


@pytest.mark.slow
def test_a_pack_of_an_average_says_which(zoo, tmp_path):
    run = jaxgen.load(zoo.run("gan").workdir)
    assert run.averages == {"generator": "generator"}
    found = jaxgen.load(unpack(pack(run, tmp_path / "x.tar.gz"), tmp_path / "run").path)
    assert found.averages == run.averages
    np.testing.assert_array_equal(found.sample(4), run.sample(4))
    with pytest.raises(ConfigError, match="average"):
        jaxgen.load(tmp_path / "run", average="generator")
    with pytest.raises(ConfigError, match=f"holds step {run.step} alone"):
        jaxgen.load(tmp_path / "run", step=1)


def test_it_is_not_trained_further(packed, refused_training):
    text = refused_training("--config=configs/vae.py:digits,tiny", f"--workdir={packed[2]}")
    assert "was packed" in text and "cannot be trained further" in text


@pytest.fixture
def refused_training(refused):
    """Under a name of its own beside `refused` of this file."""
    return refused


@pytest.mark.slow
def test_a_run_that_holds_a_stage(tmp_path, starter):
    """Stages, and stages of stages, come along, and their digests still fit the manifest."""
    first, second = tmp_path / "first", tmp_path / "second"
    starter.run("--config=configs/autoencoder.py:plain,tiny", f"--workdir={first}")
    options = (f"--config.frozen.first.run={first}", f"--workdir={second}")
    starter.run("--config=configs/latent_flow.py:tiny", *options)
    run = jaxgen.load(second)
    path = unpack(pack(run, tmp_path / "x.tar.gz"), tmp_path / "run").path
    assert (path / "frozen/first/weights.safetensors").exists()
    np.testing.assert_array_equal(jaxgen.load(path).sample(4), run.sample(4))
    arrays, about = safetensors.read(path / "frozen/first/weights.safetensors")
    name = next(n for n in arrays if n.endswith("kernel"))
    arrays[name] = arrays[name] + 1
    safetensors.write(path / "frozen/first/weights.safetensors", arrays, about)
    with pytest.raises(ConfigError, match="is damaged: its digest is not that of its arrays"):
        jaxgen.load(path)


@pytest.mark.parametrize(
    ("name", "kind", "to", "said"),
    [
        ("samples/step_1.png", tarfile.SYMTYPE, "/etc/passwd", "no plain file"),
        ("samples/step_1.png", tarfile.LNKTYPE, "config.json", "no plain file"),
        ("summary.json", tarfile.FIFOTYPE, "", "no plain file|twice"),
        ("metrics.jsonl", tarfile.CHRTYPE, "", "no plain file|twice"),
        ("../outside", tarfile.REGTYPE, "", "'../outside', which no pack does"),
        ("/tmp/outside", tarfile.REGTYPE, "", "'/tmp/outside', which no pack does"),
        ("frozen/../config.json", tarfile.REGTYPE, "", "which no pack does"),
        ("samples/step_1.png\n", tarfile.REGTYPE, "", "which no pack does"),
        ("frozen", tarfile.DIRTYPE, "", "which no pack does"),
        ("weights.pkl", tarfile.REGTYPE, "", "'weights.pkl', which no pack does"),
        ("config.json", tarfile.REGTYPE, "", "twice"),
    ],
)
def test_entries_that_reach_out_or_are_no_files(packed, tmp_path, name, kind, to, said):
    files = repacked(packed[1], lambda f: None)
    bad = tarred(tmp_path / "bad.tar.gz", files, entry(name, kind, to))
    assert re.search(said, refused(bad, tmp_path))


def test_a_pickle_in_the_place_of_weights(packed, tmp_path, monkeypatch):
    """Code that a pickle would run is not run."""
    hit = tmp_path / "hit"
    payload = b"cposix\nsystem\n(S'touch " + str(hit).encode() + b"'\ntR."
    files = repacked(packed[1], lambda f: f.update({"weights.safetensors": payload}))
    path = unpack(tarred(tmp_path / "bad.tar.gz", files), tmp_path / "run").path
    with pytest.raises(ConfigError, match="is damaged, or no safetensors"):
        jaxgen.load(path)
    assert not hit.exists()


def test_names_of_code_in_its_config(packed, tmp_path):
    def change(files):
        files["config.json"] = files["config.json"].replace(b'"elbo.ELBO"', b'"os:system"')

    files = repacked(packed[1], change)
    path = unpack(tarred(tmp_path / "bad.tar.gz", files), tmp_path / "run").path
    with pytest.raises(ConfigError, match="which is not jaxgen's own: it is not run"):
        jaxgen.load(path)


def test_damage(packed, tmp_path):
    data = packed[1].read_bytes()
    bad = tmp_path / "bad.tar.gz"
    for changed in (
        data[:-1],
        data[: len(data) // 2],
        data[:40],
        b"",
        b"no pack",
        data[:-8] + bytes(8),
    ):
        bad.write_bytes(changed)
        assert "is damaged, or no pack" in refused(bad, tmp_path)
    place = len(data) // 2
    bad.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    assert "bad.tar.gz" in refused(bad, tmp_path)
    files = repacked(packed[1], lambda f: None)
    files["summary.json"] += b" "
    assert "the sha256 of summary.json" in refused(tarred(bad, files), tmp_path)
    files = repacked(packed[1], lambda f: None)
    del files["metrics.jsonl"]
    assert "it misses 'metrics.jsonl'" in refused(tarred(bad, files), tmp_path)
    del files[SUMS]
    assert f"it misses {SUMS}" in refused(tarred(bad, files), tmp_path)
    with pytest.raises(ConfigError, match="exists: give another --workdir"):
        unpack(packed[1], packed[2])


def test_a_small_file_that_becomes_large(tmp_path):
    """Of an entry's content, and of a header that claims to be long."""
    bad = tmp_path / "bad.tar.gz"
    with gzip.open(bad, "wb") as file:
        for name, kind in (("metrics.jsonl", tarfile.REGTYPE), ("x", tarfile.XHDTYPE)):
            head = tarfile.TarInfo(name)
            head.type, head.size = kind, 80 * 2**20
            file.write(head.tobuf() + bytes(head.size))
    assert bad.stat().st_size < 2**20
    assert "becomes more than 67,108,864 bytes" in refused(bad, tmp_path)


def test_the_commands(zoo, tmp_path, jaxgen_command):
    file, path = tmp_path / "x.tar.gz", tmp_path / "x"
    printed = jaxgen_command("pack", zoo.run("vae").workdir, f"--out={file}").out
    assert re.fullmatch(rf"pack of step 20, [\d.]+ KiB: {file}\n", printed), printed
    assert f"{path}" in jaxgen_command("unpack", file, f"--workdir={path}").out
    jaxgen_command("show", path)
    error = jaxgen_command("sample", file, code=2).err
    assert "it is a pack: jaxgen unpack x.tar.gz --workdir=DIR" in error
    assert (path / "README.md").read_text().startswith("# vae\n")
