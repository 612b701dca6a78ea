"""Pickles of hostile hands: each ends in one line, runs nothing, and takes little memory."""

import collections
import os
import pickle
import struct

import numpy as np
import pytest
from memory import growth

from jaxgen.config import ConfigError
from jaxgen.data import torch_file, unpickle
from jaxgen.data.unpickle import Interpreter
from jaxgen.weights import pickles

P = pickle


def text(word):
    return P.SHORT_BINUNICODE + bytes([len(word)]) + word.encode()


def named(module, name):
    return P.GLOBAL + f"{module}\n{name}\n".encode()


def called(module, name, *arguments):
    return named(module, name) + P.MARK + b"".join(arguments) + P.TUPLE + P.REDUCE


def number(n):
    raw = n.to_bytes(9, "little", signed=True)
    return P.LONG1 + bytes([len(raw)]) + raw


def stored(values, count=None):
    """One storage as torch.save wrote it."""
    out = b"".join(pickle.dumps(v, 2) for v in (torch_file.MAGIC, 1001, {"little_endian": True}))
    kind = text("storage") + named("torch", "FloatStorage") + text("0") + text("cpu")
    count = len(values) if count is None else count
    out += P.PROTO + b"\2" + P.MARK + kind + number(count) + P.NONE + P.TUPLE + P.BINPERSID + P.STOP
    return out + pickle.dumps(["0"], 2) + struct.pack("<q", count) + np.float32(values).tobytes()


def data(raw):
    return P.BINBYTES + struct.pack("<I", len(raw)) + raw


STORAGE = called("torch.storage", "_load_from_bytes", data(stored([1.0, 2.0, 3.0, 4.0])))


ZERO, FOUR, ONE = number(0), number(4) + P.TUPLE1, number(1) + P.TUPLE1


def tensor(offset=ZERO, size=FOUR, stride=ONE, of=STORAGE):
    return called("torch._utils", "_rebuild_tensor_v2", of, offset, size, stride)


def whole(value):
    """A file of {"G": value}."""
    return P.PROTO + b"\2" + P.EMPTY_DICT + text("G") + value + P.SETITEM + P.STOP


def pair(n):
    return number(n) + number(n) + P.TUPLE2


MODULE = P.EMPTY_DICT + text("class_name") + text("Net") + P.SETITEM
DTYPE = called("numpy", "dtype", text("f4"), P.NEWFALSE, P.NEWTRUE)
SLOTS = P.NONE + P.EMPTY_DICT + text("__array_interface__") + P.EMPTY_DICT + P.SETITEM + P.TUPLE2

HOSTILE = {
    "slots of a type": whole(DTYPE + SLOTS + P.BUILD),
    "slots of a module": whole(
        called(
            "torch_utils.persistence",
            "_reconstruct_persistent_obj",
            MODULE + text("state") + P.EMPTY_DICT + P.SETITEM,
        )
        + SLOTS
        + P.BUILD
    ),
    "slots of a name": whole(named("numpy", "dtype") + SLOTS + P.BUILD),
    "slots of an array": whole(tensor() + SLOTS + P.BUILD),
    "a state for a list": whole(P.EMPTY_LIST + P.EMPTY_DICT + P.BUILD),
    "an array of a name": whole(tensor(of=named("numpy", "dtype"))),
    "an array of a dictionary": whole(tensor(of=P.EMPTY_DICT)),
    "an array of an array": whole(tensor(of=tensor(size=pair(2), stride=pair(1)))),
    "offset": whole(tensor(offset=number(1))),
    "negative offset": whole(tensor(offset=number(-1), size=number(1) + P.TUPLE1)),
    "negative stride": whole(tensor(stride=number(-1) + P.TUPLE1)),
    "negative size": whole(tensor(size=number(-4) + P.TUPLE1)),
    "stride of nothing": whole(tensor(size=number(2**40) + P.TUPLE1, stride=number(0) + P.TUPLE1)),
    "overlapping": whole(tensor(size=pair(3), stride=pair(0))),
    "huge": whole(tensor(size=pair(2**62), stride=pair(2**62))),
    "sizes of text": whole(tensor(size=text("4") + P.TUPLE1)),
    "sizes of truth": whole(tensor(size=P.NEWTRUE + P.TUPLE1)),
    "sizes and strides": whole(tensor(stride=pair(1))),
    "sizes of a number": whole(tensor(size=number(4))),
    "a storage of text": whole(called("torch.storage", "_load_from_bytes", text("x"))),
    "a storage that is not there": whole(
        called("torch.storage", "_load_from_bytes", data(stored([1.0], 2**40)))
    ),
    "a storage of fewer than none": whole(
        called("torch.storage", "_load_from_bytes", data(stored([1.0], -1)))
    ),
    "a storage in a storage": whole(
        called("torch.storage", "_load_from_bytes", data(whole(STORAGE)))
    ),
    "records": whole(called("numpy", "dtype", text("f4,f4"), P.NEWFALSE, P.NEWTRUE)),
    "objects": whole(called("numpy", "dtype", text("O8"), P.NEWFALSE, P.NEWTRUE)),
    "a type of many": whole(called("numpy", "dtype", text("(999999999,)f4"))),
    "a number of no bytes": whole(
        called("numpy.core.multiarray", "scalar", DTYPE, P.SHORT_BINBYTES + b"\0")
    ),
    "big-endian": whole(DTYPE + P.MARK + number(3) + text(">") + P.TUPLE + P.BUILD),
    "an unhashable key": P.EMPTY_DICT + P.EMPTY_LIST + P.NONE + P.SETITEM + P.STOP,
    "a tuple as a key": P.EMPTY_DICT + P.EMPTY_TUPLE + P.NONE + P.SETITEM + P.STOP,
    "a set of lists": whole(P.EMPTY_SET + P.MARK + P.EMPTY_LIST + P.ADDITEMS),
    "calls of values": whole(text("G") + P.EMPTY_TUPLE + P.REDUCE),
    "calls without arguments": whole(named("torch", "Size") + P.EMPTY_LIST + P.REDUCE),
    "calls of storages": whole(called("torch", "FloatStorage", number(2**40))),
    "marks": P.MARK * 10 + P.STOP,
    "no marks": P.TUPLE + P.STOP,
    "nothing": P.STOP,
    "two values": P.NONE + P.NONE + P.STOP,
    "no memory": P.BINGET + b"\7" + P.STOP,
    "doubling": whole(P.NONE + P.DUP * 10),
    "a name without end": P.GLOBAL + b"a" * 500,
    "a text longer than the file": P.BINUNICODE8 + b"\xff" * 8,
    "no text": P.SHORT_BINUNICODE + b"\1\xff" + P.STOP,
    "steps": P.EMPTY_LIST * 10**4 + P.STOP,
    "extensions": P.EXT1 + b"\1" + P.STOP,
    "instances": P.MARK + P.INST + b"os\nsystem\n" + P.STOP,
    "buffers": P.NEXT_BUFFER + P.STOP,
    "a module of no state": whole(
        called("torch_utils.persistence", "_reconstruct_persistent_obj", MODULE)
    ),
    "a module of text": whole(
        called("torch_utils.persistence", "_reconstruct_persistent_obj", text("x"))
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles(name, tmp_path, monkeypatch):
    monkeypatch.setattr(unpickle, "MOST_STEPS", 10**4)
    path = tmp_path / "a.pkl"
    path.write_bytes(HOSTILE[name])
    with growth() as taken, pytest.raises(ConfigError, match="a.pkl") as error:
        pickles.read(path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400
    assert taken.bytes < 2**24
    path = tmp_path / "a.pth"
    head = b"".join(pickle.dumps(v, 2) for v in (torch_file.MAGIC, 1001, {}))
    path.write_bytes(head + HOSTILE[name])
    with pytest.raises(ConfigError, match="a.pth"):
        torch_file.read(path)


class Call:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "value",
    [
        Call(os.system, "touch mark"),
        Call(eval, "open('mark', 'w')"),
        Call(getattr, "", "join"),
        Call(__import__, "mark"),
        Call(np.load, "mark"),
        Call(collections.OrderedDict, Call(os.mkdir, "mark")),
    ],
    ids=lambda c: c.function.__name__,
)
def test_calls_are_words(value, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"G": value}, protocol))
    with pytest.raises(ConfigError, match="a.pkl"):
        pickles.read(path)
    assert not (tmp_path / "mark").exists()


def refused(module, name):
    return f"no {module}.{name}"


PLAIN = {
    "words": ["", "ü" * 300, "a" * 70_000],
    "numbers": [0, 1, 255, 256, 65_536, -1, 2**31, -(2**31), 2**200, -(2**64), 0.5, 1e300],
    "truth": [True, False, None],
    "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), ((1,), [2])],
    "more": {"a": {"b": [list(range(2000))]}, 3: {"x"}, "same": None},
}


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_are_read_as_python_does(protocol):
    value = PLAIN | {"same": PLAIN["words"]}
    table = {("builtins", "set"): unpickle.a_set, ("__builtin__", "set"): unpickle.a_set}
    raw = pickle.dumps(value, protocol)
    found = Interpreter(raw, table, refused).load()
    assert found == value
    assert found["same"] is found["words"]


def test_several_pickles_in_a_row():
    row = Interpreter(pickle.dumps(1) + pickle.dumps([2]) + b"rest", {}, refused)
    assert (row.load(), row.load(), bytes(row.take(4))) == (1, [2], b"rest")
    with pytest.raises(ConfigError, match="cut short"):
        row.take(1)


def test_a_state_is_left_out_and_numbers_are_kept():
    table = {
        ("collections", "OrderedDict"): unpickle.dictionary,
        ("numpy", "dtype"): unpickle.number,
        ("numpy._core.multiarray", "scalar"): unpickle.scalar,
    }
    value = collections.OrderedDict(a=np.float32(1.5), b=np.int64(-3), c=np.bool_(True))
    value._metadata = {"version": 1}
    found = Interpreter(pickle.dumps(value), table, refused).load()
    assert found == {"a": 1.5, "b": -3, "c": True} and type(found) is dict


def test_one_array_read_again_and_again(tmp_path, monkeypatch):
    """A few bytes for each copy of a storage, or of what is inside of one."""
    monkeypatch.setattr(unpickle, "MOST_STEPS", 10**5)
    raw = data(stored(np.zeros(10_000)))
    again = P.BINGET + b"\0"
    load = named("torch.storage", "_load_from_bytes")
    many = raw + P.BINPUT + b"\0" + (load + again + P.TUPLE1 + P.REDUCE) * 5000
    path = tmp_path / "a.pkl"
    path.write_bytes(P.MARK + many + P.TUPLE + P.STOP)
    with pytest.raises(ConfigError, match="reads its bytes again and again"):
        pickles.read(path)
    storage = called("torch.storage", "_load_from_bytes", raw) + P.BINPUT + b"\0"
    size, stride = number(10_000) + P.TUPLE1, number(1) + P.TUPLE1
    views = tensor(of=again, size=size, stride=stride) * 20
    path.write_bytes(P.MARK + storage + views + P.TUPLE + P.STOP)
    with pytest.raises(ConfigError, match="its arrays are larger than the file"):
        pickles.read(path)
    size = P.BINGET + b"\1"
    copies = called("torch", "Size", size) * 500
    numbers = P.EMPTY_LIST + P.BINPUT + b"\1" + P.MARK + P.NONE * 20_000 + P.APPENDS
    path.write_bytes(P.MARK + numbers + copies + P.TUPLE + P.STOP)
    with pytest.raises(ConfigError, match="takes more than 100,000 steps"):
        pickles.read(path)


def test_modules_without_end(tmp_path):
    kind = P.EMPTY_DICT + text("class_name") + text("Net") + P.SETITEM
    state = P.EMPTY_DICT + P.BINPUT + b"\0"
    module = named("torch_utils.persistence", "_reconstruct_persistent_obj")
    module += kind + text("state") + state + P.SETITEM + P.TUPLE1 + P.REDUCE + P.BINPUT + b"\1"
    twice = b"".join(text(k) + P.BINGET + b"\1" for k in ("a", "b"))
    inner = P.EMPTY_DICT + P.MARK + twice + P.SETITEMS
    begin = P.EMPTY_DICT + P.MARK + text("G") + module + text("s")
    close = P.BINGET + b"\0" + text("_modules") + inner + P.SETITEM
    path = tmp_path / "a.pkl"
    path.write_bytes(begin + close + P.SETITEMS + P.STOP)
    with pytest.raises(ConfigError, match="without end"):
        pickles.read(path)["G"].arrays()
    close = P.BINGET + b"\0" + text("_buffers") + number(3) + P.SETITEM
    path.write_bytes(begin + close + P.SETITEMS + P.STOP)
    with pytest.raises(ConfigError, match="_buffers is no dictionary"):
        pickles.read(path)["G"].arrays()
