"""A metric, or an extractor, is one file: nothing else names it."""

import textwrap

import numpy as np
import pytest

from jaxgen.config import ConfigError
from jaxgen.data.dataset import ArraySplit, Dataset
from jaxgen.evaluate import extractors, metrics
from jaxgen.evaluate.comparison import Comparison, Subject
from jaxgen.evaluate.measurement import GROUPS
from jaxgen.evaluate.sets import ArraySet
from jaxgen.report.numbers import title
from jaxgen.types import DataSpec

METRIC = '''
"""The difference of means."""
from jaxgen.evaluate.comparison import Comparison
from jaxgen.evaluate.measurement import Number, of_draws

NUMBERS = {"shift": Number("Shift", "of the mean feature", "diversity", unit="levels", most=1.0)}


def measure(c: Comparison):
    shifts = [float(abs(f.features.mean() - c.real.features.mean())) for f in c.fake]
    return [c.measured(f"shift-{c.label}", of_draws(shifts), fingerprint=c.print_of_features())]
'''
EXTRACTOR = '''
"""Twice the values."""
import numpy as np

NAMED = True


def make(rest, spec, places):
    return Doubled(rest or "2")


class Doubled:
    def __init__(self, factor):
        self.factor = factor
        self.name = self.label = f"doubled@{factor}"
        self.fingerprint = {"extractor": self.name}

    def __call__(self, images):
        return {"features": float(self.factor) * images.reshape(len(images), -1)}
'''
SPEC = DataSpec.of("points", (2,), None)


@pytest.fixture
def rooms(tmp_path, monkeypatch):
    """Both packages with one file more."""
    for package, name, text in ((metrics, "shift", METRIC), (extractors, "doubled", EXTRACTOR)):
        place = tmp_path / package.__name__
        place.mkdir()
        (place / f"{name}.py").write_text(textwrap.dedent(text))
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(place)])
    metrics.rooms.cache_clear()
    yield
    monkeypatch.undo()
    metrics.rooms.cache_clear()


def compared(extractor="pixels"):
    real, made = np.zeros((9, 2), np.float32), np.ones((2, 9, 2), np.float32) * [[[0.5]], [[0.7]]]
    dataset = Dataset(SPEC, {s: ArraySplit({"x": real}) for s in ("train", "test")}, "test")
    subject = Subject(SPEC, None, [ArraySet(x.astype(np.float32)) for x in made])
    return Comparison(subject, dataset, extractors.extractor(extractor, SPEC))


def test_a_metric_and_an_extractor_are_one_file_each(rooms):
    (row,), _ = metrics.measure(compared(), "shift")
    assert (row.name, row.group, row.unit, row.better) == (
        "shift-pixels",
        "diversity",
        "levels",
        "lower",
    )
    assert row.value == pytest.approx(0.6) and row.high == 1.0  # cut to what it can be
    assert title(row.name) == ("Shift", "of the mean feature")
    (doubled,), _ = metrics.measure(compared("doubled:3"), "shift")
    assert doubled.name == "shift-doubled@3" and doubled.value == pytest.approx(1.8)
    assert "shift" in metrics.chosen("all", of_images=True)
    assert title("shift_8-pixels") == ("Shift, 8", "of the mean feature")


def test_without_the_files_they_are_unknown():
    with pytest.raises(ConfigError, match="unknown metric 'shift'"):
        metrics.chosen("shift")
    with pytest.raises(ConfigError, match="unknown extractor 'doubled'"):
        extractors.extractor("doubled", SPEC)
    assert title("shift-pixels") == ("shift-pixels", "")


def test_what_the_rooms_say_of_their_numbers():
    """Every number has one room, a group that pages show, and a direction; so has its title."""
    owners = [
        (number, room) for room, module in metrics.rooms().items() for number in module.NUMBERS
    ]
    assert len({number for number, _ in owners}) == len(owners)
    for number, room in owners:
        of, rest = metrics.number(number)
        assert not rest and of.group in GROUPS and of.better in ("lower", "higher", "none")
        assert of.title and of.meaning and metrics.chosen(number) == (room,)
        assert number not in metrics.rooms() or number in metrics.rooms()[number].NUMBERS


def test_what_is_named_needs_what_it_says(rooms):
    for name in "likelihood speed ppl calibration disentanglement classes cas".split():
        with pytest.raises(ConfigError, match=f"{name} is not available: images alone have no"):
            metrics.measure(compared(), name)
        assert name not in metrics.chosen("all", of_images=True)
