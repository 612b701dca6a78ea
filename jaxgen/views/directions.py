"""Directions in the codes of a run along which one attribute changes, as files that it keeps."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxgen.abilities import Factorises
from jaxgen.config import ConfigError, unknown
from jaxgen.data.dataset import DataError
from jaxgen.data.limits import load_npz
from jaxgen.data.loader import evenly
from jaxgen.evaluate.validation import check_count, check_seed
from jaxgen.files import write_arrays
from jaxgen.machine import check_memory
from jaxgen.ops import directions as ways
from jaxgen.ops.mean_shift import Basis, Shift, fitted
from jaxgen.rundir import read_json
from jaxgen.train.integrity import state_digest
from jaxgen.views.attributes import Labelled, labelled
from jaxgen.views.codes import Space

METHODS = (
    "shift",
    "mean",
    "hyperplane",
    "conditional",
    "pattern",
    "sefa",
    "ganspace",
    "stylespace",
)
KEEPING = ("shift", "conditional", "pattern")  # methods that know of other attributes
FOLDER = "directions"  # of a run
EXAMPLES, SAMPLES = 5000, 2000  # looked at; of a generator, whose samples are compared with them
HELD_OUT = 0.1
COMPONENTS = 20  # of which the most telling one is taken
LOOKED_AT = 2000  # examples whose principal components are taken
COMPARED = 200  # principal components of pictures, in which samples have their nearest example
MEMBERS = {"about", "vector", "weights", "reader", "knots"}


@dataclasses.dataclass(frozen=True, eq=False)
class Direction:
    """How codes change with an attribute.

    Attributes:
        about: "attribute", "method", "names" of the attribute and of what is kept, "model" (digest
            of the weights), "step", "data" (fingerprint), "examples", "accuracy" on those held
            out, "source", "nominal".
        vector: [D] for one unit of the attribute; None of a shift.
        shift: see `ops.mean_shift`; None of a vector.
    """

    about: dict[str, Any]
    vector: np.ndarray | None = None
    shift: Shift | None = None

    @property
    def size(self) -> int:
        """D, of codes."""
        held = self.vector if self.shift is None else self.shift.weights
        assert held is not None
        return held.shape[-1]

    def moved(
        self, codes: np.ndarray, strength: float, factors: np.ndarray | None = None
    ) -> np.ndarray:
        """Codes [N, D] with `strength` units more of the attribute.

        Args:
            codes: [N, D].
            strength: in units of the attribute.
            factors: [N, F] of "names", where they are known; a shift reads them from codes else.
        """
        if self.shift is not None:
            return self.shift.moved(codes, 0, strength, factors)
        assert self.vector is not None
        return codes + strength * self.vector

    def save(self, path: str | os.PathLike[str]) -> pathlib.Path:
        """Writes a `.npz`, atomically; returns the path."""
        arrays: dict[str, Any] = {"about": np.asarray(json.dumps(self.about))}
        if self.shift is None:
            arrays["vector"] = self.vector
        else:
            shift = self.shift
            arrays |= {"weights": np.float32(shift.weights), "reader": np.float32(shift.reader)}
            sizes = [len(knots) for knots in shift.basis.knots]
            padded = np.full((len(sizes), max(sizes)), np.nan)
            for row, knots in zip(padded, shift.basis.knots, strict=True):
                row[: len(knots)] = knots
            arrays["knots"] = padded
        path = pathlib.Path(path).expanduser()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_arrays(path, compressed=True, **arrays)
        return path


def directions(
    run: Any,
    attribute: str,
    keep: str | Sequence[str] | None = None,
    method: str | None = None,
    table: Any = None,
    having: Any = None,
    lacking: Any = None,
    num: int = EXAMPLES,
    seed: int = 0,
    fit: str | None = None,
    **places: Any,
) -> Direction:
    """Finds how codes of a run change with an attribute, others being kept.

    Args:
        run: of images, see `codes.Space`.
        attribute: what changes: a factor of the data set, a column of `table`, or any name for
            what tells `having` from `lacking`.
        keep: attributes that are kept, of methods that can; see `attributes.labelled`.
        method: one of `METHODS`; None takes "shift" where other attributes are known, else "mean".
        table: of attributes of pictures.
        having: pictures with the attribute.
        lacking: pictures without it.
        num: examples that are looked at, at most.
        seed: of what is drawn.
        fit: of pictures.
        **places: of the data, where they have moved.

    Raises:
        ConfigError: for what the run cannot do, or was not given.
        DataError: for a damaged file.
    """
    if method is not None and method not in METHODS:
        raise ConfigError(unknown("method", method, METHODS))
    if keep is not None and method is not None and method not in KEEPING:
        raise ConfigError(f"keep: {method} knows no other attributes; {', '.join(KEEPING)} do")
    check_seed(seed)
    if method == "sefa" and not isinstance(run.method, Factorises):
        name = type(run.method).__name__
        raise ConfigError(f"sefa is of weights from styles to layers, which {name} has not")
    space = Space(run, seed, channels=method == "stylespace")
    options = {"table": table, "having": having, "lacking": lacking, "fit": fit, **places}
    known = labelled(run, attribute, keep, num=check_count(num, "num"), **options)
    if len(known.names) == 1 and method == "conditional":
        raise ConfigError("conditional: nothing is known but the attribute: take mean")
    method = method or ("shift" if len(known.names) > 1 else "mean")
    codes, values = _codes(space, known)
    if any(not np.ptp(column) for column in values.T):
        flat = known.names[int(np.argmin(np.ptp(values, axis=0)))]
        raise ConfigError(f"{flat} has one value alone in {len(values)} examples: name others")
    found = _found(run, method, codes, values, known.nominal, seed)
    about = {
        "attribute": attribute,
        "method": method,
        "names": list(known.names if method in KEEPING else known.names[:1]),
        "nominal": list(known.nominal),
        "model": weights_digest(run),
        "step": run.step,
        "data": read_json(run.directory.manifest)["data"].get("fingerprint", {}),
        "examples": len(values),
        "source": known.source,
    }
    return dataclasses.replace(found, about=found.about | about)


def weights_digest(run: Any) -> str:
    """sha256 of the weights that a run encodes and decodes with."""
    state = run.state.averaged()
    return state_digest({"params": state.params, "vars": state.vars})


def load(run: Any, attribute: str) -> Direction:
    """A direction that was kept.

    Args:
        run: whose model it is of.
        attribute: name of the direction in the run, or the path of a `.npz`.

    Raises:
        ConfigError: where there is none, or it is of another model or checkpoint.
        DataError: for a damaged file.
    """
    folder = run.directory.path / FOLDER
    path = pathlib.Path(attribute).expanduser()
    if path.suffix.lower() != ".npz":
        if path.name != attribute:
            raise ConfigError(f"attribute={attribute}: expected a name, or a path of a .npz")
        path = folder / f"{attribute}.npz"
    if not path.is_file():
        there = ", ".join(sorted(p.stem for p in folder.glob("*.npz"))) or "none"
        name = attribute if path.parent == folder else "NAME"
        raise ConfigError(
            f"{path} is not there (directions of this run: {there}); jaxgen directions "
            f"{run.directory.path} --attribute={name} makes it"
        )
    found = _read(path)
    if found.about["model"] != weights_digest(run):
        raise ConfigError(
            f"{path} is a direction of another model or checkpoint (step {found.about['step']}; "
            f"here step {run.step}): jaxgen directions makes one of this"
        )
    return found


def _codes(space: Space, known: Labelled) -> tuple[np.ndarray, np.ndarray]:
    """Codes of examples with their attributes; of a generator, those of its own samples."""
    if not space.searches:
        codes = space.encode(known.x)
        check_memory(3 * codes.nbytes, f"{len(codes):,} codes of {codes.shape[1]:,}", "lower num")
        return codes, known.values
    w, x = space.drawn(SAMPLES)
    return w, known.values[Nearest(known.x)(x)]


class Nearest:
    """Finds which of known examples pictures are nearest to, in their principal components."""

    def __init__(self, known: np.ndarray, components: int = COMPARED):
        """Keeps examples [M, ...] in as many components, at most."""
        flat = known.reshape(len(known), -1).astype(np.float64)
        self._middle = flat.mean(0)
        some = flat[evenly(len(flat), LOOKED_AT)]
        self._axes = ways.principal(some, min(components, len(some) - 1, flat.shape[1]))
        self._known = (flat - self._middle) @ self._axes.T

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Numbers [N] of the examples that x [N, ...] is nearest to."""
        found, squares = [], np.sum(np.square(self._known), axis=1)
        for start in range(0, len(x), 1000):
            part = x[start : start + 1000]
            near = (part.reshape(len(part), -1) - self._middle) @ self._axes.T
            found.append(np.argmin(squares[None] - 2 * near @ self._known.T, axis=1))
        return np.concatenate(found)


def _found(
    run: Any,
    method: str,
    codes: np.ndarray,
    values: np.ndarray,
    nominal: tuple[int, ...],
    seed: int,
) -> Direction:
    """The direction, with its accuracy on examples that were held out."""
    order = np.random.RandomState(seed).permutation(len(codes))
    held, own = np.split(order, [max(1, round(HELD_OUT * len(order)))])
    test = codes[held], values[held]
    try:
        if method == "shift":
            shift = fitted(codes[own], values[own], nominal, test)
            return Direction({"accuracy": float(shift.agreement(*test)[0])}, shift=shift)
        vector = vector_of(method, codes[own], values[own], seed, weights=_weights(run, method))
        boundary = ways.told_apart(vector, codes[own], values[own, 0])
    except ValueError as error:
        raise ConfigError(str(error)) from error
    share = ways.accuracy(vector, boundary, test[0], test[1][:, 0])
    return Direction({"accuracy": share}, vector)


def _weights(run: Any, method: str) -> np.ndarray | None:
    if method != "sefa":
        return None
    return np.asarray(run.method.style_weights(run.state.averaged()), np.float64)


def vector_of(
    method: str,
    codes: np.ndarray,
    values: np.ndarray,
    seed: int = 0,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """The direction [D] of one unit of the first attribute; see `ops.directions`.

    Args:
        method: one of `METHODS` but "shift".
        codes: [N, D].
        values: [N, F], the attribute first.
        seed: of ties among extremes.
        weights: [channels, D] from styles to layers, of "sefa".

    Raises:
        ValueError: for an attribute that does not vary.
    """
    attribute = values[:, 0]
    if method == "pattern":
        return ways.pattern(codes, values)[0]
    if method == "mean":
        found = ways.mean_difference(codes, attribute)
    elif method == "stylespace":
        found = ways.channel(codes, attribute, seed)
    elif method in ("sefa", "ganspace"):
        every = ways.principal(codes, COMPONENTS)
        if method == "sefa":
            assert weights is not None
            every = ways.factorised(weights, COMPONENTS)
        found = every[ways.most_telling(every, codes, attribute)]
    else:
        normals = [_normal(codes, column, seed) for column in values.T]
        found = normals[0]
        if method == "conditional":
            found = ways.conditional(found, np.stack(normals[1:]))
    return ways.natural(found, codes, attribute)


def _normal(codes: np.ndarray, attribute: np.ndarray, seed: int) -> np.ndarray:
    """Of the hyperplane between the examples with least and with most of an attribute."""
    low, high = ways.extremes(attribute, seed)
    above = np.arange(len(low) + len(high)) >= len(low)
    return ways.hyperplane(codes[np.concatenate([low, high])], above).normal


def _read(path: pathlib.Path) -> Direction:
    """A file that `Direction.save` has written, or a stranger."""
    arrays = load_npz(path)
    try:
        about = json.loads(str(arrays["about"]))
        texts = ("attribute", "method", "model")
        if not isinstance(about, dict) or not all(isinstance(about[k], str) for k in texts):
            raise ValueError("about says neither attribute, method nor model")
        names, nominal = about["names"], about["nominal"]
        if not all(isinstance(name, str) for name in names) or not isinstance(about["step"], int):
            raise ValueError("names or step are none")
        if arrays.keys() - MEMBERS:
            raise ValueError(f"unknown {', '.join(sorted(arrays.keys() - MEMBERS))}")
        if "vector" in arrays:
            vector = np.asarray(arrays["vector"], np.float64)
            if vector.ndim != 1 or not np.isfinite(vector).all():
                raise ValueError("vector is none of finite numbers")
            return Direction(about, vector)
        knots = tuple(row[np.isfinite(row)] for row in np.atleast_2d(arrays["knots"]))
        basis = Basis(knots, tuple(int(k) for k in nominal))
        weights, reader = (arrays[k].astype(np.float64) for k in ("weights", "reader"))
        wanted = [(basis.size, weights.shape[-1])]
        wanted.append((weights.shape[-1] + 1, sum(map(len, knots))))
        if [weights.shape, reader.shape] != wanted or len(knots) != len(names):
            raise ValueError(f"weights {weights.shape} and reader {reader.shape} do not fit")
        if not min(map(len, knots)) or not np.isfinite(weights).all():
            raise ValueError("weights or knots are not finite")
        return Direction(about, shift=Shift(basis, weights, reader))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is no direction: {str(error).splitlines()[0]}") from error
