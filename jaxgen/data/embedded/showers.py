"""`showers`: electromagnetic showers in a sampling calorimeter, by Grindhammer and Peters.

A photon or a positron of 1 to 100 GeV enters 80 times 2 mm of lead and 4 mm of liquid argon in the
middle of the face, 480 x 480 mm; `x` has the energies of 504 cells in three layers
(`ops.calorimeter`), GeV, `context` the energy that came in, GeV, and the label says which particle.
`photon_showers` and `positron_showers` are those of one particle, without a label.

What is physics: how far along and how wide showers are, how they fluctuate and how that depends on
energy and medium, is the parametrisation that stands in for full simulations in experiments, with
the constants of Geant4 (GVFlashHomoShowerTuning, GFlashSamplingShowerTuning, NIST's materials). A
photon converts to a pair after 9/7 of a radiation length on average, which alone tells the two
particles apart. What is simple: energy comes in spots, fewer than Geant4 takes; the medium is one
effective material; particles enter at one point, head on; there are no muons, no noise, no
hadrons, and the conversion of a photon is not two showers but one that starts later.

Source: Grindhammer & Peters 2000, The parameterized simulation of electromagnetic showers in
homogeneous and sampling calorimeters (hep-ex/0001020), appendices A and B; the calorimeter is that
of Paganini et al. 2018, CaloGAN (arXiv:1712.10321).
"""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np

from jaxgen.data import prepare
from jaxgen.data.dataset import ArraySplit, DataError, Dataset
from jaxgen.ops.calorimeter import CELLS, DEPTHS, ENERGIES, FACE, LAYERS, LEAST, PARTICLES, SIZES
from jaxgen.types import DataSpec, Field

NAMES = ("showers", *(f"{particle}_showers" for particle in PARTICLES))
VERSION = "1.1.0"
COUNTS = {"train": 10_000, "test": 10_000}  # of each particle
SEEDS = {"train": 0, "test": 1}
CHUNK = 500  # showers at a time: their spots are in memory at once

CONVERSION = 9 / 7  # radiation lengths, mean depth at which a photon makes a pair
SAMPLING = 0.11  # relative deviation of what is seen of 1 GeV; falls with the root of energy
SPOTS, SPOTS_POWER = 40.0, 0.876  # of E GeV there are SPOTS E^SPOTS_POWER on average
FIELDS = {
    "x": Field("vector", (CELLS,)),
    "context": Field("vector", (1,), names=("energy",)),
    "label": Field("label", dtype="int32", classes=len(PARTICLES)),
}


@dataclasses.dataclass(frozen=True)
class Material:
    """What a plate is made of.

    Attributes:
        z: number of protons.
        a: mass of an atom, g/mol.
        density: g/cm3.
        x0: radiation length, g/cm2.
        thickness: of a plate, mm.
    """

    z: float
    a: float
    density: float
    x0: float
    thickness: float

    @property
    def critical(self) -> float:
        """Critical energy, MeV."""
        return 2.66 * (self.x0 * self.z / self.a) ** 1.1


LEAD = Material(82, 207.2, 11.35, 6.37, 2.0)
ARGON = Material(18, 39.948, 1.39, 19.55, 4.0)


@dataclasses.dataclass(frozen=True)
class Medium:
    """Plates of two materials in turn, as one effective material.

    Attributes:
        z: mean number of protons, by mass.
        x0: radiation length, mm.
        moliere: Moliere radius, mm.
        critical: critical energy, MeV.
        frequency: sampling frequency: radiation length over the thickness of two plates.
        response: of electrons over that of muons.
    """

    z: float
    x0: float
    moliere: float
    critical: float
    frequency: float
    response: float

    @classmethod
    def of(cls, passive: Material, active: Material) -> Medium:
        """Source: Grindhammer & Peters 2000, section 4.1."""
        plates = (passive, active)
        thick = sum(m.thickness for m in plates)
        masses = np.array([m.thickness * m.density for m in plates])
        density, weights = masses.sum() / thick, masses / masses.sum()
        x0 = 1 / sum(w / m.x0 for w, m in zip(weights, plates, strict=True))
        slowing = sum(w * m.critical / m.x0 for w, m in zip(weights, plates, strict=True))
        return cls(
            z=sum(w * m.z for w, m in zip(weights, plates, strict=True)),
            x0=10 * x0 / density,
            moliere=10 * 21.2 / slowing / density,
            critical=x0 * slowing,
            frequency=10 * x0 / density / thick,
            response=1 / (1 + 0.007 * (passive.z - active.z)),
        )


MEDIUM = Medium.of(LEAD, ARGON)


def load(name: str = NAMES[0], data_dir: str | None = None) -> Dataset:
    """Showers, simulated into `data_dir` by the first who asks.

    Raises:
        DataError: on another name, or where `data_dir` cannot be written.
    """
    if name not in NAMES:
        raise DataError(f"expected one of {', '.join(NAMES)}; got {name!r}")
    target = prepare.data_root(data_dir) / NAMES[0] / VERSION
    notes: list[str] = []
    arrays = prepare.opened(target, _fill, _read, notes)
    fields, classes = dict(FIELDS), PARTICLES
    if name != NAMES[0]:
        kept = NAMES.index(name) - 1
        arrays = {k: _of_particle(found, kept) for k, found in arrays.items()}
        fields, classes = {k: f for k, f in fields.items() if k != "label"}, ()
    splits = {split: ArraySplit(found) for split, found in arrays.items()}
    source = f"seeded showers by Grindhammer and Peters, kept in {target}"
    return Dataset(DataSpec(name, fields), splits, source, classes, tuple(notes))


def _fill(work: pathlib.Path) -> None:
    for split, count in COUNTS.items():
        found = prepare.mixed(showers(count, SEEDS[split]), SEEDS[split])
        for name, array in found.items():
            np.save(work / f"{split}_{name}.npy", array)


def _read(target: pathlib.Path) -> dict[str, dict[str, np.ndarray]]:
    return {s: {n: np.load(target / f"{s}_{n}.npy") for n in FIELDS} for s in COUNTS}


def _of_particle(arrays: dict[str, np.ndarray], particle: int) -> dict[str, np.ndarray]:
    own = arrays["label"] == particle
    return {k: array[own] for k, array in arrays.items() if k != "label"}


def showers(count: int, seed: int) -> dict[str, np.ndarray]:
    """So many of each particle: x [2 N, 504], context [2 N, 1], label [2 N]; particles in turn."""
    chunks = []
    for i, start in enumerate(range(0, 2 * count, CHUNK)):
        random = np.random.RandomState([seed, i])
        label = np.arange(start, min(start + CHUNK, 2 * count), dtype=np.int32) % len(PARTICLES)
        energy = random.uniform(*ENERGIES, size=len(label))
        chunks.append((shower(random, energy, label), energy[:, None], label))
    x, energy, label = (np.concatenate(parts) for parts in zip(*chunks, strict=True))
    return {"x": x, "context": energy.astype(np.float32), "label": label}


def shower(random: np.random.RandomState, energy: np.ndarray, particle: np.ndarray) -> np.ndarray:
    """Energies of cells, GeV, float32 [B, 504].

    Args:
        random: of all that fluctuates.
        energy: [B] of the particles, GeV.
        particle: [B], numbers in `PARTICLES`.
    """
    peak, alpha, mean_alpha = profiles(random, energy)
    start = np.where(particle == 0, random.exponential(CONVERSION, len(energy)), 0)
    counts = np.maximum(random.poisson(SPOTS * energy**SPOTS_POWER), 1)
    of = np.repeat(np.arange(len(energy)), counts)  # the shower of each spot
    t = random.gamma(alpha[of]) * (peak / (alpha - 1))[of]
    stretch = (alpha - 1) / alpha * mean_alpha / (mean_alpha - 1) / peak
    r = radii(random, energy[of], t * stretch[of])
    turn = random.uniform(0, 2 * np.pi, len(of))
    seen = random.gamma((energy / counts)[of] / SAMPLING**2) * SAMPLING**2
    z = (t + start[of]) * MEDIUM.x0
    x = _cells(of, seen, np.stack([z, r * np.sin(turn), r * np.cos(turn)]), len(energy))
    return np.where(x < LEAST, 0, x).astype(np.float32)


def profiles(
    random: np.random.RandomState, energy: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Depth of the maximum, X0, and the shape alpha of each shower, and the mean of alpha, [B].

    Source: Grindhammer & Peters 2000, sections A.1 and B.1: both logarithms are Gaussian, and
    correlated.
    """
    medium, log_y = MEDIUM, np.log(1000 * energy / MEDIUM.critical)
    mean_peak = log_y - 0.812 - 0.55 / medium.frequency - 0.69 * (1 - medium.response)
    mean_alpha = 0.81 + (0.458 + 2.26 / medium.z) * log_y - 0.476 / medium.frequency
    rho = 0.784 - 0.023 * log_y
    first, second = random.randn(2, len(energy))
    along, across = np.sqrt((1 + rho) / 2) * first, np.sqrt((1 - rho) / 2) * second
    peak = mean_peak * np.exp(_spread(-2.5, 1.25, log_y) * (along + across))
    alpha = mean_alpha * np.exp(_spread(-0.82, 0.79, log_y) * (along - across))
    return np.maximum(peak, 1.0), np.maximum(alpha, 1.1), mean_alpha


def _spread(offset: float, slope: float, log_y: np.ndarray) -> np.ndarray:
    """Deviation of a logarithm: 1 / (offset + slope ln y), at most 1/2."""
    return 1 / np.maximum(offset + slope * log_y, 2.0)


def radii(random: np.random.RandomState, energy: np.ndarray, tau: np.ndarray) -> np.ndarray:
    """Distances from the axis, mm, of spots at depths tau, in units of the maximum's; [N].

    Source: Grindhammer & Peters 2000, sections A.2 and B.2: a core and a tail.
    """
    medium, log_e = MEDIUM, np.log(energy)
    lack, thin = 1 - medium.response, 1 / medium.frequency
    core = 0.0251 + 0.00319 * log_e + (0.1162 - 0.000381 * medium.z) * tau
    core += -0.0203 * lack + 0.0397 * np.exp(-tau) * thin
    far = tau - 0.645
    grows = np.exp(np.minimum((0.3585 + 0.0412 * log_e) * far, 50.0))  # all is lost beyond
    tail = (0.659 - 0.00309 * medium.z) * (np.exp(-2.59 * far) + grows)
    tail += -0.14 * lack - 0.495 * np.exp(-tau) * thin
    v = (0.401 + 0.00187 * medium.z - tau) / (1.313 - 0.0686 * log_e)
    in_core = (2.632 - 0.00094 * medium.z) * np.exp(v - np.exp(v))
    in_core += lack * (0.348 - 0.642 * np.exp(-np.square(tau - 1)) * thin)
    scale = np.where(random.rand(len(tau)) < in_core, core, tail)
    u = random.rand(len(tau))
    return np.maximum(scale, 0) * np.sqrt(u / (1 - u)) * medium.moliere


def _cells(of: np.ndarray, seen: np.ndarray, where: np.ndarray, count: int) -> np.ndarray:
    """Sums of energy in the cells [count, 504] of spots at (depth, row, column), mm, [3, N]."""
    z, down, right = where
    inside = (np.abs(down) < FACE / 2) & (np.abs(right) < FACE / 2)
    total = np.zeros(count * CELLS)
    first = 0
    for (rows, columns), size, (front, back) in zip(LAYERS, SIZES, DEPTHS, strict=True):
        here = inside & (front <= z) & (z < back)
        row = ((down[here] / FACE + 0.5) * rows).astype(np.int64)
        column = ((right[here] / FACE + 0.5) * columns).astype(np.int64)
        at = of[here] * CELLS + first + row * columns + column
        total += np.bincount(at, weights=seen[here], minlength=len(total))
        first += size
    return total.reshape(count, CELLS)
