"""Showers in HDF5 files, as simulations of CaloGAN's calorimeter leave them: a file a particle."""

from __future__ import annotations

import io
import pathlib
from typing import Any

import numpy as np

from jaxgen import files
from jaxgen.data.dataset import ArraySplit, DataError, Dataset, holdout
from jaxgen.data.limits import allowance, regular
from jaxgen.fields import DataSpec, Field
from jaxgen.ops.calorimeter import CELLS, LAYERS, layers

SUFFIXES = (".hdf5", ".h5")
NAMES = (*(f"layer_{i}" for i in range(len(LAYERS))), "energy")
LARGEST_GEV = 1e5  # of a particle: more is MeV, or no energy
NEEDS = "HDF5 files need h5py: pip install 'jaxgen[physics]'"


def load(
    root: pathlib.Path, *, test_fraction: float, seed: int, size: Any, fit: str, mode: Any, **_: Any
) -> Dataset:
    """Showers of the files in a folder; the names of two files or more are the classes.

    Each file has `layer_0` [N, 3, 96], `layer_1` [N, 12, 12] and `layer_2` [N, 12, 6], MeV, and
    `energy` [N] or [N, 1] of the particles, GeV, as those of the official code (Paganini et al.
    2018, data set 10.17632/pvn3xc3wy5.1). x and the context are in GeV, as those of the embedded
    `showers`. All is kept in memory.

    Args:
        root: the folder.
        test_fraction: held out of each file for the test.
        seed: of that division.
        size: of images; showers have none.
        fit: see `size`.
        mode: see `size`.

    Raises:
        DataError: without h5py, for a folder without such files, or a file that lacks a field,
            has another shape, values that are not finite or energies below zero, or arrays that
            are not in the file itself.
    """
    if size is not None or fit != "none" or mode is not None:
        raise DataError("data.size, data.fit and data.mode are of images; showers are none")
    if not root.is_dir():
        raise DataError(f"{root} is no folder: expected one with a file .hdf5 for each particle")
    files = sorted(f for f in root.iterdir() if f.suffix.lower() in SUFFIXES)
    if not files:
        raise DataError(f"{root} has no .hdf5 file: expected one for each particle")
    parts: dict[str, list[dict[str, np.ndarray]]] = {"train": [], "test": []}
    for label, file in enumerate(files):
        arrays = read(file)
        if len(files) > 1:
            arrays["label"] = np.full(len(arrays["x"]), label, np.int32)
        rows = holdout(len(arrays["x"]), test_fraction, seed)
        for split, own in zip(parts, rows, strict=True):
            parts[split].append({k: a[own] for k, a in arrays.items()})
    splits = {
        split: ArraySplit({k: np.concatenate([p[k] for p in found]) for k in found[0]})
        for split, found in parts.items()
    }
    fields = {"x": Field("vector", (CELLS,)), "context": Field("vector", (1,), names=("energy",))}
    if len(files) > 1:
        fields["label"] = Field("label", dtype="int32", classes=len(files))
    classes = tuple(file.stem for file in files) if len(files) > 1 else ()
    spec = DataSpec(root.resolve().name, fields)
    return Dataset(spec, splits, f"showers of {root}", classes, held_out=True)


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
    """`x` [N, 504] and `context` [N, 1] of a file, GeV; raises DataError, see `load`."""
    try:
        import h5py
    except ImportError:
        raise DataError(f"{path}: {NEEDS}") from None
    with regular(path) as file:
        try:
            with h5py.File(file, "r") as tree:
                found = {name: _array(h5py, tree, name, path) for name in NAMES}
        except (OSError, RuntimeError, KeyError) as error:  # of a damaged file
            raise DataError(f"{path}: no HDF5 file that can be read ({error!s:.100})") from None
    energy = found.pop("energy").reshape(-1, 1)
    flat = [a.reshape(len(a), -1) / np.float32(1000) for a in found.values()]
    x = np.concatenate(flat, axis=1)
    for what, values in (("a cell", x), ("energy", energy)):
        bad = np.flatnonzero(~(np.isfinite(values) & (values >= 0)).all(1))
        if len(bad):
            raise DataError(
                f"{path}: {what} of shower {bad[0]:,} is not finite or below zero ({len(bad):,} "
                "such): leave these showers out"
            )
    if energy.max() > LARGEST_GEV:
        raise DataError(f"{path}: energy {energy.max():g}, expected GeV: divide it by 1,000")
    return {"x": x, "context": energy}


def _array(h5py: Any, tree: Any, name: str, path: pathlib.Path) -> np.ndarray:
    """A field, float32; only of bytes that are in this file, and not more than it can hold."""
    if not isinstance(tree.get(name, getlink=True), h5py.HardLink):
        has = ", ".join(sorted(tree)[:8]) or "nothing"
        raise DataError(f"{path} has no {name}: expected {', '.join(NAMES)}; it has {has}")
    array = tree[name]
    is_plain = isinstance(array, h5py.Dataset) and not array.is_virtual and not array.external
    if not is_plain or array.dtype.kind not in "fiu":
        raise DataError(f"{path}: {name} is no array of numbers in this file: write it anew")
    count = tree[NAMES[0]].shape[:1]
    shapes = [(*count, *shape) for shape in LAYERS]
    fits = dict(zip(NAMES, [[s] for s in shapes] + [[count, (*count, 1)]], strict=True))[name]
    if array.shape not in fits or not array.shape[0]:
        raise DataError(f"{path}: {name} is {list(array.shape)}, expected {list(fits[0])}")
    if array.nbytes > allowance(path.stat().st_size):
        raise DataError(f"{path}: {name} claims {array.nbytes:,} bytes, more than the file holds")
    return np.asarray(array[:], np.float32)


def write(path: pathlib.Path, x: np.ndarray, energy: np.ndarray) -> None:
    """Writes a file that `read` reads.

    Args:
        path: of the file, which is replaced.
        x: showers [N, 504], GeV.
        energy: [N] of the particles, GeV.

    Raises:
        DataError: without h5py.
    """
    try:
        import h5py
    except ImportError:
        raise DataError(f"{path}: {NEEDS}") from None
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as tree:
        for name, layer in zip(NAMES, layers(np.asarray(x, np.float32) * 1000), strict=False):
            tree[name] = layer
        tree[NAMES[-1]] = np.asarray(energy, np.float32).reshape(-1, 1)
    files.write(path, buffer.getvalue())
