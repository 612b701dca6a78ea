"""One run, explored: a picture for what a page asks, and what is known of it."""

from __future__ import annotations

import collections
import itertools
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.abilities import Density, DensityOf, given
from jaxgen.calls import Calls, on_one_device
from jaxgen.config import ConfigError
from jaxgen.data.dataset import DataError
from jaxgen.evaluate.sampling import Sampler, to_levels
from jaxgen.explorer import commands
from jaxgen.explorer import controls as con
from jaxgen.explorer.coder import Coder
from jaxgen.explorer.controls import Asked
from jaxgen.ops.paths import linear
from jaxgen.pictures import to_uint8
from jaxgen.sharding import one_device
from jaxgen.views import directions
from jaxgen.views.codes import flattened
from jaxgen.views.examples import read_bytes

MOST_KEPT = 16  # pictures and codes that are remembered
MOST_GROUPS = 6  # numbers of groups, each of which is a program of its own
FRAMES = 24  # of a morph
NEAR = 4.0  # of 255, on average: less are two samples apart whose draws are the same
# densities that one pass gives; those of an ODE or of masks take a minute
QUICK = ("exact", "udq", "vdq", "elbo")


class Kept(collections.OrderedDict[Any, Any]):
    """The newest few values."""

    def keep(self, key: Any, value: Any) -> Any:
        """Adds one, and drops the oldest."""
        self[key] = value
        while len(self) > MOST_KEPT:
            self.popitem(last=False)
        return value


class Subject:
    """A loaded run of images. All but what it is given in the beginning is for one thread.

    Attributes:
        name: of the run directory.
        controls: what can be set.
        notes: what is left out, and why.
        coder: see there.
        previews: while a slider is dragged a sample is drawn alone, and not in its chunk. Most
            methods draw the same then, up to a rounding; `warm_up` finds out.
    """

    def __init__(self, run: Any, words: Sequence[str] = ()):
        """Reads the run's directions; compiles nothing yet.

        Args:
            run: see `jaxgen.load`.
            words: further options by which a command loads the same.

        Raises:
            ConfigError: for a run without images, or that is given more than a class.
        """
        if run.spec.x.kind != "image":
            raise ConfigError(f"{run.spec.name} has no images: there is nothing to explore")
        if asked := [name for name in given(run.method) if name != "label"]:
            raise ConfigError(
                f"{run.directory.path} is given {', '.join(asked)}: runs that are given nothing, "
                "or a class, can be explored"
            )
        self.name, self.spec = run.directory.path.resolve().name, run.spec
        self._run, self._words, self._state = run, tuple(words), on_one_device(run.state)
        self._calls = Calls(run.method, run.spec, run.directory.path, few=1)
        self.coder = Coder(run.method, self._calls, self._state)
        place = str(run.directory.path)
        self._single = Sampler(run.method, run.spec, one_device(), place, size=1)
        self.previews = False
        self.notes: list[str] = []
        self._directions = self._found()
        levels = 1 if self.coder.groups > 1 else self.coder.levels
        self.controls = con.of_samples(run.method, run.spec)
        self.controls += con.of_codes(levels, self._directions)
        if self.coder.groups > 1:
            numbers = np.unique(np.linspace(1, self.coder.groups - 1, MOST_GROUPS - 1).astype(int))
            kept = [(0, "all"), *((int(k), f"the first {k}") for k in numbers)]
            self.controls.append(con.choice("groups", "Groups of latents kept", "codes", kept))
        self._samples, self._codes, self._uploads = Kept(), Kept(), Kept()

    def _found(self) -> dict[str, directions.Direction]:
        """Directions of this model in the run."""
        paths = sorted((self._run.directory.path / directions.FOLDER).glob("*.npz"))
        found = {}
        for path in paths if self.coder.paths and not given(self._run.method) else ():
            try:
                one = directions.load(self._run, path.stem)
            except (ConfigError, DataError) as error:
                self.notes.append(str(error))
                continue
            if one.about["method"] == "stylespace":
                self.notes.append(f"{path.stem} moves styles of layers: jaxgen edit shows it")
            else:
                found[path.stem] = one
        return found

    def as_json(self) -> dict[str, Any]:
        """For the page."""
        height, width = self.spec.shape[:2]
        kind = "search" if self.coder.searches else "codes"
        return {
            "name": self.name,
            "step": self._run.step,
            "data": self.spec.name,
            "height": height,
            "width": width,
            "controls": [control.name for control in self.controls],
            "upload": None if self.coder.why else kind,
            "why": self.coder.why,
            "morph": self.coder.paths,
            "notes": self.notes,
        }

    def warm_up(self) -> None:
        """Compiles every program by using it once."""
        optional, unlike = [c for c in self.controls if c.optional], []
        for chosen in itertools.product((False, True), repeat=len(optional)):
            on = {c.name: c.value for c, is_on in zip(optional, chosen, strict=True) if is_on}
            x, alone = self._sampled(self._asked(on)), self._alone(self._asked(on))
            apart = np.abs(self.shown(x).astype(int) - self.shown(alone)).mean()
            unlike.append(float(apart))
        self.previews = self._calls.size > 1 and max(unlike) < NEAR
        usual = self._asked({})
        same = self._same(usual)
        if self.coder.encodes or self.coder.searches:
            self.coder.decode(self._codes_of(usual, x), same)
        choices = next((c.choices for c in self.controls if c.name == "groups"), ())
        groups: list[int | None] = [number for number, _ in choices if number]
        if self.coder.restores and not self.coder.encodes:
            groups = [None]
        for number in groups:
            self.coder.restore(x, same, number)
        self.likelihood(x, usual)

    def _asked(self, values: Mapping[str, float]) -> Asked:
        return Asked.of({"values": dict(values)}, self.controls)

    def upload(self, ident: str, content: bytes, fit: str | None) -> None:
        """Takes a picture.

        Args:
            ident: by which it is asked for.
            content: of an image file.
            fit: see `views.examples.read`.

        Raises:
            ConfigError: for a method that can make nothing of it.
            DataError: for what is no picture.
        """
        if self.coder.why:
            raise ConfigError(self.coder.why)
        self._uploads.keep(ident, read_bytes(self._run.directory, content, fit).x)

    def needs_search(self, asked: Asked) -> bool:
        """Whether codes of the picture have yet to be found by `search`."""
        return self.coder.searches and asked.upload is not None and asked.upload not in self._codes

    def search(self, ident: str, tell: Callable[[int], None]) -> None:
        """Finds codes of an uploaded picture; tells of every step."""
        self._codes.keep(ident, self.coder.search(self._uploaded(ident), tell))

    def draw(self, asked: Asked, final: bool = True) -> np.ndarray:
        """The picture [1, H, W, C] in the units of the data.

        Args:
            asked: what.
            final: the very picture; else it is fast, and nearly the same.

        Raises:
            ConfigError: for what cannot be drawn.
        """
        changes = self._changes(asked)
        groups = self._groups(asked)
        if asked.upload is None and not changes and not groups:
            return self._sampled(asked, final)
        x, same = self._source(asked, final), self._same(asked)
        if groups or not (self.coder.encodes or self.coder.searches):
            x = self.coder.restore(x, same, groups or None)
            if not changes:
                return x
        if not changes:
            return self.coder.decode(self._codes_of(asked, x), same)
        flat, back = self._changed(asked, x)
        return self.coder.decode(back(flat), same)

    def error(self, asked: Asked, x: np.ndarray) -> dict[str, float] | None:
        """How far a picture is from the uploaded one, in grey levels of 255; None without one."""
        if asked.upload is None:
            return None
        apart = np.abs(self.shown(self._uploaded(asked.upload)).astype(int) - self.shown(x))
        return {"mean": float(apart.mean()), "most": float(apart.max())}

    def shown(self, x: np.ndarray) -> np.ndarray:
        """[H, W, C] uint8 of the first of [N, H, W, C]."""
        return to_uint8(np.asarray(x), self.spec.levels, self.spec.x.range)[0]

    def likelihood(self, x: np.ndarray, asked: Asked) -> dict[str, Any] | None:
        """What the model says of a picture, where that is quick: nats, bits/dim and their kind."""
        method = self._run.method
        if not isinstance(method, Density) or method.density.kind not in QUICK:
            return None
        about: DensityOf = method.density
        x = to_levels(np.asarray(x), self.spec.levels)
        found = self._calls.of_data("log_prob", self._state, x, 0, self._same(asked))
        nats = float(np.asarray(found)[0])
        if not math.isfinite(nats):
            return None
        of = {"kind": about.kind, "exact": about.kind == "exact", "measure": about.measure}
        return of | {"nats": nats, "bits_per_dim": -nats / (math.log(2) * about.dims)}

    def morph(self, first: Asked, second: Asked) -> Iterator[np.ndarray]:
        """Pictures [H, W, C] uint8 on the straight line between codes of two.

        Raises:
            ConfigError: for a run without codes between which there are paths.
        """
        if not self.coder.paths:
            raise ConfigError(f"{self.name} has no codes between which there are paths")
        (a, back), (b, _) = (self._changed(q, self._source(q)) for q in (first, second))
        same = self._same(first)
        for t in np.linspace(0, 1, FRAMES, dtype=np.float32):
            between = np.asarray(linear(jnp.asarray(a), jnp.asarray(b), jnp.full(1, t)))
            yield self.shown(self.coder.decode(back(between), same))

    def command(self, asked: Asked) -> dict[str, Any]:
        """The command that draws this: see `commands.command`."""
        label = asked.only(self.controls, "all")
        return commands.command(
            ["jaxgen", os.path.abspath(self._run.directory.path), f"--step={self._run.step}"]
            + list(self._words),
            asked.seed if asked.upload is None else None,
            self._knobs(asked) | label,
            self._changes(asked),
            self._groups(asked),
            self.coder.searches,
        )

    def _sampled(self, asked: Asked, final: bool = True) -> np.ndarray:
        knobs = self._knobs(asked) | self._label(asked)
        key = (asked.seed, *sorted(knobs.items()))
        if key not in self._samples and self.previews and not final:
            return self._alone(asked)
        if key not in self._samples:
            x = self._calls.sample(self._state, 1, asked.seed, knobs)
            self._samples.keep(key, x)
        return self._samples[key]

    def _alone(self, asked: Asked) -> np.ndarray:
        """The sample of a seed, drawn without the others of its chunk."""
        knobs = self._knobs(asked) | self._label(asked)
        return next(iter(self._single.samples(self._state, 1, asked.seed, knobs)))

    def _source(self, asked: Asked, final: bool = True) -> np.ndarray:
        """The picture that is encoded."""
        if asked.upload is None:
            return self._sampled(asked, final)
        return self._uploaded(asked.upload)

    def _uploaded(self, ident: str) -> np.ndarray:
        if ident not in self._uploads:
            raise ConfigError("the picture is no longer here: upload it again")
        return self._uploads[ident]

    def _codes_of(self, asked: Asked, x: np.ndarray) -> Any:
        """Codes of a picture [1, ...], remembered."""
        if self.coder.searches and asked.upload is None:
            return self.coder.styles(asked.seed, self._knobs(asked).get("truncation", 1.0))
        if self.coder.searches:
            if asked.upload not in self._codes:
                raise ConfigError("codes of this picture have not been found yet: search for them")
            return self._codes[asked.upload]
        key = (x.tobytes(), *self._label(asked).values())
        if key not in self._codes:
            x = to_levels(x, self.spec.levels)
            self._codes.keep(key, self.coder.encode(x, self._same(asked)))
        return self._codes[key]

    def _changed(self, asked: Asked, x: np.ndarray) -> tuple[np.ndarray, Callable[[Any], Any]]:
        """Codes [1, D] with their levels scaled and attributes moved, and back."""
        codes = self._codes_of(asked, x)
        flat, back = flattened(codes)
        changes = self._changes(asked)
        sizes = [leaf[0].size for leaf in jax.tree.leaves(codes)]
        scales = [changes.get(f"{con.LEVEL}{k}", 1.0) for k in range(len(sizes))]
        flat = flat * np.repeat(scales, sizes)
        for name, strength in self._moves(asked).items():
            direction = self._directions[name]
            if direction.size != flat.shape[1]:
                raise ConfigError(f"{name}: a direction of {direction.size:,} numbers")
            flat = direction.moved(flat, strength)
        return flat, back

    def _changes(self, asked: Asked) -> dict[str, float]:
        """What is set of levels and attributes, but for what is as it was."""
        found = asked.only(self.controls, "codes")
        usual = {c.name: c.value for c in self.controls}
        return {k: v for k, v in found.items() if k != "groups" and v != usual[k]}

    def _moves(self, asked: Asked) -> dict[str, float]:
        changes = self._changes(asked).items()
        return {k.removeprefix(con.MOVE): v for k, v in changes if k.startswith(con.MOVE)}

    def _groups(self, asked: Asked) -> int:
        """How many are kept, 0 for all."""
        return int(asked.only(self.controls, "codes").get("groups", 0))

    def _knobs(self, asked: Asked) -> dict[str, Any]:
        return asked.only(self.controls, "seed")

    def _label(self, asked: Asked) -> dict[str, int]:
        found = asked.only(self.controls, "all")
        return {"label": int(found[con.CLASS])} if con.CLASS in found else {}

    def _same(self, asked: Asked) -> dict[str, Any]:
        """What calls of one picture are given."""
        label = self._label(asked)
        return {"given": label} if label else {}
