"""The order of batches: a function of seed and number, whatever the processes and restarts."""

import itertools
import threading
import time

import numpy as np
import pytest

from jaxgen.data import DataError
from jaxgen.data.dataset import ArraySplit, Split
from jaxgen.data.loader import eval_batches, train_batches


def numbered(count: int) -> ArraySplit:
    x = np.arange(count, dtype=np.float32)[:, None]
    return ArraySplit({"x": x, "label": np.arange(count, dtype=np.int32)})


def first(count: int, batches):
    taken = list(itertools.islice(batches, count))
    batches.close()
    return taken


def ids(batches) -> list[list[int]]:
    return [batch["label"].tolist() for _, batch in batches]


@pytest.mark.parametrize("threads", [0, 2])
def test_every_epoch_holds_every_example_once_in_a_new_order(threads):
    # 10 examples in batches of 4: epochs straddle batches.
    batches = first(15, train_batches(numbered(10), 4, seed=3, threads=threads))
    assert [index for index, _ in batches] == list(range(15))
    epochs = np.concatenate(ids(batches)).reshape(6, 10)
    for epoch in epochs:
        assert sorted(epoch) == list(range(10))
    assert len({tuple(epoch) for epoch in epochs}) == 6
    for _, batch in batches:
        assert batch["x"].shape == (4, 1) and batch["x"].dtype == np.float32
        np.testing.assert_array_equal(batch["x"][:, 0], batch["label"])


def test_order_is_pinned():
    """A change of order would change every recorded result."""
    (_, batch), *_ = first(1, train_batches(numbered(1000), 8, seed=0))
    assert batch["label"].tolist() == [882, 907, 205, 842, 743, 611, 332, 987]


def test_seed_decides_the_order():
    runs = [ids(first(5, train_batches(numbered(50), 8, seed=seed))) for seed in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize("start", [1, 7, 1000])
def test_start_resumes_the_same_sequence(start):
    whole = first(start + 5, train_batches(numbered(37), 8, seed=1))
    resumed = first(5, train_batches(numbered(37), 8, seed=1, start=start))
    assert [index for index, _ in resumed] == list(range(start, start + 5))
    assert ids(resumed) == ids(whole[start:])


def test_skipped_batches_are_left_out_and_the_rest_stay():
    whole = first(8, train_batches(numbered(37), 8, seed=1))
    left = first(5, train_batches(numbered(37), 8, seed=1, start=1, skipped=(0, 2, 5)))
    assert [index for index, _ in left] == [1, 3, 4, 6, 7]
    assert ids(left) == ids([whole[i] for i in (1, 3, 4, 6, 7)])


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_processes_share_the_same_global_batches(processes):
    whole = ids(first(9, train_batches(numbered(30), 8, seed=5)))
    parts = [
        ids(
            first(
                9,
                train_batches(numbered(30), 8, seed=5, process_index=p, process_count=processes),
            )
        )
        for p in range(processes)
    ]
    assert [sum(rows, []) for rows in zip(*parts, strict=True)] == whole


def test_fewer_examples_than_a_batch():
    ((_, batch),) = first(1, train_batches(numbered(3), 8, seed=0))
    assert sorted(batch["label"].tolist()[:6]) == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("processes", [1, 2, 4])
@pytest.mark.parametrize("count", [1, 7, 8, 9, 33])
def test_evaluation_covers_each_example_exactly_once(count, processes):
    weight = np.zeros(count)
    lengths = set()
    for p in range(processes):
        batches = list(eval_batches(numbered(count), 8, process_index=p, process_count=processes))
        lengths.add(len(batches))
        for batch in batches:
            assert batch["x"].shape == (8 // processes, 1)
            assert batch["weight"].shape == (8 // processes,)
            assert batch["weight"].dtype == np.float32
            np.add.at(weight, batch["label"], batch["weight"])
    assert lengths == {-(-count // 8)}
    np.testing.assert_array_equal(weight, 1)


def test_evaluation_subset_is_evenly_spaced():
    def seen(most):
        batches = eval_batches(numbered(100), 8, max_examples=most)
        return [i for b in batches for i, w in zip(b["label"], b["weight"], strict=True) if w]

    assert seen(10) == list(range(0, 100, 10))
    assert seen(1000) == list(range(100))


def test_closing_stops_the_threads():
    class Slow(Split):
        place = "nowhere"

        def __len__(self):
            return 100

        def take(self, indices):
            time.sleep(0.01)
            return {"x": np.zeros((len(indices), 1), np.float32)}

        def sha256(self):
            return ""

    before = set(threading.enumerate())
    batches = train_batches(Slow(), 4, seed=0, threads=3)
    next(batches)
    assert set(threading.enumerate()) - before
    batches.close()
    deadline = time.time() + 5
    while set(threading.enumerate()) - before and time.time() < deadline:
        time.sleep(0.01)
    assert not set(threading.enumerate()) - before


def test_an_error_while_reading_reaches_the_caller():
    class Bad(Split):
        place = "nowhere"

        def __len__(self):
            return 10

        def take(self, indices):
            raise DataError("damaged image a.png")

        def sha256(self):
            return ""

    for batches in (train_batches(Bad(), 4, seed=0), eval_batches(Bad(), 4)):
        with pytest.raises(DataError, match="damaged image a.png"):
            next(batches)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "batch size"),
        ({"batch_size": 9, "process_count": 2}, "positive multiple of the 2"),
        ({"process_index": 2, "process_count": 2}, "process index in 0 .. 1"),
        ({"seed": -1}, "data seed"),
        ({"split": ArraySplit({"x": np.zeros((0, 2), np.float32)})}, "at least one train example"),
    ],
)
def test_bad_arguments_are_refused_at_the_call(change, message):
    arguments = {"split": numbered(10), "batch_size": 4, "seed": 0} | change
    with pytest.raises(DataError, match=message):
        train_batches(**arguments)


def test_max_examples_must_be_positive():
    with pytest.raises(DataError, match="max_examples"):
        eval_batches(numbered(10), 4, max_examples=0)
