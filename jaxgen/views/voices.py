"""Speech of a run by other speakers: sounds of one's own, a sheet of test utterances, codes."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import numpy as np

from jaxgen.abilities import Coded, Decodes, Encodes, given
from jaxgen.config import ConfigError, unknown
from jaxgen.data import spoken
from jaxgen.evaluate.validation import check_count
from jaxgen.fields import Field
from jaxgen.ops import sound
from jaxgen.pictures import grid, to_uint8
from jaxgen.views.picture import Picture

ZOOM = (3, 8)  # pixels of a band, and of a frame


def convert(
    run: Any, sounds: Any, speaker: int | str, rate: int | None = None, **places: Any
) -> np.ndarray:
    """What is said in a sound by another speaker, as many samples [T] at the same rate, float32.

    A run on mu-law levels draws the sound, sample by sample, in pieces as long as its examples. A
    run on log-mel frames gives frames, of which a sound is made by Griffin and Lim's iteration
    (`ops.sound.sound`), which finds the phases and no more: it is as hoarse as that makes it.
    Loudness is that of the sound.

    Args:
        run: on speech, given who speaks.
        sounds: samples [T] from -1 to 1, or the path of a `.wav` file.
        speaker: number of a speaker of the run's data, or the name.
        rate: of samples, a second; None for that of the run's data. A file has its own.
        **places: `data`, `data_dir` where the data have moved; they are read for a name alone.

    Raises:
        ConfigError: for a run that converts no speech, a speaker that there is not, or samples
            that are none.
        DataError: for a damaged file.
    """
    of = speaking(run)
    assert of.rate is not None
    number = numbered(run, speaker, **places)
    x, rate = _samples(sounds, rate, of.rate)
    own = spoken.resampled(x, rate, of.rate)
    loud = np.sqrt(np.mean(np.square(x, dtype=np.float64)))
    wave = _converted(run, sound.levelled(own[None])[0], number, of)[: len(own)]
    wave = spoken.resampled(wave, of.rate, rate)[: len(x)]
    wave = np.pad(wave, (0, len(x) - len(wave)))
    return (sound.levelled(wave[None])[0] * (loud / sound.LOUDNESS)).astype(np.float32)


def _converted(run: Any, wave: np.ndarray, speaker: int, of: Field) -> np.ndarray:
    """A sound [T] at the run's rate and loudness, and what is behind it in its last piece."""
    assert of.rate is not None
    if of.kind == "sequence":
        size = of.shape[0]
        pieces = np.pad(wave, (0, -len(wave) % size)).reshape(-1, size)
        made = _spoken(run, spoken.seen(pieces, of.rate), speaker)
        return sound.expanded(np.rint(made[..., 0]).astype(np.int32)).reshape(-1)
    bands, each, _ = of.shape
    hop = sound.window_size(of.rate) // 2
    count = max(-(-len(wave) // hop) - 1, 1)  # all samples are in a frame
    count += -count % each
    wave = np.pad(wave, (0, sound.sample_count(count, of.rate) - len(wave)))
    x = spoken.seen(wave[None], of.rate, bands)[0]
    pieces = np.stack(np.split(x, count // each, axis=1))
    made = np.concatenate(list(_spoken(run, pieces, speaker)), axis=1)
    return sound.sound(spoken.frames_of(made[None]), of.rate)[0]


def _spoken(run: Any, x: np.ndarray, label: Any) -> np.ndarray:
    """Examples by a speaker; what encodes is never told who spoke."""
    return np.asarray(run.decode(run.encode(x, label=label), label=label))


def converted(run: Any, x: np.ndarray, label: Any) -> np.ndarray:
    """Examples [N, ...] of a run's data by other speakers, as they are in the data.

    Args:
        run: see `convert`.
        x: examples.
        label: [N], numbers of speakers, or one.

    Raises:
        ConfigError: as `convert` does.
    """
    speaking(run)
    return _spoken(run, x, label)


def conversions(run: Any, num: int = 12, **places: Any) -> Picture:
    """Log-mel frames of test utterances, a row each of its own speaker, by every speaker.

    The first column is what was spoken. High bands are on top, time goes to the right.

    Arrays: "x" [N, ...] and "converted" [N, speakers, ...], in the units of the data.

    Args:
        run: see `convert`.
        num: of speakers who speak, at most as many as there are.
        **places: `data`, `data_dir` where the data have moved.

    Raises:
        ConfigError: as `convert` does.
    """
    of = speaking(run)
    test = run.dataset(**places).splits["test"]
    label = test.labels
    speakers = run.spec.num_classes
    first = [np.flatnonzero(label == s) for s in range(min(check_count(num, "num"), speakers))]
    rows = [own[7 * i % len(own)] for i, own in enumerate(first) if len(own)]  # of several vowels
    x = test.take(np.array(rows))["x"]
    every = np.tile(np.arange(speakers, dtype=np.int32), len(x))
    made = _spoken(run, np.repeat(x, speakers, axis=0), every)
    made = made.reshape(len(x), speakers, *made.shape[1:])
    arrays = {"x": x, "converted": made}
    return Picture(arrays, lambda: _sheet(np.concatenate([x[:, None], made], axis=1), of))


def _sheet(x: np.ndarray, of: Field) -> np.ndarray:
    """Examples [rows, columns, ...] as frames."""
    flat = x.reshape(-1, *x.shape[2:])
    if of.kind == "sequence":
        assert of.rate is not None
        wave = spoken.heard(np.rint(flat).astype(np.int32), of)
        flat = spoken.seen(wave, of.rate, spoken.BANDS)
    cells = to_uint8(flat, None, (-2.0, 2.0))
    return grid(cells.repeat(ZOOM[0], 1).repeat(ZOOM[1], 2), x.shape[1])


def codes(run: Any, field: str | None = None, **places: Any) -> np.ndarray:
    """How often each code stands for each class in test utterances, int64 [groups, K, classes].

    Args:
        run: see `convert`; of codes.
        field: of classes; None for the first that is not the speaker, else the speaker.
        **places: `data`, `data_dir` where the data have moved.

    Raises:
        ConfigError: as `convert` does, for a run without codes, or no such field.
    """
    speaking(run)
    fields = run.spec.fields
    classes = [k for k, f in fields.items() if f.kind == "label"]
    name = field or next((k for k in classes if k != "label"), "label")
    if name not in classes:
        raise ConfigError(unknown("field of classes", name, classes))
    if not isinstance(run.method, Coded):
        raise ConfigError(f"{run.directory.path}: {type(run.method).__name__} has no codes")
    test = run.dataset(**places).splits["test"]
    batch = test.take(np.arange(len(test)))
    ((of, known),) = run.method.latent_fields.items()
    ids = np.asarray(run.encode(batch["x"], label=0)[of])
    shape = (ids.shape[-1], known.values or 0, fields[name].classes or 0)
    found = np.zeros(shape, np.int64)
    for group in range(ids.shape[-1]):
        own = ids[..., group].reshape(len(ids), -1)
        np.add.at(found[group], (own, batch[name][:, None]), 1)
    return found


def speaking(run: Any) -> Field:
    """What examples of a run on speech are.

    Raises:
        ConfigError: for a run on other data, or whose decoder is not told who speaks.
    """
    path, method = run.directory.path, run.method
    if run.spec.x.rate is None:
        raise ConfigError(
            f"{path} is of {run.spec.name}, which is no speech: see configs/voice_vae"
        )
    able = isinstance(method, Encodes) and isinstance(method, Decodes)
    if not able or given(method) != ("label",):
        raise ConfigError(f"{path}: {type(method).__name__} is not told who speaks, label alone")
    return run.spec.x


def numbered(run: Any, speaker: int | str, **places: Any) -> int:
    """The number of a speaker.

    Raises:
        ConfigError: for one that there is not.
    """
    count = run.spec.num_classes
    text = str(speaker)
    if text.isdecimal():
        if int(text) >= count:
            raise ConfigError(f"speaker={text}: the run has speakers 0 to {count - 1}")
        return int(text)
    names = run.dataset(**places).classes
    if text not in names:
        raise ConfigError(unknown("speaker", text, names))
    return list(names).index(text)


def _samples(sounds: Any, rate: int | None, own: int) -> tuple[np.ndarray, int]:
    if isinstance(sounds, str | os.PathLike):
        return spoken.read(pathlib.Path(sounds).expanduser())
    x = np.asarray(sounds)
    if x.ndim != 1 or x.dtype.kind != "f" or not x.size or not np.isfinite(x).all():
        raise ConfigError(
            f"sounds: {x.dtype} {list(x.shape)}, expected finite floats [T] of a sound"
        )
    low, high = spoken.RATES
    if rate is not None and not low <= rate <= high:
        raise ConfigError(f"rate={rate}, expected {low} to {high} samples a second")
    return x.astype(np.float32), rate or own
