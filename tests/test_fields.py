"""What a data set says of its fields: what goes together, batches, JSON of now and of before."""

import dataclasses
import json
import pathlib

import jax
import numpy as np
import pytest

from jaxgen.data.dataset import ArraySplit, DataError, Dataset, described
from jaxgen.data.loader import eval_batches, train_batches
from jaxgen.fields import KINDS, DataSpec, Field, Units

LANDED = pathlib.Path(__file__).parent / "fixtures/landed"
FIELDS = {
    "image": Field("image", (8, 8, 1), "uint8", levels=17),
    "continuous": Field("image", (8, 8, 3), range=(-1.0, 1.0)),
    "volume": Field("volume", (4, 8, 8, 1), "uint16", levels=4096),
    "vector": Field("vector", (2,), names=("a", "b"), units=Units((0.0, 1.0), (2.0, 3.0))),
    "sequence": Field("sequence", (100, 2)),
    "label": Field("label", (), "int32", classes=10),
    "tokens": Field("tokens", (12,), "int32", vocabulary=50257),
    "layout": Field("layout", (8, 8), "int32", classes=35),
    "instances": Field("instances", (8, 8), "int32"),
}
SPEC = DataSpec("all", {"x": FIELDS["image"], **FIELDS}, entropy=1.5)


def arrays(count, seed=0):
    """Random examples of every field."""
    random = np.random.RandomState(seed)
    return {
        name: (
            random.randint(f.values, size=(count, *f.shape))
            if f.values
            else random.randn(count, *f.shape)
        ).astype(f.dtype)
        for name, f in SPEC.fields.items()
    }


def test_json():
    assert set(KINDS) == {field.kind for field in FIELDS.values()}
    assert DataSpec.from_json(json.loads(json.dumps(SPEC.as_json()))) == SPEC
    assert hash(SPEC) == hash(DataSpec.from_json(SPEC.as_json()))


@pytest.mark.parametrize(
    "path", sorted(LANDED.glob("*/manifest.json")), ids=lambda p: p.parent.name
)
def test_json_of_version_0_1(path):
    """Runs of before there were fields."""
    stored = json.loads(path.read_text())["data"]["spec"]
    assert "fields" not in stored
    spec = DataSpec.from_json(stored)
    assert (spec.name, list(spec.shape)) == (stored["name"], stored["shape"])
    assert (spec.levels, spec.num_classes) == (stored["levels"], stored["num_classes"])


@pytest.mark.parametrize("name", FIELDS)
def test_numbers(name):
    field = FIELDS[name]
    wanted = {"image": 17, "volume": 4096, "label": 10, "tokens": 50257, "layout": 35}
    assert field.values == wanted.get(name)
    assert field.dims == int(np.prod(field.shape))
    assert "8x8x1" not in described(field) or name in ("image", "volume")


WRONG = [
    (dict(kind="picture"), "of kind 'picture', expected one of image, volume"),
    (dict(kind="image", shape=(8, 8)), r"image of shape \(8, 8\), expected \[H, W, C\]"),
    (dict(kind="vector", shape=(0,)), r"expected \[D\]"),
    (dict(kind="label", shape=(1,), dtype="int32", classes=3), r"label of shape \(1,\)"),
    (dict(kind="image", shape=(8, 8, 1), dtype="float64"), "image of float64, expected uint8"),
    (dict(kind="image", shape=(8, 8, 1), dtype="uint8"), "image of uint8: expected levels="),
    (dict(kind="image", shape=(8, 8, 1), levels=17), "expected no number of values, got"),
    (dict(kind="label", dtype="int32"), "label of int32: expected classes="),
    (dict(kind="tokens", shape=(4,), dtype="int32", classes=4), "expected vocabulary=, got"),
    (dict(kind="label", dtype="int32", classes=0), "classes=0, expected an integer above zero"),
    (dict(kind="label", dtype="int32", classes=2.5), "classes=2.5, expected an integer"),
    (dict(kind="vector", shape=(2,), names=("a",)), "with 1 names, expected one for each number"),
    (dict(kind="image", shape=(8, 8, 1), range=(1.0, 1.0)), "a lower and a higher end"),
    (dict(kind="vector", shape=(2,), units=Units((0.0,), (1.0,))), "expected 2 shifts and scales"),
    (dict(kind="vector", shape=(1,), units=Units((0.0,), (0.0,))), "scales above zero"),
]


@pytest.mark.parametrize(("given", "said"), WRONG, ids=[said for _, said in WRONG])
def test_what_does_not_go_together(given, said):
    with pytest.raises(ValueError, match=said):
        Field(**given)


def test_x_is_needed():
    with pytest.raises(ValueError, match="expected a field x, got label"):
        DataSpec("d", {"label": FIELDS["label"]})
    with pytest.raises(ValueError, match=r"shape \(2, 3\), expected \[D\], \[H, W, C\]"):
        DataSpec.of("d", (2, 3))


def test_batches():
    """The spec's batch is what the loader gives, of every field, each row whole."""
    held = arrays(20)
    split = ArraySplit(held)
    shapes = {
        k: jax.ShapeDtypeStruct(v.shape, v.dtype) for k, v in split.take(np.arange(6)).items()
    }
    assert shapes == SPEC.batch(6)
    batches = train_batches(split, 4, seed=0, threads=0)
    _, batch = next(batches)
    batches.close()
    at = [int(np.flatnonzero((held["vector"] == v).all(1))[0]) for v in batch["vector"]]
    for name, array in batch.items():
        np.testing.assert_array_equal(array, held[name][at])
    first = next(iter(eval_batches(split, 4, threads=0)))
    assert set(first) == {*SPEC.fields, "weight"}


def test_every_field_is_in_the_fingerprint():
    held = arrays(20)

    def fingerprint(**changes):
        splits = {k: ArraySplit({**held, **changes}) for k in ("train", "test")}
        return Dataset(SPEC, splits, "test").fingerprint()

    seen = [json.dumps(fingerprint(), sort_keys=True)]
    for name, array in held.items():
        other = array.copy()
        other[3] = other[3] + 1
        seen.append(json.dumps(fingerprint(**{name: other}), sort_keys=True))
    assert len(set(seen)) == len(seen)
    swapped = dataclasses.replace(FIELDS["tokens"], vocabulary=50258)
    spec = SPEC.with_field("tokens", vocabulary=50258)
    assert spec.fields["tokens"] == swapped
    split = {"train": ArraySplit(held)}
    one, two = (Dataset(s, split, "test").fingerprint() for s in (SPEC, spec))
    assert one != two


def test_report_tells_of_every_field():
    splits = {k: ArraySplit(arrays(2000)) for k in ("train", "test")}
    report = Dataset(SPEC, splits, "test").report()
    assert "size: 8x8x1 (H x W x C), 17 grey levels" in report
    assert "tokens: 12 (T), 50257 tokens" in report
    assert "layout: 8x8 (H x W), 35 classes" in report
    assert "sequence: 100x2 (T x C), continuous" in report


def test_as_many_of_each_field():
    with pytest.raises(DataError, match="as many of each field, got .*'label': 3"):
        ArraySplit(arrays(4) | {"label": np.zeros(3, np.int32)})
