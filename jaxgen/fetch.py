"""Files of public releases: fetched when a user asks, and checked by their hash."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
import urllib.request
from collections.abc import Callable, Iterator

from jaxgen.errors import ConfigError
from jaxgen.files import atomic
from jaxgen.progress import track


@dataclasses.dataclass(frozen=True)
class Remote:
    """A published file.

    Attributes:
        url: of its public release.
        sha256: of its bytes.
        size: bytes, about.
        name: of the file, where the url does not end in it.
    """

    url: str
    sha256: str
    size: int
    name: str = ""

    @property
    def file(self) -> str:
        """Its name."""
        return self.name or self.url.rpartition("/")[2]


def sha256_of(path: pathlib.Path) -> str:
    """Of a file's bytes.

    Raises:
        ConfigError: for one that cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    return digest.hexdigest()


def fetched(
    remote: Remote,
    target: pathlib.Path,
    check: Callable[[pathlib.Path], None],
    advice: str,
) -> pathlib.Path:
    """The file at `target`, where it is written whole or not at all.

    Args:
        remote: the file.
        target: its place; a file that is there is checked and not fetched.
        check: raises for a file with other bytes.
        advice: what to do without a network.

    Raises:
        ConfigError: without a network.
        WriteError: see `files.atomic`.
    """
    if target.is_file():
        check(target)
        return target
    blocks = track(_blocks(remote, advice), f"fetching {remote.file}", remote.size, "bytes", len)
    with atomic(target, remote.size) as file:
        for block in blocks:
            file.write(block)
        file.flush()
        check(pathlib.Path(file.name))
    return target


def _blocks(remote: Remote, advice: str) -> Iterator[bytes]:
    """The bytes of a file, as they arrive."""
    try:
        with urllib.request.urlopen(remote.url) as answer:
            while block := answer.read(1 << 20):
                yield block
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise ConfigError(f"cannot fetch {remote.url} ({reason}); {advice}") from error
