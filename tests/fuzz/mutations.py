"""Seeded damage of files: of their bytes, and of what is in them behind checksums and structure."""

import copy
import io
import json
import pickle
import struct
import zipfile
import zlib

BOUNDS = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1]
ODD = [
    None,
    True,
    False,
    0,
    -1,
    1.5,
    1e308,
    float("nan"),
    float("-inf"),
    2**31,
    2**70,
    10**400,
    "",
    "nan",
    "x" * 5000,
    "\0",
    "\x1b[2J",
    "\ud800",
    "</script><img src=x onerror=alert(1)>",
    "os:system",
    "builtins:exec",
    "../../../etc/passwd",
    "/dev/zero",
    [],
    {},
    [[]],
    [None],
    ["a", 1],
    {"a": {"b": {"c": []}}},
    {"name": "os:system", "command": "true"},
    {"__class__": "x"},
]
ODD.append(json.loads("[" * 40 + "]" * 40))


def damaged(raw, random):
    """Bytes with one to three wounds."""
    for _ in range(random.randint(1, 3)):
        raw = random.choice(WOUNDS)(bytearray(raw), random)
    return bytes(raw)


def _flip(raw, random):
    for _ in range(random.choice([1, 1, 1, 4, 32])):
        if raw:
            raw[random.randrange(len(raw))] ^= 1 << random.randrange(8)
    return raw


def _cut(raw, random):
    return raw[: random.randrange(len(raw) + 1)]


def _bound(raw, random):
    """A number at its limit, of either byte order."""
    size = random.choice([1, 2, 4, 8])
    number = random.choice(BOUNDS) % 256**size
    place = random.randrange(len(raw) + 1)
    raw[place : place + size] = number.to_bytes(size, random.choice(["little", "big"]))
    return raw


def _repeat(raw, random):
    start = random.randrange(len(raw) + 1)
    part = raw[start : start + random.randrange(1, 64)]
    place = random.randrange(len(raw) + 1)
    return raw[:place] + part * random.choice([1, 2, 50]) + raw[place:]


def _drop(raw, random):
    start = random.randrange(len(raw) + 1)
    del raw[start : start + random.randrange(1, 64)]
    return raw


def _noise(raw, random):
    place = random.randrange(len(raw) + 1)
    raw[place : place + 16] = random.randbytes(random.randrange(1, 64))
    return raw


WOUNDS = [_flip, _flip, _cut, _bound, _bound, _repeat, _drop, _noise]


def odd_json(raw, random):
    """JSON with values of other kinds, keys that are missing, new or there twice."""
    if random.random() < 0.2:
        return damaged(raw, random)
    try:
        value = json.loads(raw)
    except ValueError:  # it was damaged before
        return damaged(raw, random)
    for _ in range(random.randint(1, 3)):
        value = _odd_value(value, random)
    text = json.dumps(value)
    if random.random() < 0.1:
        text = text.replace("{", '{"a": 1, "a": 2, ', 1)
    return text.encode()


def _odd_value(value, random):
    if not isinstance(value, dict | list) or not value or random.random() < 0.1:
        return copy.deepcopy(random.choice(ODD))
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = random.choice(keys)
    way = random.random()
    if way < 0.12:
        del value[key]
    elif way < 0.2 and isinstance(value, dict):
        value[random.choice(["where", "spec", "self", "parent", "__init__", "x" * 300])] = 1
    elif way < 0.28 and isinstance(value, list):
        value *= 20
    else:
        value[key] = _odd_value(value[key], random)
    return value


def odd_lines(raw, random):
    """Lines of JSON, some of them odd."""
    lines = raw.splitlines()
    for _ in range(random.randint(1, 4)):
        i = random.randrange(len(lines))
        lines[i] = odd_json(lines[i], random) if lines[i] else random.randbytes(9)
    return b"\n".join(lines)


def odd_zip(inner):
    """A zip file with one entry that `inner` has damaged, and right checksums."""

    def mutate(raw, random):
        if random.random() < 0.3:
            return damaged(raw, random)
        out = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(out, "w") as new:
            entries = old.infolist()
            target = random.choice(entries)
            for entry in entries:
                content = old.read(entry)
                if entry is target:
                    content = inner(content, random)
                    if random.random() < 0.1:
                        content *= random.choice([0, 2, 100])
                name = random.choice(["../" * 9 + "x", "/etc/x", " ", "a" * 300, "data.pkl"])
                if entry is not target or random.random() < 0.9:
                    name = entry.filename
                way = random.choice([zipfile.ZIP_STORED] * 3 + [zipfile.ZIP_DEFLATED])
                new.writestr(name, content, way)
        return out.getvalue()

    return mutate


OPCODES = sorted(
    {
        v[0]
        for k, v in vars(pickle).items()
        if k.isupper() and isinstance(v, bytes) and len(v) == 1 and k != "STOP"
    }
)


def odd_pickle(raw, random):
    """A pickle with opcodes that were exchanged, added or repeated."""
    if random.random() < 0.3:
        return damaged(raw, random)
    raw = bytearray(raw)
    for _ in range(random.randint(1, 4)):
        place = random.randrange(len(raw))
        code = random.choice(OPCODES)
        if random.random() < 0.5:
            raw[place] = code
        else:
            raw[place:place] = bytes([code]) * random.choice([1, 1, 2, 3000])
    return bytes(raw)


def odd_png(raw, random):
    """A PNG with damage behind right checksums of its chunks."""
    if random.random() < 0.3:
        return damaged(raw, random)
    chunks, place = [], 8
    while place + 8 <= len(raw):
        length, name = struct.unpack(">I4s", raw[place : place + 8])
        chunks.append([name, raw[place + 8 : place + 8 + length]])
        place += length + 12
    chunk = random.choice(chunks)
    if chunk[0] == b"IDAT" and random.random() < 0.5:
        chunk[1] = zlib.compress(damaged(zlib.decompress(chunk[1]), random))
    else:
        chunk[1] = damaged(chunk[1], random)
    if random.random() < 0.2:
        chunks.insert(random.randrange(len(chunks)), list(random.choice(chunks)))
    parts = [
        struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks
    ]
    return raw[:8] + b"".join(parts)


def odd_array(raw, random):
    """A .npy file whose header says something else."""
    if random.random() < 0.3:
        return damaged(raw, random)
    length = struct.unpack("<H", raw[8:10])[0]
    header = raw[10 : 10 + length]
    old = random.choice([b"'<f8'", b"'|u1'", b"False", b"(", b",", b"4", b"3", b"shape", b"}"])
    new = random.choice(
        [
            b"'|O'",
            b"'<U99999999'",
            b"'|V0'",
            b"[('a','<f8')]",
            b"99999999999",
            b"-1",
            b"True",
            b"(" * 50,
            b"(4,",
            b"1e9",
            b"'",
            b"\xff",
            b"[",
            b"0",
            b"()",
        ]
    )
    header = header.replace(old, new, 1)
    return raw[:8] + struct.pack("<H", len(header)) + header + raw[10 + length :]
