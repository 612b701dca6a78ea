"""A run as programs that need JAX and no jaxgen: `jaxgen export RUN --out=FOLDER`.

Each function is StableHLO of `jax.export`, for CPUs, CUDA and TPUs, of any number of examples where
the method can be traced so, and takes the weights as arguments: one file of them serves all
functions, and nothing of them is folded when it is compiled, so that on the same machine results
are those of the run bit for bit.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from jaxgen.abilities import Decodes, Density, Encodes, Latents, given
from jaxgen.calls import on_one_device
from jaxgen.config import ConfigError
from jaxgen.evaluate.givens import split_given
from jaxgen.evaluate.sampling import chunk_size
from jaxgen.evaluate.validation import check_knobs, options_of
from jaxgen.files import atomic_folder, write
from jaxgen.machine import versions
from jaxgen.rundir import write_json
from jaxgen.tools import card, loader
from jaxgen.tools.packing import SUMS, sums
from jaxgen.train.integrity import state_digest
from jaxgen.train.weights_file import tensors
from jaxgen.types import Array, Field, PyTree, State
from jaxgen.weights import safetensors

PLATFORMS = ("cpu", "cuda", "tpu")
KEY = "threefry2x32"  # random keys as two words: [0, seed] is `jax.random.key(seed)`
BATCH = "b"  # in shapes: any number of examples
LOADER = "load.py"


@dataclasses.dataclass(frozen=True)
class Argument:
    """Of an exported function.

    Attributes:
        name: of it.
        shape: without the axis of examples.
        dtype: of its numbers.
        batched: whether it has that axis.
        about: what else is said of it: meaning, units, range, default.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    batched: bool = True
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Function:
    """What is exported.

    Attributes:
        call: (state, arguments by name) -> arrays by name.
        arguments: in their order.
        about: what is said of its results.
    """

    call: Callable[[State, dict[str, Array]], dict[str, Array]]
    arguments: Sequence[Argument]
    about: Mapping[str, Any]


def export(run: Any, out: str | os.PathLike[str], **knobs: Any) -> dict[str, Any]:
    """Writes a folder of the run's functions, and gives what its `signature.json` says.

    Args:
        run: loaded.
        out: a folder that does not exist yet.
        **knobs: of the method's `sample`, for which it is compiled; of numbers that it is given at
            every call, the defaults.

    Raises:
        ConfigError: without flatbuffers, for knobs that there are not, or when nothing of the run
            can be exported.
        WriteError: where it cannot be written.
    """
    folder = pathlib.Path(out).expanduser().absolute()
    if os.path.lexists(folder):
        raise ConfigError(f"--out={out} exists: name another folder")
    if importlib.util.find_spec("flatbuffers") is None:
        raise ConfigError("jax.export needs flatbuffers: pip install 'jaxgen[export]'")
    state = on_one_device(run.state)
    made, missing = {}, {}
    for name, function in _functions(run, state, knobs).items():
        try:
            made[name] = _exported(function, state, run.spec)
        except Exception as error:  # of a network that JAX cannot lower for all platforms
            missing[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    if not made:
        raise ConfigError(f"nothing of {run.directory.path} can be exported: {missing}")
    used = sorted({name for _, one in made.values() for name in one["weights"]})
    about = _about(run, state_digest(_weights(state)), missing) | {
        "functions": {name: one for name, (_, one) in made.items()}
    }
    with atomic_folder(folder) as work:
        for name, (program, _) in made.items():
            write(work / f"{name}.bin", program)
        arrays = tensors(_weights(state))
        metadata = {"step": str(run.step), "digest": about["digest"]}
        metadata["config"] = json.dumps(run.config)
        weights = {name: arrays[name] for name in used}
        safetensors.write(work / run.directory.weights.name, weights, metadata)
        write_json(work / "signature.json", about)
        shutil.copyfile(str(loader.__file__), work / LOADER)
        pictures = sorted(run.directory.samples.glob("step_*.png"))[-1:]
        for picture in pictures:
            (work / "samples").mkdir()
            shutil.copyfile(picture, work / "samples" / picture.name)
        write(work / card.CARD, card.text(run))
        write(work / SUMS, sums(work))
    return about


def _about(run: Any, digest: str, missing: Mapping[str, str]) -> dict[str, Any]:
    """What `signature.json` says beside the functions."""
    found = versions()
    return {
        "run": run.directory.path.name,
        "step": run.step,
        "digest": digest,
        "platforms": list(PLATFORMS),
        "versions": {k: found[k] for k in ("jaxgen", "jax", "jaxlib")},
        "key": f"two words of {KEY}: [0, seed] for a seed below 2**32",
        "batch": f"an axis {BATCH!r} is of any length, the same for all arguments of a call",
        "types": {name: str(dtype) for name, dtype in safetensors.TYPES.items()},
        "not_available": dict(missing),
    }


def _exported(function: Function, state: State, spec: Any) -> tuple[bytes, dict[str, Any]]:
    """The program, and what is said of it: of any number of examples, or else of a chunk."""
    size, why = chunk_size(spec), ""
    every = len(jax.tree.leaves(_weights(state)))
    of_size = _lowered(function, state, size, range(every), PLATFORMS[:1])
    # where a length is a symbol, JAX calls all arguments used
    kept = [i for i in of_size.module_kept_var_idx if i < every]
    try:
        found = _lowered(function, state, jax.export.symbolic_shape(BATCH)[0], kept)
        _check_same(found, function, state, kept)
    except Exception as error:  # a shape that decides what is traced: of any kind
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        found = _lowered(function, state, size, kept)
    dotted = list(tensors(_weights(state)))
    names = [dotted[i] for i in kept]
    results = jax.tree.unflatten(found.out_tree, found.out_avals)
    said: dict[str, Any] = {
        "arguments": [
            {"name": a.name, "shape": _shape(x.shape), "dtype": a.dtype} | dict(a.about)
            for a, x in zip(function.arguments, found.in_avals[len(names) :], strict=True)
        ],
        "results": [
            {"name": k, "shape": _shape(x.shape), "dtype": str(x.dtype)}
            | dict(function.about.get(k, {}))
            for k, x in results.items()
        ],
        "weights": names,
        "calling_convention": found.calling_convention_version,
    }
    return bytes(found.serialize()), said | ({"fixed_because": why} if why else {})


def _check_same(found: Any, function: Function, state: State, kept: Sequence[int]) -> None:
    """Compares a program of any length with those of two lengths.

    `b % 2 == 0` is False for JAX, where b is a symbol, whatever it stands for.

    Raises:
        ValueError: where it gives other numbers.
    """
    leaves, random = jax.tree.leaves(_weights(state)), np.random.RandomState(0)
    weights = [leaves[i] for i in kept]
    for size in (1, 2):
        values = []
        for a in function.arguments:
            shape = (size,) * a.batched + a.shape
            value = random.randn(*shape) if a.dtype.startswith("float") else np.zeros(shape)
            values.append(np.asarray(a.about.get("default", value), a.dtype))
        own = _lowered(function, state, size, kept)
        for name, y in jax.jit(own.call)(weights, *values).items():
            x = jax.jit(found.call)(weights, *values)[name]
            x, y = (np.asarray(v, np.float64) for v in (x, y))
            if not np.allclose(x, y, 1e-4, 1e-4 * (np.abs(y).max() + 1e-30), equal_nan=True):
                raise ValueError(f"with a symbol for the batch, {name} of {size} is another one")


def _weights(state: State) -> PyTree:
    return {"params": dict(state.params), "vars": dict(state.vars)}


def _lowered(
    function: Function,
    state: State,
    size: Any,
    kept: Sequence[int],
    platforms: Sequence[str] = PLATFORMS,
) -> Any:
    """The exported program, of so many examples, which takes these leaves of the weights."""
    leaves, tree = jax.tree.flatten(_weights(state))
    arguments = [
        jax.ShapeDtypeStruct((size,) * a.batched + a.shape, a.dtype) for a in function.arguments
    ]

    def call(weights: list[Array], *values: Array) -> dict[str, Array]:
        own = [jnp.zeros(x.shape, x.dtype) for x in leaves]  # of what is not used
        for i, value in zip(kept, weights, strict=True):
            own[i] = value
        used = state.replace(**tree.unflatten(own))
        names = (a.name for a in function.arguments)
        return function.call(used, dict(zip(names, values, strict=True)))

    shapes = [jax.ShapeDtypeStruct(leaves[i].shape, leaves[i].dtype) for i in kept]
    return jax.export.export(jax.jit(call), platforms=platforms)(shapes, *arguments)


def _shape(shape: Sequence[Any]) -> list[Any]:
    return [n if isinstance(n, int) else str(n) for n in shape]


def _functions(run: Any, state: State, knobs: Mapping[str, Any]) -> dict[str, Function]:
    """What the run can do, by its abilities."""
    method = run.method
    found = {"sample": _sample(run, knobs)}
    if isinstance(method, Encodes):
        found["encode"] = _of_data(run, method.encode, _latents)
    if isinstance(method, Density):
        about = {"log_prob": {"units": "nats"} | method.density.fingerprint()}
        found["log_prob"] = _of_data(run, method.log_prob, lambda y: {"log_prob": y}, about)
    if isinstance(method, Decodes) and isinstance(method, Encodes | Latents):
        found["decode"] = _decode(run, state)
    return found


def _sample(run: Any, knobs: Mapping[str, Any]) -> Function:
    method, spec = run.method, run.spec
    fields, rest = split_given(spec, knobs)
    if fields:
        raise ConfigError(f"--{next(iter(fields))}: it is given at every call: leave it out")
    check_knobs(method, rest)
    options = options_of(method.sample, 3, rest)
    values = [_scalar(name, value) for name, value in options.values.items()]
    rows = _given(run)
    # a program of no such argument has its length from this one
    count = [] if rows else [Argument("num", (), "uint8", about={"meaning": "its length counts"})]

    def call(state: State, arguments: dict[str, Array]) -> dict[str, Array]:
        own = _rows(run, arguments)
        size = arguments[(rows or count)[0].name].shape[0]
        told = {name: arguments[name] for name in options.values}
        x = method.sample(state, _key(arguments), size, **own, **told, **options.static)
        return {"x": _outward(spec, _levels(x, spec.levels))}

    return Function(call, [_KEY, *values, *(rows or count)], {"x": _range(spec.x)})


def _of_data(
    run: Any,
    function: Callable[..., Any],
    named: Callable[[Any], dict[str, Array]],
    about: Mapping[str, Any] | None = None,
) -> Function:
    """`encode` or `log_prob`."""
    x = run.spec.x
    options = options_of(function, 3, {})
    values = [_scalar(name, value) for name, value in options.values.items()]
    data = Argument("x", x.shape, x.dtype, about=_range(x))

    def call(state: State, arguments: dict[str, Array]) -> dict[str, Array]:
        inside = arguments["x"]
        inside = x.units.inward(inside) if x.units else inside
        told = {name: arguments[name] for name in options.values}
        own = _rows(run, arguments)
        return named(function(state, inside, _key(arguments), **own, **told, **options.static))

    return Function(call, [data, _KEY, *values, *_given(run)], about or {})


def _decode(run: Any, state: State) -> Function:
    method, key = run.method, jax.random.key(0)
    if isinstance(method, Encodes):
        batch = run.spec.batch(1)
        rows = {k: batch[k] for k in given(method)}
        told = {"given": rows} if rows else {}
        shapes = jax.eval_shape(method.encode, state, batch["x"], key, **told)
    else:
        shapes = jax.eval_shape(lambda k: method.latents(k, 1), key)
    latents = [Argument(k, v.shape[1:], str(v.dtype)) for k, v in _latents(shapes).items()]
    options = options_of(method.decode, 2, {})
    tree = jax.tree.structure(shapes)

    def call(state: State, arguments: dict[str, Array]) -> dict[str, Array]:
        z = tree.unflatten([arguments[a.name] for a in latents])
        told = {name: arguments[name] for name in options.values} | options.static
        return {"x": _outward(run.spec, method.decode(state, z, **_rows(run, arguments), **told))}

    values = [_scalar(name, value) for name, value in options.values.items()]
    return Function(call, [*latents, *values, *_given(run)], {"x": _range(run.spec.x)})


_KEY = Argument("key", (2,), "uint32", False, {"meaning": "random", "default": [0, 0]})


def _key(arguments: Mapping[str, Array]) -> Array:
    return jax.random.wrap_key_data(arguments["key"], impl=KEY)


def _scalar(name: str, value: Any) -> Argument:
    value = np.asarray(value, np.int32 if isinstance(value, np.int32) else np.float32)
    about = {"meaning": "a knob", "default": value.tolist()}
    return Argument(name, value.shape, str(value.dtype), False, about)


def _given(run: Any) -> list[Argument]:
    """Fields of examples that the method is given."""
    fields = ((name, run.spec.fields[name]) for name in given(run.method))
    return [Argument(name, f.shape, f.dtype, about=_range(f)) for name, f in fields]


def _rows(run: Any, arguments: Mapping[str, Array]) -> dict[str, Any]:
    """`given=`, where there is such a parameter, in the units of batches."""
    rows = {}
    for name in given(run.method):
        units = run.spec.fields[name].units
        rows[name] = units.inward(arguments[name]) if units else arguments[name]
    return {"given": rows} if rows else {}


def _latents(z: PyTree) -> dict[str, Any]:
    """Name -> leaf: "z" of one array."""
    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(z):
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        name = "z" if not name else f"z.{name}" if name[0].isdigit() else name
        if name in found:
            raise ConfigError(f"two latents are called {name}")
        found[name] = leaf
    return found


def _levels(x: Array, levels: int | None) -> Array:
    """As `sampling.to_levels`, in a program."""
    if levels is None or not jnp.issubdtype(x.dtype, jnp.floating):
        return x
    return jnp.clip(jnp.rint(x), 0, levels - 1).astype("uint8" if levels <= 256 else "uint16")


def _outward(spec: Any, x: Array) -> Array:
    return spec.x.units.outward(x) if spec.x.units else x


def _range(field: Field) -> dict[str, Any]:
    """Values of a field, and its units."""
    about: dict[str, Any] = {"kind": field.kind}
    if field.values is not None:
        about["range"] = [0, field.values - 1]
    elif field.range is not None:
        about["range"] = list(field.range)
    if field.names:
        about["names"] = list(field.names)
    return about
