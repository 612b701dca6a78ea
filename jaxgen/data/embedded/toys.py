"""Seeded 2-D toys with their exact densities: rings, grid25, moons, checkerboard, spirals.

All are as in FFJORD's `lib/toy_data.py` (Grathwohl et al. 2019, arXiv:1810.01367) but for
`grid25` and the narrow modes of `ring8_narrow`, on which mode coverage is counted, which are
those of WGAN-GP's `gan_toy.py` (Gulrajani et al. 2017, arXiv:1704.00028), and but for two things:
angles of the moons are drawn, not spaced evenly, and the arm of a spiral is drawn, not half of
the batch, so that examples are independent draws from a density, which is then known: in closed
form or, for moons and spirals, as an integral along the curve.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from jaxgen.data import prepare
from jaxgen.data.dataset import DataError, Dataset
from jaxgen.data.tfds import prepared
from jaxgen.types import DataSpec

COUNTS = {"train": 50_000, "test": 10_000}
SEEDS = {"train": 0, "test": 1}  # of numpy.random.RandomState, whose stream never changes
VERSION = "1.0.0"
CHUNK = 1024  # points whose density is integrated at a time

Points = tuple[np.ndarray, np.ndarray]  # float64 [N, 2], int64 [N]


@dataclasses.dataclass(frozen=True)
class Toy:
    """One toy distribution.

    Attributes:
        sample: (random, count) -> (points, labels), independent draws.
        log_density: float64 [N, 2] -> [N] nats.
        num_labels: number of modes, squares or arms.
        entropy: differential, in nats.
    """

    sample: Callable[[np.random.RandomState, int], Points]
    log_density: Callable[[np.ndarray], np.ndarray]
    num_labels: int
    entropy: float


def log_density(name: str) -> Callable[[np.ndarray], np.ndarray]:
    """The true log density of a toy: a function from [N, 2] to float64 [N], in nats.

    Raises:
        DataError: on an unknown name.
    """
    return _toy(name).log_density


def modes(name: str) -> tuple[np.ndarray, float]:
    """Means [K, 2] and standard deviation of the Gaussians of `ring8*` or `grid25`.

    Raises:
        DataError: on another name.
    """
    if name not in MIXTURES:
        raise DataError(f"expected a mixture, one of {', '.join(MIXTURES)}; got {name!r}")
    return MIXTURES[name]


def load(name: str, data_dir: str | None = None) -> Dataset:
    """A toy, prepared as array_record under `data_dir` by the first who asks.

    The points could be drawn anew in a moment; they go through tfds all the same so that there
    is one file to compare between machines and one way from a name to examples.

    Raises:
        DataError: on an unknown name, or where `data_dir` cannot be written.
    """
    toy = _toy(name)
    root = prepare.data_root(data_dir)
    target = root / name / VERSION
    notes: list[str] = []
    splits = prepared.splits_of(lambda: _builder(name), target, COUNTS, root, notes)
    spec = DataSpec.of(name, (2,), None, num_classes=toy.num_labels, entropy=toy.entropy)
    return Dataset(spec, splits, f"seeded draws, prepared in {target}", notes=tuple(notes))


def _toy(name: str) -> Toy:
    if name not in TOYS:
        raise DataError(f"expected a toy, one of {', '.join(TOYS)}; got {name!r}")
    return TOYS[name]


def _gaussians(means: np.ndarray, std: float, entropy: float) -> Toy:
    """The mixture of equally likely round Gaussians; the label is the mode."""

    def sample(random: np.random.RandomState, count: int) -> Points:
        label = random.randint(len(means), size=count)
        return means[label] + std * random.randn(count, 2), label

    def density(x: np.ndarray) -> np.ndarray:
        squares = ((np.asarray(x, np.float64)[:, None] - means) ** 2).sum(-1)  # [N, K]
        return _logsumexp(-0.5 * squares / std**2) - math.log(2 * math.pi * std**2 * len(means))

    return Toy(sample, density, len(means), entropy)


def _ring8() -> tuple[np.ndarray, float]:
    """Eight modes on a circle: (N(0, 0.5^2) + 4 (cos, sin)) / 1.414, FFJORD's order of modes."""
    angles = np.array([0, 4, 2, 6, 1, 7, 3, 5]) * math.pi / 4
    return 4 * np.stack([np.cos(angles), np.sin(angles)], -1) / 1.414, 0.5 / 1.414


def _ring8_narrow() -> tuple[np.ndarray, float]:
    """The same eight directions: (N(0, 0.02^2) + 2 (cos, sin)) / 1.414."""
    return _ring8()[0] / 2, 0.02 / 1.414


def _grid25() -> tuple[np.ndarray, float]:
    """Five by five modes: (N(0, 0.05^2) + 2 (i, j)) / 2.828 with i and j in -2 .. 2."""
    axis = np.arange(-2.0, 3.0)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(25, 2)
    return 2 * grid / 2.828, 0.05 / 2.828


def _sample_checkerboard(random: np.random.RandomState, count: int) -> Points:
    """Uniform on eight of the sixteen squares of side 2 in [-4, 4)^2; the label is the square."""
    x = 4 * random.rand(count) - 2
    row = random.randint(2, size=count)
    column = np.floor(x).astype(np.int64)
    y = random.rand(count) - 2 * row + column % 2
    return 2 * np.stack([x, y], -1), 2 * (column + 2) + row


def _checkerboard_density(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, np.float64)
    column, row = np.floor(x / 2).T
    inside = (np.abs(x + 1e-12) <= 4).all(-1) & (column >= -2) & (column < 2)
    inside &= (row >= -2) & (row < 2) & ((column - row) % 2 == 0)
    return np.where(inside, -math.log(32), -np.inf)


def _moon(t: np.ndarray) -> np.ndarray:
    """Centres [2, T, 2] of the two arcs at angle t in 0 .. pi."""
    upper = np.stack([np.cos(t), np.sin(t)], -1)
    lower = np.stack([1 - np.cos(t), 0.5 - np.sin(t)], -1)
    return 2 * np.stack([upper, lower]) + np.array([-1, -0.2])


MOON_STD = 0.2  # scikit-learn's noise 0.1, times 2


def _sample_moons(random: np.random.RandomState, count: int) -> Points:
    """scikit-learn's make_moons(noise=0.1), times 2, plus (-1, -0.2); the label is the moon."""
    label = random.randint(2, size=count)
    centres = _moon(math.pi * random.rand(count))[label, np.arange(count)]
    return centres + MOON_STD * random.randn(count, 2), label


def _moons_density(x: np.ndarray) -> np.ndarray:
    nodes, weights = _gauss_legendre(128)
    centres = _moon(math.pi * (nodes + 1) / 2).reshape(-1, 2)
    log_weights = np.log(np.tile(weights, 2) / 4) - math.log(2 * math.pi * MOON_STD**2)

    def chunk(x: np.ndarray) -> np.ndarray:
        squares = ((x[:, None] - centres) ** 2).sum(-1)
        return _logsumexp(log_weights - 0.5 * squares / MOON_STD**2)

    return _by_chunks(chunk, x)


def _arm(t: np.ndarray) -> np.ndarray:
    """Lower left corner [T, 2] of the box that is drawn at angle t in 0 .. 3 pi."""
    return np.stack([-np.cos(t) * t, np.sin(t) * t], -1) / 3


SPIRAL_BOX = 0.5 / 3  # side of the box of uniform noise
SPIRAL_STD = 0.1
FAR = 10  # standard deviations from the curve at which the density of the spirals is called 0


def _sample_spirals(random: np.random.RandomState, count: int) -> Points:
    """Two arms of one and a half turns, uniform noise, then Gaussian; the label is the arm."""
    label = random.randint(2, size=count)
    t = np.sqrt(random.rand(count)) * 3 * math.pi
    points = (_arm(t) + SPIRAL_BOX * random.rand(count, 2)) * (1 - 2 * label)[:, None]
    return points + SPIRAL_STD * random.randn(count, 2), label


def _spirals_density(x: np.ndarray) -> np.ndarray:
    import scipy.special

    # With u uniform and t = 3 pi sqrt(u): the integral over u of the density of the box plus the
    # Gaussian. In t, Gauss-Legendre: the integrand is smooth there, its weight 2 t / (3 pi)^2.
    nodes, weights = _gauss_legendre(768)
    t = 1.5 * math.pi * (nodes + 1)
    weights = 1.5 * math.pi * weights * 2 * t / (3 * math.pi) ** 2
    corners = _arm(t)

    def chunk(x: np.ndarray) -> np.ndarray:
        total = np.zeros(len(x))
        for sign in (1, -1):
            high = (sign * x[:, None] - corners) / SPIRAL_STD  # [N, T, 2]
            low = high - SPIRAL_BOX / SPIRAL_STD
            near = (np.abs(high) < FAR).all(-1)  # the rest weighs nothing and is most of it
            low, high = low[near], high[near]
            # The difference of two tails loses less than that of two numbers near one.
            flip = low + high > 0
            low, high = np.where(flip, -high, low), np.where(flip, -low, high)
            box = (scipy.special.ndtr(high) - scipy.special.ndtr(low)) / SPIRAL_BOX
            point, node = np.nonzero(near)
            terms = 0.5 * box.prod(-1) * weights[node]
            total += np.bincount(point, terms, minlength=len(x))
        with np.errstate(divide="ignore"):
            return np.log(total)

    return _by_chunks(chunk, x)


@functools.cache
def _gauss_legendre(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on [-1, 1]."""
    return np.polynomial.legendre.leggauss(count)


def _by_chunks(function: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, np.float64)
    return np.concatenate([function(x[i : i + CHUNK]) for i in range(0, max(len(x), 1), CHUNK)])


def _logsumexp(x: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    top = x.max(-1)
    return top + np.log(np.exp(x - top[..., None]).sum(-1))


def _builder(name: str) -> type:
    """The tfds builder, made on demand so that importing this module imports no tfds."""
    import tensorflow_datasets as tfds

    toy, toy_name = TOYS[name], name

    def rows(split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        points, labels = toy.sample(np.random.RandomState(SEEDS[split]), COUNTS[split])
        for key, (point, label) in enumerate(zip(points.astype(np.float32), labels, strict=True)):
            yield key, {"x": point, "label": int(label)}

    with tfds.core.registered.skip_registration():

        class Points2D(tfds.core.GeneratorBasedBuilder):
            """A seeded 2-D toy distribution."""

            name = toy_name
            VERSION = tfds.core.Version(VERSION)
            pkg_dir_path = pathlib.Path(__file__).parent

            def _info(self):
                features = {
                    "x": tfds.features.Tensor(shape=(2,), dtype=np.float32),
                    "label": tfds.features.ClassLabel(num_classes=toy.num_labels),
                }
                return tfds.core.DatasetInfo(
                    builder=self,
                    features=tfds.features.FeaturesDict(features),
                    disable_shuffling=True,
                )

            def _split_generators(self, dl_manager):
                return {split: self._generate_examples(split) for split in COUNTS}

            def _generate_examples(self, split):
                return rows(split)

    return Points2D


def _apart(means: np.ndarray, std: float) -> Toy:
    """Gaussians that overlap by less than rounding: the entropy is that of one, plus ln K."""
    return _gaussians(means, std, math.log(len(means)) + math.log(2 * math.pi * math.e * std**2))


# Entropies: ln 32 is exact; the others by the trapezoid rule over the plane, on two grids that
# agree.
MIXTURES = {"ring8": _ring8(), "ring8_narrow": _ring8_narrow(), "grid25": _grid25()}
TOYS = {
    "ring8": _gaussians(*MIXTURES["ring8"], entropy=2.83188040613769),
    "ring8_narrow": _apart(*MIXTURES["ring8_narrow"]),
    "grid25": _apart(*MIXTURES["grid25"]),
    "moons": Toy(_sample_moons, _moons_density, 2, entropy=2.393879196),
    "checkerboard": Toy(_sample_checkerboard, _checkerboard_density, 8, entropy=math.log(32)),
    "spirals": Toy(_sample_spirals, _spirals_density, 2, entropy=2.6454503),
}
NAMES = tuple(TOYS)
