"""Extractors: what they take, what they say, and the classifier's file."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxgen.config import ConfigError
from jaxgen.data import load
from jaxgen.data.dataset import ArraySplit, Dataset
from jaxgen.data.embedded.digits import SPEC
from jaxgen.evaluate import extractors as features
from jaxgen.evaluate.extractors import classifier
from jaxgen.nn.classifier import Classifier
from jaxgen.types import DataSpec


@pytest.fixture(scope="module")
def scans(data_root):
    return load("digits", data_dir=str(data_root))


@pytest.mark.parametrize(
    "shape, num, count",
    [
        # conv 3x3x1x32 and 3x3x32x64, dense 4*4*64 -> 64 -> 10, with biases
        ((8, 8, 1), 64, 320 + 18496 + 65600 + 650),
        # one more convolution of 128 channels, dense 7*7*128 -> 128 -> 10
        ((28, 28, 1), 128, 320 + 18496 + 73856 + 802944 + 1290),
    ],
)
def test_parameter_counts(shape, num, count):
    params = jax.eval_shape(
        Classifier(10, num).init, jax.random.key(0), jax.ShapeDtypeStruct((1, *shape), np.float32)
    )
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count


@pytest.mark.slow
def test_accuracy_of_the_whole_training(scans, tmp_path):
    assert classifier.trained(scans, str(tmp_path)).accuracy >= 0.98


def test_accuracy_on_scans_that_it_has_not_seen(digits_classifier, scans):
    test = scans.splits["test"].take(np.arange(297))
    out = digits_classifier(test["x"])
    assert out["features"].shape == (297, 64) and out["features"].dtype == np.float32
    right = (out["logits"].argmax(1) == test["label"]).mean()
    assert right == pytest.approx(digits_classifier.accuracy) and right >= 0.97
    # mean features of the classes lie apart, and no unit is dead
    assert (out["features"].std(0) > 0).all()


def test_features_are_functions_of_each_image_alone(digits_classifier, scans):
    x = scans.splits["train"].take(np.arange(300))["x"]
    together = digits_classifier(x)["features"]
    alone = np.concatenate([digits_classifier(x[i : i + 1])["features"] for i in (0, 255, 299)])
    np.testing.assert_allclose(alone, together[[0, 255, 299]], atol=1e-5)
    np.testing.assert_array_equal(digits_classifier(x.astype(np.float32))["features"], together)


def test_label_and_fingerprint_carry_the_hash_of_the_weights(digits_classifier):
    digest = classifier.sha256(digits_classifier.params)
    assert digits_classifier.label == f"digits8-cnn64@{digest[:8]}"
    assert digits_classifier.fingerprint["weights_sha256"] == digest
    other = jax.tree.map(np.copy, digits_classifier.params)
    other["Dense_1"]["bias"][3] += np.float32(1e-6)
    assert classifier.sha256(other) != digest


def test_the_file_is_used_again_and_trained_anew_when_damaged(
    digits_classifier, data_root, scans, tmp_path, monkeypatch
):
    path = digits_classifier.path
    written = path.stat().st_mtime_ns
    again = features.extractor("classifier:digits", SPEC, data_dir=str(data_root))
    assert again.sha256 == digits_classifier.sha256 and path.stat().st_mtime_ns == written

    said, copy = [], tmp_path / "classifiers" / path.parent.name / path.name
    copy.parent.mkdir(parents=True)
    with np.load(path) as file:
        arrays = dict(file)
    monkeypatch.setattr(classifier, "_train", lambda *_: digits_classifier.params)
    raw = path.read_bytes()
    changed = arrays["Dense_0/kernel"].copy()
    changed[0, 0] += 1
    # the second time the folder is sealed: its seal finds the damage first
    for spoil, notes in (
        (lambda: copy.write_bytes(raw[: len(raw) // 2]), (f"{copy} is damaged (", "trained anew")),
        (
            lambda: np.savez(copy, **arrays | {"Dense_0/kernel": changed}),
            (f"{copy.parent} was damaged: the content of {copy.name} has changed", "made anew"),
        ),
    ):
        spoil()
        found = classifier.trained(scans, str(tmp_path), said.append)
        assert found.sha256 == digits_classifier.sha256 and found.accuracy >= 0.97
        assert sum(all(note in line for note in notes) for line in said) == 1
        assert len(said) == 3
        said.clear()
    assert len(list(copy.parents[1].glob("*.damaged*"))) == 2  # nothing is removed
    monkeypatch.setattr(classifier, "load_npz", refuse)
    with pytest.raises(PermissionError):  # what cannot be read is not damaged
        classifier.trained(scans, str(tmp_path), said.append)
    assert said == [] and copy.exists()


def refuse(path):
    raise PermissionError(13, "Permission denied", str(path))


def test_a_classifier_that_does_not_learn_is_refused(
    digits_classifier, scans, tmp_path, monkeypatch
):
    zeros = jax.tree.map(np.zeros_like, digits_classifier.params)
    monkeypatch.setattr(classifier, "_train", lambda *_: zeros)
    with pytest.raises(ConfigError, match="of the test split, expected 97.0%: its features are"):
        classifier.trained(scans, str(tmp_path), lambda text: None)


def test_pixels_are_shares_of_the_largest_level():
    x = np.arange(2 * 64).reshape(2, 8, 8, 1) % 17
    found = features.extractor("pixels", SPEC)(x)
    np.testing.assert_allclose(found["features"], x.reshape(2, 64) / 16, rtol=1e-6)
    points = DataSpec.of("ring8", (2,), None)
    np.testing.assert_array_equal(
        features.extractor("pixels", points)(np.eye(2))["features"], np.eye(2)
    )


@pytest.mark.parametrize(
    "images, message",
    [
        (np.zeros((2, 9, 8, 1)), "expected images of 8x8x1, as digits has; got 9x8x1"),
        (np.full((2, 8, 8, 1), np.nan), "2 of 2 images hold NaN or infinity"),
        (np.full((2, 8, 8, 1), 17), r"expected grey levels 0 .. 16, as digits has; got 17 .. 17"),
        (np.full((2, 8, 8, 1), -1), r"expected grey levels 0 .. 16, as digits has; got -1 .. -1"),
        (np.full((2, 8, 8, 1), 0.5), r"expected whole grey levels 0 .. 16, got fractions"),
    ],
)
def test_bad_images(images, message):
    with pytest.raises(ConfigError, match=message):
        features.extractor("pixels", SPEC)(images)


def test_mistakes(data_root):
    for name, spec, message in (
        ("clasifier", SPEC, "unknown extractor 'clasifier': did you mean 'classifier'?"),
        ("pixels:digits", SPEC, "pixels takes nothing behind a colon"),
        (
            "classifier:digits",
            dataclasses.replace(SPEC, name="mine").with_field("x", levels=256),
            "expected images of 8x8x1 with 17 grey levels, got those of mine: images of 8x8x1 with",
        ),
    ):
        with pytest.raises(ConfigError) as error:
            features.extractor(name, spec, data_dir=str(data_root))
        assert message in str(error.value)
    with pytest.raises(ConfigError, match="expected at least one image"):
        features.in_tiles(lambda x: {"x": x}, np.zeros((0, 2)))


def test_data_that_are_loaded_already_are_not_loaded_again(digits_classifier, data_root, scans):
    found = features.extractor("classifier", SPEC, dataset=scans, data_dir=str(data_root))
    assert found.sha256 == digits_classifier.sha256
    unlabelled = Dataset(
        DataSpec.of("digits", (8, 8, 1), 17),
        {"train": ArraySplit({"x": np.zeros((2, 8, 8, 1), np.uint8)})},
        "",
    )
    with pytest.raises(ConfigError, match="needs labelled images"):
        features.extractor("classifier", SPEC, dataset=unlabelled)
