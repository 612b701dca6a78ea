"""Two domains without pairs: each in its own order, exact in any division; folders of them."""

import collections
import shutil

import numpy as np
import pytest

import jaxgen.data
from jaxgen.data import DataError
from jaxgen.data.augment import training
from jaxgen.data.dataset import ArraySplit
from jaxgen.data.domains import UnpairedSplit
from jaxgen.data.embedded import digits_two
from jaxgen.data.loader import eval_batches, train_batches

KINDS = {"threads": 0, "seed": 3}


def numbered(count, first=0):
    """Images 1x1x1 that say which they are."""
    return ArraySplit({"x": np.arange(first, first + count, dtype=np.int32).reshape(-1, 1, 1, 1)})


SPLIT = UnpairedSplit(numbered(7), numbered(10, 100))


def batches(count, **options):
    stream = train_batches(SPLIT, 4, **KINDS | options)
    found = [next(stream)[1] for _ in range(count)]
    stream.close()
    return {k: np.stack([b[k].ravel() for b in found]) for k in found[0]}


def test_each_domain_has_its_own_epochs():
    """140 of either: every A twenty times, every B fourteen times, and each epoch whole."""
    found = batches(35)
    a, b = found["x"].ravel(), found["b"].ravel() - 100
    assert set(collections.Counter(a).values()) == {20} and len(set(a)) == 7
    assert set(collections.Counter(b).values()) == {14} and len(set(b)) == 10
    for values, count in ((a, 7), (b, 10)):
        epochs = values.reshape(-1, count)
        assert all(set(epoch) == set(range(count)) for epoch in epochs)
        assert len({tuple(epoch) for epoch in epochs}) > 1


def test_domains_do_not_walk_in_step():
    """Of as many each no A has the same B twice in a row of epochs."""
    split = UnpairedSplit(numbered(8), numbered(8))
    stream = train_batches(split, 8, **KINDS)
    pairs = [next(stream)[1] for _ in range(20)]
    stream.close()
    same = np.mean([p["x"].ravel() == p["b"].ravel() for p in pairs])
    assert same < 0.4
    assert len({tuple(zip(p["x"].ravel(), p["b"].ravel(), strict=True)) for p in pairs}) == 20


def test_resumed_and_divided_batches_are_the_same():
    whole = batches(9)
    late = batches(4, start=5)
    parts = [batches(9, process_index=i, process_count=2) for i in range(2)]
    for key, rows in whole.items():
        np.testing.assert_array_equal(late[key], rows[5:])
        np.testing.assert_array_equal(np.concatenate([p[key] for p in parts], axis=1), rows)


def test_evaluation_pairs_by_index_and_sees_all():
    found = [b for b in eval_batches(SPLIT, 4, threads=0)]
    kept = np.concatenate([b["weight"] for b in found]) > 0
    a, b = (np.concatenate([part[k].ravel() for part in found])[kept] for k in ("x", "b"))
    np.testing.assert_array_equal(b, np.arange(100, 110))
    np.testing.assert_array_equal(a, np.arange(10) % 7)


def test_digits_two_are_other_scans_and_the_test_pairs(data_root):
    data = jaxgen.data.load("digits_two", data_dir=str(data_root))
    bright = jaxgen.data.load("digits_two_bright", data_dir=str(data_root))
    scans = jaxgen.data.load("digits", data_dir=str(data_root)).splits["train"]
    every = scans.take(np.arange(1500))["x"]
    train, test = data.splits["train"], data.splits["test"]
    np.testing.assert_array_equal(train.a.x, every[:750])
    # ink is dark: what is written comes back from the darkest and the lightest paper
    ink = every[750:] / 16
    assert np.corrcoef(train.b.x.ravel(), ink.ravel())[0, 1] < -0.9
    both = test.take(np.arange(297))
    expected = 1 - 0.85 * (both["x"] / 16) ** 1.5
    paper = both["b"] / 255 / expected  # linear in place, between 0.55 and 0.95
    edges = paper[:, [0, 0, 7, 7], [0, 7, 0, 7], 0]
    assert 0.5 < edges.min() and edges.max() < 1
    clear = expected > 0.6  # elsewhere rounding tells
    place = np.stack([np.ones((8, 8)), *np.mgrid[:8, :8] / 7 - 0.5], -1)
    for k in range(50):
        where = clear[k, ..., 0]
        fit, *_ = np.linalg.lstsq(place[where], paper[k, ..., 0][where], rcond=None)
        np.testing.assert_allclose(place[where] @ fit, paper[k, ..., 0][where], atol=0.006)
        assert abs(fit[0] - 0.75) < 0.01 and abs(fit[1:]).max() < 0.21
    np.testing.assert_array_equal(bright.splits["test"].b.x, 255 - test.b.x)
    with pytest.raises(DataError, match="expected one of digits_two"):
        digits_two.load("digits_three")


def folder(write, root, names, size=(8, 8, 3)):
    for name, count in names.items():
        for i in range(count):
            write(root / name / f"{i}.png", size, seed=hash((name, i)) % 1000)
    return root


@pytest.mark.parametrize("style", ["cyclegan", "nested", "plain"])
def test_folders(write, tmp_path, style):
    names = {
        "cyclegan": {"trainA": 3, "trainB": 5, "testA": 2, "testB": 1},
        "nested": {"train/A": 3, "train/B": 5, "test/A": 2, "test/B": 1},
        "plain": {"A": 5, "B": 6},
    }[style]
    root = folder(write, tmp_path / "two", names)
    data = jaxgen.data.load(f"domains:{root}")
    train, test = data.splits["train"], data.splits["test"]
    if style == "plain":
        assert len(train.a) + len(test.a) == 5 and len(train.b) + len(test.b) == 6
        assert data.held_out
    else:
        assert [len(s) for s in (train.a, train.b, test.a, test.b)] == [3, 5, 2, 1]
    assert set(data.spec.fields) == {"x", "b"} and "A 3" in data.report() or style == "plain"
    zipped = shutil.make_archive(str(tmp_path / "two"), "zip", root)
    again = jaxgen.data.load(f"domains:{zipped}")
    assert again.splits["train"].sha256() and again.spec.fields == data.spec.fields
    np.testing.assert_array_equal(again.splits["train"].b.x, train.b.x)


def test_what_is_wrong_is_said_in_one_line(write, tmp_path):
    empty = folder(write, tmp_path / "one", {"trainA": 2})
    with pytest.raises(DataError, match="has no images of domain B: expected A/ and B/"):
        jaxgen.data.load(f"domains:{empty}")
    sizes = folder(write, tmp_path / "sizes", {"trainA": 2})
    folder(write, sizes, {"trainB": 2}, (6, 8, 3))
    with pytest.raises(DataError, match=r"8x8 and 6x8 \(height x width\); .*data.size"):
        jaxgen.data.load(f"domains:{sizes}")
    assert jaxgen.data.load(f"domains:{sizes}", size=8, fit="crop").spec.shape == (8, 8, 3)
    with pytest.raises(DataError, match="domain B has no examples"):
        UnpairedSplit(numbered(2), numbered(0))


def test_layouts_are_flipped_with_their_images(write, tmp_path):
    """Every pixel of the image is the class there."""
    layout = np.random.RandomState(0).randint(200, size=(6, 8, 8)).astype(np.uint8)
    split = ArraySplit({"x": layout[..., None], "layout": layout, "label": np.arange(6)})
    spec = jaxgen.data.from_arrays({"x": layout[..., None]}).spec
    data = jaxgen.data.Dataset(spec, {"train": split, "test": split}, "")
    stream = train_batches(training(data.augmented(True, 2)), 6, **KINDS)
    moved = [next(stream)[1] for _ in range(3)]
    stream.close()
    for batch in moved:
        np.testing.assert_array_equal(batch["x"][..., 0], batch["layout"])
    assert any((b["layout"] != layout[b["label"]]).any() for b in moved)


def test_resizing_leaves_no_field_behind(data_root):
    with pytest.raises(DataError, match="has b of the size of its images: leave out data.size"):
        jaxgen.data.load("digits_two", data_dir=str(data_root), size=16, fit="stretch")
