"""`vowels`: ten vowels of American English by twelve speakers, synthesised: source and filter.

4,800 utterances of 2,048 samples at 8 kHz, 40 of each vowel by each speaker. Of `vowels` `x` is the
sound as mu-law levels (`ops.sound.companded`), of `vowels_mel` its 7 frames of 32 mel bands, an
image with the highest band on top; the label is the speaker, `vowel` the vowel.

What is physics: voiced sound is a train of pulses through resonances of the throat, whose
frequencies are the vowel, as they were measured: means of men, women and children; resonances are
filters of second order in a cascade, the mouth radiates the difference of successive samples. A
speaker has a length of the throat that scales all formants, a pitch, a tilt of the source, breath,
and losses that widen formants; each utterance has its own jitter, drift of pitch and formants
around the means. So vowel and speaker are both in the same resonances. What is simple: a vowel is
held, nothing coarticulates; pulses are of one shape, no valve of the larynx is solved; noise is
added to the source and does not follow the opening; there are no nasal passages, one formant scale
for all formants, no room and no dialect.

Source: Peterson & Barney 1952, Control methods used in a study of the vowels, table II (mean
formants), from memory; Klatt 1980, Software for a cascade/parallel formant synthesizer, section
I-B, for the resonator.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib

import numpy as np

from jaxgen.data import prepare, spoken
from jaxgen.data.dataset import ArraySplit, DataError, Dataset
from jaxgen.ops import sound
from jaxgen.types import DataSpec, Field

NAMES = ("vowels", "vowels_mel")
VERSION = "1.1.0"
RATE, SAMPLES, BANDS = 8000, 2048, 32
TAKES = {"train": 34, "test": 6}  # of each vowel by each speaker
SEEDS = {"train": 0, "test": 1}
VOWELS = ("iy", "ih", "eh", "ae", "ah", "aa", "ao", "uh", "uw", "er")
KINDS = ("m", "w", "c")  # of speakers, in turn
SPEAKERS = 12

# Hz, F1 F2 F3 of each vowel
FORMANTS = np.array([
    [[270, 2290, 3010], [390, 1990, 2550], [530, 1840, 2480], [660, 1720, 2410], [640, 1190, 2390],
     [730, 1090, 2440], [570, 840, 2410], [440, 1020, 2240], [300, 870, 2240], [490, 1350, 1690]],
    [[310, 2790, 3310], [430, 2480, 3070], [610, 2330, 2990], [860, 2050, 2850], [760, 1400, 2780],
     [850, 1220, 2810], [590, 920, 2710], [470, 1160, 2680], [370, 950, 2670], [500, 1640, 1960]],
    [[370, 3200, 3730], [530, 2730, 3600], [690, 2610, 3570], [1010, 2320, 3320],
     [850, 1590, 3360], [1030, 1370, 3170], [680, 1060, 3180], [560, 1410, 3310],
     [430, 1170, 3260], [560, 1820, 2160]],
], float)  # fmt: skip
FOURTH = 3500 * np.array([1.0, 1.08, 1.08])
PITCH = (130.0, 220.0, 265.0)  # Hz
BANDWIDTHS = np.array([60.0, 80.0, 120.0, 180.0])  # Hz
JITTER, DRIFT, SPREAD = 0.05, 0.05, 0.03  # of periods, of pitch from end to end, of formants
VIBRATO_HZ, VIBRATO = 5.0, 0.01
RAMP_S = 0.02


@dataclasses.dataclass(frozen=True)
class Speaker:
    """A voice.

    Attributes:
        kind: 0 a man, 1 a woman, 2 a child.
        scale: of all formants.
        pitch: Hz, mean of utterances.
        tilt: the source's two poles, per sample.
        breath: noise, in deviations of the source.
        width: of the bandwidths.
    """

    kind: int
    scale: float
    pitch: float
    tilt: float
    breath: float
    width: float

    @classmethod
    def drawn(cls, random: np.random.RandomState, kind: int) -> Speaker:
        """Of a kind."""
        return cls(
            kind,
            scale=random.uniform(0.94, 1.06),
            pitch=PITCH[kind] * random.uniform(0.88, 1.12),
            tilt=random.uniform(0.75, 0.97),
            breath=random.uniform(0.002, 0.03),
            width=random.uniform(0.8, 1.4),
        )

    def formants(self, vowel: int) -> np.ndarray:
        """Mean F1 to F4 of a vowel, Hz."""
        return self.scale * np.append(FORMANTS[self.kind, vowel], FOURTH[self.kind])


@functools.cache
def speakers(count: int = SPEAKERS, seed: int = 12) -> tuple[Speaker, ...]:
    """So many voices; those of the data are the default ones."""
    random = np.random.RandomState(seed)
    return tuple(Speaker.drawn(random, i % len(KINDS)) for i in range(count))


def load(name: str = NAMES[0], data_dir: str | None = None) -> Dataset:
    """Utterances, synthesised into `data_dir` by the first who asks.

    Raises:
        DataError: on another name, or where `data_dir` cannot be written.
    """
    if name not in NAMES:
        raise DataError(f"expected one of {', '.join(NAMES)}; got {name!r}")
    target = prepare.data_root(data_dir) / NAMES[0] / VERSION
    notes: list[str] = []
    arrays = prepare.opened(target, _fill, _read, notes)
    own = name != NAMES[0]
    splits = {
        split: ArraySplit({"x": found[name], "label": found["label"], "vowel": found["vowel"]})
        for split, found in arrays.items()
    }
    fields = {
        "x": spoken.field(SAMPLES, RATE, BANDS if own else 0),
        "label": Field("label", dtype="int32", classes=SPEAKERS),
        "vowel": Field("label", dtype="int32", classes=len(VOWELS)),
    }
    classes = tuple(f"{KINDS[s.kind]}{i // len(KINDS) + 1}" for i, s in enumerate(speakers()))
    source = f"seeded vowels by source and filter, kept in {target}"
    return Dataset(DataSpec(name, fields), splits, source, classes, tuple(notes))


def _fill(work: pathlib.Path) -> None:
    for split, takes in TAKES.items():
        found = prepare.mixed(utterances(takes, SEEDS[split]), SEEDS[split])
        wave = found.pop("wave")
        found |= {name: spoken.seen(wave, RATE, BANDS * (name != NAMES[0])) for name in NAMES}
        for name, array in found.items():
            np.save(work / f"{split}_{name}.npy", array)


def _read(target: pathlib.Path) -> dict[str, dict[str, np.ndarray]]:
    names = (*NAMES, "label", "vowel")
    return {s: {n: np.load(target / f"{s}_{n}.npy") for n in names} for s in TAKES}


def utterances(
    takes: int, seed: int, voices: tuple[Speaker, ...] | None = None
) -> dict[str, np.ndarray]:
    """So many of each vowel by each speaker: wave [N, 2048] of one loudness, label [N], vowel [N].

    Args:
        takes: of each; vowels in turn, and each by all speakers in turn.
        seed: of all that fluctuates.
        voices: who speaks; None for the speakers of the data.
    """
    voices = voices or speakers()
    random = np.random.RandomState([seed, 2048])
    number = np.arange(takes * len(VOWELS) * len(voices))
    label = (number % len(voices)).astype(np.int32)
    vowel = (number // len(voices) % len(VOWELS)).astype(np.int32)
    wave = [utterance(random, voices[s], int(v)) for s, v in zip(label, vowel, strict=True)]
    return {"wave": sound.levelled(np.stack(wave)), "label": label, "vowel": vowel}


def utterance(random: np.random.RandomState, speaker: Speaker, vowel: int) -> np.ndarray:
    """A vowel, [2048], of whatever loudness."""
    x = source(random, speaker)
    formants = speaker.formants(vowel) * np.exp(SPREAD * random.randn(len(BANDWIDTHS)))
    for formant, width in zip(formants, speaker.width * BANDWIDTHS, strict=True):
        if formant < RATE / 2:
            x = resonated(x, formant, width)
    x = np.diff(x, prepend=0.0)  # what the lips radiate
    ramp = np.minimum(np.arange(SAMPLES) / (RAMP_S * RATE), 1)
    return x * ramp * ramp[::-1]


def source(random: np.random.RandomState, speaker: Speaker) -> np.ndarray:
    """What the larynx gives, [2048]: pulses behind two poles, and noise."""
    time = np.arange(SAMPLES) / RATE
    drift = 1 + DRIFT * random.uniform(-1, 1) * (time / time[-1] - 0.5)
    vibrato = 1 + VIBRATO * np.sin(2 * np.pi * (VIBRATO_HZ * time + random.rand()))
    phase = random.rand() + np.cumsum(speaker.pitch * drift * vibrato) / RATE
    periods = 1 + JITTER * random.randn(int(phase[-1] * 1.5) + 2)
    at = np.interp(np.cumsum(periods), phase, np.arange(SAMPLES), left=-1, right=-1)
    at = at[(at >= 0) & (at < SAMPLES - 1)]
    share, x = at % 1, np.zeros(SAMPLES)
    np.add.at(x, at.astype(int), 1 - share)  # between two samples: periods are no whole numbers
    np.add.at(x, at.astype(int) + 1, share)
    for _ in range(2):
        x = filtered([1 - speaker.tilt], [1, -speaker.tilt], x)
    return x + speaker.breath * x.std() * random.randn(SAMPLES)


def resonated(x: np.ndarray, formant: float, width: float) -> np.ndarray:
    """x through a resonator of a formant and its bandwidth, Hz, of gain 1 at 0 Hz.

    Source: Klatt 1980, equations 1 and 2.
    """
    c = -np.exp(-2 * np.pi * width / RATE)
    b = 2 * np.exp(-np.pi * width / RATE) * np.cos(2 * np.pi * formant / RATE)
    return filtered([1 - b - c], [1, -b, -c], x)


def filtered(b: list[float], a: list[float], x: np.ndarray) -> np.ndarray:
    """b(z) / a(z) over x."""
    import scipy.signal  # half a second, and every command reads this module

    return scipy.signal.lfilter(b, a, x)
