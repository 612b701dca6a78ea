"""Codes of examples as rows of numbers, by whichever way a method has."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxgen.abilities import (
    Coded,
    Decodes,
    Encodes,
    Latents,
    Projects,
    StyleChannels,
    Styles,
    given,
)
from jaxgen.config import ConfigError
from jaxgen.evaluate.sampling import filled
from jaxgen.progress import track

CHUNK, STEPS = 50, 400  # examples whose styles are searched at a time; of the search


def flattened(codes: Any) -> tuple[np.ndarray, Callable[[np.ndarray], Any]]:
    """Codes, a pytree of [N, ...], as float64 [N, D], and back: [M, D] to the pytree."""
    leaves, tree = jax.tree.flatten(codes)
    shapes = [leaf.shape[1:] for leaf in leaves]
    ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]

    def unflatten(codes: np.ndarray) -> Any:
        parts = np.split(np.asarray(codes, np.float32), ends, axis=1)
        return tree.unflatten(
            [p.reshape(-1, *shape) for p, shape in zip(parts, shapes, strict=True)]
        )

    flat = [np.asarray(leaf, np.float64).reshape(len(leaf), -1) for leaf in leaves]
    return np.concatenate(flat, axis=1), unflatten


class Space:
    """The space in which examples of a run are edited.

    Of a method that encodes and decodes it is that of its latents, of all levels or groups; of a
    generator with styles that of w, found by projection, or of what its layers make of w.
    """

    def __init__(self, run: Any, seed: int = 0, channels: bool = False):
        """See the class.

        Args:
            run: given nothing.
            seed: of what an encoder or a search draws.
            channels: of styles: of all layers, in place of w.

        Raises:
            ConfigError: for a run whose examples have no codes between which there are paths.
        """
        method, name = run.method, type(run.method).__name__
        if run.spec.x.kind != "image":
            raise ConfigError(f"{run.spec.name} has no images: there is nothing to edit")
        if asked := given(method):
            raise ConfigError(
                f"{run.directory.path} is given {', '.join(asked)}: what is given is changed by "
                "giving another, and a direction would mix both; edit a run that is given nothing"
            )
        if isinstance(method, Coded):
            raise ConfigError(
                f"latents of {name} are ids of codes, between which there are no paths"
            )
        self.searches = not isinstance(method, Encodes) and isinstance(method, Projects)
        decodes = isinstance(method, Styles if self.searches else Decodes)
        if not decodes or not (self.searches or isinstance(method, Encodes)):
            raise ConfigError(f"{name} finds no codes of examples: there is nothing to edit")
        if channels and not isinstance(method, StyleChannels):
            raise ConfigError(f"stylespace is of the styles of layers, which {name} has not")
        self._channels = channels
        self._run, self._seed, self._back = run, seed, None

    def encode(self, x: np.ndarray) -> np.ndarray:
        """Codes float64 [N, D] of examples in the units of batches."""
        if self.searches:
            return self._searched(x)
        codes, self._back = flattened(self._run.encode(x, self._seed))
        return codes

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Whole grey levels of codes [N, D]; `encode` comes before."""
        if self.searches:
            return self._rendered(codes)
        assert self._back is not None
        return self._run.decode(self._back(codes), rounded=True)

    def drawn(self, num: int) -> tuple[np.ndarray, np.ndarray]:
        """Styles of `num` samples, float64 [N, D], and the samples: no search is needed."""
        method = self._run.method
        assert isinstance(method, Styles) and isinstance(method, Latents)
        z = method.latents(jax.random.key(self._seed), num)
        styles = jax.jit(method.styles_of)(self._run.state.averaged(), z)
        codes = self._coded(np.asarray(styles))
        return codes, self._rendered(codes)

    def _coded(self, w: np.ndarray) -> np.ndarray:
        """Codes float64 [N, D] of styles [N, style]."""
        if self._channels:
            of_layers = jax.jit(self._run.method.channels_of)
            w = np.asarray(of_layers(self._run.state.averaged(), w))
        return w.astype(np.float64)

    def _searched(self, x: np.ndarray) -> np.ndarray:
        state, key = self._run.state.averaged(), jax.random.key(self._seed)
        starts = track(range(0, len(x), CHUNK), "searching", len(x), "images", lambda _: CHUNK)
        size = min(CHUNK, len(x))
        found = [
            np.asarray(self._search(state, filled(x, start, size), key)[0]) for start in starts
        ]
        return self._coded(np.concatenate(found)[: len(x)])

    def _rendered(self, codes: np.ndarray) -> np.ndarray:
        state, size = self._run.state.averaged(), min(4 * CHUNK, len(codes))
        w = codes.astype(np.float32)
        found = [
            np.asarray(self._render(state, filled(w, start, size)))
            for start in range(0, len(w), size)
        ]
        return np.concatenate(found)[: len(w)]

    @functools.cached_property
    def _search(self) -> Callable[..., Any]:
        return jax.jit(functools.partial(self._run.method.project, steps=STEPS))

    @functools.cached_property
    def _render(self) -> Callable[..., Any]:
        method = self._run.method
        render = method.render_channels if self._channels else method.render
        return jax.jit(functools.partial(render, rounded=True))
