"""Pictures of what the latents of a run mean: for any method with `encode` and `decode`.

All take a loaded run and give uint8 images; latents may be any pytree of [B, ...]. Where the
method cannot encode but draws latents from a prior, such draws stand for the codes of examples.
Of a conditional run, examples are encoded with what they are given themselves, and all are decoded
as `label`, and as given what the first of them is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jaxgen.abilities import Encodes, Latents, Restores, given
from jaxgen.config import ConfigError
from jaxgen.data.images import decode
from jaxgen.data.loader import evenly
from jaxgen.pictures import grid, stacked, to_uint8, view
from jaxgen.progress import track
from jaxgen.run import Run

LOOKED_AT = 1000  # test examples whose codes tell where the latents are
PATHS = ("linear", "spherical")


def examples(run: Run, num: int, **places: Any) -> np.ndarray:
    """`num` test examples, evenly spaced, in the units of the data.

    Args:
        run: whose data.
        num: how many, at most.
        **places: `manual_dir`, `data_dir` where the data have moved.
    """
    return _batch(run, num, **places)["x"]


def reconstructions(
    run: Run,
    num: int = 32,
    seed: int = 0,
    groups: int | None = None,
    own: Mapping[str, np.ndarray] | None = None,
    **places: Any,
) -> np.ndarray:
    """Test examples, each above its reconstruction: eight columns of images.

    Other kinds of data are shown as `view` has them, all examples above all reconstructions.

    Args:
        run: whose method has `reconstruct`, or `encode` and `decode`.
        num: of examples.
        seed: of the latents.
        groups: of latents that are kept, of a method with several; None keeps all.
        own: "x" and, of a conditional run, "label", instead of test examples.
        **places: of the data.
    """
    batch = own or _batch(run, num, **places)
    units = run.spec.x.units
    x, same = units.outward(batch["x"]) if units else batch["x"], _own_given(run, batch)
    if isinstance(run.method, Restores):
        kept = {} if groups is None else {"groups": groups}
        back = run.reconstruct(x, seed, given=same, **kept)
    elif groups is None:
        back = run.decode(run.encode(x, seed, given=same), given=same)
    else:
        raise ConfigError(f"{type(run.method).__name__} has no groups of latents: omit --groups")
    if run.spec.x.kind != "image":
        return stacked(view(run.spec.x, x), view(run.spec.x, back))
    pairs = np.stack([_shown(run, x), _shown(run, back)], axis=1)
    columns = min(8, len(x))
    blank = np.full((-len(x) % columns, *pairs.shape[1:]), 255, np.uint8)
    blocks = _blocks(np.concatenate([pairs, blank]), columns)
    return grid(np.concatenate([np.concatenate([b[:, 0], b[:, 1]]) for b in blocks]), columns)


def sweep(
    run: Run,
    dims: int = 10,
    steps: int = 9,
    span: float = 3.0,
    seed: int = 0,
    label: int | None = None,
    **places: Any,
) -> tuple[np.ndarray, list[int]]:
    """A row for each dimension of the latents, the most active first; the others at their mean.

    A row goes from mean - span sigma to mean + span sigma, both of the codes of test examples.

    Returns:
        The picture, and the dimensions of its rows.
    """
    _images(run)
    codes, unflatten = _codes(run, seed, **places)
    mean, sigma = codes.mean(0), codes.std(0)
    order = np.argsort(-sigma, kind="stable")[:dims]
    z = np.tile(mean, (len(order), steps, 1))
    for row, dim in enumerate(order):
        z[row, :, dim] += sigma[dim] * np.linspace(-span, span, steps)
    x = _decoder(run, label, **places)(unflatten(z.reshape(-1, len(mean))))
    return grid(_shown(run, x), steps), [int(d) for d in order]


def manifold(run: Run, side: int = 20, label: int | None = None, **places: Any) -> np.ndarray:
    """The data of a grid of two latents, at the quantiles of the standard normal.

    Source: Kingma & Welling 2014, Auto-encoding variational Bayes, figure 4.

    Raises:
        ConfigError: for a run with another number of latents.
    """
    import scipy.stats

    _images(run)
    codes, unflatten = _codes(run, 0, few=2, **places)
    if codes.shape[1] != 2:
        raise ConfigError(f"a manifold is of 2 latents, this run has {codes.shape[1]}: use sweep")
    axis = scipy.stats.norm.ppf((np.arange(side) + 0.5) / side)
    z = np.stack(np.meshgrid(axis, axis[::-1]), -1).reshape(-1, 2)
    return grid(_shown(run, _decoder(run, label, **places)(unflatten(z))), side)


def interpolation(
    run: Run,
    pairs: int = 8,
    steps: int = 10,
    path: str = "linear",
    seed: int = 0,
    label: int | None = None,
    own: Mapping[str, np.ndarray] | None = None,
    **places: Any,
) -> np.ndarray:
    """A row for each pair of test examples: the data between their codes.

    Args:
        run: with images.
        pairs: rows.
        steps: columns, both ends among them.
        path: "linear", or "spherical" along the great circle, which keeps the norm of
            high-dimensional normal latents (White 2016, Sampling generative networks).
        seed: of the codes.
        label: class of all images, of a conditional run.
        own: "x" and, of a conditional run, "label", instead of test examples: 2 `pairs` of them.
        **places: of the data.
    """
    if path not in PATHS:
        raise ConfigError(f"--path={path}, expected one of {', '.join(PATHS)}")
    _images(run)
    codes, unflatten = _codes(run, seed, few=2 * pairs, own=own, **places)
    first, second = codes[::2], codes[1::2]
    between = slerp if path == "spherical" else _lerp
    z = np.stack([between(first, second, t) for t in np.linspace(0, 1, steps)], axis=1)
    x = _decoder(run, label, **places)(unflatten(z.reshape(-1, codes.shape[1])))
    return grid(_shown(run, x), steps)


def walk(
    run: Run,
    num: int = 16,
    frames: int = 60,
    seed: int = 0,
    label: int | None = None,
    **places: Any,
) -> list[np.ndarray]:
    """Pictures of a closed random walk of standard normal latents, `num` side by side."""
    _images(run)
    codes, unflatten = _codes(run, seed, few=2, **places)
    random = np.random.RandomState(seed)
    east, north = random.randn(2, num, codes.shape[1])
    decode, out = _decoder(run, label, **places), []
    angles = np.arange(frames) * 2 * math.pi / frames
    for angle in track(angles, "drawing", frames, "frames"):
        z = math.cos(angle) * east + math.sin(angle) * north
        out.append(grid(_shown(run, decode(unflatten(z)))))
    return out


def evolution(run: Run) -> list[np.ndarray]:
    """The grids that the run drew while it trained, of the same latents, one a frame.

    Raises:
        ConfigError: for a run without grids.
    """
    paths = sorted(run.directory.samples.glob("step_*.png"))
    if not paths:
        raise ConfigError(f"{run.directory.samples} has no step_*.png: the run drew no samples")
    return [decode(path, str(path), mode="RGB") for path in paths]


def slerp(a: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
    """Between rows of a and b, [N, D] each, along the great circle; parallel ones linearly."""
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosine = np.clip((a * b).sum(1) / np.maximum(lengths, 1e-12), -1, 1)
    angle = np.arccos(cosine)[:, None]
    near = np.sin(angle) < 1e-3
    sine = np.where(near, 1.0, np.sin(angle))
    arc = (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / sine
    return np.where(near, _lerp(a, b, t), arc)


def _lerp(a: np.ndarray, b: np.ndarray, t: float) -> np.ndarray:
    return (1 - t) * a + t * b


def _batch(run: Run, num: int, **places: Any) -> dict[str, np.ndarray]:
    split = run.dataset(**places).splits["test"]
    return split.take(evenly(len(split), num))


def _own_given(run: Run, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What examples are given themselves, in their own units."""
    fields = {name: run.spec.fields[name] for name in given(run.method)}
    if absent := [name for name in fields if name not in batch]:
        raise ConfigError(f"{run.directory.path} is given {absent[0]}, which pictures have none of")
    return {n: f.units.outward(batch[n]) if f.units else batch[n] for n, f in fields.items()}


def _decoder(run: Run, label: int | None, **places: Any) -> Callable[[Any], np.ndarray]:
    """Latents to data, of one class unless that is None."""
    same: dict[str, Any] = {}
    if set(given(run.method)) - {"label"}:
        same = {k: v[0] for k, v in _own_given(run, _batch(run, 1, **places)).items()}
    if label is not None:
        same["label"] = label
    return lambda z: run.decode(z, given=same)


def _codes(
    run: Run,
    seed: int,
    few: int = LOOKED_AT,
    own: Mapping[str, np.ndarray] | None = None,
    **places: Any,
) -> tuple[np.ndarray, Any]:
    """Codes of test examples as float64 [N, D], and back: [M, D] to the run's own pytree."""
    import jax

    if not isinstance(run.method, Encodes) and isinstance(run.method, Latents):
        if own:
            name = type(run.method).__name__
            raise ConfigError(f"{name} cannot encode pictures; of styles, see jaxgen project")
        codes = run.method.latents(jax.random.key(seed), few)
    else:
        batch = own or _batch(run, few, **places)
        codes = run.encode(batch["x"], seed, given=_own_given(run, batch))
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


def _images(run: Run) -> None:
    if run.spec.x.kind != "image":
        raise ConfigError(f"{run.spec.name} has no images: there is nothing to show")


def _shown(run: Run, x: np.ndarray) -> np.ndarray:
    return to_uint8(np.asarray(x), run.spec.levels, run.spec.x.range)


def _blocks(x: np.ndarray, size: int) -> list[np.ndarray]:
    whole = len(x) // size * size
    return [x[i : i + size] for i in range(0, whole, size)]
