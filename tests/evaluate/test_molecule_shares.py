"""Shares of molecules by hand, characters that follow by chance, and a process by its formula."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.evaluate.molecules import END, Grams, worth
from jaxgen.ops import surrogate


def test_shares_by_hand():
    pytest.importorskip("rdkit")
    texts = ["CCO", "OCC", "c1ccccc1", "C1CC", "", "CCN", "CCN"]
    found = worth(texts, {"CCN", "CCCC"})
    assert found.molecules == ("CCO", "c1ccccc1", "CCN")
    assert (found.valid, found.unique, found.novel) == (5 / 7, 3 / 5, 2 / 3)
    nothing = worth(["C1CC"], {"C"})
    assert (nothing.valid, nothing.unique, nothing.novel) == (0, 0, 0)


def test_grams_follow_as_they_were_counted():
    texts = ["ab", "ab", "ac", "b"]
    assert Grams(texts, 2).counts["a"] == {"b": 2, "c": 1}
    assert Grams(texts, 1).counts[""] == {"a": 3, "b": 3, "c": 1, END: 4}
    drawn = Grams(texts, 3).sample(4000, 9)
    shares = [drawn.count(t) / 4000 for t in ("ab", "ac", "b")]
    np.testing.assert_allclose(shares, (0.5, 0.25, 0.25), atol=0.03)
    assert max(map(len, Grams(["aaaa"], 1).sample(200, 6))) == 6


@pytest.mark.filterwarnings("ignore:The optimal value found")
def test_the_process_is_that_of_scikit_learn():
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    random = np.random.RandomState(0)
    x = random.randn(60, 2)
    y = 3 - 2 * np.square(x - [0.5, -0.5]).sum(-1) + 0.01 * random.randn(60)
    alpha, length = surrogate.fitted(x, y)
    z, known, weights = (jnp.asarray(v, jnp.float32) for v in (random.randn(7, 2), x, alpha))
    mine = np.asarray(surrogate.mean(z, known, weights, length))
    start = 2**0.5
    kernel = ConstantKernel(1.0, (0.1, 30.0)) * RBF(start, (start / 30, 30 * start))
    kernel = kernel + WhiteKernel(0.3, (0.01, 10.0))
    scale = y.std()
    theirs = GaussianProcessRegressor(kernel, random_state=0).fit(x, (y - y.mean()) / scale)
    np.testing.assert_allclose(mine, scale * theirs.predict(z), atol=0.02 * scale)
    top = surrogate.ascended(z, known, weights, length, 80, 3.0)
    np.testing.assert_allclose(top, np.tile([0.5, -0.5], (7, 1)), atol=0.15)
    near = surrogate.ascended(z, known, weights, length, 80, 0.2)
    assert (np.linalg.norm(near, axis=-1) <= 0.2 + 1e-6).all()


@pytest.mark.parametrize("order", [1, 3])
def test_grams_are_a_distribution(order):
    """Shares of all texts of two letters, of counts by hand, sum to what is not longer."""
    grams = Grams(["ab", "ba", "a"], order)
    total = 0.0
    for length in range(5):
        for letters in itertools.product("ab", repeat=length):
            text, p = "".join(letters), 1.0
            for i, c in enumerate(text + END):
                row = grams.counts.get(text[max(i - order + 1, 0) : i], {})
                p *= row.get(c, 0) / max(sum(row.values()), 1)
            total += p
    assert total <= 1 + 1e-12 and (order == 1 or abs(total - 1) < 1e-12)
