"""`cosmic_web`: slices through boxes of particles that gravity has moved, by Zel'dovich.

A box of 100 Mpc/h has 128^3 particles, moved from a grid by the displacement that a Gaussian field
of the matter of our universe gives to first order. A slice is a 32nd of a box along one of its
axes; its particles are counted on 64x64 cells, each shared by its four nearest, and smoothed
by a cell. `x` is s = 2 n / (n + 10) - 1 of counts n (`ops.cosmic`). Train and test are of different
boxes: slices of one share its waves. Both are periodic: every shift, turn and mirror image of a
slice is as likely as it is, and training batches are shifted, turned and mirrored at random.

What is physics: the spectrum (Harrison-Zel'dovich with the transfer function of Bardeen et al.
1986, normalised to sigma_8 = 0.8), and that matter flows into sheets and filaments. What is simple:
displacements grow in straight lines, so that filaments are thicker than those of full simulations,
and halos do not form.

Source: Rodriguez et al. 2018 (arXiv:1801.09070), section 3.1, for slices, of N-body boxes there;
Zel'dovich 1970; Bardeen, Bond, Kaiser & Szalay 1986, appendix G, equation G3.
"""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np

from jaxgen.data import prepare
from jaxgen.data.dataset import ArraySplit, Dataset
from jaxgen.ops.cosmic import seen
from jaxgen.types import DataSpec

NAMES = ("cosmic_web",)
VERSION = "1.0.0"
BOXES = {"train": 12, "test": 4}
SIDE, SLICES, CELLS = 128, 32, 64  # particles a side of a box, slices along an axis, cells a side
LENGTH = 100.0  # Mpc/h, of a side
TILT, SHAPE, SIGMA8 = 0.96, 0.2, 0.8
SMOOTHING = 1.0  # cells, deviation
SYMMETRIES = 4  # tells these numbers from the others that are drawn with the seed of a run


@dataclasses.dataclass(frozen=True, eq=False)
class PeriodicSplit(ArraySplit):
    """Periodic slices, which training sees shifted, turned and mirrored."""

    def draw(
        self, indices: np.ndarray, rows: slice, seed: int, index: int
    ) -> dict[str, np.ndarray]:
        """See `Split.draw`. Drawn for the whole batch, then cut: no division changes anything."""
        x = self.x[indices[rows]]
        random = np.random.RandomState([seed, SYMMETRIES, index % 2**32])
        shifts = random.randint(x.shape[1], size=(len(indices), 2))[rows]
        turns = random.randint(4, size=len(indices))[rows]
        mirrored = random.randint(2, size=len(indices))[rows]
        moved = [
            np.rot90(np.roll(one, shift, axis=(0, 1))[:, :: 1 - 2 * flip], turn)
            for one, shift, turn, flip in zip(x, shifts, turns, mirrored, strict=True)
        ]
        return {"x": np.stack(moved)}


def load(name: str = NAMES[0], data_dir: str | None = None) -> Dataset:
    """The data set, made in `data_dir` by the first who asks.

    Raises:
        DataError: where `data_dir` cannot be written.
    """
    target = prepare.data_root(data_dir) / name / VERSION
    notes: list[str] = []
    arrays = prepare.opened(target, _fill, _read, notes)
    spec = DataSpec.of(name, arrays["train"].shape[1:], range=(-1.0, 1.0))
    splits = {split: PeriodicSplit({"x": x}) for split, x in arrays.items()}
    source = f"seeded boxes by Zel'dovich, kept in {target}"
    return Dataset(spec, splits, source, notes=tuple(notes))


def _fill(work: pathlib.Path) -> None:
    first = 0
    for split, boxes in BOXES.items():
        x = np.concatenate([slices(box(seed)) for seed in range(first, first + boxes)])
        np.save(work / f"{split}.npy", seen(x).astype(np.float32)[..., None])
        first += boxes


def _read(target: pathlib.Path) -> dict[str, np.ndarray]:
    return {split: np.load(target / f"{split}.npy") for split in BOXES}


def power(k: np.ndarray) -> np.ndarray:
    """The linear spectrum today, (Mpc/h)^3, of k > 0, h/Mpc."""
    return _amplitude() * _shape(k)


def _shape(k: np.ndarray) -> np.ndarray:
    q = k / SHAPE
    terms = 1 + 3.89 * q + (16.1 * q) ** 2 + (5.46 * q) ** 3 + (6.71 * q) ** 4
    return k**TILT * (np.log1p(2.34 * q) / (2.34 * q) * terms**-0.25) ** 2


def _amplitude() -> float:
    """That gives spheres of 8 Mpc/h a deviation of `SIGMA8`."""
    log_k = np.linspace(np.log(1e-4), np.log(1e2), 20_001)
    k = np.exp(log_k)
    r = 8 * k
    window = 3 * (np.sin(r) - r * np.cos(r)) / r**3
    each = k**3 * _shape(k) * window**2 / (2 * np.pi**2)
    return SIGMA8**2 / float(np.sum((each[1:] + each[:-1]) / 2) * (log_k[1] - log_k[0]))


def waves(side: int) -> tuple[list[np.ndarray], np.ndarray]:
    """The wave vector's three parts and its square, h/Mpc, as `rfftn` orders them."""
    step = 2 * np.pi / LENGTH
    whole, half = (np.fft.fftfreq(side, 1 / side), np.arange(side // 2 + 1))
    parts = np.meshgrid(whole * step, whole * step, half * step, indexing="ij", sparse=True)
    return parts, np.asarray(sum(p**2 for p in parts))


def density(random: np.random.RandomState, side: int) -> np.ndarray:
    """Fourier coefficients of a Gaussian field of the linear spectrum, as `rfftn` orders them."""
    noise = np.fft.rfftn(random.randn(side, side, side))
    square = waves(side)[1]
    square[0, 0, 0] = 1
    scale = np.sqrt(power(np.sqrt(square)) * side**3 / LENGTH**3)
    scale[0, 0, 0] = 0
    return noise * scale


def box(seed: int, side: int = SIDE) -> np.ndarray:
    """Places of side^3 particles, in units of the box's length, [3, side^3] in [0, 1)."""
    field = density(np.random.RandomState([seed, 0]), side)
    parts, square = waves(side)
    square[0, 0, 0] = 1
    grid = np.arange(side) / side
    places = []
    for axis, part in enumerate(parts):
        moved = np.fft.irfftn(1j * part / square * field, s=(side,) * 3, axes=(0, 1, 2)) / LENGTH
        start = grid.reshape([-1 if i == axis else 1 for i in range(3)])
        places.append(((start + moved) % 1.0).ravel())
    return np.stack(places)


def slices(places: np.ndarray, count: int = SLICES, cells: int = CELLS) -> np.ndarray:
    """Counts [3 count, cells, cells] of slices along each axis, smoothed."""
    found = []
    for axis in range(3):
        number = np.minimum((places[axis] * count).astype(int), count - 1)
        plane = np.delete(places, axis, axis=0)
        found.append(shared(number, plane, count, cells))
    return smoothed(np.concatenate(found))


def shared(number: np.ndarray, plane: np.ndarray, count: int, cells: int) -> np.ndarray:
    """Particles [2, N] of the unit square, shared by their four nearest cells, periodically.

    Args:
        number: [N], the slice of each.
        plane: their places.
        count: of slices.
        cells: a side.
    """
    at = plane * cells - 0.5
    low = np.floor(at).astype(int)
    above = at - low
    total = np.zeros(count * cells * cells)
    for down in (0, 1):
        for right in (0, 1):
            row, column = (low[0] + down) % cells, (low[1] + right) % cells
            weight = np.abs(1 - down - above[0]) * np.abs(1 - right - above[1])
            place = (number * cells + row) * cells + column
            total += np.bincount(place, weights=weight, minlength=len(total))
    return total.reshape(count, cells, cells)


def smoothed(x: np.ndarray) -> np.ndarray:
    """Slices [B, N, N] convolved with a Gaussian of `SMOOTHING` cells, periodically."""
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(x, (0, SMOOTHING, SMOOTHING), mode="wrap")
