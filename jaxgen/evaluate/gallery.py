"""The pictures of a measured model, as arrays beside its `measurements.json`."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.abilities import Coded, Decodes, Density, Encodes, Latents, Restores, given
from jaxgen.data.dataset import Dataset
from jaxgen.data.limits import load_npz
from jaxgen.data.loader import evenly
from jaxgen.evaluate.comparison import Comparison, Trained
from jaxgen.evaluate.neighbours import nearest
from jaxgen.files import write_arrays
from jaxgen.ops.paths import linear, spherical
from jaxgen.types import DataSpec

IMAGES, POINTS = 64, 1000
NEIGHBOURS_OF, NEIGHBOURS = 8, 3
ROWS, STEPS = 4, 8  # of interpolations
PAIRS = 16  # of examples and reconstructions
VALUES = ("bpd", "nelbo", "nll")


def most(spec: DataSpec) -> int:
    """Samples that are shown of a set."""
    return POINTS if spec.shape == (2,) else IMAGES


def write_sets(folder: pathlib.Path, c: Comparison, x: np.ndarray, page: bool) -> None:
    """`images.npz`, and `neighbours.npz` where train features are there, or for the page.

    Of points of the plane `points.npz`, generated and real ones, stands for the images. What other
    knobs than the defaults gave does not replace what the defaults gave.

    Args:
        folder: to write into.
        c: whose features are used.
        x: the first examples of the first set, [N, ...].
        page: take features of the train split if they are not there.
    """
    points = c.subject.spec.shape == (2,)
    file = folder / ("points.npz" if points else "images.npz")
    if c.subject.settings and file.exists():
        return
    if points:
        real = np.concatenate(list(c.real_images(c.split, POINTS)))
        write(file, generated=x[:POINTS], real=real, split=np.array(c.split))
    else:
        write(
            file, x=_unit(x[:IMAGES], c.subject.spec), levels=np.array(c.subject.spec.levels or 0)
        )
    if not page and "train" not in vars(c):
        return
    drawn = x[:NEIGHBOURS_OF]
    found = nearest(c.extractor(drawn)["features"], c.train.features, NEIGHBOURS)
    rows = found.indices.reshape(-1)
    near = c.dataset.splits["train"].take(c.train_rows[rows])["x"]
    write(
        folder / "neighbours.npz",
        generated=_unit(drawn, c.subject.spec),
        nearest=_unit(near, c.subject.spec).reshape(*found.indices.shape, *drawn.shape[1:]),
        distance=found.distances,
        space=np.array(c.label),
    )


def write_arrays_of(folder: pathlib.Path, c: Comparison) -> None:
    """What metrics left for pictures, as `calibration.npz`."""
    for name, arrays in c.arrays.items():
        write(folder / f"{name}.npz", **arrays)


def write_latents(folder: pathlib.Path, run: Trained, dataset: Dataset) -> None:
    """`interpolation.npz` and `reconstruction.npz`, as far as the method can."""
    method, split = run.method, dataset.splits["test"]
    if run.spec.x.kind != "image" or given(method):
        return
    x = split.take(evenly(len(split), max(2 * ROWS, PAIRS)))["x"]
    if isinstance(method, Decodes) and not isinstance(method, Coded):
        drawn = _interpolated(run, x[: 2 * ROWS])
        write(folder / "interpolation.npz", x=_unit(drawn, run.spec))
    if isinstance(method, Restores):
        pairs = x[:PAIRS]
        found = _unit(run.reconstruct(pairs), run.spec)
        write(folder / "reconstruction.npz", data=_unit(pairs, run.spec), reconstruction=found)


def _unit(x: np.ndarray, spec: DataSpec) -> np.ndarray:
    """Continuous images from their range to [0, 1], as the page shows them; others as they are."""
    if spec.x.range is None:
        return x
    low, high = spec.x.range
    return ((np.asarray(x, np.float64) - low) / (high - low)).astype(np.float32)


def _interpolated(run: Trained, x: np.ndarray) -> np.ndarray:
    """[ROWS, STEPS, ...] between codes of examples, or draws of the prior where there are none."""
    if isinstance(run.method, Encodes):
        codes, path = run.encode(x), linear
    else:
        assert isinstance(run.method, Latents)
        codes, path = run.method.latents(jax.random.key(0), len(x)), spherical
    first, second = (jax.tree.map(lambda z: z[0::2], codes), jax.tree.map(lambda z: z[1::2], codes))
    first, second = (jax.tree.map(lambda z: jnp.repeat(z, STEPS, 0), c) for c in (first, second))
    z = path(first, second, jnp.tile(jnp.linspace(0, 1, STEPS), ROWS))
    return run.decode(z).reshape(ROWS, STEPS, *run.spec.shape)


def write_likelihoods(
    folder: pathlib.Path, run: Trained, dataset: Dataset, places: Mapping[str, str]
) -> None:
    """`likelihood.npz`: of every test example, and of as many train examples."""
    if not isinstance(run.method, Density):
        return
    most = len(dataset.splits["test"])
    observer = run.observer(max_examples=most, splits=("train", "test"), **places)
    columns = {s: observer.per_example(run.state, s) for s in ("train", "test")}
    name = next((n for n in VALUES if n in columns["test"]), None)
    if name is None:
        return
    values = {split: found[name] for split, found in columns.items()}
    unit = "bits/dim" if name == "bpd" else "nats"
    write(folder / "likelihood.npz", **values, name=np.array(name), unit=np.array(unit))


def read_arrays(folder: pathlib.Path, name: str) -> dict[str, Any]:
    """What `write_arrays_of` wrote under a name; numbers as such."""
    arrays = load_npz(folder / f"{name}.npz")
    return {k: v if v.ndim else v.item() for k, v in arrays.items()}


def write(path: pathlib.Path, **arrays: Any) -> None:
    """A .npz file, atomically.

    Raises:
        WriteError: when it cannot be written.
    """
    write_arrays(path, compressed=True, **arrays)
