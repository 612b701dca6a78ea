"""How often pictures are of what their captions say, read by a classifier that no model has seen.

    python benchmarks/captions.py RUN [--guidance=3] [--num=1000] [--best_of=8]

RUN was trained by configs/dalle.py. For captions of the test split, of
combinations and of objects that no train picture has, a picture each is drawn and read: colours by
their channels, digits by a support vector classifier of the train scans. A picture is right where
all of its places are. The floor are the real pictures, the control captions of other pictures, by
chance. With `--best_of`, the picture is the one of so many that the run's ranker chooses.
"""

from __future__ import annotations

import argparse
import math
from typing import Any

import numpy as np

import jaxgen
from jaxgen.data.embedded import captioned, digits

SPLITS = ("test", "combinations", "objects")
FAINT = 1.0  # mean grey level of a channel: below it there is no digit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run")
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--num", type=int, default=1000, help="captions of each split")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--best_of", type=int, default=1)
    arguments = parser.parse_args()
    run = jaxgen.load(arguments.run)
    knobs: dict[str, Any] = {"mean": True}
    if arguments.guidance is not None:
        knobs["guidance"] = arguments.guidance
    if arguments.best_of > 1:
        knobs["best_of"] = arguments.best_of
    data, classifier = run.dataset(), reader()
    print(f"{arguments.run}, seed {arguments.seed}, {knobs}")
    print("split          pictures   all  colours  digits   (%, standard error of all)")
    for split in SPLITS:
        batch = data.splits[split].take(np.arange(arguments.num))
        drawn = run.sample(arguments.num, arguments.seed, text=batch["text"], **knobs)
        show(split, "drawn", right(classifier, drawn, batch))
        show(split, "real", right(classifier, batch["x"], batch))
        others = np.random.RandomState(0).permutation(arguments.num)
        show(split, "of others", right(classifier, drawn[others], batch))


def reader() -> Any:
    """Digits from scans [N, 64]."""
    from sklearn.svm import SVC

    scans = digits.load().splits["train"]
    every = scans.take(np.arange(len(scans)))
    return SVC(gamma=0.001).fit(every["x"].reshape(len(scans), -1), every["label"])


def read(classifier: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Digits and colours [N, rows, columns] at the places of pictures."""
    side, (count, height, width, _) = captioned.SIDE, x.shape
    shape = (count, height // side, side, width // side, side, 3)
    parts = x.reshape(shape).swapaxes(2, 3).reshape(-1, side, side, 3).astype(np.float64)
    light = parts.mean((1, 2))
    tints = np.array([*captioned.COLOURS.values()], np.float64)
    tints /= np.linalg.norm(tints, axis=1, keepdims=True)
    colours = np.argmax(light @ tints.T, axis=1)
    found = classifier.predict(parts.max(-1).reshape(len(parts), -1))
    empty = light.max(1) < FAINT
    found = np.where(empty, captioned.NO_DIGIT, found)
    colours = np.where(empty, captioned.NO_COLOUR, colours)
    grid = (count, shape[1], shape[3])
    return found.reshape(grid), colours.reshape(grid)


def right(classifier: Any, x: np.ndarray, batch: dict[str, np.ndarray]) -> np.ndarray:
    """bool [3, N]: all, colours, digits."""
    found, colours = read(classifier, x)
    of_digits = (found == batch["digits"]).all((1, 2))
    of_colours = (colours == batch["colours"]).all((1, 2))
    return np.stack([of_digits & of_colours, of_colours, of_digits])


def show(split: str, what: str, found: np.ndarray) -> None:
    """A line."""
    every, colours, numbers = 100 * found.mean(1)
    error = 100 * math.sqrt(found[0].var() / found.shape[1])
    print(
        f"{split:14} {what:9} {every:5.1f} {colours:7.1f} {numbers:7.1f}   ± {error:.1f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
