"""What befalls the files of a run between two starts.

Each takes random numbers, the run directory and the prepared data, and returns what it did in
words, or None where there is nothing to damage.
"""

import os
import pathlib

from command import saved

STALE = 999_999  # a process that is gone


def _files(directory):
    return sorted(p for p in directory.rglob("*") if p.is_file() and p.stat().st_size)


def _newest(rng, workdir):
    """A file of the newest checkpoint, while there is one before it to fall back on."""
    steps = saved(workdir)
    if len(steps) < 2:
        return None
    files = _files(workdir / "checkpoints" / str(steps[-1]))
    return rng.choice(files) if files else None


def _named(what, path, workdir):
    return f"{what} {path.relative_to(workdir)}"


def truncated(rng, workdir, data):
    """Half of a file of the newest checkpoint is missing."""
    if (path := _newest(rng, workdir)) is None:
        return None
    os.truncate(path, path.stat().st_size // 2)
    return _named("truncated", path, workdir)


def flipped(rng, workdir, data):
    """One bit of a file of the newest checkpoint is another."""
    if (path := _newest(rng, workdir)) is None:
        return None
    flip(path, rng.randrange(path.stat().st_size))
    return _named("flipped a bit of", path, workdir)


def flip(path, at):
    """Flips a bit of the byte at a position."""
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0] ^ 0x10
        file.seek(at)
        file.write(bytes([byte]))


def deleted(rng, workdir, data):
    """A file of the newest checkpoint is gone."""
    if (path := _newest(rng, workdir)) is None:
        return None
    path.unlink()
    return _named("deleted", path, workdir)


def torn(rng, workdir, data):
    """The last line of the metrics was being written."""
    path = workdir / "metrics.jsonl"
    if not path.exists() or not path.stat().st_size:
        return None
    with open(path, "a") as file:
        file.write('{"step": 12345, "split": "tra'[: rng.randrange(1, 29)])
    return "a torn line in metrics.jsonl"


def foreign(rng, workdir, data):
    """Somebody else's files lie about."""
    if not workdir.exists():
        return None
    for where in ("", "checkpoints", "samples"):
        folder = workdir / where
        if folder.is_dir():
            (folder / ".DS_Store").write_bytes(b"\0\1" * 8)
            (folder / "notes on 日本.txt").write_text("mine\n")
            (folder / "old").mkdir(exist_ok=True)
    return "foreign files"


def stale(rng, workdir, data):
    """Temporary files of a process that was killed."""
    if not workdir.exists():
        return None
    for name in ("metrics.jsonl", "summary.json", "config.json", "manifest.json"):
        (workdir / f".{name}.{STALE}").write_text('{"step": 1, ')
    if (workdir / "checkpoints").is_dir():
        half = workdir / "checkpoints" / f"13.orbax-checkpoint-tmp-{STALE}" / "state"
        half.mkdir(parents=True, exist_ok=True)
        (half / "manifest.ocdbt").write_bytes(b"half")
    return "stale temporaries"


def cache(rng, workdir, data):
    """A file of the prepared data is not what it was."""
    files = [p for p in _files(pathlib.Path(data)) if p.suffix != ".lock"]
    if not files:
        return None
    path = rng.choice(files)
    kind = rng.choice(["truncated", "flipped a bit of", "deleted"])
    if kind == "truncated":
        os.truncate(path, path.stat().st_size // 2)
    elif kind == "deleted":
        path.unlink()
    else:
        flip(path, rng.randrange(path.stat().st_size))
    return f"{kind} {path.relative_to(data)} of the prepared data"


DAMAGES = {f.__name__: f for f in (truncated, flipped, deleted, torn, foreign, stale, cache)}
