"""Speech of files: a folder of `.wav` for each speaker; and how sounds become examples.

An example is a piece of a sound of one length, brought to one rate and one loudness, since how loud
somebody was recorded tells who it is. It is modelled as mu-law levels, or as log-mel frames.
"""

from __future__ import annotations

import io
import math
import pathlib
import struct
import warnings
from typing import Any

import numpy as np
import scipy.io.wavfile

from jaxgen import files
from jaxgen.data.dataset import ArraySplit, DataError, Dataset, Split, holdout
from jaxgen.data.limits import allowance, regular
from jaxgen.data.trees import FolderTree, printable
from jaxgen.fields import DataSpec, Field
from jaxgen.ops import sound

RATE, SAMPLES, BANDS = 8000, 2048, 32
RATES = (1000, 384_000)  # samples a second that a file may have
SUFFIX = ".wav"


def field(samples: int, rate: int, bands: int = 0) -> Field:
    """Of sounds of so many samples: levels [T, 1], or with bands frames [bands, F, 1].

    Raises:
        DataError: for sounds that are shorter than a frame, or too many bands.
    """
    if not bands:
        return Field("sequence", (samples, 1), "uint8", levels=sound.LEVELS, rate=rate)
    count = sound.frame_count(samples, rate)
    if not count:
        least = sound.sample_count(1, rate)
        raise DataError(f"data.samples={samples} at {rate} Hz: expected {least} or more of a frame")
    try:
        sound.bands(rate, bands)
    except ValueError as error:
        raise DataError(f"data.sample_rate={rate}: {error}") from None
    return Field("image", (bands, count, 1), rate=rate)


def seen(wave: np.ndarray, rate: int, bands: int = 0) -> np.ndarray:
    """Sounds [N, T], from -1 to 1, as a `field` has them."""
    if not bands:
        return sound.companded(wave)[..., None].astype(np.uint8)
    frames = sound.log_mel(wave, rate, bands)
    return np.ascontiguousarray(np.swapaxes(frames, 1, 2)[:, ::-1, :, None])


def heard(x: np.ndarray, of: Field) -> np.ndarray:
    """Sounds [N, T], float32, of examples: the inverse of `seen`, of frames nearly."""
    assert of.rate is not None
    if of.kind == "sequence":
        return sound.expanded(x[..., 0])
    return sound.sound(frames_of(x), of.rate)


def frames_of(x: np.ndarray) -> np.ndarray:
    """[N, bands, F, 1] to frames [N, F, bands], the lowest band first."""
    return np.swapaxes(x[:, ::-1, :, 0], 1, 2)


def load(
    root: pathlib.Path,
    *,
    test_fraction: float,
    seed: int,
    in_memory_mb: float,
    size: Any = None,
    fit: str = "none",
    mode: Any = None,
    sample_rate: int | None = None,
    samples: int | None = None,
    bands: int = 0,
    **_: Any,
) -> Dataset:
    """Pieces of the sounds in a folder of speakers, each a sub-folder of `.wav` files.

    Files are of 8, 16, 24 or 32 bits or of floats. Two channels become their mean: one mouth is at
    two places; more are refused. Of each speaker a share of the files is held out, so that no
    file is in both splits. A file is cut into pieces without overlap; what is left is not used.

    Args:
        root: the folder.
        test_fraction: of each speaker's files.
        seed: of that division.
        in_memory_mb: most megabytes of examples, all of which are kept in memory.
        size: of images; sounds have none.
        fit: see `size`.
        mode: see `size`.
        sample_rate: samples a second to which files are brought; None for 8,000.
        samples: of a piece; None for 2,048.
        bands: of log-mel frames; 0 for mu-law levels.

    Raises:
        DataError: for a folder without two speakers, a speaker with less than two files, a file
            that is damaged, empty, silent or shorter than a piece, or more than memory is to hold.
    """
    if size is not None or fit != "none" or mode is not None:
        raise DataError("data.size, data.fit and data.mode are of images; sounds are none")
    rate = RATE if sample_rate is None else sample_rate
    samples = SAMPLES if samples is None else samples
    if not (RATES[0] <= rate <= RATES[1] and samples >= 1):
        raise DataError(
            f"data.sample_rate={rate}, data.samples={samples}: expected {RATES[0]} or more, 1"
        )
    of = field(samples, rate, bands)
    voices, notes = _speakers(root)
    parts: dict[str, list[tuple[np.ndarray, int]]] = {"train": [], "test": []}
    held = 0
    for label, own in enumerate(voices.values()):
        for split, rows in zip(parts, holdout(len(own), test_fraction, seed), strict=True):
            for i in rows:
                x = seen(sound.levelled(pieces(own[i], rate, samples)), rate, bands)
                held += x.nbytes
                if held > in_memory_mb * 1e6:
                    raise DataError(
                        f"{root} has more than the {in_memory_mb:g} MB of sounds that are kept in "
                        "memory: raise --config.data.in_memory_mb"
                    )
                parts[split].append((x, label))
    splits: dict[str, Split] = {
        split: ArraySplit(
            {
                "x": np.concatenate([x for x, _ in found]),
                "label": np.repeat([s for _, s in found], [len(x) for x, _ in found]).astype("i4"),
            }
        )
        for split, found in parts.items()
    }
    fields = {"x": of, "label": Field("label", dtype="int32", classes=len(voices))}
    spec = DataSpec(root.resolve().name, fields)
    names = tuple(map(printable, voices))
    return Dataset(spec, splits, f"speech of {root}", names, tuple(notes), held_out=True)


def _speakers(root: pathlib.Path) -> tuple[dict[str, list[pathlib.Path]], list[str]]:
    """Name -> files of each speaker, and notes on what is not used."""
    wanted = f"expected a sub-folder of {SUFFIX} files for each speaker"
    if not root.is_dir():
        raise DataError(f"{root} is no folder: {wanted}")
    every = FolderTree(root).files
    sounds = [file for file in every if file.lower().endswith(SUFFIX)]
    loose = [file for file in sounds if "/" not in file]
    if loose:
        raise DataError(
            f"{root} has {len(loose):,} {SUFFIX} files beside its folders, e.g. "
            f"{printable(loose[0])}: {wanted}"
        )
    found: dict[str, list[pathlib.Path]] = {}
    for file in sounds:
        found.setdefault(file.split("/")[0], []).append(root / file)
    if len(found) < 2:
        raise DataError(f"{root} has {len(found)} speakers: {wanted}, and two or more")
    for name, own in found.items():
        if len(own) < 2:
            raise DataError(f"{root / name} has one {SUFFIX} file: expected two, to hold out one")
    other = len(every) - len(sounds)
    return found, [f"not used: {other:,} files that are no {SUFFIX}"] if other else []


def pieces(path: pathlib.Path, rate: int, samples: int) -> np.ndarray:
    """A file's sound in pieces [N, samples]; raises DataError, see `load`."""
    x, own = read(path)
    x = resampled(x, own, rate)
    count = len(x) // samples
    if not count:
        raise DataError(
            f"{path} has {len(x):,} samples at {rate} Hz, expected {samples:,} or more of a piece: "
            "leave it out, or lower --config.data.samples"
        )
    return x[: count * samples].reshape(count, samples)


def read(path: pathlib.Path) -> tuple[np.ndarray, int]:
    """Samples [T] from -1 to 1 of a `.wav` file, float32, and how many there are a second.

    Raises:
        DataError: in one line, for a file that is damaged, empty or silent, or has more than two
            channels, another rate than sounds have, or values that are not finite.
    """
    with regular(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore", scipy.io.wavfile.WavFileWarning)
        try:
            rate, found = scipy.io.wavfile.read(file)
        except (ValueError, LookupError, EOFError, ArithmeticError, struct.error) as error:
            raise DataError(f"{path}: no .wav file that can be read ({error!s:.120})") from None
        except (UnboundLocalError, TypeError, AttributeError):  # SciPy's, without a chunk of data
            raise DataError(f"{path}: no .wav file that can be read (it is cut short)") from None
    x: np.ndarray = found
    if x.ndim == 2 and x.shape[1] > 2:
        raise DataError(f"{path} has {x.shape[1]} channels, expected one or two: mix them")
    if not RATES[0] <= rate <= RATES[1]:
        raise DataError(f"{path} has {rate} samples a second, expected {RATES[0]} to {RATES[1]}")
    if x.dtype == np.uint8:
        x = (x.astype(np.float32) - 128) / 128
    elif x.dtype.kind == "i":
        x = x.astype(np.float32) / -float(np.iinfo(x.dtype).min)
    with np.errstate(over="ignore"):
        x = np.asarray(x, np.float32)
    x = x if x.ndim == 1 else x.mean(1)
    if not np.isfinite(x).all():
        raise DataError(f"{path} has samples that are not finite: write it anew")
    if not x.any():
        raise DataError(f"{path} is {'silent' if len(x) else 'empty'}: leave it out")
    return x, rate


def resampled(x: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """A sound [T] of one rate at another, float32; at its own as it is.

    Raises:
        DataError: for one that would become larger than a file of its size may.
    """
    if rate == wanted:
        return x
    if 4 * len(x) * wanted // rate > allowance(2 * len(x)):
        raise DataError(f"{len(x):,} samples at {rate} Hz would become too many at {wanted} Hz")
    common = math.gcd(rate, wanted)
    import scipy.signal  # half a second, and every command reads this module

    found = scipy.signal.resample_poly(x, wanted // common, rate // common)
    return found.astype(np.float32)


def write(path: pathlib.Path, x: np.ndarray, rate: int) -> None:
    """Writes a sound [T] as a `.wav` file of 16 bits; what is beyond -1 and 1 is cut.

    Args:
        path: of the file, which is replaced.
        x: samples.
        rate: how many there are a second.

    Raises:
        WriteError: see `files.atomic`.
    """
    buffer = io.BytesIO()
    scipy.io.wavfile.write(buffer, rate, np.rint(np.clip(x, -1, 1) * 32767).astype(np.int16))
    files.write(path, buffer.getvalue())
