"""Files are written whole or not at all, and an error names path, need and room."""

import ast
import errno
import os
import pathlib
import types

import numpy as np
import PIL.Image
import pytest

from jaxgen import files
from jaxgen.evaluate.sampling import Kept
from jaxgen.files import (
    WriteError,
    atomic,
    atomic_folder,
    free_name,
    set_aside,
    write,
    write_arrays,
    write_image,
)
from jaxgen.pictures import save_gif, save_png
from jaxgen.rundir import write_json
from jaxgen.tools.outputs import save_npz, save_text

PIXELS = np.zeros((4, 4, 3), np.uint8)
WRITERS = {
    "text": lambda path: write(path, "text"),
    "json": lambda path: write_json(path, {"a": 1}),
    "arrays": lambda path: write_arrays(path, x=PIXELS),
    "compressed": lambda path: write_arrays(path, compressed=True, x=PIXELS),
    "picture": lambda path: write_image(path, PIL.Image.fromarray(PIXELS), format="png"),
    "png": lambda path: save_png(path, PIXELS),
    "gif": lambda path: save_gif(path, [PIXELS, PIXELS]),
    "npz": lambda path: save_npz(path, x=PIXELS),
    "csv": lambda path: save_text(path, "a,b"),
    "batch": lambda path: generate(path),
}


def generate(path):
    """One chunk of a generated set, as `jaxgen eval --metrics` keeps it."""

    class Samples(list):
        sampler = types.SimpleNamespace(size=4)

        def drawn(self, numbers):
            yield 0, PIXELS

    kept = Kept(Samples(range(4)), path.parent)
    object.__setattr__(kept, "_path", lambda number: path)
    object.__setattr__(kept, "_whole", lambda number: False)
    kept.complete()


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_leaves_the_old_file_and_one_line(tmp_path, monkeypatch, name):
    path = tmp_path / "x.npy"
    path.write_text("old")

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(WriteError) as caught:
        WRITERS[name](path)
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["x.npy"]
    message = str(caught.value)
    assert message.startswith(f"could not write {path}: No space left on device (")
    assert f" free in {tmp_path}); free some space" in message and "\n" not in message
    assert name == "batch" or " B to write, " in message


@pytest.mark.parametrize("name", WRITERS)
def test_a_writer_that_is_killed_leaves_the_old_file(tmp_path, monkeypatch, name):
    path = tmp_path / "x.npy"
    path.write_text("old")

    def killed(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        WRITERS[name](path)
    assert path.read_text() == "old"


def test_a_folder_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "above" / "folder"
    with atomic_folder(path) as work:
        (work / "x").write_text("new")
        assert not path.exists() and work.parent == path.parent
    assert (path / "x").read_text() == "new" and os.listdir(path.parent) == ["folder"]
    with pytest.raises(WriteError, match="could not write .*folder: Directory not empty"):
        with atomic_folder(path) as work:
            (work / "x").write_text("other")
    with pytest.raises(WriteError, match=r"other: No space left on device \(.* free in .*above\)"):
        with atomic_folder(path.with_name("other")) as work:
            raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(KeyboardInterrupt):
        with atomic_folder(path.with_name("other")):
            raise KeyboardInterrupt
    assert (path / "x").read_text() == "new" and os.listdir(path.parent) == ["folder"]


def test_names_of_what_is_set_aside(tmp_path):
    for name in ("old", "old.2"):
        (tmp_path / "a").write_text(name)
        assert set_aside(tmp_path / "a", "old") == tmp_path / name
        assert (tmp_path / name).read_text() == name


TEMPORARIES = {"mkstemp", "mkdtemp", "NamedTemporaryFile"}
# temporaries that nobody renames: a cache for one process, and the report of an error
OWN_TEMPORARIES = {"platform.py": {"mkdtemp"}, "boundary.py": {"mkstemp"}}
# what is whole already gets another name: works of before, and damaged checkpoints
MOVES = {"claim.py", "train/checkpoint.py"}


def test_nobody_else_writes_a_temporary_and_renames_it():
    root = pathlib.Path(files.__file__).parent
    offenders = []
    for path in sorted(root.rglob("*.py")):
        name = str(path.relative_to(root))
        if name == "files.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                owner = node.value.id if isinstance(node.value, ast.Name) else ""
                wrong = node.attr == "rename" and not (owner == "os" and name in MOVES)
                wrong |= owner == "os" and node.attr in ("replace", "renames", "link")
                made = owner == "tempfile" and node.attr in TEMPORARIES
                wrong |= made and node.attr not in OWN_TEMPORARIES.get(name, ())
                if wrong:
                    offenders.append(f"{name}:{node.lineno}: {owner}.{node.attr}")
    assert not offenders


def test_what_was_written_is_there(tmp_path):
    for name, writer in WRITERS.items():
        writer(tmp_path / "new" / name / "x.npy")
        assert os.listdir(tmp_path / "new" / name) == ["x.npy"]


def test_numpy_says_why_it_could_not_write(tmp_path):
    """To files of Python it writes past Python, and the cause is lost."""

    class Full:
        def __init__(self, file):
            self.file = file

        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(WriteError, match="No space left on device"), atomic(tmp_path / "x") as f:
        assert not isinstance(f, type(f._file))
        np.save(Full(f), PIXELS)


def test_other_reasons_are_named_too(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="file is not a directory; make that place writable, or"):
        write(tmp_path / "file" / "x", "text")


def test_free_names(tmp_path):
    for name in ("a", "a.2", "a.3"):
        assert free_name(tmp_path / "a") == tmp_path / name
        (tmp_path / name).symlink_to("nowhere")
