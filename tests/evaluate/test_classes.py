"""The share of samples that are of the class asked for."""

import numpy as np
import pytest

from jaxgen.config import ConfigError
from jaxgen.data import load
from jaxgen.data.embedded.digits import SPEC
from jaxgen.evaluate.comparison import Comparison, Subject
from jaxgen.evaluate.metrics import measure
from jaxgen.evaluate.sets import ArraySet


@pytest.fixture(scope="module")
def compared(data_root, digits_classifier):
    """compared(shift): real scans of each class in turn; for class 3 those of `shift` further."""
    scans = load("digits", data_dir=str(data_root))
    pool = scans.splits["train"].take(np.arange(1500))

    def compare(shift=0, asked=True):
        label = np.arange(400) % 10
        drawn = np.where(label == 3, (label + shift) % 10, label)
        x = np.stack([pool["x"][pool["label"] == k][i // 10] for i, k in enumerate(drawn)])
        labelled = ArraySet(x) if asked else None
        subject = Subject(SPEC, 17, [ArraySet(x)], method=object(), labelled=labelled)
        return Comparison(subject, scans, digits_classifier)

    return compare


def accuracy(c):
    (row,), _ = measure(c, "class_accuracy")
    assert row.name == f"class_accuracy-{c.label}" and (row.group, row.unit) == ("fidelity", "")
    return row


def test_real_scans_are_of_their_class_and_a_swapped_class_is_seen(compared, digits_classifier):
    found, swapped = accuracy(compared()), accuracy(compared(shift=1))
    assert found.value >= 0.99 and found.fingerprint["num_generated"] == 400
    assert found.context["of_real"] == digits_classifier.accuracy
    assert swapped.context["of 3"] <= 0.05
    assert swapped.value == pytest.approx(found.value - 0.1, abs=0.01)
    expected = np.mean([swapped.context[f"of {k}"] for k in range(10)])
    assert swapped.value == pytest.approx(expected)
    assert 0 <= swapped.low < swapped.value < swapped.high <= 1


def test_a_model_without_classes(compared):
    with pytest.raises(ConfigError, match="classes is not available: .* takes no class"):
        measure(compared(asked=False), "classes")
