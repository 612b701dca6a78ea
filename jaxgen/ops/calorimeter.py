"""Shapes of a shower: three layers of a calorimeter, and what physicists read off them.

A shower is a vector of 504 energies, GeV, the cells of the three layers one layer after the other.
Each layer is an array [rows, columns] of its cells; rows and columns share the face evenly.

Source: Paganini et al. 2018, CaloGAN (arXiv:1712.10321), section 2 and table 1 for the layers;
observables as in the official code's `analysis/feats1d.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

LAYERS = ((3, 96), (12, 12), (12, 6))  # cells, rows x columns
SIZES = tuple(rows * columns for rows, columns in LAYERS)
CELLS = sum(SIZES)
FACE = 480.0  # mm, both sides
DEPTHS = ((0.0, 90.0), (90.0, 437.0), (437.0, 480.0))  # mm, where each layer begins and ends
PARTICLES = ("photon", "positron")
LEAST = 1e-4  # GeV: a cell with less reads 0
ENERGIES = (1.0, 100.0)  # GeV, of the particles that come in

_OF_LAYER = ("fraction", "sparsity", "column_width", "row_width", "peak_ratio")
OBSERVABLES = (
    *(f"{name}_{layer}" for name in _OF_LAYER for layer in range(len(LAYERS))),
    "energy",
    "depth",
    "depth_width",
)


def layers(x: Any) -> list[Any]:
    """Showers [B, 504], of NumPy or JAX, as their layers, [B, rows, columns] each."""
    ends = np.cumsum((0, *SIZES))
    return [
        x[:, a:b].reshape(len(x), *shape)
        for a, b, shape in zip(ends[:-1], ends[1:], LAYERS, strict=True)
    ]


def observables(x: np.ndarray) -> dict[str, np.ndarray]:
    """The 18 of showers [B, 504], float64 [B] each, by name.

    Of a layer: its share of the energy, the share of its cells that are not empty ("sparsity" in
    the papers), the widths of its energy along columns and rows, mm, and the ratio (a - b) / (a +
    b) of its two largest cells; widths and ratio are 0 in an empty layer. Of a shower: its energy,
    GeV, its depth, which is the mean number of the layer in which energy lies, and its deviation.
    """
    parts = [part.astype(np.float64) for part in layers(np.asarray(x))]
    sums = np.stack([part.sum((1, 2)) for part in parts], -1)  # [B, 3]
    total = sums.sum(-1)
    shares = _share(sums, total[:, None])
    found: dict[str, np.ndarray] = {}
    for i, part in enumerate(parts):
        own = sums[:, i]
        largest = np.sort(part.reshape(part.shape[0], -1), axis=1)[:, -2:]
        found[f"fraction_{i}"] = shares[:, i]
        found[f"sparsity_{i}"] = (part > 0).mean((1, 2))
        found[f"column_width_{i}"] = _width(part.sum(1), own)
        found[f"row_width_{i}"] = _width(part.sum(2), own)
        found[f"peak_ratio_{i}"] = _share(largest[:, 1] - largest[:, 0], largest.sum(1))
    numbers = np.arange(len(parts))
    depth = shares @ numbers
    found["energy"] = total
    found["depth"] = depth
    found["depth_width"] = np.sqrt(np.maximum(shares @ numbers**2 - depth**2, 0))
    return {name: found[name] for name in OBSERVABLES}


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Part of a whole, 0 of nothing."""
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), 0)


def _width(sums: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Deviation, mm, of the energy in strips [B, N] of the face."""
    count = sums.shape[1]
    middle = (np.arange(count) + 0.5 - count / 2) * FACE / count
    mean = _share(sums @ middle, whole)
    return np.sqrt(np.maximum(_share(sums @ middle**2, whole) - mean**2, 0))
