"""Whether a voice was converted: judges of real speech read who speaks and what is said.

Judges are support vector machines on the mean and deviation over time of log-mel frames, fitted to
train utterances. Every test utterance is converted to a random other speaker. Since the data hold
the same vowel by that speaker, what conversion should give is known, and its distance is measured.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxgen.data import spoken
from jaxgen.fields import Field
from jaxgen.ops import sound

Convert = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (x [N, ...], label [N]) -> [N, ...]


def frames(x: np.ndarray, of: Field) -> np.ndarray:
    """Log-mel frames [N, frames, bands] of examples of a field, in natural logarithms of power."""
    assert of.rate is not None
    if of.kind == "sequence":
        x = spoken.seen(spoken.heard(x, of), of.rate, spoken.BANDS)
    return spoken.frames_of(x) * sound.SCALE + sound.SHIFT


def judge(x: np.ndarray, label: np.ndarray) -> Any:
    """What reads labels [N] of frames [N, frames, bands]: `judge.predict(read(x))`."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    return make_pipeline(StandardScaler(), SVC(C=10)).fit(read(x), label)


def read(x: np.ndarray) -> np.ndarray:
    """What judges see of frames: [N, 2 bands]."""
    return np.concatenate([x.mean(1), x.std(1)], axis=1)


def distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Root mean square of the differences of frames, [N], in nats of power."""
    return np.sqrt(np.mean(np.square(x - y), axis=(-2, -1)))


@dataclasses.dataclass(frozen=True)
class Judged:
    """What judges say of utterances.

    Attributes:
        target: share that is read as the speaker who was asked for.
        source: share that is read as the speaker who spoke.
        vowel: share whose vowel is read as it was spoken.
        distance: mean of `distance` to utterances of the same vowel by the target.
        num: utterances.
    """

    target: float
    source: float
    vowel: float
    distance: float
    num: int

    def error(self, name: str) -> float:
        """Standard error of a share."""
        share = dataclasses.asdict(self)[name]
        return float(np.sqrt(share * (1 - share) / self.num))


@dataclasses.dataclass(frozen=True)
class Court:
    """Real speech, the judges fitted to it, and who each test utterance is to become.

    Attributes:
        of: the field of x.
        train: "x", "label" and "vowel" of train utterances.
        test: the same of test utterances.
        real: frames of these.
        target: [N], a speaker other than the label of each.
        who: judge of the speaker.
        what: judge of the vowel.
    """

    of: Field
    train: dict[str, np.ndarray]
    test: dict[str, np.ndarray]
    real: np.ndarray
    target: np.ndarray
    who: Any
    what: Any

    @classmethod
    def of_data(cls, dataset: Any, seed: int = 0) -> Court:
        """Of a data set of speech with a vowel beside each speaker."""
        of = dataset.spec.x
        train, test = (
            split.take(np.arange(len(split)))
            for split in (dataset.splits["train"], dataset.splits["test"])
        )
        x = frames(train["x"], of)
        speakers = dataset.spec.num_classes
        turn = np.random.RandomState(seed).randint(1, speakers, len(test["label"]))
        target = ((test["label"] + turn) % speakers).astype(np.int32)
        who, what = judge(x, train["label"]), judge(x, train["vowel"])
        return cls(of, train, test, frames(test["x"], of), target, who, what)

    def judged(self, x: np.ndarray, rows: Any = None) -> Judged:
        """Of examples [N, ...] that stand for the test utterances by their targets.

        Args:
            x: examples.
            rows: [N], which test utterances they are, to which they are not compared; None for
                none of them.
        """
        seen = frames(x, self.of)
        who, what = (judge.predict(read(seen)) for judge in (self.who, self.what))
        return Judged(
            target=float(np.mean(who == self.target)),
            source=float(np.mean(who == self.test["label"])),
            vowel=float(np.mean(what == self.test["vowel"])),
            distance=float(np.mean([self._far(frame, i, rows) for i, frame in enumerate(seen)])),
            num=len(x),
        )

    def _far(self, frame: np.ndarray, i: int, rows: Any) -> float:
        label, vowel = self.test["label"], self.test["vowel"]
        true = (label == self.target[i]) & (vowel == vowel[i])
        if rows is not None:
            true[rows[i]] = False
        return float(np.mean(distance(self.real[true], frame[None])))

    def converted(self, convert: Convert) -> Judged:
        """What a conversion does to the test utterances."""
        return self.judged(convert(self.test["x"], self.target))

    def floor(self) -> Judged:
        """Of real utterances: test ones of the same vowel by the target."""
        label, vowel = self.test["label"], self.test["vowel"]
        pairs = zip(self.target, vowel, strict=True)
        own = [np.flatnonzero((label == s) & (vowel == v)) for s, v in pairs]
        rows = np.array([found[i % len(found)] for i, found in enumerate(own)])
        return self.judged(self.test["x"][rows], rows)


def probe(train: np.ndarray, label: np.ndarray, test: np.ndarray, truth: np.ndarray) -> float:
    """Share of labels [N] that a linear classifier reads of latents [N, ...].

    Integers are classes: each becomes a one-hot row.

    Args:
        train: latents that it is fitted to.
        label: of them.
        test: latents that it reads.
        truth: labels of these.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    parts = [x.reshape(len(x), -1) for x in (train, test)]
    if parts[0].dtype.kind in "iu":
        known = np.arange(1 + max(int(part.max()) for part in parts))
        parts = [(part[..., None] == known).reshape(len(part), -1) for part in parts]
    reads = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return float(reads.fit(parts[0], label).score(parts[1], truth))
