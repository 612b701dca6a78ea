"""What a data set says of itself: a field for every array of a batch."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.core import FrozenDict

from jaxgen.config import unknown
from jaxgen.words import is_mark, parted


@dataclasses.dataclass(frozen=True)
class Units:
    """Columns in units in which each has mean zero and unit deviation, and back.

    Attributes:
        shift: of each column, in its own units.
        scale: deviation of each column, in its own units; above zero.
    """

    shift: tuple[float, ...]
    scale: tuple[float, ...]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Units:
        """From lists; raises ValueError where there are none."""
        try:
            return cls(*(tuple(map(float, values[k])) for k in ("shift", "scale")))
        except (KeyError, TypeError) as error:
            raise ValueError("units: expected lists of shifts and scales") from error

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises ValueError unless these are units of columns of [..., D] = `shape`."""
        wide = shape[-1] if shape else 0
        fits = len(self.shift) == len(self.scale) == wide and all(map(math.isfinite, self.shift))
        if not fits or not all(0 < s < math.inf for s in self.scale):
            raise ValueError(f"units: expected {wide} shifts and scales above zero")

    @property
    def log_volume(self) -> float:
        """Log of what a unit cube measures in the own units: densities are lower by it, in nats."""
        return sum(map(math.log, self.scale))

    def inward(self, x: Any) -> Any:
        """[..., D] in the columns' own units to float32, by way of float64 unless it is JAX's."""
        if isinstance(x, jax.Array):
            shift, scale = self._beside(x)
            return (x - shift) / scale
        x = np.asarray(x, np.float64)
        return ((x - np.asarray(self.shift)) / np.asarray(self.scale)).astype(np.float32)

    def _beside(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Shift and scale with the rank of x."""
        shape = (1,) * (x.ndim - 1) + (-1,)
        shift, scale = (jnp.asarray(v, x.dtype).reshape(shape) for v in (self.shift, self.scale))
        return shift, scale

    def outward(self, x: Any) -> Any:
        """[..., D] to the columns' own units, float64 unless it is JAX's."""
        if isinstance(x, jax.Array):
            shift, scale = self._beside(x)
            return x * scale + shift
        return np.asarray(x, np.float64) * np.asarray(self.scale) + np.asarray(self.shift)


KINDS = {
    "image": "[H, W, C]",
    "volume": "[D, H, W, C]",
    "vector": "[D]",
    "sequence": "[T, C]",
    "label": "[]",
    "tokens": "[T]",
    "layout": "[H, W]",
    "instances": "[H, W]",
}  # of fields, with the shape of one example
# what examples of a kind are called
UNITS = {k: f"{k}s" for k in KINDS} | {"vector": "points", "tokens": "texts", "instances": "maps"}
NUMBERS = ("levels", "classes", "vocabulary")  # how a field of integers says how many there are
DTYPES = ("uint8", "uint16", "int32", "float32")


@dataclasses.dataclass(frozen=True)
class Field:
    """What a data set says of one array of a batch.

    Attributes:
        kind: one of `KINDS`. Of "layout" every value is a class; of "instances" it is any whole
            number, which tells objects apart and says nothing else.
        shape: of one example, as its kind has it.
        dtype: of the arrays, one of `DTYPES`.
        levels: number of grey levels of an image or volume of integers, 0 .. levels - 1 (256 for
            8-bit images, 17 for the digits scans); None of continuous values.
        classes: number of classes of a label, or of those in a layout.
        vocabulary: number of tokens.
        words: of them, in the order of their numbers; the first pads texts that are shorter. ()
            where they are no words.
        spelled: words are characters of which texts consist; capitals count, and the first ends a
            text.
        names: of the D numbers of a vector; () where they have none.
        range: (lowest, highest) value of a continuous image or volume, for pictures of it.
        units: in which batches hold a vector; None for its own.
        rate: samples a second of the sound that a sequence is, as mu-law levels, or whose log-mel
            frames an image has in its columns, the highest band on top (`ops.sound`); None of all
            others.

    Raises:
        ValueError: for what does not go together.
    """

    kind: str
    shape: tuple[int, ...] = ()
    dtype: str = "float32"
    levels: int | None = None
    classes: int | None = None
    vocabulary: int | None = None
    words: tuple[str, ...] = ()
    spelled: bool = False
    names: tuple[str, ...] = ()
    range: tuple[float, float] | None = None
    units: Units | None = None
    rate: int | None = None

    def __post_init__(self) -> None:
        """Checks that the parts go together."""
        if self.kind not in KINDS:
            raise ValueError(f"a field of kind {self.kind!r}, expected one of {', '.join(KINDS)}")
        rank = len(KINDS[self.kind].split(",")) if self.kind != "label" else 0
        if len(self.shape) != rank or not all(isinstance(n, int) and n > 0 for n in self.shape):
            raise ValueError(f"{self.kind} of shape {self.shape}, expected {KINDS[self.kind]}")
        if self.dtype not in DTYPES:
            raise ValueError(f"{self.kind} of {self.dtype}, expected {', '.join(DTYPES)}")
        counts = {n: getattr(self, n) for n in NUMBERS if getattr(self, n) is not None}
        for name, count in counts.items():
            if not isinstance(count, int) or isinstance(count, bool) or count < 1:
                raise ValueError(f"{self.kind}: {name}={count!r}, expected an integer above zero")
        wanted = _numbers(self.kind, self.dtype)
        if set(counts) != ({wanted} if wanted else set()):
            said = f"{wanted}=" if wanted else "no number of values"
            raise ValueError(f"{self.kind} of {self.dtype}: expected {said}, got {counts}")
        if self.names and (self.kind != "vector" or len(self.names) != self.dims):
            raise ValueError(
                f"{self.kind} of shape {self.shape} with {len(self.names)} names, expected one for "
                "each number of a vector"
            )
        if self.words and (len(set(self.words)), self.kind) != (self.vocabulary, "tokens"):
            raise ValueError(
                f"{self.kind} of {self.vocabulary} tokens with {len(self.words)} words, expected a "
                "word of its own for each token"
            )
        if self.spelled and not (self.words and all(len(w) == 1 for w in self.words[1:])):
            raise ValueError(f"spelled {self.kind}: expected words of one character")
        if (ends := self.range) is not None:
            if len(ends) != 2 or not 0 < ends[1] - ends[0] < math.inf:
                raise ValueError(f"range: expected a lower and a higher end, got {ends}")
        if self.units is not None:
            self.units.check(self.shape)
        if self.rate is not None and (self.rate < 1 or self.kind not in ("sequence", "image")):
            raise ValueError(f"{self.kind} with rate={self.rate}: expected a sound, and 1 or more")

    @property
    def dims(self) -> int:
        """Number of values of one example."""
        return math.prod(self.shape)

    @property
    def values(self) -> int | None:
        """How many values an entry can have, whatever they are called; None if continuous."""
        return next((n for k in NUMBERS if (n := getattr(self, k)) is not None), None)

    def tokens(self, text: str) -> np.ndarray:
        """The numbers of a text's words, int32 [T]: lower case, parted at spaces, padded.

        What is no word as it stands is parted by `parted`; marks that are no words are left out.
        Of a spelled text they are those of its characters.

        Raises:
            ValueError: for a word that there is not, or a text that is too long.
        """
        known = self.words[1:]
        words = [*text] if self.spelled else []
        for piece in [] if self.spelled else text.lower().split():
            if piece in self.words:
                words.append(piece)
            else:
                words += [part for part in parted(piece) if part in known or not is_mark(part)]
        for word in words:
            if word not in known:
                what = "character" if self.spelled else "word"
                raise ValueError(unknown(what, word, known))
        if len(words) > self.dims:
            what = "characters" if self.spelled else "words"
            raise ValueError(f"{len(words)} {what}, expected at most {self.dims}")
        found = [self.words.index(word) for word in words]
        return np.array(found + [0] * (self.dims - len(found)), np.int32)

    def text(self, tokens: Any) -> str:
        """The words of tokens [T], without those that pad; of a spelled text up to the first."""
        if self.spelled:
            return "".join(self.words[t] for t in itertools.takewhile(bool, np.asarray(tokens)))
        return " ".join(self.words[token] for token in np.asarray(tokens) if token)

    @property
    def log_volume(self) -> float:
        """What a log-density per unit of the batches is above that per own unit, in nats."""
        places = math.prod(self.shape[:-1])  # that share the units of their columns
        return places * self.units.log_volume if self.units else 0.0

    def as_json(self) -> dict[str, Any]:
        """Plain values, of what is not left at its default."""
        found = {
            f.name: _plain(getattr(self, f.name))
            for f in dataclasses.fields(self)
            if getattr(self, f.name) != f.default
        }
        return found | {"shape": list(self.shape), "dtype": self.dtype}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Field:
        """The inverse of `as_json`; raises TypeError or ValueError for what cannot be."""
        found: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
        }
        if found.get("units") is not None:
            found["units"] = Units.from_json(found["units"])
        return cls(**found)


def _numbers(kind: str, dtype: str) -> str | None:
    """Which of `NUMBERS` a field has to give."""
    if kind in ("label", "layout"):
        return "classes"
    if kind == "tokens":
        return "vocabulary"
    return None if dtype == "float32" or kind == "instances" else "levels"


@dataclasses.dataclass(frozen=True)
class DataSpec:
    """What a model may know of its data: the fields of a batch. A run directory holds it.

    Attributes:
        name: the name of the data set.
        fields: name -> field; "x" is what is modelled. By convention "label" is a class and
            "context" a vector that every example is given.
        entropy: differential entropy of the true density in nats, None if unknown.

    Example:
        >>> spec = DataSpec.of("digits", (8, 8, 1), levels=17, num_classes=10)
        >>> spec.fields["x"].kind, spec.fields["label"].classes
        ('image', 10)
        >>> {name: array.shape for name, array in spec.batch(32).items()}
        {'x': (32, 8, 8, 1), 'label': (32,)}
    """

    name: str
    fields: Mapping[str, Field]
    entropy: float | None = None

    def __post_init__(self) -> None:
        """Raises ValueError without an "x"."""
        if "x" not in self.fields:
            raise ValueError(f"{self.name}: expected a field x, got {', '.join(self.fields)}")
        object.__setattr__(self, "fields", FrozenDict(self.fields))

    @classmethod
    def of(
        cls,
        name: str,
        shape: tuple[int, ...],
        levels: int | None = None,
        num_classes: int = 0,
        entropy: float | None = None,
        range: tuple[float, float] | None = None,
        columns: tuple[str, ...] = (),
        context: tuple[str, ...] = (),
        units: Units | None = None,
        context_units: Units | None = None,
    ) -> DataSpec:
        """The usual case: points, images or volumes, with a class and a context or without.

        Args:
            name: of the data set.
            shape: of x: (D,), (H, W, C) or (D, H, W, C).
            levels: grey levels, None of continuous values.
            num_classes: number of labels, 0 if there are none.
            entropy: see the class.
            range: see `Field`.
            columns: names of the D numbers of a point.
            context: names of the numbers that every example is given.
            units: of the points.
            context_units: of the context.

        Raises:
            ValueError: for values that cannot be.
        """
        kind = {1: "vector", 3: "image", 4: "volume"}.get(len(shape))
        if kind is None:
            raise ValueError(f"{name}: shape {shape}, expected [D], [H, W, C] or [D, H, W, C]")
        dtype = "float32" if levels is None else "uint8" if levels <= 256 else "uint16"
        x = Field(kind, tuple(shape), dtype, levels, names=columns, range=range, units=units)
        fields = {"x": x}
        if num_classes:
            fields["label"] = Field("label", dtype="int32", classes=num_classes)
        if context:
            wide = (len(context),)
            fields["context"] = Field("vector", wide, names=context, units=context_units)
        return cls(name, fields, entropy)

    def batch(self, size: int) -> dict[str, jax.ShapeDtypeStruct]:
        """What a batch of `size` examples looks like."""
        return {
            name: jax.ShapeDtypeStruct((size, *field.shape), np.dtype(field.dtype))
            for name, field in self.fields.items()
        }

    def with_field(self, name: str, **changes: Any) -> DataSpec:
        """The same with a field changed, or a new one."""
        old = self.fields.get(name)
        new = dataclasses.replace(old, **changes) if old else Field(**changes)
        return dataclasses.replace(self, fields={**self.fields, name: new})

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        fields = {name: field.as_json() for name, field in self.fields.items()}
        return {"name": self.name, "fields": fields, "entropy": self.entropy}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> DataSpec:
        """The inverse of `as_json`; of runs of version 0.1 also, which know no fields.

        Raises:
            TypeError: for a field that there is not, or one that is missing.
            ValueError: for values that cannot be.
        """
        if "fields" not in values:
            return cls.of(**_of_first_version(values))
        fields = {name: Field.from_json(field) for name, field in values["fields"].items()}
        return cls(**{**values, "fields": fields})

    @property
    def x(self) -> Field:
        """What is modelled."""
        return self.fields["x"]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of x."""
        return self.x.shape

    @property
    def levels(self) -> int | None:
        """Of x, None if it is continuous."""
        return self.x.levels

    @property
    def dims(self) -> int:
        """Of x, for bits/dim."""
        return self.x.dims

    @property
    def num_classes(self) -> int:
        """Of the label, 0 without."""
        return self.fields["label"].classes or 0 if "label" in self.fields else 0

    @property
    def context(self) -> tuple[str, ...]:
        """Names of the numbers that every example is given; () without."""
        return self.fields["context"].names if "context" in self.fields else ()

    @property
    def unit(self) -> str:
        """What examples are called: "images", "points", ..."""
        return UNITS[self.x.kind]


def _plain(value: Any) -> Any:
    if isinstance(value, Units):
        return {"shift": list(value.shift), "scale": list(value.scale)}
    return list(value) if isinstance(value, tuple) else value


def _of_first_version(values: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `DataSpec.of` from what runs of version 0.1 stored."""
    found: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    for name in ("units", "context_units"):
        if found.get(name) is not None:
            found[name] = Units.from_json(found[name])
    return found
