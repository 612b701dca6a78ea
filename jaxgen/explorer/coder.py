"""Codes of one picture of a run, by whichever way its method has, and back."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from jaxgen.abilities import (
    Coded,
    Decodes,
    Encodes,
    Projects,
    Restores,
    SampleStyles,
    Styles,
    given,
)
from jaxgen.calls import Calls
from jaxgen.config import ConfigError
from jaxgen.evaluate.validation import parameters
from jaxgen.types import PyTree, State
from jaxgen.views.codes import STEPS

Given = Mapping[str, Any]


class Coder:
    """What a method makes of a picture, one at a time, compiled once.

    Attributes:
        searches: codes are found by a search, which takes its time.
        encodes: codes are found at once.
        paths: between codes there are some.
        restores: a picture can be shown as its latents keep it, of which some may be dropped.
    """

    def __init__(self, method: Any, calls: Calls, state: State):
        """Compiles at the first use.

        Args:
            method: of the run.
            calls: of it, for one example at a time.
            state: averaged.
        """
        self._method, self._calls, self._state = method, calls, state
        self.encodes = isinstance(method, Encodes) and isinstance(method, Decodes)
        styled = (Projects, Styles, SampleStyles)
        searches = all(isinstance(method, ability) for ability in styled)
        self.searches = searches and not self.encodes and not given(method)
        self.paths = self.searches or (self.encodes and not isinstance(method, Coded))
        self.restores = isinstance(method, Restores)
        self._tell: Callable[[int], None] = lambda step: None

    @property
    def why(self) -> str | None:
        """Why pictures have no codes; None where they have."""
        if self.encodes or self.searches or self.restores:
            return None
        name = type(self._method).__name__
        return f"{name} finds no codes of pictures: seeds alone can be explored"

    @functools.cached_property
    def groups(self) -> int:
        """Groups of latents of which the first few may be kept; 1 where nothing can be dropped."""
        method = self._method
        if not (isinstance(method, Restores) and self.encodes):
            return 1
        return self.levels if "groups" in parameters(method.reconstruct, 3) else 1

    @functools.cached_property
    def levels(self) -> int:
        """Arrays that codes consist of."""
        if not (self.encodes and self.paths):
            return 1
        return len(jax.tree.leaves(self._calls.latent_shapes(self._state)))

    def encode(self, x: np.ndarray, same: Given) -> PyTree:
        """Codes of a picture [1, ...], at once.

        Raises:
            ConfigError: for a method that does not.
        """
        if not self.encodes:
            raise ConfigError(
                self.why
                or f"{type(self._method).__name__} finds codes of uploaded pictures, by a "
                "search: a seed has none"
            )
        return self._calls.of_data("encode", self._state, x, 0, same)

    def decode(self, codes: PyTree, same: Given) -> np.ndarray:
        """A picture [1, ...] of whole grey levels."""
        if self.searches:
            return np.asarray(self._render(self._state, np.asarray(codes, np.float32)))
        return self._calls.decode(self._state, codes, {"rounded": True, **same})

    def restore(self, x: np.ndarray, same: Given, groups: int | None = None) -> np.ndarray:
        """The picture that its latents keep, or the first groups of them."""
        kept = {} if groups is None else {"groups": groups}
        return self._calls.of_data("reconstruct", self._state, x, 0, {**kept, **same})

    def styles(self, seed: int, truncation: float) -> np.ndarray:
        """Styles [1, style] of the sample of a seed, of a method that searches."""
        key = jax.random.key(seed)
        return np.asarray(self._sampled(self._state, key, np.float32(truncation)))[:1]

    def search(self, x: np.ndarray, tell: Callable[[int], None]) -> np.ndarray:
        """Styles [1, style] of a picture [1, ...].

        Args:
            x: the picture.
            tell: is given the number of every step.
        """
        self._tell = tell
        try:
            return np.asarray(self._project(self._state, x, jax.random.key(0))[0])
        finally:
            jax.effects_barrier()

    @functools.cached_property
    def _sampled(self) -> Callable[..., Any]:
        size = self._calls.size  # of a chunk: the sample of a seed is the first of one

        def sampled(state: State, key: Any, truncation: Any) -> Any:
            return self._method.sample_styles(state, key, size, truncation)

        return jax.jit(sampled)

    @functools.cached_property
    def _render(self) -> Callable[..., Any]:
        return jax.jit(functools.partial(self._method.render, rounded=True))

    @functools.cached_property
    def _project(self) -> Callable[..., Any]:
        def tell(step: Any) -> None:  # of the search that is under way, by the program of the first
            self._tell(int(step))

        return jax.jit(functools.partial(self._method.project, steps=STEPS, tell=tell))
