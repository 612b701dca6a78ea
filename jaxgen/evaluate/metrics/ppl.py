"""Perceptual path length: how far an image moves, per step, along a path between two latents.

    E d(G(p(t)), G(p(t + epsilon))) / epsilon^2

Source: Karras et al. 2019, A style-based generator architecture, section 4.1, for z and w;
Karras et al. 2020, Analyzing and improving the image quality of StyleGAN, section 3 and its
official code for the ends of paths and for the trimming. Paths in z follow great circles; there
z is normalised first, here its length moves linearly: of a generator that normalises z that is
the same, and others are not asked for latents that their prior never draws.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.abilities import Decodes, Encodes, Latents, Styles, given
from jaxgen.config import ConfigError
from jaxgen.data.loader import evenly
from jaxgen.evaluate.comparison import Comparison, able, model, paths
from jaxgen.evaluate.extractors import Distances
from jaxgen.evaluate.measurement import (
    Interval,
    Measurement,
    NotAvailable,
    Number,
    fingerprint,
    of_stderr,
)
from jaxgen.ops.paths import Path, linear, spherical
from jaxgen.types import Array, PyTree

EPSILON = 1e-4
TRIM = 0.01  # of the distances at either end that are left out

AT_A_TIME = 50  # pairs
NUMBERS = {
    "ppl_z": Number(
        "Perceptual path length, z", "how much the image moves with the latents", "diversity"
    ),
    "ppl_w": Number(
        "Perceptual path length, w", "how much the image moves with the styles", "diversity"
    ),
    "ppl_codes": Number(
        "Perceptual path length, codes", "between codes of real examples", "diversity"
    ),
}
NEEDS = (model, able(Decodes, "decode"), paths)


@dataclasses.dataclass(frozen=True)
class Space:
    """Of latents, between two of which there is a path; see `path_length`.

    Attributes:
        latents: (rng, num) -> latents; of a conditional model (rng, num, label).
        decode: latents -> images that are not rounded; of a conditional model (latents, label).
        path: between two latents.
        classes: (rng, num) -> [num]; None for a model without classes.
    """

    latents: Callable[..., PyTree]
    decode: Callable[..., Array]
    path: Callable[..., PyTree]
    classes: Callable[[Array, int], Array] | None = None


def measure(c: Comparison) -> list[Measurement]:
    """Perceptual path length in z, in w where there are styles, else between codes of examples.

    The distance is the extractor's own, where it has one, else the squared distance of pixels
    in [0, 1]. A pair of latents of a conditional model has one class, which is drawn evenly; a
    pair of codes is of two test examples of one class.
    """
    method: Any = c.subject.method
    if more := [name for name in given(method) if name != "label"]:
        raise NotAvailable(f"paths are of images of one class, this model is given {more[0]}")
    own = c.extractor.distance_of_levels if isinstance(c.extractor, Distances) else None
    label, print_of_own = (c.label, c.extractor.fingerprint) if own else ("pixels", {})
    found = []
    for name, space in _spaces(c, method).items():
        length = path_length(
            space.decode,
            space.latents,
            own or _squared(c.subject.spec.levels),
            jax.random.key(c.seed),
            path=space.path,
            classes=space.classes,
            num=c.pairs,
            batch=AT_A_TIME,
        ).length
        parts = {"space": name, "path": space.path.__name__, "epsilon": EPSILON, "sampling": "end"}
        if space.classes:
            parts["classes"] = "one a pair"
        parts["model"] = _model(c)  # lengths in different latent spaces are not ranked
        print_of = fingerprint(
            c.print_of_data(c.split), print_of_own, parts, distance=label, num_generated=c.pairs
        )
        notes = ()
        if name == "codes":
            notes = ("between codes of test examples: latent spaces differ by model",)
        fields: dict[str, Any] = dict(fingerprint=print_of, notes=notes, settings={})
        found.append(c.measured(f"ppl_{name}-{label}", length, **fields))
    return found


def _spaces(c: Comparison, method: Decodes) -> dict[str, Space]:
    state: Any = c.subject.state

    def decode(z: PyTree, *label: Array) -> Array:
        return method.decode(state, z, rounded=False, **_given(label))

    if not isinstance(method, Latents):
        return {"codes": _codes(c, decode)}

    def classes(rng: Array, num: int) -> Array:
        return jax.random.randint(rng, (num,), 0, c.subject.spec.num_classes)

    drawn = classes if "label" in given(method) else None
    spaces = {"z": Space(lambda rng, num, *_: method.latents(rng, num), decode, spherical, drawn)}
    if isinstance(method, Styles):

        def styles(rng: Array, num: int, *label: Array) -> Array:
            return method.styles_of(state, method.latents(rng, num), **_given(label))

        def render(w: Array, *_: Array) -> Array:
            return method.render(state, w, rounded=False)

        spaces["w"] = Space(styles, render, linear, drawn)
    return spaces


def _codes(c: Comparison, decode: Callable[..., Array]) -> Space:
    """Draws among the codes of test examples, in place of a prior."""
    method, state = c.subject.method, c.subject.state
    if not isinstance(method, Encodes):
        raise NotAvailable(f"{type(method).__name__} has neither latents nor encode")
    split = c.dataset.splits["test"]
    batch = split.take(evenly(len(split), 500))
    own = {name: batch[name] for name in given(method)}
    with_own = {"given": own} if own else {}
    codes = jax.jit(method.encode)(state, batch["x"], jax.random.key(c.seed), **with_own)
    count = len(batch["x"])

    def latents(rng: Array, num: int, *label: Array) -> PyTree:
        if label:
            of_class = label[0][:, None] == jnp.asarray(own["label"])[None]
            rows = jax.random.categorical(rng, jnp.where(of_class, 0.0, -jnp.inf))
        else:
            rows = jax.random.randint(rng, (num,), 0, count)
        return jax.tree.map(lambda leaf: leaf[rows].astype(jnp.float32), codes)

    def classes(rng: Array, num: int) -> Array:
        return jnp.asarray(own["label"])[jax.random.randint(rng, (num,), 0, count)]

    return Space(latents, decode, spherical, classes if "label" in own else None)


def _given(label: tuple[Array, ...]) -> dict[str, Any]:
    """A class, if there is one, as a method is given it."""
    return {"given": {"label": label[0]}} if label else {}


def _model(c: Comparison) -> str:
    """What tells latent spaces apart; checkpoints of one model share it."""
    params = () if c.subject.state is None else c.subject.state.params
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    return f"{type(c.subject.method).__name__}, {count:,} parameters"


def _squared(levels: int | None) -> Any:
    scale = 1.0 if levels is None else 1.0 / (levels - 1)

    @jax.jit
    def distance(x: Array, y: Array) -> Array:
        return jnp.sum(jnp.square((x - y) * scale).reshape(len(x), -1), axis=1)

    return distance


@dataclasses.dataclass(frozen=True, eq=False)
class PathLength:
    """Of a generator.

    Attributes:
        length: trimmed mean of the distances, with the interval of trimmed means.
        distances: [N] float64, over epsilon squared, untrimmed.
    """

    length: Interval
    distances: np.ndarray


def path_length(
    decode: Callable[..., Array],
    latents: Callable[..., PyTree],
    distance: Callable[[Array, Array], Any],
    rng: Array,
    *,
    path: Path | None = None,
    classes: Callable[[Array, int], Array] | None = None,
    sampling: Literal["full", "end"] = "end",
    num: int = 50_000,
    batch: int = 64,
    epsilon: float = EPSILON,
    trim: float = TRIM,
) -> PathLength:
    """Mean distance of images whose latents lie `epsilon` apart on a path, over epsilon^2.

    For z, `path` is `spherical` and `latents` draws the prior; for w, `path` is `linear`,
    `latents` draws the prior and maps it, and `decode` goes from w to images.

    Args:
        decode: latents to images [B, ...] of a floating type. It must be a function: a generator
            that draws noise must draw the same for both ends. It is called under jit.
        latents: (rng, B) -> a pytree with leaves [B, ...].
        distance: of two batches of images, [B], such as LPIPS or a squared distance of features.
            It is not called under jit.
        rng: a key.
        path: between two latents; `spherical` by default.
        classes: (rng, B) -> [B], for a conditional generator: a pair has one class, at both ends
            and along its path, which `latents` and `decode` take as their last argument.
        sampling: where on the path: at its start, or anywhere ("full").
        num: of pairs.
        batch: pairs of one call.
        epsilon: of the path's parameter, which runs from 0 to 1. Generators that compute in
            bfloat16 need 1e-2.
        trim: share of the smallest, and of the largest, distances to leave out.

    Raises:
        ConfigError: for images of integers, whose rounding is all that would be measured.
        NotAvailable: where images are not finite.
    """
    path = path or spherical

    @jax.jit
    def pair(rng: Array) -> tuple[Array, Array]:
        first, second, position, chosen = jax.random.split(rng, 4)
        given = () if classes is None else (classes(chosen, batch),)
        a, b = latents(first, batch, *given), latents(second, batch, *given)
        t = jnp.zeros(batch)
        if sampling == "full":
            t = jax.random.uniform(position, (batch,))
        x, y = decode(path(a, b, t), *given), decode(path(a, b, t + epsilon), *given)
        if not jnp.issubdtype(x.dtype, jnp.floating):
            raise ConfigError(
                f"a path length needs images of real numbers, got {x.dtype}: steps of {epsilon:g}"
                " vanish in rounding"
            )
        return x, y

    keys = (jax.random.fold_in(rng, i) for i in range(math.ceil(num / batch)))
    calls = [distance(*pair(key)) for key in keys]
    distances = np.concatenate([np.asarray(c, np.float64) for c in calls])[:num] / epsilon**2
    if lost := np.sum(~np.isfinite(distances)):
        raise NotAvailable(f"{lost} of {num} paths have images that are not finite")
    return PathLength(trimmed_mean(distances, trim), distances)


def trimmed_mean(values: np.ndarray, trim: float = TRIM) -> Interval:
    """Mean of the values between two of their quantiles, `trim` and 1 - `trim`, ends included.

    The quantiles are values that occur: the one below the first, the one above the last.

    Source: of the standard error Tukey & McLaughlin 1963: that of the values with both tails
    pulled in to the quantiles, over 1 - 2 trim.
    """
    low = np.quantile(values, trim, method="lower")
    high = np.quantile(values, 1 - trim, method="higher")
    kept = values[(values >= low) & (values <= high)]
    if len(values) < 2:
        return Interval(float(kept.mean()))
    spread = np.clip(values, low, high).std(ddof=1) / (1 - 2 * trim)
    return of_stderr(float(kept.mean()), float(spread / math.sqrt(len(values))))
