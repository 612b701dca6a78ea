"""The functions of a method on one state, compiled once, in chunks of one shape."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jaxgen import sharding
from jaxgen.abilities import (
    Coded,
    Completes,
    Decodes,
    Density,
    Encodes,
    Infers,
    Latents,
    Restores,
    Translates,
    given,
)
from jaxgen.config import ConfigError
from jaxgen.evaluate.givens import check_given, check_whole, split_given
from jaxgen.evaluate.metrics import calibration
from jaxgen.evaluate.sampling import Sampler, chunk_key, chunk_size, filled
from jaxgen.evaluate.tiles import check_tiles, tiled
from jaxgen.evaluate.translation import sources
from jaxgen.evaluate.validation import (
    Options,
    check_codes,
    check_count,
    check_data,
    check_latents,
    check_seed,
    is_traced,
    options_of,
    short,
)
from jaxgen.machine import check_memory
from jaxgen.progress import track
from jaxgen.types import Array, DataSpec, Method, PyTree, State

LEADING = {"decode": 2, "complete": 4}  # parameters that are no options, of other calls 3
FEW = 16  # examples, or less: in a smaller chunk, of its own compilation, up to a rounding
FEWER = "ask for fewer at a time"
DOING = {  # calls -> what is said of those that take long
    "encode": "encoding",
    "decode": "decoding",
    "log_prob": "evaluating",
    "reconstruct": "reconstructing",
    "complete": "completing",
    "translate": "translating",
}


class Calls:
    """A method's functions for one user: arrays in and out, any number of examples.

    Attributes:
        size: examples of a chunk.
    """

    def __init__(
        self,
        method: Method,
        spec: DataSpec,
        path: pathlib.Path,
        mesh: Mesh | None = None,
        few: int = FEW,
    ):
        """Compiles at the first use.

        Args:
            method: whose functions are called.
            spec: of the data.
            path: of the run, for messages.
            mesh: of the devices that share the work of many samples; None takes one.
            few: examples of the smaller chunk of all calls but samples, up to which it is taken.
        """
        self._method, self._spec, self._path, self._few = method, spec, path, few
        self.size = chunk_size(spec)
        single = sharding.one_device()
        self._sampler = Sampler(method, spec, single, str(path))
        shared = mesh is not None and mesh.size > 1
        self._all = Sampler(method, spec, mesh, str(path)) if shared else self._sampler
        self._compiled: dict[Any, Callable[..., Any]] = {}
        self._latents: PyTree = None

    def draws(
        self, state: State, num: int, seed: int, knobs: Mapping[str, Any]
    ) -> Iterator[np.ndarray]:
        """Samples, a chunk at a time; checked at once, compiled when the first one is asked for.

        Raises:
            ConfigError: for a number, a seed or a knob that cannot be.
        """
        num = check_count(num, "num")
        sampler = self._sampler
        if self._all is not sampler and num >= self.size * self._all.mesh.size:
            sampler = self._all  # there is work for every device
            state = jax.device_put(state, sharding.replicated(sampler.mesh))
        found = sampler.samples(state, num, seed, knobs)
        return map(self._outward, found)

    def sample(self, state: State, num: int, seed: int, knobs: Mapping[str, Any]) -> np.ndarray:
        """Samples [num, ...].

        Raises:
            ConfigError: as `draws`, and for more than memory holds.
        """
        num = check_count(num, "num")
        check_memory(num * example_bytes(self._spec), f"num={num:,} {self._spec.unit}", FEWER)
        return _joined(self.draws(state, num, seed, knobs), num, "num")

    def of_data(
        self, name: str, state: State, x: Any, seed: int, options: Mapping[str, Any]
    ) -> PyTree:
        """`encode`, `log_prob` or `reconstruct` of examples [B, ...].

        Raises:
            ConfigError: for a method without it, examples that are none of the run's data, or
                options that it does not have.
        """
        self._function(name)
        x = check_data(x, self._spec, f"run.{name}(x)")
        found = self._whole(name, state, self._key(seed), x, options, len(x))
        return self._outward(found) if name == "reconstruct" else found

    def decode(self, state: State, z: PyTree, options: Mapping[str, Any]) -> PyTree:
        """Data of latents, pytrees of [B, ...].

        Raises:
            ConfigError: for a method without it, other latents than `encode` gives, or options
                that it does not have.
        """
        self._function("decode")
        shapes = self.latent_shapes(state)
        num = len(jax.tree.leaves(z)[0]) if shapes is None else 0
        if shapes is not None:
            z, num = check_latents(z, shapes, "run.decode(z)")
            if isinstance(self._method, Coded):
                check_codes(z, self._method.latent_fields, "run.decode(z)")
        return self._outward(self._whole("decode", state, self._key(0), z, options, num))

    def complete(
        self, state: State, x: Any, known: Any, seed: int, options: Mapping[str, Any]
    ) -> Any:
        """Examples [B, ...] whose entries that are not known are drawn.

        Raises:
            ConfigError: as `of_data`, and for a `known` that is no bool array as x.
        """
        self._function("complete")
        x = check_data(x, self._spec, "run.complete(x)")
        known = np.asarray(known)
        try:
            known = np.broadcast_to(known, x.shape)
        except ValueError:
            known = known[None]
        if known.dtype != bool or known.shape != x.shape:
            raise ConfigError(
                f"run.complete(known): {known.dtype} {list(np.shape(known))}, expected bool "
                f"{list(x.shape)}, or what broadcasts to it"
            )
        found = self._whole("complete", state, self._key(seed), (x, known), options, len(x))
        return self._outward(found)

    def translate(
        self,
        state: State,
        x: Any,
        to: str | None,
        seed: int,
        options: Mapping[str, Any],
        tile: int | None = None,
        overlap: int | None = None,
    ) -> Any:
        """What is made of a field [B, ...], or of a mapping of fields; or of tiles of them.

        Raises:
            ConfigError: for a method without it, an unknown direction, arrays that are not of the
                fields that are asked for, a size that the method does not take, or options that
                it does not have.
        """
        self._function("translate")
        if tile is not None or overlap is not None:
            size = check_tiles(tile, overlap)
            one = functools.partial(self.translate, state, to=to, seed=seed, options=options)
            return tiled(self._method, self._spec, x, to, size, one)
        to, batch = sources(self._method, self._spec, x, to)
        given = {"to": to, **options}
        found = options_of(self._method.translate, LEADING.get("translate", 3), given)
        leaf = next(iter(batch.values()))
        usual = leaf.shape[1:3] == self._spec.shape[:2]
        size = None if usual else 1  # of other sizes one at a time: how many fit is not known
        key, num = self._key(seed), len(leaf)
        return _joined(
            self._chunks("translate", state, key, batch, found, num, given, size), num, "B"
        )

    def calibrate(
        self, state: State, x: np.ndarray, draws: int, seed: int
    ) -> calibration.Calibration:
        """Ranks the parameters of rows [N, D] among draws of their posteriors.

        Raises:
            ConfigError: for a method that infers no parameters, or as `calibration.calibrate`.
        """
        if not isinstance(self._method, Infers):
            name = type(self._method).__name__
            raise ConfigError(f"{name} infers no parameters: nothing to calibrate")
        if ("ranks", draws) not in self._compiled:
            self._compiled["ranks", draws] = calibration.counter(self._method, draws)
        count = self._compiled["ranks", draws]
        return calibration.calibrate(self._method, state, x, self._key(seed), draws, count)

    def _whole(
        self, name: str, state: State, rng: Array, data: PyTree, given: Any, num: int
    ) -> PyTree:
        options = self._options(name, given, num)
        if is_traced(data):
            call = self._call(name, options)
            return call(state, rng, np.uint32(0), data, options.values, options.given)
        return _joined(self._chunks(name, state, rng, data, options, num, given), num, "B")

    def _chunks(
        self,
        name: str,
        state: State,
        rng: Array,
        data: PyTree,
        options: Options,
        num: int,
        given: Mapping[str, Any],
        size: int | None = None,
    ) -> Iterator[PyTree]:
        """Results [chunk, ...], the last one cut to what was asked for."""
        size = size or (min(self.size, self._few) if num <= self._few else self.size)
        call = self._call(name, options)
        starts = track(range(0, num, size), DOING[name], num, self._spec.unit, lambda _: size)
        for number, start in enumerate(starts):
            part, rows = filled((data, options.given), start, size)
            try:
                found = call(state, rng, np.uint32(number), part, options.values, rows)
            except (TypeError, ValueError) as error:  # of the method, about its options
                if not given:
                    raise
                text = ", ".join(f"{k}={short(v)}" for k, v in given.items())
                raise ConfigError(f"{text}: {str(error).splitlines()[0]}") from error
            cut = min(size, num - start)
            yield jax.tree.map(lambda leaf, cut=cut: np.asarray(leaf)[:cut], found)

    def _call(self, name: str, options: Options) -> Callable[..., PyTree]:
        key = (name, *sorted(options.static.items()))
        if key not in self._compiled:
            function = functools.partial(self._function(name), **options.static)

            def call(
                state: State, rng: Array, number: Any, data: Any, values: Any, rows: Any
            ) -> PyTree:
                rng = chunk_key(rng, number)
                given = {"given": rows} if rows else {}
                key = () if name == "decode" else (rng,)
                parts = data if name == "complete" else (data,)
                return function(state, *parts, *key, **given, **values)

            self._compiled[key] = jax.jit(call)
        return self._compiled[key]

    def _options(self, name: str, given: Mapping[str, Any], num: int) -> Options:
        function = self._function(name)
        fields, rest = split_given(self._spec, given)
        who = str(self._path)
        rows = check_given(self._method, self._spec, fields, num, who)
        check_whole(self._method, self._spec, rows, who)
        return options_of(function, LEADING.get(name, 3), rest)._replace(given=rows)

    def _outward(self, x: Any) -> Any:
        """Data in their own units."""
        units = self._spec.x.units
        return units.outward(x) if units else x

    def _function(self, name: str) -> Callable[..., Any]:
        method = self._method
        if name == "encode" and isinstance(method, Encodes):
            return method.encode
        if name == "decode" and isinstance(method, Decodes):
            return method.decode
        if name == "log_prob" and isinstance(method, Density):
            return method.log_prob
        if name == "reconstruct" and isinstance(method, Restores):
            return method.reconstruct
        if name == "complete" and isinstance(method, Completes):
            return method.complete
        if name == "translate" and isinstance(method, Translates):
            return method.translate
        raise ConfigError(f"{type(method).__name__} has no {name}")

    def latent_shapes(self, state: State) -> PyTree:
        """What `encode` gives, or the prior; None where the method has neither."""
        method = self._method
        if self._latents is None and isinstance(method, Encodes):
            batch = self._spec.batch(self.size)
            fields = {k: np.zeros(batch[k].shape, batch[k].dtype) for k in given(method)}
            x = batch["x"]
            options = self._options("encode", fields, self.size)
            call = self._call("encode", options)
            self._latents = jax.eval_shape(
                call, state, self._key(0), np.uint32(0), x, options.values, options.given
            )
        elif self._latents is None and isinstance(method, Latents):
            self._latents = jax.eval_shape(lambda k: method.latents(k, 1), self._key(0))
        return self._latents

    def _key(self, seed: int) -> Array:
        return jax.random.key(check_seed(seed))


def example_bytes(spec: DataSpec) -> int:
    """Of one example in the units of the data, as samples come."""
    return spec.dims * np.dtype(spec.x.dtype).itemsize


def on_one_device(state: State) -> State:
    """What is sampled and evaluated of a state, averaged, on the first device alone."""
    used = state.averaged().replace(opt={}, ema={})
    return jax.tree.map(_first, used)


def _first(leaf: Any) -> Any:
    whole = isinstance(leaf, jax.Array) and leaf.is_fully_replicated
    return leaf.addressable_data(0) if whole else jax.device_put(leaf, jax.local_devices()[0])


def _joined(parts: Iterator[PyTree], num: int, name: str) -> PyTree:
    """Results [num, ...] of chunks, in arrays that are made once."""
    out, done = None, 0
    for part in parts:
        leaves, tree = jax.tree.flatten(part)
        if out is None:
            need = sum(num * (leaf.nbytes // len(leaf)) for leaf in leaves)
            check_memory(need, f"{name}={num:,}", FEWER)
            out = [np.empty((num, *leaf.shape[1:]), leaf.dtype) for leaf in leaves]
        for whole, leaf in zip(out, leaves, strict=True):
            rows = min(len(leaf), num - done)
            whole[done : done + rows] = np.asarray(leaf)[:rows]
        done += len(leaves[0])
    return tree.unflatten(out)
