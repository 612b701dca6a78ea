"""The bytes of a file: damage, strangers, other versions, and what a file says of itself."""

import dataclasses
import struct
import zlib

import numpy as np
import pytest

from jaxgen import coding
from jaxgen.coding.archive import DEFLATE, FIRST, MAGIC, VERSION, Chunk, Header, pack, unpack
from jaxgen.config import ConfigError

HEADER = Header(
    model="ab" * 16,
    kind="bits-back",
    count=9,
    batch=1,
    chunk=4,
    shape=(3, 3, 1),
    dtype="uint8",
    digest="cd" * 16,
    canary="ef" * 8,
    environment={"jax": "1"},
    options={"precision": 10},
)
WORDS = np.arange(30, dtype=np.uint32) * 77777
CHUNKS = [Chunk(WORDS[:12], 5), Chunk(WORDS[12:20], 4), Chunk(WORDS[20:], 3)]
DATA = pack(HEADER, CHUNKS)


def test_what_goes_in_comes_out():
    header, chunks = unpack(DATA)
    assert header == HEADER
    for own, chunk in zip(CHUNKS, chunks, strict=True):
        np.testing.assert_array_equal(own.words, chunk.words)
        assert own.start == chunk.start
    about = coding.inspect(DATA)
    assert about["bytes"] == len(DATA) and about["bits"]["start"] == 32 * 12
    assert about["bits"]["head"] == 64 * 3
    assert sum(about["bits"].values()) == 8 * len(DATA)
    assert len(DATA) - about["bits"]["header"] // 8 == 4 * len(WORDS)


def test_damage_is_one_sentence():
    """Every bit flipped, every length cut, and more than there was."""
    for at in range(len(DATA)):
        for bit in range(8):
            broken = bytearray(DATA)
            broken[at] ^= 1 << bit
            with pytest.raises(ConfigError, match="no file of|is of version|is damaged|is cut off"):
                unpack(bytes(broken))
    for size in range(len(DATA)):
        with pytest.raises(ConfigError, match="no file of|is damaged|is cut off"):
            unpack(DATA[:size])
    with pytest.raises(ConfigError, match="there is more than was written"):
        unpack(DATA + b"\0")
    broken = bytearray(DATA)
    broken[-1] ^= 1
    with pytest.raises(ConfigError, match="it is damaged: examples 8 to 8 are lost"):
        unpack(bytes(broken))


def test_another_version():
    """Version 1 had no canary and no chunks."""
    for version in (1, VERSION + 1):
        data = MAGIC + struct.pack("<H", version) + DATA[len(MAGIC) + 2 :]
        with pytest.raises(ConfigError, match=f"it is of version {version}, and this jaxgen reads"):
            unpack(data)


def stranger(text):
    packer = zlib.compressobj(9, **DEFLATE)
    about = packer.compress(text) + packer.flush()
    return MAGIC + FIRST.pack(VERSION, len(about), zlib.crc32(about)) + about


@pytest.mark.parametrize(
    "changes",
    [
        {"model": 1},
        {"model": "../x"},
        {"count": -1},
        {"count": 0},
        {"count": True},
        {"batch": 0},
        {"batch": 2**40},
        {"chunk": 0},
        {"shape": [3, "3"]},
        {"shape": 3},
        {"kind": None},
        {"kind": "k" * 1000},
        {"options": {"precision": 1.5}},
        {"options": []},
        {"environment": {"jax": 3}},
        {"more": 1},
    ],
)
def test_headers_of_strangers(changes):
    import json

    text = json.dumps(dataclasses.asdict(HEADER) | changes).encode()
    with pytest.raises(ConfigError, match="its header is none of"):
        unpack(stranger(text))


@pytest.mark.parametrize("text", [b"{}", b"[1]", b"null", b"\xff", b"[" * 40_000, b" " * 2**26])
def test_headers_that_are_none(text):
    """One of them is a bomb: 64 MB of blanks in 64 kB."""
    with pytest.raises(ConfigError, match="its header is none of|is damaged"):
        unpack(stranger(text))


def test_many_chunks_are_not_believed():
    """A count that the file does not hold."""
    data = pack(dataclasses.replace(HEADER, count=2**32 - 1, chunk=1), CHUNKS)
    with pytest.raises(ConfigError, match="cut off"):
        unpack(data)


def test_places_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        coding.inspect(tmp_path / "x.jxg")
    (tmp_path / "x.jxg").write_bytes(DATA)
    assert coding.inspect(tmp_path / "x.jxg")["count"] == 9
