"""The share of samples that are of the class asked for."""

import json
import types

import numpy as np
import pytest

from jaxgen.config import ConfigError
from jaxgen.data import load
from jaxgen.data.embedded.digits import SPEC
from jaxgen.tools import classes


@pytest.fixture(scope="module")
def scans(data_root):
    return load("digits", data_dir=str(data_root))


def fake_run(scans, shift, conditional=True):
    """A run that draws real scans: of the class asked for, or of `shift` further for class 3."""
    pool = scans.splits["train"].take(np.arange(1500))

    def sample(num, seed, label):
        wanted = np.where(label == 3, (label + shift) % 10, label)
        return np.stack(
            [pool["x"][pool["label"] == k][seed % 7 + i // 10] for i, k in enumerate(wanted)]
        )

    return types.SimpleNamespace(
        spec=SPEC,
        sample=sample,
        dataset=lambda **_: scans,
        method=types.SimpleNamespace(given=("label",) * conditional),
        directory=types.SimpleNamespace(path=types.SimpleNamespace(name="fake")),
    )


def test_real_scans_are_of_their_class_and_a_swapped_class_is_seen(
    digits_classifier, data_root, scans
):
    where = {"data_dir": str(data_root)}
    found = classes.classes(fake_run(scans, 0), 405, **where)
    assert found["num"] == 400 and found["class_accuracy"] >= 0.99
    assert found["classifier"] == digits_classifier.label
    assert found["classifier_test_accuracy"] == digits_classifier.accuracy
    swapped = classes.classes(fake_run(scans, 1), 405, **where)
    assert swapped["by_class"]["3"] <= 0.05
    assert swapped["class_accuracy"] == pytest.approx(found["class_accuracy"] - 0.1, abs=0.01)
    expected = np.mean(list(swapped["by_class"].values()))
    assert swapped["class_accuracy"] == pytest.approx(expected)


def test_samples_beyond_one_call_are_drawn_anew(scans, monkeypatch):
    monkeypatch.setattr(classes, "AT_ONCE", 20)
    x, label = classes.samples(fake_run(scans, 0), 50)
    assert x.shape == (50, 8, 8, 1) and np.bincount(label).tolist() == [5] * 10
    assert (x[:10] != x[20:30]).any()


def test_too_few_samples(scans):
    with pytest.raises(ConfigError, match="--num=9, expected at least 10, one for each class"):
        classes.samples(fake_run(scans, 0), 9)


@pytest.fixture(scope="module")
def run(starter, tmp_path_factory):
    path = tmp_path_factory.mktemp("classes") / "dcgan-digits"
    return starter.run(
        "--config=configs/dcgan.py:digits,tiny",
        "--config.train.steps=2",
        "--config.method.given=label",
        f"--workdir={path}",
    )


@pytest.mark.slow
def test_command(jaxgen_command, digits_classifier, run):
    found = json.loads(jaxgen_command("classes", run.workdir, "--num=100").out)
    assert found["num"] == 100 and set(found["by_class"]) == set("0123456789")
    assert found["classifier"] == digits_classifier.label
    assert 0 <= found["class_accuracy"] <= 1


def test_a_run_without_classes(scans):
    with pytest.raises(ConfigError, match="fake is not conditional: it samples no class that one"):
        classes.classes(fake_run(scans, 0, conditional=False), 100)
