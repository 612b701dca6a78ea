"""The classifier two-sample test against the best classifier of Gaussians."""

import numpy as np
import pytest
import scipy.stats

from jaxgen.config import ConfigError
from jaxgen.data.dataset import ArraySplit, Dataset
from jaxgen.evaluate.comparison import Comparison, Subject
from jaxgen.evaluate.extractors import extractor
from jaxgen.evaluate.metrics import measure
from jaxgen.evaluate.metrics.c2st import c2st
from jaxgen.evaluate.sets import ArraySet
from jaxgen.types import DataSpec

RANDOM = np.random.RandomState(0)
NUM = 1500


def test_equal_gaussians_cannot_be_told_apart():
    a, b = RANDOM.randn(2, NUM, 2)
    assert abs(c2st(a, b) - 0.5) < 4 * 0.5 / np.sqrt(2 * NUM)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_shifted_gaussians_are_as_by_the_best_classifier(shift):
    a, b = RANDOM.randn(2, NUM, 2) * [1.0, 100.0] + [5.0, 0.0]
    best = scipy.stats.norm.cdf(shift / 2)
    assert abs(c2st(a, b + [shift, 0.0]) - best) < 0.03


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ConfigError, match=r"expected \[N, D\] twice, N at least 50"):
        c2st(np.zeros((100, 2)), np.zeros((99, 2)))
    with pytest.raises(ConfigError, match="points are not finite"):
        c2st(np.zeros((100, 2)), np.full((100, 2), np.nan))


def test_of_a_set_of_points():
    """Samples of another place are told from data; the floor is that of both splits."""
    data = {"train": RANDOM.randn(600, 2), "test": RANDOM.randn(400, 2)}
    spec = DataSpec.of("points", (2,), None)
    splits = {name: ArraySplit({"x": x.astype(np.float32)}) for name, x in data.items()}
    sets = [ArraySet((RANDOM.randn(400, 2) + [3.0, 0.0]).astype(np.float32))]
    comparison = Comparison(
        Subject(spec, None, sets), Dataset(spec, splits, source="test"), extractor("pixels", spec)
    )
    ((row,), missing) = measure(comparison, "c2st")
    assert not missing and abs(row.value - scipy.stats.norm.cdf(1.5)) < 0.05
    assert abs(row.context["floor"] - 0.5) < 0.08 and row.fingerprint["num_real"] == 400
