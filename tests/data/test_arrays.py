"""Arrays in files: what each layout becomes, and what is refused with which words."""

import numpy as np
import pytest

import jaxgen.data
from jaxgen.data import DataError

RANDOM = np.random.RandomState(0)
IMAGES = RANDOM.randint(256, size=(20, 6, 5, 3)).astype(np.uint8)
LABELS = np.arange(20) % 4


def everything(split):
    return split.take(np.arange(len(split)))


@pytest.mark.parametrize(
    ("x", "shape", "dtype", "levels"),
    [
        (IMAGES, (6, 5, 3), np.uint8, 256),
        (IMAGES[..., 0], (6, 5, 1), np.uint8, 256),
        (IMAGES.astype(np.uint16) * 257, (6, 5, 3), np.uint16, 65536),
        (IMAGES.astype(">u2"), (6, 5, 3), np.uint16, 65536),
        (IMAGES > 127, (6, 5, 3), np.uint8, 2),
        (IMAGES / 255, (6, 5, 3), np.float32, None),
        (IMAGES.astype(np.float16), (6, 5, 3), np.float32, None),
        (RANDOM.randn(20, 7), (7,), np.float32, None),
    ],
)
@pytest.mark.parametrize("form", ["npy", "mapped", "npz"])
def test_layouts(tmp_path, x, shape, dtype, levels, form):
    path = tmp_path / ("a.npz" if form == "npz" else "a.npy")
    np.savez(path, x=x, y=LABELS) if form == "npz" else np.save(path, x)
    memory = 0 if form == "mapped" else 512
    options = dict(test_fraction=0.25, in_memory_mb=memory, standardize=False)
    data = jaxgen.data.load(str(path), **options)
    assert (data.spec.name, data.spec.shape, data.spec.levels) == ("a", shape, levels)
    assert data.spec.num_classes == (4 if form == "npz" else 0)
    train, test = (everything(data.splits[name]) for name in ("train", "test"))
    assert (len(train["x"]), len(test["x"])) == (15, 5)
    assert train["x"].dtype == dtype and train["x"].dtype.isnative
    got = np.concatenate([train["x"], test["x"]])
    expected = x.astype(dtype).reshape(20, *shape)
    assert sorted(map(bytes, got)) == sorted(map(bytes, expected))
    if form == "npz":
        both = np.concatenate([train["label"], test["label"]])
        for row, label in zip(got, both, strict=True):
            assert LABELS[(expected == row).reshape(20, -1).all(1)].tolist() == [label]
    assert ("mapped from disk" if form == "mapped" else "in memory") in data.report()
    assert data.fingerprint()["splits"]["train"]["count"] == 15


def test_the_division_depends_on_its_seed_alone(tmp_path):
    np.save(tmp_path / "a.npy", RANDOM.randn(50, 2))

    def test_rows(seed):
        data = jaxgen.data.load(str(tmp_path / "a.npy"), seed=seed)
        return everything(data.splits["test"])["x"].tolist()

    assert test_rows(0) == test_rows(0) != test_rows(1)


@pytest.mark.parametrize(
    "keys",
    [
        ("x_train", "x_test", "y_train", "y_test"),
        ("train_images", "test_images", "train_labels", "test_labels"),
        ("images_train", "images_test", "labels_train", "labels_test"),
    ],
)
def test_given_splits(tmp_path, keys):
    column = LABELS[:, None]  # as in MedMNIST
    values = (IMAGES[:12], IMAGES[12:], column[:12], column[12:])
    np.savez(tmp_path / "a.npz", **dict(zip(keys, values, strict=True)), other=np.zeros(3))
    data = jaxgen.data.load(str(tmp_path / "a.npz"))
    for name, part in (("train", slice(12)), ("test", slice(12, None))):
        batch = everything(data.splits[name])
        np.testing.assert_array_equal(batch["x"], IMAGES[part])
        np.testing.assert_array_equal(batch["label"], LABELS[part])


def test_resizing(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES)
    for memory in (512, 0):
        data = jaxgen.data.load(
            str(tmp_path / "a.npy"), size=(4, 4), fit="crop", in_memory_mb=memory
        )
        assert data.spec.shape == (4, 4, 3)
        assert everything(data.splits["train"])["x"].shape == (18, 4, 4, 3)
        with pytest.raises(DataError, match="expected images of 9x9, got 6x5"):
            jaxgen.data.load(str(tmp_path / "a.npy"), size=9, in_memory_mb=memory)


def test_dark_images_earn_a_warning(tmp_path):
    np.save(tmp_path / "a.npy", (IMAGES > 127).astype(np.uint8))
    report = jaxgen.data.load(str(tmp_path / "a.npy")).report()
    assert "largest value is 1 of 0..255" in report and "only 18 train examples" in report


def bad(x, index, value):
    x = np.array(x)
    x[index] = value
    return x


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"x": IMAGES.transpose(0, 3, 1, 2)}, r"\[N, C, H, W\]; .* x.transpose\(0, 2, 3, 1\)"),
        ({"x": IMAGES.astype(np.int64)}, r"got int64 .*x.astype\(numpy.uint8\)"),
        ({"x": IMAGES.reshape(20, -1)}, r"points \[N, D\] must be floats"),
        ({"x": IMAGES[:, 0, 0, 0]}, r"x\[:, None\]"),
        ({"x": IMAGES[:0]}, "at least one example"),
        ({"x": IMAGES[:1]}, "at least 2 examples"),
        ({"x": bad(IMAGES / 255, (3, 1, 2, 0), np.nan)}, r"x\[3, 1, 2, 0\] is nan"),
        ({"x": bad(np.zeros((9, 2)), (4, 1), np.inf)}, r"x\[4, 1\] is inf"),
        ({"x": bad(np.zeros((9, 2)), (4, 1), 1e300)}, r"x\[4, 1\] is 1e\+300"),
        ({"a": IMAGES}, "expected x, images or image .*; got a"),
        ({"X": RANDOM.rand(9, 2), "y": np.arange(9) - 1}, "expected labels 0 .. classes - 1"),
        ({"arr_0": RANDOM.rand(1, 2)}, "at least 2 examples"),
        ({"x_test": IMAGES}, "no train split"),
        ({"x": IMAGES, "y": LABELS[:3]}, "20 examples but 3 labels"),
        ({"x": IMAGES, "y": LABELS - 1}, "expected labels 0 .. classes - 1, got -1"),
        ({"x": IMAGES, "y": np.eye(4)[LABELS]}, r"labels.argmax\(1\)"),
        ({"x": IMAGES, "y": LABELS / 2}, "label 1 is 0.5, expected whole numbers"),
        ({"x": IMAGES, "y": LABELS + 2**40}, r"expected labels 0 .. classes - 1, got 10995\d+ in"),
        ({"x": IMAGES, "y": LABELS.astype(str)}, r"got <U21 \[20\]; save numpy.unique"),
        ({"x": IMAGES, "y": np.float32([np.nan] * 20)}, "label 0 is nan"),
        ({"x": IMAGES, "y": 3}, "expected integer labels"),
        ({"x": np.ones((9, 2))}, r"constant in the train split: 0 \(1\), 1 \(1\)"),
        (
            {"x": RANDOM.rand(9, 2), "context": np.zeros(4)},
            r"context is .* expected numbers \[9, C\]",
        ),
        ({"x": RANDOM.rand(2, 2), "context": [0, np.nan]}, r"context\[1, 0\] is not finite"),
        ({"x": IMAGES, "context": np.zeros(20)}, r"context are of rows \[N, D\] of floats"),
        ({"x_train": IMAGES, "x_test": IMAGES[:, :4]}, "expected the same of both"),
        ({"x_train": IMAGES, "x_test": IMAGES, "y_test": LABELS}, "labels of both splits"),
        ({"x": np.array([None, 1])}, "cannot be read as plain numbers"),
    ],
)
def test_bad_contents(tmp_path, content, message):
    np.savez(tmp_path / "a.npz", **content)
    with pytest.raises(DataError, match=message) as caught:
        jaxgen.data.load(str(tmp_path / "a.npz"))
    assert "a.npz" in str(caught.value) or "examples" in str(caught.value)


def test_what_is_not_used_is_named(tmp_path):
    extra = {"x_val": IMAGES[:3], "y_val": LABELS[:3], "mean": np.zeros(4)}
    np.savez(tmp_path / "a.npz", x=IMAGES, y=LABELS, x_test=IMAGES[:5], y_test=LABELS[:5], **extra)
    data = jaxgen.data.load(str(tmp_path / "a.npz"))
    assert [len(split) for split in data.splits.values()] == [20, 5]
    for text in ("x_val, uint8 [3, 6, 5, 3]", "y_val, int64 [3]", "mean, float64 [4]"):
        assert f"not used: array {text}" in data.report()
    np.savez(tmp_path / "a.npz", x=IMAGES, objects=np.array([None]))
    assert "not used: array objects" in jaxgen.data.load(str(tmp_path / "a.npz")).report()


@pytest.mark.parametrize("key", ["x_val", "val_x", "x_valid", "x_validation"])
def test_validation_stands_in_for_a_test(tmp_path, key):
    np.savez(tmp_path / "a.npz", x=IMAGES, **{key: IMAGES[:3]})
    data = jaxgen.data.load(str(tmp_path / "a.npz"))
    assert [len(split) for split in data.splits.values()] == [20, 3]
    assert f"no test split: {key} stands in" in data.report()


def test_labels_of_other_types(tmp_path):
    for label in (LABELS.astype(np.float64), LABELS.astype(np.uint64)[:, None], LABELS > 1):
        np.savez(tmp_path / "a.npz", x=IMAGES, y=label)
        assert jaxgen.data.load(str(tmp_path / "a.npz")).spec.num_classes == int(label.max()) + 1


@pytest.mark.parametrize("name", ["a.npz", "a.npy"])
@pytest.mark.parametrize("content", [b"", b"nonsense", b"half"])
def test_damaged_files(tmp_path, name, content):
    path = tmp_path / name
    if content == b"half":
        np.savez(path, x=IMAGES) if name == "a.npz" else np.save(path, IMAGES)
        content = path.read_bytes()[:1000]
    path.write_bytes(content)
    for memory in (512, 0):
        with pytest.raises(DataError, match=name):
            jaxgen.data.load(str(path), in_memory_mb=memory)


@pytest.mark.parametrize(
    ("low", "high", "wanted", "found"),
    [
        (0, 1, None, "0 to 1 (found"),
        (-1, 1, None, "-1 to 1 (found"),
        (0, 255, None, "0 to 255 (found"),
        (-3, 7, None, "-3 to 7 (found"),
        (0, 0.5, "0,0.5", "0 to 0.5 (as asked for)"),
    ],
)
def test_the_range_of_floats_is_found_or_asked_for(tmp_path, low, high, wanted, found):
    x = np.linspace(low, high, 20 * 16).reshape(20, 4, 4, 1)
    np.save(tmp_path / "a.npy", x)
    data = jaxgen.data.load(str(tmp_path / "a.npy"), range=wanted)
    assert f"range: {found}" in data.report()
    assert data.spec.x.range == tuple(map(float, wanted.split(",") if wanted else (low, high)))
    with pytest.raises(DataError, match="data.range=0,0.1, but values of a go from"):
        jaxgen.data.load(str(tmp_path / "a.npy"), range=(0, 0.1))
    with pytest.raises(DataError, match="expected data.range as LOW,HIGH, e.g. 0,255; got"):
        jaxgen.data.load(str(tmp_path / "a.npy"), range="1")
    with pytest.raises(DataError, match="data.range is of images of floats; digits holds none"):
        jaxgen.data.load("digits", range=(0, 16))
