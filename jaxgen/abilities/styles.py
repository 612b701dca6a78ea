"""What a method with styles can do; see `jaxgen.abilities`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from jaxgen.types import Array, Given, PyTree, State


@runtime_checkable
class Styles(Protocol):
    """Decodes in two steps, by way of styles."""

    def styles_of(self, state: State, z: PyTree, given: Given = None) -> Array:
        """Latents to styles w, [B, style]."""
        ...

    def render(self, state: State, w: Array, *, rounded: bool) -> Array:
        """Styles to data, as `Decodes.decode`."""
        ...


@runtime_checkable
class Truncates(Styles, Protocol):
    """Knows the mean of styles, towards which they may be brought."""

    def middle(self, state: State) -> Array:
        """[style], the mean of w."""
        ...


@runtime_checkable
class Factorises(Styles, Protocol):
    """Shows the weights by which styles enter its layers."""

    def style_weights(self, state: State) -> Array:
        """[channels, style], of all layers one after the other."""
        ...


@runtime_checkable
class StyleChannels(Styles, Protocol):
    """Shows, and takes, what its layers make of styles: a number for each channel that comes in."""

    def channels_of(self, state: State, w: Array) -> Array:
        """[B, channels], of all layers one after the other, of styles w [B, style]."""
        ...

    def render_channels(self, state: State, channels: Array, *, rounded: bool) -> Array:
        """Data as `Styles.render`, of layers that are given these."""
        ...


@runtime_checkable
class SampleStyles(Protocol):
    """Says which styles its samples have."""

    def sample_styles(
        self, state: State, rng: Array, num: int, truncation: Array, given: Given = None
    ) -> Array:
        """w [num, style] of what `sample` draws with the same key and truncation."""
        ...


@runtime_checkable
class Moves(Protocol):
    """Moves what is in an image, and not the image."""

    def moved(self, state: State, w: Array, transforms: Array, *, rounded: bool) -> Array:
        """Images of styles w [B, style] as `Styles.render`, moved by transforms [3, 3].

        These are of coordinates around the middle, in sides of the image, from places of what is
        made to those of what `render` gives.
        """
        ...


@runtime_checkable
class Mixes(Protocol):
    """Shows samples that share coarse styles by row, and fine ones by column."""

    def mix(
        self,
        state: State,
        rng: Array,
        rows: int,
        columns: int,
        coarse: int,
        *,
        angle: Array | float,
        given: Given = None,
    ) -> Array:
        """[rows * columns, ...] data, whose first `coarse` layers are of the row.

        The latents of columns are on great circles, as far from their start as the angle.
        """
        ...


@runtime_checkable
class Projects(Protocol):
    """Finds the styles of an example by a search."""

    def project(
        self,
        state: State,
        x: Array,
        rng: Array,
        *,
        steps: int,
        tell: Callable[[Any], None] | None = None,
    ) -> tuple[Array, Array, Array]:
        """Styles, the distance at every step [steps], and the data found; tells of each step."""
        ...
