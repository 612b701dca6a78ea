"""What a call of a method may be told: names, types and ranges of its options, before it runs.

A method's options are declared once, in the signature of the function that takes them.

Numbers that only scale, and classes, are handed to the compiled program as values, so that another
temperature or another class compiles nothing; what shapes the program is compiled in.
"""

from __future__ import annotations

import difflib
import inspect
import numbers
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxgen.abilities import Stepped, given
from jaxgen.config import ConfigError
from jaxgen.fields import Field
from jaxgen.methods.handing import owners
from jaxgen.types import DataSpec, PyTree

LARGEST_SEED = 2**32 - 1
CONVENTIONAL = ("label", "context")  # fields of every data set that has them: never a knob
LOWEST = {"temperature": 0, "standing": 0, "readjust": 0, "cutoff": 0, "until": 0, "groups": 1}
LARGEST = 3e38  # of float32, nearly
STEPS = "Steps"  # the annotation `types.Steps`


class Options(NamedTuple):
    """Of one call.

    Attributes:
        static: that the program is compiled for.
        values: that it is given, the same for all examples.
        given: fields that it is given for every example, [N, ...] each.
    """

    static: dict[str, Any]
    values: dict[str, Any]
    given: dict[str, np.ndarray]


def check_seed(seed: Any, name: str = "seed") -> int:
    """A seed of random keys.

    Raises:
        ConfigError: unless it is an integer from 0 to 2**32 - 1.
    """
    if not is_whole(seed) or not 0 <= int(seed) <= LARGEST_SEED:
        raise ConfigError(f"{name}={short(seed)}: expected an integer from 0 to {LARGEST_SEED}")
    return int(seed)


def check_count(value: Any, name: str, most: int | None = None) -> int:
    """A number of examples, draws, steps.

    Raises:
        ConfigError: unless it is an integer from 1 to `most`.
    """
    if not is_whole(value) or not 1 <= int(value) <= (int(value) if most is None else most):
        wanted = "of 1 or more" if most is None else f"from 1 to {most}"
        raise ConfigError(f"{name}={short(value)}: expected an integer {wanted}")
    return int(value)


def check_knobs(method: Any, knobs: Mapping[str, Any], others: Sequence[str] = ()) -> None:
    """Refuses a knob that `method.sample` does not have, or a value of another type.

    Args:
        method: whose.
        knobs: name -> value.
        others: names that a misspelt knob may also have meant, as options of a command.

    Raises:
        ConfigError: naming the nearest one, or what is expected.
    """
    known = parameters(method.sample, 3)
    for name, value in knobs.items():
        if name not in ("given", *CONVENTIONAL, *given(method)):  # see `givens.check_given`
            _check_name("knob", name, known, others)
            _checked(name, value, known[name])
            for owner in owners(method.sample):
                _check_steps(owner, known[name], value)


def options_of(function: Callable[..., Any], skip: int, options: Mapping[str, Any]) -> Options:
    """The options of a call, checked, without the fields that it is given.

    Args:
        function: of a method, as `method.sample`.
        skip: leading parameters that are no options.
        options: name -> value.

    Raises:
        ConfigError: for an unknown name, a wrong type, or a value out of its range.
    """
    known = parameters(function, skip)
    # with their defaults, so that one program serves a number that is given and one that is not
    floats = {k: p.default for k, p in known.items() if isinstance(p.default, float)}
    found = Options({}, {}, {})
    for name, value in (floats | dict(options)).items():
        _check_name("option" if function.__name__ != "sample" else "knob", name, known)
        checked = _checked(name, value, known[name])
        for owner in owners(function):
            _check_steps(owner, known[name], value)
        if isinstance(checked, np.ndarray | float) or type(checked) is np.int32:
            found.values[name] = checked
        else:
            found.static[name] = checked
    return found


def check_label(label: Any, num: int, classes: int) -> np.ndarray:
    """Classes as int32 [num].

    Args:
        label: of all examples, or one each.
        num: of examples.
        classes: that the data have.

    Raises:
        ConfigError: for a class that there is not, or another number of them.
    """
    found = as_array("label", label)
    if not classes:
        raise ConfigError(f"label={short(label)}: the data of this run have no classes: omit it")
    wrong = found.dtype.kind not in "iu" or not found.size or min(found.ravel()) < 0
    if wrong or found.max() >= classes:
        raise ConfigError(f"label={short(label)}: expected classes 0 to {classes - 1}")
    if found.shape not in ((), (num,)):
        raise ConfigError(
            f"label={short(label)}: {found.size} of them, expected one class, or {num}, one each"
        )
    return np.broadcast_to(found.astype(np.int32), (num,))


def check_integers(name: str, value: Any, num: int, field: Field) -> np.ndarray:
    """A field of integers that examples are given, [num, ...] of its dtype.

    Args:
        name: of the field.
        value: of all examples, or one each.
        num: of examples.
        field: of the data.

    Raises:
        ConfigError: for another shape, or values that there are not.
    """
    found, most = as_array(name, value), field.values or 1
    if found.shape not in (field.shape, (num, *field.shape)):
        raise ConfigError(
            f"{name} of shape {list(found.shape)}, expected {list(field.shape)} of all or "
            f"{[num, *field.shape]}"
        )
    if found.dtype.kind not in "iu" or found.min() < 0 or found.max() >= most:
        raise ConfigError(f"{name}={short(value)}: expected integers from 0 to {most - 1}")
    return np.broadcast_to(found.astype(field.dtype), (num, *field.shape))


def parameters(function: Callable[..., Any], skip: int) -> dict[str, inspect.Parameter]:
    """What a call takes after its first `skip` arguments, without the fields that it is given."""
    found = list(inspect.signature(function).parameters.items())[skip:]
    return {name: parameter for name, parameter in found if name != "given"}


def _check_name(kind: str, name: str, known: Mapping[str, Any], others: Sequence[str] = ()) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, [*known, *others], 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        text = f"known: {', '.join(known)}" if known else "there are none"
        raise ConfigError(f"no such {kind} {name!r}{hint} ({text})")


def _checked(name: str, value: Any, parameter: inspect.Parameter) -> Any:
    """A float, steps, an array, or what is static: an int, a bool, a string, None."""
    kind = _kind(parameter)
    if kind not in ("float", "int", "bool", "str", STEPS):
        kind = type(parameter.default).__name__
    if value is None and parameter.default is None:
        return None
    if kind == "float" or (kind == "NoneType" and isinstance(value, float)):
        return _number(name, value, parameter)
    if kind == STEPS:
        return np.int32(check_count(value, name))
    if kind == "int":
        lowest, whole = LOWEST.get(name), is_whole(value)
        found = int(value) if whole and value is not None else 0
        if not whole or (lowest is not None and found < lowest):
            end = "" if lowest is None else f" of {lowest} or more"
            raise ConfigError(f"{name}={short(value)}: expected an integer{end}")
        return found
    if kind in ("bool", "str"):
        if not isinstance(value, {"bool": bool, "str": str}[kind]):
            wanted = "True or False" if kind == "bool" else "a name"
            raise ConfigError(f"{name}={short(value)}: expected {wanted}")
        return value
    found = as_array(name, value)
    if found.dtype.kind not in "iuf" or not np.isfinite(found).all():
        raise ConfigError(f"{name}={short(value)}: expected finite numbers")
    return found.astype(np.float32)


def _check_steps(method: Any, parameter: inspect.Parameter, value: Any) -> None:
    """Refuses more steps than the method has."""
    if _kind(parameter) == STEPS and value is not None and isinstance(method, Stepped):
        check_count(value, parameter.name, method.most_steps)


def _kind(parameter: inspect.Parameter) -> str:
    return str(parameter.annotation).removesuffix(" | None")


def _number(name: str, value: Any, parameter: inspect.Parameter) -> float:
    if isinstance(value, Tracer):
        raise ConfigError(f"{name}: expected a number, not one that JAX traces: it is no argument")
    if getattr(value, "ndim", None) == 0:
        value = value.item()
    real = issubclass(type(value), numbers.Real) and not isinstance(value, bool)
    lowest = LOWEST.get(name)
    # a default of None: the bound of the normal draws that are kept, which zero leaves none of
    above = 0 if name == "truncation" and parameter.default is None else None
    fits = real and -LARGEST < value < LARGEST  # 10**400 has no float
    if not fits or (lowest is not None and value < lowest) or (above is not None and value <= 0):
        end = "" if lowest is None else f" of {lowest} or more"
        raise ConfigError(f"{name}={short(value)}: expected a finite number{end or _above(above)}")
    return float(value)


def _above(bound: int | None) -> str:
    return "" if bound is None else f" above {bound}"


def is_whole(value: Any) -> bool:
    """Whether it is one integer, of Python, NumPy or JAX, and no bool."""
    try:
        operator.index(value)
    except TypeError:
        return False
    return getattr(value, "dtype", type(value)) not in (bool, np.bool_)


def as_array(name: str, value: Any) -> np.ndarray:
    """An option as an array; raises ConfigError where it is none."""
    try:
        return np.asarray(value)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{name}={short(value)}: {str(error).splitlines()[0]}") from None


def short(value: Any) -> str:
    """A value in an error message: one line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def is_traced(tree: PyTree) -> bool:
    """Whether any leaf is what JAX hands to a function that it transforms."""
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(tree))


def check_data(x: Any, spec: DataSpec, call: str = "x") -> Any:
    """Examples [B, ...] in the units of the data, of the dtype of their field.

    Args:
        x: anything that NumPy makes an array of.
        spec: of the data.
        call: what it was given to, for the message.

    Raises:
        ConfigError: for another shape, type or range.
    """
    x = x if isinstance(x, Tracer) else _array(x, call)
    wanted = f"examples [B, {', '.join(map(str, spec.shape))}] of {spec.name}"
    if x.shape == spec.shape:
        raise ConfigError(f"{call}: one example, shape {x.shape}, expected {wanted}: give x[None]")
    if x.ndim == 0 or x.shape[1:] != spec.shape or not len(x):
        raise ConfigError(f"{call}: shape {x.shape}, expected {wanted}")
    if spec.x.values is None:
        return _continuous(x, spec, wanted, call)
    return _integers(x, spec.x.values, spec.x.dtype, wanted, call)


def _integers(x: Any, values: int, dtype: str, wanted: str, call: str) -> Any:
    wanted = f"expected {wanted}, integers from 0 to {values - 1}"
    if x.dtype.kind not in "iu":
        raise ConfigError(f"{call}: {x.dtype} values, {wanted}, not scaled")
    if isinstance(x, Tracer):
        return x.astype(dtype)
    low, high = int(x.min()), int(x.max())
    if low < 0 or high >= values:
        raise ConfigError(f"{call}: values from {low} to {high}, {wanted}")
    return x.astype(dtype)


def _continuous(x: Any, spec: DataSpec, wanted: str, call: str) -> Any:
    """float32 in the units of batches."""
    if not (jnp.issubdtype(x.dtype, jnp.floating) or x.dtype.kind in "iu"):
        raise ConfigError(f"{call}: {x.dtype} values, expected {wanted}, floating-point numbers")
    if isinstance(x, Tracer):
        return spec.x.units.inward(x) if spec.x.units else x.astype(jnp.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        found = spec.x.units.inward(np.asarray(x)) if spec.x.units else np.asarray(x, np.float32)
    bad = int((~np.isfinite(found)).reshape(len(found), -1).any(1).sum())
    if bad:
        raise ConfigError(
            f"{call}: {bad} of {len(found)} examples hold NaN, infinity or what float32 cannot hold"
        )
    return found


def check_latents(z: PyTree, shapes: PyTree, call: str = "z") -> tuple[PyTree, int]:
    """Latents as the method's own pytree of [B, ...], and B: float32, or integers of its types.

    Args:
        z: a pytree with as many leaves; lists may stand for tuples.
        shapes: of latents, as `encode` gives them, with any B.
        call: what they were given to, for the message.

    Raises:
        ConfigError: for other leaves, leaves of different B, or real numbers that are to be ids.
    """
    expected, tree = jax.tree.flatten(shapes)
    wanted = "latents as encode gives them: " + ", ".join(
        f"[{', '.join(['B', *map(str, leaf.shape[1:])])}]" for leaf in expected
    )
    # a list of arrays is a pytree, a list of numbers an array
    leaves = [z] if tree.num_leaves == 1 and not _holds_arrays(z) else jax.tree.leaves(z)
    traced = is_traced(leaves)
    leaves = [x if isinstance(x, Tracer) else _array(x, call) for x in leaves]
    given = ", ".join(str(list(leaf.shape)) for leaf in leaves) or "nothing"
    fits = len(leaves) == len(expected) and all(
        leaf.ndim and leaf.shape[1:] == of.shape[1:] and len(leaf) == len(leaves[0]) > 0
        for leaf, of in zip(leaves, expected, strict=True)
    )
    if not fits:
        raise ConfigError(f"{call}: {given}, expected {wanted}")
    for leaf in leaves:
        if not (jnp.issubdtype(leaf.dtype, jnp.floating) or leaf.dtype.kind in "iu"):
            raise ConfigError(f"{call}: {leaf.dtype} values, expected {wanted}, of numbers")
    if expected[0].dtype.kind in "iu":
        return tree.unflatten(_ids(leaves, expected, wanted, call)), len(leaves[0])
    if not traced:
        leaves = [np.asarray(leaf, np.float32) for leaf in leaves]
        if not all(np.isfinite(leaf).all() for leaf in leaves):
            raise ConfigError(f"{call}: NaN or infinity, expected {wanted}, of finite numbers")
    return tree.unflatten(leaves), len(leaves[0])


def _ids(leaves: list[Any], expected: list[Any], wanted: str, call: str) -> list[Any]:
    """Integers, in the types that `encode` gives them."""
    for leaf, of in zip(leaves, expected, strict=True):
        if leaf.dtype.kind not in "iu":
            raise ConfigError(f"{call}: {leaf.dtype} values, expected {wanted}, of ids: {of.dtype}")
        most = np.iinfo(of.dtype).max
        if not isinstance(leaf, Tracer) and not 0 <= leaf.min() <= leaf.max() <= most:
            raise ConfigError(f"{call}: ids from {leaf.min()} to {leaf.max()}, expected {of.dtype}")
    return [leaf.astype(of.dtype) for leaf, of in zip(leaves, expected, strict=True)]


def check_codes(z: Mapping[str, Any], fields: Mapping[str, Field], call: str = "z") -> None:
    """Refuses ids of codes that there are not; traced ones are not looked at.

    Args:
        z: name -> ids, as `check_latents` gives them.
        fields: name -> what they are, see `abilities.Coded`.
        call: what they were given to, for the message.

    Raises:
        ConfigError: naming the map, and how many codes there are.
    """
    for name, ids in z.items():
        most = fields[name].values
        if most and not isinstance(ids, Tracer) and ids.max() >= most:
            raise ConfigError(f"{call}: {name} has id {ids.max()}, expected 0 to {most - 1}")


def _holds_arrays(z: Any) -> bool:
    return not isinstance(z, np.ndarray | jax.Array) and any(
        isinstance(leaf, np.ndarray | jax.Array) for leaf in jax.tree.leaves(z)
    )


def _array(x: Any, call: str) -> np.ndarray:
    if isinstance(x, np.ma.MaskedArray) and np.ma.is_masked(x):
        raise ConfigError(f"{call}: values that are masked, expected all of them")
    try:
        return np.asarray(x)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{call}: no array: {str(error).splitlines()[0]}") from None
