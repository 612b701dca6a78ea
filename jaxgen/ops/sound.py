"""Sounds as numbers: mu-law levels, log-mel frames, and a sound of frames by Griffin and Lim.

All are NumPy, on waves [B, T] of samples from -1 to 1. A frame is 64 ms under a Hann window, and
the next begins 32 ms later; the first begins with the sound, and what is left at its end is in
none. Frames are natural logarithms of power in triangular bands that are even in mel, with a floor,
shifted and scaled by constants so that voices of the loudness `LOUDNESS` are about zero with a
deviation of about one.

Source: Stevens, Volkmann & Newman 1937 for the scale, in the formula of O'Shaughnessy 1987; ITU-T
G.711 for mu-law, without its rounding of segments; Griffin & Lim 1984, Signal estimation from
modified short-time Fourier transform.
"""

from __future__ import annotations

import functools

import numpy as np
from jaxtyping import Float, Integer

LEVELS = 256  # of mu-law
LOUDNESS = 0.1  # root mean square of a sound
FRAME_MS = 64  # and the hop is half of it
FLOOR = 5e-7  # of power in a band
SHIFT, SCALE = -6.0, 3.6  # of frames, natural logarithms
INVERSIONS = 200  # updates from bands to a spectrum

Waves = Float[np.ndarray, "b t"]
Levels = Integer[np.ndarray, "b t"]
Frames = Float[np.ndarray, "b frames bands"]


def companded(x: Waves, levels: int = LEVELS) -> Levels:
    """Samples to mu-law levels 0 .. levels - 1, int32; what is beyond -1 and 1 is cut."""
    mu = levels - 1
    x = np.clip(x, -1, 1)
    y = np.sign(x) * np.log1p(mu * np.abs(x)) / np.log1p(mu)
    return np.rint((y + 1) / 2 * mu).astype(np.int32)


def expanded(levels_of: Levels, levels: int = LEVELS) -> Waves:
    """The inverse of `companded`, up to a rounding, float32."""
    mu = levels - 1
    y = 2 * levels_of.astype(np.float64) / mu - 1
    return (np.sign(y) * np.expm1(np.abs(y) * np.log1p(mu)) / mu).astype(np.float32)


def levelled(x: Waves) -> Waves:
    """Sounds of the loudness `LOUDNESS`; silence stays silent."""
    rms = np.sqrt(np.mean(np.square(x, dtype=np.float64), axis=-1, keepdims=True))
    return (x * (LOUDNESS / np.where(rms > 0, rms, 1))).astype(np.float32)


def window_size(rate: int) -> int:
    """Samples of a frame: even."""
    return 2 * round(rate * FRAME_MS / 2000)


def frame_count(samples: int, rate: int) -> int:
    """Frames of so many samples."""
    size = window_size(rate)
    return max((samples - size) // (size // 2) + 1, 0)


def sample_count(frames: int, rate: int) -> int:
    """Samples of so many frames: the inverse of `frame_count`."""
    return (frames + 1) * (window_size(rate) // 2)


@functools.cache
def bands(rate: int, count: int) -> np.ndarray:
    """Weights of frequencies, [window / 2 + 1, count]: triangles of height one from 0 to rate / 2.

    Raises:
        ValueError: for more bands than frequencies can tell apart.
    """
    size = window_size(rate)
    top = 2595 * np.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, count + 2) / 2595) - 1)
    at = np.arange(size // 2 + 1)[:, None] * (rate / size)
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    found = np.clip(np.minimum((at - low) / (middle - low), (high - at) / (high - middle)), 0, None)
    if not found.any(0).all():
        raise ValueError(f"{count} bands are too narrow for frames of {size} samples")
    return found


def spectra(x: Waves, rate: int) -> np.ndarray:
    """Short-time Fourier transform, complex [B, frames, window / 2 + 1], of an orthonormal kind.

    White noise of variance v has a mean power of v in each.
    """
    size = window_size(rate)
    cut = np.lib.stride_tricks.sliding_window_view(x, size, axis=-1)[:, :: size // 2]
    return np.fft.rfft(cut * _window(size), axis=-1)


def log_mel(x: Waves, rate: int, count: int = 32) -> Frames:
    """Frames of sounds, [B, frames, count] float32.

    Args:
        x: sounds, at least one frame long.
        rate: samples a second.
        count: of bands.

    Raises:
        ValueError: for sounds that are shorter, or too many bands.
    """
    if x.shape[-1] < window_size(rate):
        raise ValueError(f"{x.shape[-1]} samples, expected {window_size(rate)} or more")
    power = np.square(np.abs(spectra(x, rate))) @ bands(rate, count)
    return ((np.log(power + FLOOR) - SHIFT) / SCALE).astype(np.float32)


def sound(
    frames: Frames, rate: int, rounds: int = 60, random: np.random.RandomState | None = None
) -> Waves:
    """Sounds whose frames are near to those given, [B, samples] float32.

    The power of each frequency is found from the bands, which are fewer, by updates that keep it
    above zero; phases, of which frames say nothing, by Griffin and Lim's iteration. So pitch is
    only heard where bands are narrower than harmonics.

    Args:
        frames: [B, frames, bands].
        rate: samples a second.
        rounds: of the iteration.
        random: draws the first phases; None takes a fixed seed.
    """
    random = random or np.random.RandomState(0)
    weights = bands(rate, frames.shape[-1])
    power = np.maximum(np.exp(frames.astype(np.float64) * SCALE + SHIFT) - FLOOR, 0)
    spectrum = power @ weights.T + 1e-12
    for _ in range(INVERSIONS):
        spectrum *= (power @ weights.T) / ((spectrum @ weights) @ weights.T + 1e-12)
    size = np.sqrt(spectrum)
    found = size * np.exp(2j * np.pi * random.rand(*size.shape))
    for _ in range(rounds):
        again = spectra(_joined(found, rate), rate)
        found = size * np.exp(1j * np.angle(again))
    return _joined(found, rate).astype(np.float32)


def _joined(found: np.ndarray, rate: int) -> np.ndarray:
    """Sounds whose spectra are the nearest to those given: Griffin & Lim 1984, equation 6."""
    size = window_size(rate)
    hop, count, window = size // 2, found.shape[1], _window(size)
    parts = np.fft.irfft(found, size, axis=-1) * window
    total = np.zeros((len(found), sample_count(count, rate)))
    weight = np.full(total.shape[-1], 1e-12)
    for i in range(count):
        total[:, i * hop : i * hop + size] += parts[:, i]
        weight[i * hop : i * hop + size] += np.square(window)
    return total / weight


@functools.cache
def _window(size: int) -> np.ndarray:
    """Hann's, periodic, of squares that add up to one."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    return window / np.sqrt(np.sum(np.square(window)))
