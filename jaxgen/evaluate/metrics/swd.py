"""The sliced Wasserstein distance of patches, at every level of a Laplacian pyramid.

Levels run from the full resolution down: what differs at small ones is the coarse layout, at the
largest fine texture. Patches of a level are normalised per channel, projected on random
directions, and both sorted projections compared.

Source: Karras et al. 2018, Progressive growing of GANs, section 5, and its official code for the
constants. There images have 3 channels and levels end at 16 pixels; here any number of channels,
and levels end at 8, so that digits have one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np

from jaxgen.config import ConfigError
from jaxgen.data.loader import evenly
from jaxgen.evaluate.comparison import Comparison, ImageSet
from jaxgen.evaluate.measurement import Measurement, NotAvailable, Number, fingerprint, of_draws

SMALLEST = 8  # pixels of a side of the last level
PATCH, PATCHES = 7, 128  # pixels of a side, number an image
REPEATS, DIRECTIONS = 4, 128
SCALE = 1000  # of the reported distances
IMAGES = 256  # whose patches exist at a time
SLICES = 32  # directions whose projections exist at a time
TAPS = np.array([1, 4, 6, 4, 1], np.float32) / 16
MOST = 1024  # images of each side
NUMBERS = {
    "swd": Number(
        "Sliced Wasserstein distance", "of patches of the Laplacian pyramid, by resolution"
    ),
}


def measure(c: Comparison) -> list[Measurement]:
    """Sliced Wasserstein distances of patches, of every level of the pyramid and their mean."""
    spec = c.subject.spec
    if spec.x.kind != "image" or min(spec.shape[:2]) < SMALLEST:
        raise NotAvailable(f"{spec.name} has no images of {SMALLEST} pixels a side")
    num = min(MOST, c.subject.num, *(len(s) for s in c.dataset.splits.values()))
    real, other = (np.concatenate(list(c.real_images(s, num))) for s in (c.split, c.other_split))
    sets = [sliced_wasserstein(real, spaced(s, num), c.seed) for s in c.subject.sets]
    floor = sliced_wasserstein(real, other, c.seed)
    parts = {"num_real": num, "num_generated": num, "subset_seed": c.seed, "scale": SCALE}
    print_of = fingerprint(c.print_of_data(c.split), parts, space="patches")
    found = []
    for side in sets[0]:
        context, values = c.context(floor=floor[side]), of_draws(s[side] for s in sets)
        found.append(c.measured(f"swd_{side}", values, context=context, fingerprint=print_of))
    context, values = c.context(floor=mean_distance(floor)), of_draws(map(mean_distance, sets))
    return [*found, c.measured("swd", values, context=context, fingerprint=print_of)]


def spaced(images: ImageSet, num: int) -> np.ndarray:
    """`num` images of a set, evenly spaced, [num, ...]."""
    rows, first, found = evenly(len(images), num), 0, []
    for x in images:
        here = rows[(rows >= first) & (rows < first + len(x))] - first
        found.append(x[here])
        first += len(x)
    return np.concatenate(found)


def sliced_wasserstein(
    real: np.ndarray,
    fake: np.ndarray,
    seed: int = 0,
    normalise: Literal["own", "real"] = "own",
) -> dict[int, float]:
    """Side of a level -> distance times 1,000, from the largest; their mean is the usual summary.

    The larger set is cut to the size of the smaller, and image i of both gives patches at the
    same places: a set has the distance 0 to itself. Of two samples of one distribution it is
    above 0, by more the fewer they are: report that floor with it.

    Args:
        real: [N, H, W, C], in any units.
        fake: [M, H, W, C], in the same.
        seed: of patches and directions.
        normalise: "own", as the paper, takes each set's own mean and deviation per channel, and
            so does not see brightness and contrast; "real" takes those of the real set for both.

    Raises:
        ConfigError: for images of different shape, smaller than 8 pixels, or not finite.
    """
    num = min(len(real), len(fake))
    real, fake = np.asarray(real[:num]), np.asarray(fake[:num])
    if real.ndim != 4 or real.shape != fake.shape or not num:
        raise ConfigError(f"images: expected [N, H, W, C] twice, got {real.shape}, {fake.shape}")
    if min(real.shape[1:3]) < SMALLEST:
        raise ConfigError(f"patches of images need {SMALLEST} pixels a side, got {real.shape[1:3]}")
    if not (np.isfinite(real).all() and np.isfinite(fake).all()):
        raise ConfigError("images are not finite")
    random = np.random.RandomState(seed)
    pyramids = zip(laplacian_pyramid(real), laplacian_pyramid(fake), strict=True)
    return {x.shape[1]: SCALE * _distance(x, y, random, normalise) for x, y in pyramids}


def laplacian_pyramid(x: np.ndarray, smallest: int = SMALLEST) -> list[np.ndarray]:
    """Details of each level, float32 [N, H, W, C], H and W halved from one to the next.

    The last is the small image itself. Every image is its details and the doubled next image:
    their sum is exact.

    Source: Burt & Adelson 1983, The Laplacian pyramid as a compact image code.
    """
    levels = [np.asarray(x, np.float32)]
    while min((side + 1) // 2 for side in levels[-1].shape[1:3]) >= smallest:
        half = _blurred(levels[-1])[:, ::2, ::2]
        levels[-1] = levels[-1] - doubled(half, levels[-1].shape)
        levels.append(half)
    return levels


def doubled(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Images of twice the size, to be of this shape [N, H, W, C]."""
    wide = np.zeros(shape, np.float32)
    wide[:, ::2, ::2] = x
    return 4 * _blurred(wide)


def _blurred(x: np.ndarray) -> np.ndarray:
    """Binomial filter of 5 x 5, images mirrored about their outer pixels."""
    from scipy.ndimage import correlate1d

    return correlate1d(correlate1d(x, TAPS, axis=1, mode="mirror"), TAPS, axis=2, mode="mirror")


def _distance(x: np.ndarray, y: np.ndarray, random: np.random.RandomState, normalise: str) -> float:
    """Of one level of both sets."""
    num, height, width, channels = x.shape
    corners = np.stack(
        [random.randint(side - PATCH + 1, size=(num, PATCHES)) for side in (height, width)]
    )
    stats = [_channel_moments(_patches(level, corners), channels) for level in (x, y)]
    if normalise == "real":
        stats[1] = stats[0]
    found = []
    for _ in range(REPEATS * DIRECTIONS // SLICES):
        direction = random.randn(SLICES, PATCH, PATCH, channels)
        direction /= np.sqrt(np.square(direction).sum((1, 2, 3), keepdims=True))
        a, b = (
            _sorted_projections(_patches(level, corners), direction, *moments)
            for level, moments in zip((x, y), stats, strict=True)
        )
        found.append(np.abs(a - b, out=a).mean(dtype=np.float64))
    return float(np.mean(found))


def _patches(x: np.ndarray, corners: np.ndarray) -> Iterator[np.ndarray]:
    """[n * PATCHES, PATCH * PATCH * C] of n images at a time."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (PATCH, PATCH), axis=(1, 2))
    for start in range(0, len(x), IMAGES):
        rows, columns = corners[:, start : start + IMAGES]
        index = np.arange(start, start + len(rows))[:, None]
        found = windows[index, rows, columns].transpose(0, 1, 3, 4, 2)
        yield found.reshape(-1, PATCH * PATCH * x.shape[-1])


def _channel_moments(patches: Iterator[np.ndarray], channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each channel, [C] float64; a constant one has the deviation 1."""
    count, total, squares = 0, np.zeros(channels), np.zeros(channels)
    for block in patches:
        values = block.reshape(-1, channels)
        count += len(values)
        total += values.sum(0, dtype=np.float64)
        squares += np.square(values, dtype=np.float64).sum(0)
    mean = total / count
    variance = squares / count - mean**2
    noise = 1e-12 * squares / count
    return mean, np.sqrt(np.where(variance > noise, variance, 1.0))


def _sorted_projections(
    patches: Iterator[np.ndarray], direction: np.ndarray, mean: np.ndarray, std: np.ndarray
) -> np.ndarray:
    """[SLICES, number of patches], each row sorted; the patches are normalised on the way."""
    weight = direction / std
    shift = (weight * mean).sum((1, 2, 3))
    flat = weight.reshape(len(direction), -1).astype(np.float32)
    projected = np.concatenate([flat @ block.T for block in patches], axis=1)
    projected -= shift.astype(np.float32)[:, None]
    projected.sort(axis=1)
    return projected


def mean_distance(distances: dict[int, float]) -> float:
    """Over the levels."""
    return math.fsum(distances.values()) / len(distances)
