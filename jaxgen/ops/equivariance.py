"""Images moved as signals with a band limit: what a generator's own moves are compared with.

All in float64. Each function gives moved images [B, H, W, C] and a mask [H, W] of the pixels that
depend on nothing beyond the borders.

Source: Karras et al. 2021, Alias-free generative adversarial networks (NeurIPS), appendix E;
NVlabs/stylegan3, `metrics/equivariance.py`, for the sizes of filters.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.ndimage
import scipy.signal

REACH = 3  # of Lanczos' window, a
WIDE, FINE = 64, 4  # half the side of the field of filters, and samples a pixel of it
Moved = tuple[np.ndarray, np.ndarray]


def translation(x: float, y: float) -> np.ndarray:
    """[3, 3], by x to the right and y down."""
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def rotation(angle: float) -> np.ndarray:
    """[3, 3], by an angle in radians, which goes from x, to the right, to minus y, upwards."""
    sine, cosine = np.sin(angle), np.cos(angle)
    return np.array([[cosine, sine, 0.0], [-sine, cosine, 0.0], [0.0, 0.0, 1.0]])


def shifted(x: np.ndarray, right: int, down: int) -> Moved:
    """By whole pixels (appendix E.1)."""
    return _taken(x, right, down), _mask(x, (down, down), (right, right))


def shifted_between(x: np.ndarray, right: float, down: float) -> Moved:
    """By any distance in pixels, through Lanczos' filters (appendix E.2)."""
    ends = []
    for axis, distance in ((1, down), (2, right)):
        whole = int(np.floor(distance))
        places = range(1 - REACH, REACH + 1)
        from_there = np.array(places) - (distance - whole)
        taps = np.sinc(from_there) * np.sinc(from_there / REACH)
        moves = [(0, whole + p) if axis == 1 else (whole + p, 0) for p in places]
        parts = [tap * _taken(x, *move) for tap, move in zip(taps / taps.sum(), moves, strict=True)]
        x = np.sum(parts, axis=0)
        ends.append((whole - REACH + 1, whole + REACH))
    return x, _mask(x, *ends)


def turned(x: np.ndarray, angle: float) -> Moved:
    """By an angle, see `rotation`, around the middle (appendix E.3)."""
    matrix = rotation(angle)
    kernel = _filter(matrix, FINE)
    edge = len(kernel) // 2
    fine = np.zeros((len(x), *(FINE * n + 2 * edge for n in x.shape[1:3]), x.shape[3]))
    rows, columns = (slice(edge + 2, edge + 2 + FINE * n, FINE) for n in x.shape[1:3])
    fine[:, rows, columns] = x
    fine = scipy.signal.fftconvolve(fine, kernel[None, :, :, None] * FINE**2, "same", axes=(1, 2))
    # where each pixel comes from, in fine ones: pixel 0 of x is at edge + 2, its middle between
    places = np.stack(np.meshgrid(*((np.arange(n) + 0.5) - n / 2 for n in x.shape[1:3])), -1)
    places = FINE * places @ np.linalg.inv(matrix)[:2, :2].T
    at = [places[..., 1] + fine.shape[1] / 2, places[..., 0] + fine.shape[2] / 2]
    inside = np.zeros(fine.shape[1:3])
    inside[2 * edge + 1 : -2 * edge - 1, 2 * edge + 1 : -2 * edge - 1] = 1

    def sampled(image: np.ndarray, order: int) -> np.ndarray:
        return scipy.ndimage.map_coordinates(image, at, order=order, mode="grid-constant")

    made = [[sampled(image[..., c], 1) for c in range(x.shape[3])] for image in fine]
    return np.moveaxis(np.asarray(made), 1, 3), sampled(inside, 0)


def filtered_as_turned(x: np.ndarray, angle: float) -> Moved:
    """The band of what `turned` gives of images that need not be turned (appendix E.3)."""
    kernel = _filter(rotation(-angle), 1)
    edge = len(kernel) // 2
    inside = np.zeros(x.shape[1:3])
    inside[edge:-edge, edge:-edge] = 1
    found = scipy.signal.fftconvolve(x, kernel[None, :, :, None], "same", axes=(1, 2))
    return found, inside


def decibels(square: float) -> float:
    """Peak signal to noise of a mean square, of values in [-1, 1] (appendix E, equation 14)."""
    return float(20 * np.log10(2) - 10 * np.log10(square)) if square else np.inf


def _taken(x: np.ndarray, right: int, down: int) -> np.ndarray:
    """Moved by whole pixels, zeros behind."""
    out = np.zeros(x.shape)
    height, width = x.shape[1:3]
    if abs(right) < width and abs(down) < height:
        sides = ((down, height), (right, width))
        to, of = (
            tuple(slice(max(s * n, 0), side + min(s * n, 0)) for n, side in sides) for s in (1, -1)
        )
        out[:, *to] = x[:, *of]
    return out


def _mask(x: np.ndarray, down: tuple[int, int], right: tuple[int, int]) -> np.ndarray:
    """1 where moves by the least and the most of either axis stay inside."""
    height, width = x.shape[1:3]
    mask = np.zeros((height, width))
    rows = slice(max(down[1], 0), max(height + min(down[0], 0), 0))
    mask[rows, max(right[1], 0) : max(width + min(right[0], 0), 0)] = 1
    return mask


def _filter(matrix: np.ndarray, up: int) -> np.ndarray:
    """Taps of the band that pixels hold before and after an affine map, `up` a pixel.

    The convolution of two sincs under the convolution of two windows of Lanczos, one along the
    axes of either grid.
    """
    most = 2 * REACH
    places = (np.arange(2 * WIDE * up - 1) + 1) / up - WIDE
    inner = np.stack(np.meshgrid(places, places), -1)
    outer = inner @ matrix[:2, :2].T

    def joined(make: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        fields = (make(p[..., 0]) * make(p[..., 1]) for p in (inner, outer))
        first, second = (np.fft.fft2(np.fft.ifftshift(field)) for field in fields)
        return np.fft.fftshift(np.fft.ifft2(first * second).real)

    def window(p: np.ndarray) -> np.ndarray:
        return np.where(np.abs(p) < REACH, np.sinc(p / REACH), 0.0)

    cut = (WIDE - most) * up
    taps = (joined(np.sinc) * joined(window))[cut:-cut, cut:-cut]
    taps = np.pad(taps, (0, 1)).reshape(2 * most, up, 2 * most, up)
    taps = taps / taps.sum((0, 2), keepdims=True) / up**2
    return taps.reshape(2 * most * up, 2 * most * up)[:-1, :-1]
