"""Paths of latents and classes of models whose numbers are known; the classifier's own numbers."""

import dataclasses
import re
import types

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from jax import random

from jaxgen.config import ConfigError
from jaxgen.data import load
from jaxgen.data.dataset import ArraySplit, Dataset
from jaxgen.evaluate.comparison import Comparison, Subject
from jaxgen.evaluate.extractors import classifier, extractor
from jaxgen.evaluate.extractors import lpips_vgg as perceptual
from jaxgen.evaluate.measurement import differences, equal
from jaxgen.evaluate.metrics import measure
from jaxgen.evaluate.sets import ArraySet
from jaxgen.types import DataSpec

DIMS, TOP = 6, 100
SPEC = DataSpec.of("squares", (4, 4, 1), TOP + 1, 2)
DRAWN = np.random.RandomState(0)
# images of class k are SCALES[k] ROTATION z + SHIFTS[k]: a path from class to class is far longer
ROTATION = np.linalg.qr(DRAWN.randn(16, DIMS))[0].astype(np.float32)
SCALES, SHIFTS = np.array([1.0, 3.0], np.float32), np.array([0.0, 50.0], np.float32)
MAPPING = DRAWN.randn(2, DIMS, DIMS).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Linear:
    """A conditional generator without a network."""

    given = ("label",)

    def latents(self, rng, num):
        return random.normal(rng, (num, DIMS))

    def decode(self, state, z, given=None, rounded=True):
        assert not rounded
        label = given["label"]
        scale, shift = jnp.asarray(SCALES)[label][:, None], jnp.asarray(SHIFTS)[label][:, None]
        return (scale * (z @ ROTATION.T) + shift).reshape(-1, 4, 4, 1)


class Styled(Linear):
    """Its w has a shift and a matrix of the class."""

    def styles_of(self, state, z, given=None):
        label = given["label"]
        w = jnp.einsum("bi,bij->bj", z, jnp.asarray(MAPPING)[label])
        return w + jnp.asarray(SHIFTS)[label][:, None]

    def render(self, state, w, rounded=True):
        assert not rounded
        return (w @ ROTATION.T).reshape(-1, 4, 4, 1)


class Codes:
    """Its codes are in the direction of the class, of the length of the first pixel."""

    given = ("label",)

    def encode(self, state, x, rng, given=None):
        x = jnp.asarray(x[:, 0, 0], jnp.float32)
        return (x * (jnp.asarray(given["label"])[:, None] == jnp.arange(2)[None]),)

    def decode(self, state, z, given=None, rounded=False):
        own = jnp.take_along_axis(z[0], given["label"][:, None], axis=1)
        return jnp.tile(own, (1, 16)).reshape(-1, 4, 4, 1)


class Trebled:
    """Pixels, with a distance of its own: three times the squared one of levels."""

    name = label = "trebled"
    fingerprint = {"extractor": "trebled"}

    def distance_of_levels(self, x, y):
        return 3 * np.square(np.asarray(x) - np.asarray(y)).reshape(len(x), -1).sum(1)


def compared(method, reader=None, spec=SPEC, test=None, label=None, **options):
    x = np.zeros((8, *spec.shape), np.uint8) if test is None else test
    label = np.arange(len(x), dtype=np.int32) % 2 if label is None else label
    dataset = Dataset(
        spec,
        {
            "train": ArraySplit({"x": x, "label": label}),
            "test": ArraySplit({"x": x, "label": label}),
        },
        "test",
    )
    subject = Subject(spec, spec.levels, [ArraySet(x)], method=method)
    return Comparison(subject, dataset, reader or extractor("pixels", spec), **options)


def ppl(*args, **options):
    found, _ = measure(compared(*args, pairs=5000, **options), "ppl")
    return {m.name: m for m in found}


def squared_step(dims):
    """E |dp/dt|^2 of the path in z between two normals: 2 var |a| + E |a|^2 angle^2."""
    mean = np.sqrt(2) * np.exp(np.diff(scipy.special.gammaln([dims / 2, (dims + 1) / 2]))[0])
    t = np.linspace(0, np.pi, 20_001)
    density = np.sin(t) ** (dims - 2)
    return 2 * (dims - mean**2) + dims * (t**2 * density).sum() / density.sum()


def close(row, expected):
    """Within four standard errors, which are few per cent, and two that the trimming may take."""
    error = (row.high - row.low) / 3.92
    assert error < 0.03 * expected
    assert abs(row.value - expected) < 4 * error + 0.02 * expected


def test_a_pair_of_a_conditional_generator_has_one_class():
    found = ppl(Linear())
    assert set(found) == {"ppl_z-pixels"}
    row = found["ppl_z-pixels"]
    close(row, np.mean(SCALES**2) * squared_step(DIMS) / TOP**2)
    assert row.fingerprint["classes"] == "one a pair"


def test_a_path_through_images_that_are_not_finite_has_no_length():
    """One such pair of thousands would make the mean and its error NaN."""

    class Bursting(Linear):
        def decode(self, state, z, given=None, rounded=True):
            x = super().decode(state, z, given, rounded)
            return jnp.where(z[:, :1, None, None] > 2, jnp.inf, x)

    _, missing = measure(compared(Bursting(), pairs=100), "ppl,fd", lenient=True)
    assert re.fullmatch(r"\d+ of 100 paths have images that are not finite", missing["ppl"])


def test_lengths_in_latent_spaces_of_different_models_are_not_ranked():
    def row(method, width):
        c = compared(method, pairs=100)
        state = types.SimpleNamespace(params={"w": np.zeros(width)})
        subject = dataclasses.replace(c.subject, state=state)
        found, _ = measure(dataclasses.replace(c, subject=subject), "ppl")
        return {m.name: m for m in found}["ppl_z-pixels"].fingerprint

    assert equal(row(Linear(), 3), row(Linear(), 3))
    assert set(differences(row(Linear(), 3), row(Linear(), 4))) == {"model"}
    assert set(differences(row(Linear(), 3), row(Styled(), 3))) == {"model"}


def test_a_pair_of_styles_has_one_class():
    found = ppl(Styled())
    assert set(found) == {"ppl_z-pixels", "ppl_w-pixels"}
    row = found["ppl_w-pixels"]
    # of w = z M_k: E |(z' - z) M_k|^2 = 2 |M_k|^2, and the rotation keeps lengths
    close(row, 2 * np.mean([np.sum(m.astype(np.float64) ** 2) for m in MAPPING]) / TOP**2)
    assert (row.fingerprint["path"], row.fingerprint["space"]) == ("linear", "w")


def test_a_pair_of_codes_is_of_examples_of_one_class():
    x = np.zeros((60, 4, 4, 1), np.uint8)
    x[:, 0, 0, 0] = np.random.RandomState(1).randint(1, TOP, 60)
    label = (np.arange(60) % 3 > 0).astype(np.int32)  # two thirds are of class 1
    lengths = x[:, 0, 0, 0].astype(np.float64)
    of_class = [2 * np.var(lengths[label == k]) for k in range(2)]
    row = ppl(Codes(), test=x, label=label)["ppl_codes-pixels"]
    close(row, 16 * np.dot([1 / 3, 2 / 3], of_class) / TOP**2)


def test_the_distance_is_the_extractors_own():
    row = ppl(Linear(), Trebled())["ppl_z-trebled"]
    close(row, 3 * np.mean(SCALES**2) * squared_step(DIMS))
    assert (row.fingerprint["distance"], row.fingerprint["extractor"]) == ("trebled", "trebled")


def test_lpips_takes_real_levels(monkeypatch):
    """The network is given [-1, 1] in three channels, not rounded."""
    given = []

    def between(params, both):
        given.append(both)
        return {"distance": both.sum((1, 2, 3, 4))}

    monkeypatch.setattr(perceptual, "_between", between)
    spec = DataSpec.of("grey", (16, 16, 1), 17)
    network = perceptual.PerceptualFeatures(spec, {}, "ab")
    x = np.zeros((2, 16, 16, 1), np.float32)
    x[:, 0, 0, 0] = 16, 4.1
    assert len(network.distance_of_levels(x, x + 17)) == 2
    np.testing.assert_allclose(given[0][:2, 0, 0, 0], [[1.0] * 3, [4.1 / 8 - 1] * 3], rtol=1e-6)
    np.testing.assert_allclose(given[0][:2, 1, 1, 1, 0], 17 / 8 - 1)
    nothing = perceptual.PerceptualFeatures(
        spec.with_field("x", levels=None, dtype="float32"), {}, "ab"
    )
    with pytest.raises(ConfigError, match="images of grey levels, grey has none"):
        nothing.distance_of_levels(x, x)


@pytest.mark.slow  # VGG-16
def test_path_length_of_lpips(monkeypatch):
    """Against steps a hundred times as long, drawn and decoded apart from the metric."""
    rows = np.random.RandomState(3)
    spec = DataSpec.of("grey", (16, 16, 1), 256)
    matrix = (10 * rows.randn(DIMS, 256)).astype(np.float32)

    class Plain:
        def latents(self, rng, num):
            return random.normal(rng, (num, DIMS))

        def decode(self, state, z, rounded=True):
            return 127.5 + (z @ matrix).reshape(-1, 16, 16, 1)

    trunk, heads = {}, {}
    shapes = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), *[(256, 256)] * 2, (256, 512)]
    layers = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    for layer, (i, o) in zip(layers, [*shapes, *[(512, 512)] * 5], strict=True):
        scale = np.sqrt(2 / (9 * i))
        trunk[f"features.{layer}.weight"] = (scale * rows.randn(o, i, 3, 3)).astype(np.float32)
        trunk[f"features.{layer}.bias"] = np.zeros(o, np.float32)
    for i, width in enumerate((64, 128, 256, 512, 512)):
        heads[f"lin{i}.model.1.weight"] = rows.rand(1, width, 1, 1).astype(np.float32)
    files = {"vgg16": (trunk, "aaaaaaaaa"), "lpips": (heads, "bbb")}
    monkeypatch.setattr(perceptual.files, "arrays", lambda name, *_: files[name])
    network = extractor("lpips_vgg", spec)
    found, _ = measure(compared(Plain(), network, spec, pairs=100), "ppl")
    row = found[0]
    assert row.name == "ppl_z-lpips_vgg@aaaaaaaa"
    assert row.fingerprint["weights_sha256"] == "aaaaaaaaa+bbb"
    a, b = rows.randn(2, 64, DIMS)
    lengths = [np.linalg.norm(z, axis=1, keepdims=True) for z in (a, b)]
    angle = np.arccos(np.sum(a * b / lengths[0] / lengths[1], axis=1, keepdims=True))
    t = 1e-2
    mixed = np.sin((1 - t) * angle) * a / lengths[0] + np.sin(t * angle) * b / lengths[1]
    moved = mixed / np.sin(angle) * (lengths[0] + t * (lengths[1] - lengths[0]))
    x, y = ((z @ matrix / 127.5).reshape(-1, 16, 16, 1).astype(np.float32) for z in (a, moved))
    x, y = (z.clip(-1, 1) for z in (x, y))
    expected = network.distance(x, y) / t**2
    errors = (row.high - row.low) / 3.92, expected.std() / 8
    assert max(errors) < 0.1 * row.value
    assert abs(row.value - expected.mean()) < 3 * np.hypot(*errors) + 0.03 * row.value


@pytest.fixture(scope="module")
def scans(data_root):
    return load("digits", data_dir=str(data_root))


@pytest.fixture(scope="module")
def pool(scans):
    """The train split in order of turn: example i is of class i modulo 10."""
    batch = scans.splits["train"].take(np.arange(len(scans.splits["train"])))
    rows = np.stack([np.flatnonzero(batch["label"] == k)[:130] for k in range(10)], 1).ravel()
    return batch["x"][rows]


def read(scans, reader, x, labelled=None):
    asked = {"method": object(), "labelled": ArraySet(labelled[0])} if labelled else {}
    subject = Subject(scans.spec, 17, [ArraySet(x)], **asked)
    return Comparison(subject, scans, reader, max_examples=1000)


def test_accuracy_and_score_of_what_is_of_its_class(digits_classifier, scans, pool, monkeypatch):
    """Real scans are of the class asked for; of 10 even classes the score is nearly 10."""
    monkeypatch.setattr(classifier, "_steps", lambda count: 40)
    x = pool[:1000]
    found, _ = measure(read(scans, digits_classifier, x, (x,)), "score,classes,cas")
    rows = {m.name: m for m in found}
    label = digits_classifier.label
    accuracy = rows[f"class_accuracy-{label}"]
    logits = digits_classifier(x)["logits"]
    assert accuracy.value == (logits.argmax(1) == np.arange(1000) % 10).mean() > 0.99
    assert accuracy.context["of_real"] == digits_classifier.accuracy
    assert rows["cas"].value > 0.9
    assert (rows["cas"].fingerprint["num_real"], rows["cas"].fingerprint["split"]) == (297, "test")
    score = rows[f"score-{label}"].value
    log_p = scipy.special.log_softmax(logits.astype(np.float64), axis=1)
    order = np.random.RandomState(2020).permutation(1000)
    parts = [log_p[order[i : i + 100]] for i in range(0, 1000, 100)]
    kl = [np.sum(np.exp(p) * (p - np.log(np.exp(p).mean(0))), 1).mean() for p in parts]
    np.testing.assert_allclose(score, np.mean(np.exp(kl)), rtol=1e-5)
    assert 9 < score <= 10


def test_a_wrong_class_is_seen(digits_classifier, scans, pool, monkeypatch):
    """Every class is drawn as the next: nothing is right, by both measures."""
    monkeypatch.setattr(classifier, "_steps", lambda count: 40)
    x = np.roll(pool[:1000], -1, axis=0)
    found, _ = measure(read(scans, digits_classifier, x, (x,)), "classes,cas")
    rows = {m.name.partition("-")[0]: m for m in found}
    assert rows["class_accuracy"].value < 0.01 and rows["cas"].value < 0.1


def test_one_class_alone_has_a_score_of_one(digits_classifier, scans, pool):
    found, _ = measure(read(scans, digits_classifier, pool[3::10]), "score,modes")
    rows = {m.name.partition("-")[0]: m.value for m in found}
    assert 1 <= rows["score"] < 1.2 and rows["modes"] <= 2


def test_what_has_no_classes_or_paths():
    c = compared(types.SimpleNamespace())
    _, missing = measure(c, "ppl,classes,fd", lenient=True)
    assert missing["fd"] == "all real examples of train have the same features"
    assert missing["ppl"] == "SimpleNamespace has no decode"
    assert missing["classes"] == "classes are of conditional models, this one takes no class"
