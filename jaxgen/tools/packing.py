"""A run in one file that can be given away: `jaxgen pack RUN`, and back: `jaxgen unpack FILE`.

A pack is a `.tar.gz` with the files of `FILES` and nothing else. It holds what is sampled and
evaluated, and no optimiser's state. Gzip, for Python reads it everywhere: zstd is in its library
from 3.14 on, and weights do not shrink under either.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import pathlib
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from typing import IO, Any

from jaxgen.claim import steps
from jaxgen.config import ConfigError
from jaxgen.data.limits import allowance, regular
from jaxgen.files import atomic, atomic_folder, write
from jaxgen.rundir import RunDir, read_json
from jaxgen.tools import card
from jaxgen.tools.outputs import unwritable
from jaxgen.train import weights_file
from jaxgen.types import FROZEN, PyTree

SUFFIX = ".tar.gz"
SUMS = "SHA256SUMS"  # as `sha256sum --check` reads it
FILES = re.compile(
    r"(frozen/[A-Za-z_]\w*/)*(config\.json|manifest\.json|weights\.safetensors)"
    r"|metrics\.jsonl|summary\.json|README\.md|SHA256SUMS"
    r"|evaluation/measurements\.json|samples/step_\d+\.png",
    re.ASCII,
)
MOST_FILES = 100_000
MOST_SUMS = 2**24  # bytes of the list
CHUNK = 2**20
DAMAGED = (tarfile.TarError, zlib.error, EOFError, gzip.BadGzipFile, ValueError, OverflowError)


def fill(run: Any, folder: pathlib.Path) -> None:
    """Writes a run without its optimiser's state into an empty folder, which then is a run.

    Args:
        run: loaded.
        folder: empty.

    Raises:
        WriteError: see `files.atomic`.
    """
    source, made = run.directory, RunDir(folder)
    for path in (source.config, source.manifest, source.metrics, source.summary):
        if path.exists():
            shutil.copyfile(path, folder / path.name)
    measured = pathlib.Path("evaluation/measurements.json")
    pictures = [p.relative_to(source.path) for p in source.samples.glob("step_*.png")]
    for name in (measured, *(p for p in pictures if FILES.fullmatch(p.as_posix()))):
        if (source.path / name).is_file():
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(source.path / name, folder / name)
    used = run.state.averaged()
    weights_file.write(made, weights_file.held(used), run.step, run.config, run.averages)
    _fill_stages(source, used.vars.get(FROZEN, {}), folder)
    write(folder / card.CARD, card.text(run))


def _fill_stages(source: RunDir, arrays: Mapping[str, PyTree], folder: pathlib.Path) -> None:
    """Stages that a run holds, each a run of its own, with those that it holds itself."""
    for name, tree in arrays.items():
        stage, place = RunDir(source.path / FROZEN / name), folder / FROZEN / name
        if not stage.config.exists():  # of `Run.guided_by`, which is no part of the run
            continue
        place.mkdir(parents=True)
        for path in (stage.config, stage.manifest):
            shutil.copyfile(path, place / path.name)
        inner = tree["vars"].get(FROZEN, {})
        own = tree | {"vars": {k: v for k, v in tree["vars"].items() if k != FROZEN}}
        step = _step_of(stage)
        weights_file.write(RunDir(place), own, step, read_json(stage.config), {})
        _fill_stages(stage, inner, place)


def _step_of(stage: RunDir) -> int:
    from jaxgen.weights import safetensors

    if stage.weights.exists():
        return int(safetensors.read(stage.weights)[1]["step"])
    return steps(stage)[-1]


def sums(folder: pathlib.Path) -> str:
    """A line for each file in a folder: its sha256 and its name."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != SUMS)
    return "".join(f"{_sha256(p)}  {p.relative_to(folder).as_posix()}\n" for p in files)


def _sha256(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pack(run: Any, out: str | os.PathLike[str]) -> pathlib.Path:
    """Writes a run without its optimiser's state as one file, and returns its path.

    The same run gives the same bytes.

    Args:
        run: loaded.
        out: a name that ends in .tar.gz.

    Raises:
        ConfigError: for another name.
        WriteError: see `files.atomic`.
    """
    path = pathlib.Path(out).expanduser()
    if not path.name.lower().endswith(SUFFIX):
        raise ConfigError(f"--out={out}, expected a name that ends in {SUFFIX}")
    if why := unwritable(path):
        raise ConfigError(f"--out={out} cannot be written: {why}")
    path.parent.mkdir(parents=True, exist_ok=True)
    # beside the file: where temporary ones go, there may be no room
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as work:
        folder = pathlib.Path(work)
        fill(run, folder)
        write(folder / SUMS, sums(folder))
        with (
            atomic(path) as file,
            gzip.GzipFile("", "wb", 6, fileobj=file, mtime=0) as zipped,
            tarfile.open(fileobj=zipped, mode="w", format=tarfile.USTAR_FORMAT) as tar,
        ):
            for one in sorted(p for p in folder.rglob("*") if p.is_file()):
                entry = tarfile.TarInfo(one.relative_to(folder).as_posix())
                entry.size, entry.mode = one.stat().st_size, 0o644
                with one.open("rb") as content:
                    tar.addfile(entry, content)
    return path


def unpack(file: str | os.PathLike[str], workdir: str | os.PathLike[str]) -> RunDir:
    """Makes a run directory of a pack, all of it or nothing.

    Every name must be one that a pack has, every entry a plain file with the sha256 of the list;
    nothing else of an entry is used. What it becomes is in proportion to the size of the file.

    Args:
        file: a pack.
        workdir: a directory that does not exist yet.

    Raises:
        ConfigError: in one line, for a file that is no pack or is damaged, or where `workdir` is.
        DataError: for a file that cannot be read.
        WriteError: where it cannot be written.
    """
    path, target = pathlib.Path(file).expanduser(), pathlib.Path(workdir).expanduser().absolute()
    if os.path.lexists(target):
        raise ConfigError(f"{target} exists: give another --workdir")
    with regular(path) as raw, atomic_folder(target) as folder:
        stream = _Limited(raw, str(path))
        found: dict[str, str] = {}
        for name, content in _entries(stream, str(path)):
            if name in found:
                raise ConfigError(f"{path} holds {name} twice")
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            found[name] = _copied(content, place, str(path))
        _check_sums(path, folder, found)
    return RunDir(target)


class _Limited(io.RawIOBase):
    """What a gzip file becomes, up to what its size explains."""

    def __init__(self, file: IO[bytes], who: str):
        self._most = allowance(os.fstat(file.fileno()).st_size)
        self._left, self._who = self._most, who
        self._zipped = gzip.GzipFile(fileobj=file, mode="rb")

    def read(self, size: int = -1) -> bytes:
        """At most a mebibyte, so that nothing large is allocated before it is there."""
        found = self._zipped.read(min(size, CHUNK) if size >= 0 else CHUNK)
        self._left -= len(found)
        if self._left < 0:
            raise ConfigError(f"{self._who} becomes more than {self._most:,} bytes: it is no pack")
        return found


def _entries(stream: Any, who: str) -> Iterator[tuple[str, IO[bytes]]]:
    """Name and content of each; of the last one the checksum of gzip, too."""
    with _explained(who):
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            for count, entry in enumerate(tar):
                if not FILES.fullmatch(entry.name):
                    raise ConfigError(f"{who} holds {entry.name[:80]!r}, which no pack does")
                if entry.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
                    raise ConfigError(f"{who}: {entry.name} is no plain file")
                if count >= MOST_FILES:
                    raise ConfigError(f"{who} holds more than {MOST_FILES:,} files")
                content = tar.extractfile(entry)
                if content is not None:
                    yield entry.name, content
        while stream.read(CHUNK):
            pass


@contextlib.contextmanager
def _explained(who: str) -> Iterator[None]:
    try:
        yield
    except ConfigError:
        raise
    except DAMAGED as error:
        reason = " ".join(str(error).split())[:120]
        raise ConfigError(f"{who} is damaged, or no pack: {reason}") from None


def _copied(content: IO[bytes], place: pathlib.Path, who: str) -> str:
    """Writes it and gives its sha256."""
    digest = hashlib.sha256()
    with place.open("xb") as out:
        while True:
            with _explained(who):
                part = content.read(CHUNK)
            if not part:
                return digest.hexdigest()
            digest.update(part)
            out.write(part)


def _check_sums(path: pathlib.Path, folder: pathlib.Path, found: Mapping[str, str]) -> None:
    """Whether the files are those of the list."""
    if missing := [n for n in (SUMS, "config.json", "manifest.json") if n not in found]:
        raise ConfigError(f"{path} is no pack: it misses {missing[0]}")
    if (folder / SUMS).stat().st_size > MOST_SUMS:
        raise ConfigError(f"{path}: {SUMS} is larger than that of any pack")
    listed = {}
    for line in (folder / SUMS).read_text(errors="replace").splitlines():
        digest, _, name = line.partition("  ")
        listed[name] = digest
    for name in sorted(listed.keys() | found.keys() - {SUMS}):
        if name not in found:
            raise ConfigError(f"{path} is damaged: it misses {name[:80]!r}")
        if listed.get(name) != found[name]:
            raise ConfigError(f"{path} is damaged: the sha256 of {name} is not that of {SUMS}")
