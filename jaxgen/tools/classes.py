"""`jaxgen classes`: whether samples of a conditional model are of the class that was asked for."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxgen.abilities import given
from jaxgen.config import ConfigError
from jaxgen.evaluate.extractors.classifier import accuracy, trained
from jaxgen.progress import track
from jaxgen.run import Run

AT_ONCE = 1000  # samples of one call


def samples(run: Run, num: int, seed: int = 0, **knobs: Any) -> tuple[np.ndarray, np.ndarray]:
    """Equally many samples of each class, and their classes, [N, ...] and int32 [N].

    Args:
        run: conditional.
        num: rounded down to a multiple of the number of classes.
        seed: of the latents.
        **knobs: of the method's `sample`, other than `label`.

    Raises:
        ConfigError: for a run without classes, or fewer samples than classes.
    """
    count = run.spec.num_classes
    if "label" not in given(run.method):
        raise ConfigError(
            f"{run.directory.path.name} is not conditional: it samples no class that one asks for; "
            "train with --config.method.given=label"
        )
    if num < count:
        raise ConfigError(f"--num={num}, expected at least {count}, one for each class")
    label = np.arange(num // count * count, dtype=np.int32) % count
    starts = range(0, len(label), AT_ONCE)
    x = [
        run.sample(len(label[i : i + AT_ONCE]), seed + i, label=label[i : i + AT_ONCE], **knobs)
        for i in track(starts, "drawing", len(label), run.spec.unit, lambda _: AT_ONCE)
    ]
    return np.concatenate(x), label


def classes(
    run: Run,
    num: int = 1000,
    seed: int = 0,
    knobs: dict[str, Any] | None = None,
    **places: Any,
) -> dict[str, Any]:
    """Shares of samples that the embedded classifier of the data reads as the class asked for.

    Args:
        run: conditional.
        num: samples of all classes together.
        seed: of the latents.
        knobs: of the method's `sample`.
        **places: `manual_dir`, `data_dir` where the data have moved.

    Returns:
        "class_accuracy" of all samples, "stderr" of it, "by_class", which classifier, and its own
        accuracy on the test split, above which nothing says that samples are better.

    Raises:
        ConfigError: as `samples` and `trained` do.
    """
    x, label = samples(run, num, seed, **(knobs or {}))
    dataset = run.dataset(**places)
    classifier = trained(dataset, places.get("data_dir"))
    logits = classifier(x)["logits"]
    share = accuracy(logits, label)
    names = dataset.classes or tuple(map(str, range(run.spec.num_classes)))
    return {
        "class_accuracy": share,
        "stderr": float(np.sqrt(share * (1 - share) / len(label))),
        "by_class": {
            name: accuracy(logits[label == k], label[label == k]) for k, name in enumerate(names)
        },
        "num": len(label),
        "seed": seed,
        "classifier": classifier.label,
        "classifier_test_accuracy": classifier.accuracy,
    }
