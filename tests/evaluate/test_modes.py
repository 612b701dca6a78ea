"""Mode coverage of samples whose modes are known."""

import numpy as np
import pytest

from jaxgen.data.embedded import toys
from jaxgen.evaluate.metrics.modes import digit_coverage, digit_reader, gaussian_coverage

RANDOM = np.random.RandomState(0)


@pytest.mark.parametrize("name", toys.MIXTURES)
def test_the_truth_covers_all(name):
    x, _ = toys.TOYS[name].sample(RANDOM, 20_000)
    found = gaussian_coverage(x, *toys.modes(name))
    assert found.modes == found.of == toys.TOYS[name].num_labels
    within = 1 - np.exp(-9 / 2)  # of a round Gaussian of the plane, three deviations
    assert abs(found.high_quality - within) < 4 * np.sqrt(within * (1 - within) / 20_000)
    assert 0 <= found.reverse_kl < 2 * found.of / 20_000


def test_a_collapse_and_a_blur():
    means, std = toys.modes("grid25")
    some = means[[3, 3, 7, 11]] + std * np.array([[0, 0], [0, 2.9], [0, 3.1], [1, 1]])
    found = gaussian_coverage(some, means, std)
    assert (found.modes, found.of, found.high_quality) == (2, 25, 0.75)
    shares = np.array([2 / 3, 1 / 3])
    np.testing.assert_allclose(found.reverse_kl, (shares * np.log(shares * 25)).sum())
    far = gaussian_coverage(means + 10, means, std)
    assert far.modes == 0 and far.high_quality == 0 and far.reverse_kl == np.inf


def test_digits_are_read():
    reader, accuracy = digit_reader()
    assert accuracy > 0.985
    import sklearn.datasets

    scans, label = sklearn.datasets.load_digits(return_X_y=True)
    rows = RANDOM.randint(len(scans), size=(500, 3))
    x = scans[rows].reshape(-1, 3, 8, 8).transpose(0, 2, 3, 1)
    found = digit_coverage(x)
    spelt = {tuple(row) for row in label[rows]}
    assert abs(found.modes - len(spelt)) <= 2 and found.of == 1000
    one = digit_coverage(np.repeat(x[:1], 50, axis=0))
    assert one.modes == 1
    np.testing.assert_allclose(one.reverse_kl, np.log(1000))
