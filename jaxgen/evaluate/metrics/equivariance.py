"""How well details move with what they are part of, in dB: whether a generator has aliases.

Images of the same styles are made twice, as they are and moved by the generator itself; the first
is then moved as a signal. The number is the peak signal to noise between the two, over pixels that
depend on nothing beyond the borders: EQ-T of shifts by whole pixels, EQ-T of any shifts, EQ-R of
turns.

Source: Karras et al. 2021, Alias-free generative adversarial networks (NeurIPS), appendix E, with
the official sizes: shifts of up to an eighth of the image either way, one a batch of four.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.abilities import Latents, Moves, Styles, given
from jaxgen.evaluate.comparison import Comparison, able, model
from jaxgen.evaluate.measurement import Measurement, NotAvailable, Number, fingerprint, of_stderr
from jaxgen.ops import equivariance as moves
from jaxgen.types import Array

BATCH = 4
FAR = 1 / 8  # of the image
NUMBERS = {
    "eq_t": Number(
        "EQ-T", "how well images follow shifts by whole pixels", "diversity", "higher", "dB"
    ),
    "eq_t_frac": Number(
        "EQ-T, fractional", "how well images follow shifts", "diversity", "higher", "dB"
    ),
    "eq_r": Number("EQ-R", "how well images follow turns", "diversity", "higher", "dB"),
}
NEEDS = (
    model,
    able(Moves, "moved: it cannot move what is in an image"),
    able(Styles, "styles_of"),
    able(Latents, "latents"),
)


def measure(c: Comparison) -> list[Measurement]:
    """Of as many images as `pairs` says."""
    method: Any = c.subject.method
    if more := [name for name in given(method) if name != "label"]:
        raise NotAvailable(f"the model is given {more[0]}")
    state, spec = c.subject.state, c.subject.spec
    if spec.x.kind != "image" or spec.shape[0] != spec.shape[1]:
        raise NotAvailable(f"{spec.name} has no square images")
    scale = 2 / (spec.levels - 1) if spec.levels else 1.0

    @jax.jit
    def made(w: Array, transform: Array) -> Array:
        return scale * method.moved(state, w, transform, rounded=False)

    @jax.jit
    def styles(rng: Array) -> Array:
        latents, classes = jax.random.split(rng)
        label = jax.random.randint(classes, (BATCH,), 0, max(spec.num_classes or 1, 1))
        of_class = {"given": {"label": label}} if "label" in given(method) else {}
        return method.styles_of(state, method.latents(latents, BATCH), **of_class)

    batches = max(c.pairs // BATCH, 2)
    squares = compared(made, styles, spec.shape[0], batches, c.seed)
    counts = {"num_generated": batches * BATCH, "far": FAR}
    print_of = fingerprint(c.print_of_data(c.split), counts)
    found = []
    for name, (sums, pixels) in squares.items():
        mean = sums.sum() / pixels.sum()
        stderr = np.sqrt(np.sum((sums - mean * pixels) ** 2)) / pixels.sum()  # of a ratio
        spread = 10 / np.log(10) * stderr / mean
        interval = of_stderr(moves.decibels(mean), float(spread))
        found.append(c.measured(name, interval, fingerprint=print_of, settings={}))
    return found


def compared(
    made: Callable[[Array, Array], Array],
    styles: Callable[[Array], Array],
    side: int,
    batches: int,
    seed: int,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Of each number, sums of squares and counts of pixels of each batch, [batches] both.

    Args:
        made: (w, transform [3, 3]) -> images in [-1, 1].
        styles: key -> w of a batch.
        side: of the images, in pixels.
        batches: how many.
        seed: of styles and moves.
    """
    random, still = np.random.RandomState(seed), np.eye(3)
    kept: dict[str, list[tuple[float, float]]] = {name: [] for name in NUMBERS}

    def drawn(w: Array, transform: np.ndarray) -> np.ndarray:
        return np.asarray(made(w, jnp.asarray(transform, jnp.float32)), np.float64)

    for i in range(batches):
        w = styles(jax.random.fold_in(jax.random.key(seed), i))
        plain = drawn(w, still)
        x, y = (round(float(d) * side) for d in random.uniform(-FAR, FAR, 2))
        between = [float(d) * side for d in random.uniform(-FAR, FAR, 2)]
        angle = float(random.uniform(-np.pi, np.pi))
        inverse = {
            "eq_t": moves.translation(-x / side, -y / side),
            "eq_t_frac": moves.translation(*(-d / side for d in between)),
            "eq_r": moves.rotation(-angle),
        }
        expected = {
            "eq_t": moves.shifted(plain, x, y),
            "eq_t_frac": moves.shifted_between(plain, *between),
            "eq_r": moves.turned(plain, angle),
        }
        for name, (image, mask) in expected.items():
            ours = drawn(w, inverse[name])
            if name == "eq_r":
                ours, inside = moves.filtered_as_turned(ours, angle)
                mask = mask * inside
            square = np.square(image - ours) * mask[None, :, :, None]
            kept[name].append((square.sum(), mask.sum() * len(image) * image.shape[3]))
    columns = {name: np.asarray(rows).T for name, rows in kept.items()}
    return {name: (sums, pixels) for name, (sums, pixels) in columns.items()}
