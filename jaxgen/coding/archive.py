"""The bytes of a `.jxg` file: a header, and chunks that are decoded each for itself.

`MAGIC`, the version (uint16), the length of the header and its CRC32 (uint32 each), the header, and
the chunks: number of words, start words among them, CRC32 of both and the words (uint32 each), and
the words.
All little-endian. The header is JSON, deflated; a file holds nothing else.
"""

from __future__ import annotations

import dataclasses
import json
import re
import struct
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxgen.config import ConfigError

MAGIC, VERSION = b"JXGC", 2
FIRST, EACH = struct.Struct("<HII"), struct.Struct("<III")
MOST_HEADER = 2**16  # bytes
# what headers have in common, so that a small file does not pay for it: part of the format
COMMON = (
    b'"precision":10"fineness":2,"groups":1,"seed":0"entries""groups""local-bits-back""bits-back"'
    b'{"batch":32{"batch":1,"canary":"0123456789abcdef","chunk":1024,"count":1000,"digest":"'
    b'","dtype":"uint8","environment":{"constriction":"0.5.0","jax":"0.10.2","jaxlib":"0.10.2",'
    b'"numpy":"2.4.6","processor":"aarch64 x86_64 ","scipy":"1.17.1"},"kind":"","model":"'
    b'","options":{},"shape":[28,28,1]"shape":[8,8,1]}'
)
DEFLATE = {"wbits": -15, "zdict": COMMON}
HEX = re.compile(r"[0-9a-f]{1,64}\Z")
QUEUES, HEAD = ("entries", "groups"), (2, 1)  # words of a coder's state: of a stack, a queue


class Chunk(NamedTuple):
    """What a coder made of some examples.

    Attributes:
        words: uint32.
        start: of them, words of the start, which were there before the first example.
    """

    words: np.ndarray
    start: int = 0


@dataclasses.dataclass(frozen=True)
class Header:
    """What a file says of itself.

    Attributes:
        model: digest of the model.
        kind: of the coder.
        count: examples.
        batch: of them coded beside each other.
        chunk: examples that are coded after each other, from a start of their own.
        shape: of an example.
        dtype: of its values.
        digest: of all values.
        canary: digest of what the model says of examples that all know.
        environment: name -> version, of what numbers may depend on.
        options: of the coder.
    """

    model: str
    kind: str
    count: int
    batch: int
    chunk: int
    shape: tuple[int, ...]
    dtype: str
    digest: str
    canary: str
    environment: dict[str, str]
    options: dict[str, int]

    @property
    def chunks(self) -> int:
        """How many."""
        return -(-self.count // self.chunk)


def pack(header: Header, chunks: Sequence[Chunk]) -> bytes:
    """The file."""
    text = json.dumps(dataclasses.asdict(header), sort_keys=True, separators=(",", ":"))
    packer = zlib.compressobj(9, **DEFLATE)
    about = packer.compress(text.encode()) + packer.flush()
    parts = [MAGIC, FIRST.pack(VERSION, len(about), zlib.crc32(about)), about]
    for words, start in chunks:
        raw = words.astype("<u4").tobytes()
        parts += [EACH.pack(len(words), start, _crc(len(words), start, raw)), raw]
    return b"".join(parts)


def unpack(data: bytes) -> tuple[Header, list[Chunk]]:
    """The header of a file, and its chunks.

    Raises:
        ConfigError: for what is no such file, is of another version, or is damaged.
    """
    if data[: len(MAGIC)] != MAGIC:
        raise ConfigError("it is no file of `jaxgen compress`")
    at = len(MAGIC) + FIRST.size
    if len(data) < at:
        raise ConfigError("it is cut off")
    version, size, crc = FIRST.unpack(data[len(MAGIC) : at])
    if version != VERSION:
        raise ConfigError(
            f"it is of version {version}, and this jaxgen reads {VERSION}: decompress it with the "
            "jaxgen that wrote it"
        )
    about, at = data[at : at + size], at + size
    if size <= MOST_HEADER and len(about) < size:
        raise ConfigError("it is cut off")
    if zlib.crc32(about) != crc:
        raise ConfigError("it is damaged: its header is not what was written")
    header, chunks = _header(about), []
    for i in range(header.chunks):
        if len(data) < at + EACH.size:
            raise ConfigError("it is cut off")
        length, start, crc = EACH.unpack(data[at : at + EACH.size])
        at += EACH.size
        raw, at = data[at : at + 4 * length], at + 4 * length
        if len(raw) < 4 * length:
            raise ConfigError("it is cut off, or damaged")
        if _crc(length, start, raw) != crc:
            first = i * header.chunk
            last = min(first + header.chunk, header.count) - 1
            raise ConfigError(f"it is damaged: examples {first} to {last} are lost")
        chunks.append(Chunk(np.frombuffer(raw, "<u4").astype(np.uint32), start))
    if at != len(data):
        raise ConfigError("it is damaged: there is more than was written")
    return header, chunks


def _crc(length: int, start: int, raw: bytes) -> int:
    return zlib.crc32(raw, zlib.crc32(EACH.pack(length, start, 0)))


def _header(about: bytes) -> Header:
    """Raises ConfigError for what `pack` does not write."""
    try:
        text = zlib.decompressobj(**DEFLATE).decompress(about, MOST_HEADER)
        found: Any = json.loads(text)
        header = Header(**found | {"shape": tuple(found["shape"])})
        sound = _is_sound(header)
    except (zlib.error, ValueError, RecursionError, TypeError, KeyError, AttributeError):
        sound = False
    if not sound:
        raise ConfigError("its header is none of `jaxgen compress`")
    return header


def _is_sound(header: Header) -> bool:
    counts = [header.count, header.batch, header.chunk]
    numbers = [*counts, *header.shape, *header.options.values()]
    names = [header.kind, header.dtype, *header.environment, *header.environment.values()]
    digests = [header.model, header.digest, header.canary]
    return (
        all(type(n) is int and 0 <= n < 2**32 for n in numbers)
        and min(counts) > 0
        and all(isinstance(name, str) and len(name) < 100 for name in [*names, *header.options])
        and all(isinstance(text, str) and HEX.match(text) for text in digests)
    )


def sizes(data: bytes) -> dict[str, Any]:
    """What a file holds, without the model: its header's fields, and bits of its parts.

    Returns:
        The fields of `Header`, and "bytes", "bits": `net`, what the model's probabilities are
        worth; `start`, of words that were there before the first example of each chunk; `head`, the
        coders' own states; `header`, the rest.

    Raises:
        ConfigError: as `unpack` does.
    """
    header, chunks = unpack(data)
    words = sum(len(chunk.words) for chunk in chunks)
    start = sum(chunk.start for chunk in chunks)
    head = HEAD[header.kind in QUEUES] * len(chunks)
    bits = {"start": 32 * start, "head": 32 * head, "header": 8 * len(data) - 32 * words}
    bits["net"] = 8 * len(data) - sum(bits.values())
    return dataclasses.asdict(header) | {"bytes": len(data), "bits": bits}
