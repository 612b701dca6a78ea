"""Pictures of what the latents of a run mean: for any method with `encode` and `decode`.

All take a loaded run; latents may be any pytree of [B, ...]. Where the method cannot encode but
draws latents from a prior, such draws stand for the codes of examples.
Of a conditional run, examples are encoded with what they are given themselves, and all are decoded
as `label`, and as given what the first of them is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxgen.abilities import Coded, Encodes, Latents, Restores, given
from jaxgen.config import ConfigError, unknown
from jaxgen.data.images import decode
from jaxgen.evaluate.validation import check_count
from jaxgen.ops.paths import PATHS
from jaxgen.pictures import grid, stacked, to_uint8, view
from jaxgen.views.codes import flattened
from jaxgen.views.examples import batch_of, chosen_class, own_batch, own_given
from jaxgen.views.picture import Picture
from jaxgen.views.timing import Timing, taken

LOOKED_AT = 1000  # test examples whose codes tell where the latents are


def reconstructions(
    run: Any,
    pictures: Any = None,
    num: int = 32,
    seed: int = 0,
    groups: int | None = None,
    label: int | None = None,
    fit: str | None = None,
    **places: Any,
) -> Picture:
    """Test examples, each above its reconstruction: eight columns of images.

    Other kinds of data are shown as `pictures.view` has them, all examples above all
    reconstructions. Arrays: "x" and "reconstruction", [num, ...] each.

    Args:
        run: whose method has `reconstruct`, or `encode` and `decode`.
        pictures: instead of test examples: see `examples.read`.
        num: of test examples.
        seed: of the latents.
        groups: of latents that are kept, of a method with several; None keeps all.
        label: class of `pictures`, of a conditional run; None takes the first.
        fit: of `pictures`.
        **places: of the data.

    Raises:
        ConfigError: for what the run cannot do, or was not given.
    """
    own = own_batch(run, pictures, fit, chosen_class(run, label))
    batch = own or batch_of(run, check_count(num, "num"), **places)
    units = run.spec.x.units
    x, same = units.outward(batch["x"]) if units else batch["x"], own_given(run, batch)
    if isinstance(run.method, Restores):
        kept = {} if groups is None else {"groups": groups}
        back = run.reconstruct(x, seed, given=same, **kept)
    elif groups is None:
        back = run.decode(run.encode(x, seed, given=same), given=same)
    else:
        raise ConfigError(f"{type(run.method).__name__} has no groups of latents: omit --groups")
    return Picture({"x": x, "reconstruction": back}, lambda: _pairs(run, x, back))


def _pairs(run: Any, x: np.ndarray, back: np.ndarray) -> np.ndarray:
    """See `reconstructions`."""
    if run.spec.x.kind != "image":
        return stacked(view(run.spec.x, x), view(run.spec.x, back))
    pairs = np.stack([shown(run, x), shown(run, back)], axis=1)
    columns = min(8, len(x))
    blank = np.full((-len(x) % columns, *pairs.shape[1:]), 255, np.uint8)
    blocks = _blocks(np.concatenate([pairs, blank]), columns)
    return grid(np.concatenate([np.concatenate([b[:, 0], b[:, 1]]) for b in blocks]), columns)


def sweep(
    run: Any,
    dims: int = 10,
    steps: int = 9,
    span: float = 3.0,
    seed: int = 0,
    label: int | None = None,
    **places: Any,
) -> Picture:
    """A row for each dimension of the latents, the most active first; the others at their mean.

    A row goes from mean - span sigma to mean + span sigma, both of the codes of test examples.
    Arrays: "x" [dims, steps, ...], and "dims", of the rows.

    Args:
        run: with images.
        dims: rows, at most.
        steps: columns, or frames.
        span: in standard deviations.
        seed: of the codes.
        label: class of all images, of a conditional run; None takes the first.
        **places: of the data.

    Raises:
        ConfigError: for what the run cannot do, or was not given.
    """
    check_images(run)
    dims, steps = check_count(dims, "dims"), check_count(steps, "steps")
    codes, unflatten = codes_of(run, seed, **places)
    mean, sigma = codes.mean(0), codes.std(0)
    order = np.argsort(-sigma, kind="stable")[:dims]
    z = np.tile(mean, (len(order), steps, 1))
    for row, dim in enumerate(order):
        z[row, :, dim] += sigma[dim] * np.linspace(-span, span, steps)
    x = decoder_of(run, label, **places)(unflatten(z.reshape(-1, len(mean))))
    return moving_rows(run, x.reshape(len(order), steps, *x.shape[1:]), dims=order)


def manifold(run: Any, side: int = 20, label: int | None = None, **places: Any) -> Picture:
    """The data of a grid of two latents, at the quantiles of the standard normal.

    Arrays: "x" [side, side, ...].

    Source: Kingma & Welling 2014, Auto-encoding variational Bayes, figure 4.

    Args:
        run: with two latents.
        side: of the grid.
        label: class of all images, of a conditional run; None takes the first.
        **places: of the data.

    Raises:
        ConfigError: for a run with another number of latents.
    """
    import scipy.stats

    check_images(run)
    codes, unflatten = codes_of(run, 0, few=2, **places)
    if codes.shape[1] != 2:
        raise ConfigError(f"a manifold is of 2 latents, this run has {codes.shape[1]}: use sweep")
    axis = scipy.stats.norm.ppf((np.arange(check_count(side, "side")) + 0.5) / side)
    z = np.stack(np.meshgrid(axis, axis[::-1]), -1).reshape(-1, 2)
    x = decoder_of(run, label, **places)(unflatten(z))
    return Picture({"x": x.reshape(side, side, *x.shape[1:])}, lambda: grid(shown(run, x), side))


def interpolate(
    run: Any,
    pictures: Any = None,
    pairs: int = 8,
    steps: int = 10,
    path: str = "linear",
    seed: int = 0,
    label: int | None = None,
    fit: str | None = None,
    timing: Timing = "even",
    **places: Any,
) -> Picture:
    """A row for each pair of test examples: the data between their codes.

    Arrays: "x" [pairs, steps, ...].

    Args:
        run: with images.
        pictures: instead of test examples, the first two, the next two, ...: see `examples.read`.
        pairs: rows, of test examples.
        steps: columns, or frames, both ends among them.
        path: "linear", or "spherical" along the great circle, which keeps the norm of
            high-dimensional normal latents (White 2016, Sampling generative networks).
        seed: of the codes.
        label: class of all images, of a conditional run; None takes the first.
        fit: of `pictures`.
        timing: of the columns: "even" in the path, "perceptual" in what is seen of each row, or
            positions; see `timing.taken`.
        **places: of the data.

    Raises:
        ConfigError: for what the run cannot do, or was not given.
    """
    if path not in PATHS:
        raise ConfigError(unknown("path", path, PATHS))
    check_images(run)
    own = own_batch(run, pictures, fit, chosen_class(run, label))
    pairs, steps = check_count(pairs, "pairs"), check_count(steps, "steps")
    few = check_pairs(len(own["x"])) if own else 2 * pairs
    codes, unflatten = codes_of(run, seed, few=few, own=own, **places)
    first, second = codes[::2], codes[1::2]
    ends = jnp.asarray(first), jnp.asarray(second)
    decode = decoder_of(run, label, **places)

    def along(positions: np.ndarray) -> np.ndarray:
        return np.asarray(PATHS[path](*ends, jnp.asarray(positions, jnp.float32)))

    def at(positions: np.ndarray) -> np.ndarray:
        return decode(unflatten(along(positions)))

    chosen = taken(run, timing, at, len(first), steps, closed=False, **places)
    z = np.stack([along(t) for t in chosen.positions.T], axis=1)
    x = decode(unflatten(z.reshape(-1, codes.shape[1])))
    found = moving_rows(run, x.reshape(len(first), steps, *x.shape[1:]))
    return dataclasses.replace(found, recipe=lambda: chosen.recipe)


def check_pairs(count: int) -> int:
    """The number of pictures.

    Raises:
        ConfigError: for an odd one.
    """
    if count % 2:
        raise ConfigError(f"{count} pictures, expected pairs: the first two, the next two, ...")
    return count


def moving_rows(run: Any, x: np.ndarray, **arrays: np.ndarray) -> Picture:
    """[rows, steps, ...]: all at once, or a step after the other."""
    return Picture(
        {"x": x, **arrays},
        lambda: grid(shown(run, x.reshape(-1, *x.shape[2:])), x.shape[1]),
        lambda: [grid(shown(run, step)) for step in x.swapaxes(0, 1)],
    )


def evolve(run: Any) -> Picture:
    """The grids that the run drew while it trained, of the same latents, one a frame.

    Arrays: "frames" uint8 [grids, H, W, 3].

    Args:
        run: that drew some.

    Raises:
        ConfigError: for a run without grids.
    """
    paths = sorted(run.directory.samples.glob("step_*.png"))
    if not paths:
        raise ConfigError(f"{run.directory.samples} has no step_*.png: the run drew no samples")
    frames = np.stack([decode(path, str(path), mode="RGB") for path in paths])
    return Picture({"frames": frames}, lambda: grid(frames), lambda: list(frames), 300)


def decoder_of(run: Any, label: int | None, **places: Any) -> Callable[[Any], np.ndarray]:
    """Latents to data, of one class unless that is None."""
    same = given_to_all(run, label, **places)
    return lambda z: run.decode(z, given=same)


def given_to_all(run: Any, label: int | None, **places: Any) -> dict[str, Any]:
    """What all images of a picture are given: the class, and of other fields the first example's.

    Raises:
        ConfigError: for a class that there is not.
    """
    same: dict[str, Any] = {}
    if set(given(run.method)) - {"label"}:
        same = {k: v[0] for k, v in own_given(run, batch_of(run, 1, **places)).items()}
    if (label := chosen_class(run, label)) is not None:
        same["label"] = label
    return same


def codes_of(
    run: Any,
    seed: int,
    few: int = LOOKED_AT,
    own: Mapping[str, np.ndarray] | None = None,
    **places: Any,
) -> tuple[np.ndarray, Any]:
    """Codes of test examples as float64 [N, D], and back: [M, D] to the run's own pytree."""
    import jax

    if isinstance(run.method, Coded):
        name = type(run.method).__name__
        raise ConfigError(f"latents of {name} are ids of codes, between which there are no paths")
    if not isinstance(run.method, Encodes) and isinstance(run.method, Latents):
        if own:
            name = type(run.method).__name__
            raise ConfigError(f"{name} cannot encode pictures; of styles, see jaxgen project")
        codes = run.method.latents(jax.random.key(seed), few)
    else:
        batch = own or batch_of(run, few, **places)
        codes = run.encode(batch["x"], seed, given=own_given(run, batch))
    return flattened(codes)


def check_images(run: Any) -> None:
    """Raises ConfigError for a run that has none."""
    if run.spec.x.kind != "image":
        raise ConfigError(f"{run.spec.name} has no images: there is nothing to show")


def shown(run: Any, x: np.ndarray) -> np.ndarray:
    """Images as pictures have them, uint8."""
    return to_uint8(np.asarray(x), run.spec.levels, run.spec.x.range)


def _blocks(x: np.ndarray, size: int) -> list[np.ndarray]:
    whole = len(x) // size * size
    return [x[i : i + size] for i in range(0, whole, size)]
