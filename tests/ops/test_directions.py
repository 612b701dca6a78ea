"""Directions of attributes, against closed forms, NumPy and scikit-learn."""

import numpy as np
import pytest

from jaxgen.ops import directions, mean_shift

N, D = 600, 12


@pytest.fixture(scope="module")
def linear():
    """Codes A f + noise of factors that go together: codes, factors [N, 2], A [2, D]."""
    random = np.random.RandomState(0)
    factors = random.randint(0, 7, size=(6 * N, 2)).astype(float)
    keep = np.exp(-np.square((factors[:, 0] - factors[:, 1]) / 2)) > random.rand(len(factors))
    factors = factors[keep]
    slopes = random.randn(2, D)
    return factors @ slopes + 0.1 * random.randn(len(factors), D), factors, slopes


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def test_natural_length_is_the_mean_change_of_the_projection(linear):
    codes, factors, _ = linear
    found = directions.natural(np.ones(D), codes, factors[:, 0])
    along = codes @ (np.ones(D) / np.sqrt(D))
    slope = np.polyfit(factors[:, 0], along, 1)[0]
    np.testing.assert_allclose(found, np.ones(D) / np.sqrt(D) * slope, rtol=1e-9)
    with pytest.raises(ValueError, match="one value alone"):
        directions.natural(np.ones(D), codes, np.ones(len(codes)))


def test_mean_difference_of_two_normals():
    random = np.random.RandomState(1)
    shift = random.randn(D)
    attribute = np.repeat([0.0, 1.0], 4000)
    codes = random.randn(8000, D) + attribute[:, None] * shift
    found = directions.mean_difference(codes, attribute)
    np.testing.assert_allclose(found, shift, atol=5 * np.sqrt(2 / 4000))


def test_of_factors_that_go_together_the_mean_difference_drags_and_conditional_forms_do_not(linear):
    codes, factors, slopes = linear
    assert np.corrcoef(factors.T)[0, 1] > 0.6
    back = np.linalg.pinv(slopes)  # codes to factors

    def moved(direction):
        """What a step does to both factors, per unit of the first."""
        change = direction @ back
        return change[1] / change[0]

    difference = directions.mean_difference(codes, factors[:, 0])
    assert moved(difference) > 0.6  # the control: it drags the other
    assert abs(moved(directions.pattern(codes, factors)[0])) < 0.02
    alone = directions.pattern(codes, factors[:, :1])[0]
    assert moved(alone) > 0.6  # a pattern without the confounder is no better
    rows = [np.concatenate(directions.extremes(f)) for f in factors.T]
    planes = [
        directions.hyperplane(codes[r], f[r] > 3).normal
        for r, f in zip(rows, factors.T, strict=True)
    ]
    apart = directions.conditional(planes[0], np.stack(planes[1:]))
    np.testing.assert_allclose(apart @ planes[1], 0, atol=1e-12)
    assert abs(moved(apart)) < abs(moved(planes[0])) < 0.1


def test_pattern_is_exact_without_noise(linear):
    _, factors, slopes = linear
    found = directions.pattern(factors @ slopes + 3, factors)
    np.testing.assert_allclose(found, slopes, atol=1e-10)


@pytest.mark.parametrize("wide", [False, True])
def test_hyperplane_is_where_its_objective_is_flat(wide):
    """The slope of |w|^2 / 2 + b^2 / 2 + C sum max(0, 1 - y (w . z + b))^2, written out."""
    random = np.random.RandomState(2)
    x = random.randn(60, 100 if wide else 5)
    above = x[:, 0] + 0.5 * random.randn(60) > 0.3
    normal, offset = directions.hyperplane(x, above, stiffness=0.7)
    y = np.where(above, 1.0, -1.0)
    short = np.maximum(0, 1 - y * (x @ normal + offset))
    assert (short > 0).any() and np.linalg.norm(normal) > 0.1
    np.testing.assert_allclose(normal, 2 * 0.7 * (short * y) @ x, atol=1e-4)
    np.testing.assert_allclose(offset, 2 * 0.7 * (short * y).sum(), atol=1e-4)


def test_extremes_are_the_ends():
    attribute = np.random.RandomState(3).permutation(5000).astype(float)
    low, high = directions.extremes(attribute)
    assert sorted(attribute[low]) == list(range(100))
    assert sorted(attribute[high]) == list(range(4900, 5000))


def test_conditional_is_orthogonal_and_the_nearest():
    random = np.random.RandomState(4)
    normal, kept = random.randn(D), random.randn(4, D)
    kept[3] = kept[0] + kept[1]  # of rank 3
    found = directions.conditional(normal, kept)
    np.testing.assert_allclose(kept @ found, 0, atol=1e-12)
    n = kept[:3]
    np.testing.assert_allclose(found, normal - n.T @ np.linalg.solve(n @ n.T, n @ normal))
    np.testing.assert_array_equal(directions.conditional(normal, kept[:0]), normal)


def test_sefa_is_the_singular_vectors_of_rows_of_length_one():
    weights = np.random.RandomState(5).randn(40, D) * np.arange(1, 41)[:, None]
    found = directions.factorised(weights, 3)
    rows = weights / np.linalg.norm(weights, axis=1)[:, None]
    theirs = np.linalg.svd(rows)[2][:3]
    np.testing.assert_allclose(np.abs(np.sum(found * theirs, axis=1)), 1, rtol=1e-9)
    plain = np.linalg.svd(weights)[2][:3]
    assert np.abs(np.sum(found * plain, axis=1)).min() < 0.99  # lengths of rows matter


@pytest.mark.parametrize("num", [8, 200])
def test_principal_components_are_those_of_scikit_learn(num):
    from sklearn.decomposition import PCA

    codes = np.random.RandomState(6).randn(num, D) * np.arange(1, D + 1)
    theirs = PCA(3, svd_solver="full").fit(codes).components_
    found = directions.principal(codes, 3)
    np.testing.assert_allclose(np.abs(np.sum(found * theirs, axis=1)), 1, rtol=1e-9)


def test_accuracy_of_two_normals():
    from scipy.stats import norm

    random = np.random.RandomState(7)
    attribute = np.repeat([0.0, 1.0], 20000)
    codes = random.randn(40000, 1) + 2 * attribute[:, None]
    boundary = directions.told_apart(np.ones(1), codes, attribute)
    assert boundary == pytest.approx(1, abs=0.02)
    found = directions.accuracy(np.ones(1), boundary, codes, attribute)
    assert found == pytest.approx(norm.cdf(1), abs=0.01)
    assert directions.most_telling(
        np.eye(2), np.stack([codes[::-1, 0] ** 2, codes[:, 0]], 1), attribute
    )


@pytest.mark.parametrize("shape", [(50, 8), (8, 50)])
def test_ridge_is_that_of_scikit_learn(shape):
    from sklearn.linear_model import Ridge

    random = np.random.RandomState(8)
    x, y = random.randn(*shape), random.randn(shape[0], 3)
    theirs = Ridge(alpha=0.3, fit_intercept=False, tol=1e-12).fit(x, y).coef_.T
    np.testing.assert_allclose(mean_shift.ridge(x, y, 0.3), theirs, atol=1e-9)


def test_splines_sum_to_one_and_go_around():
    factors = np.array([[0.0, 0], [2.5, 4.5], [6, 7], [9, 8]])
    basis = mean_shift.Basis((np.arange(7.0), np.arange(8.0)), nominal=(1,))
    ordered, around = basis.splines(factors)
    np.testing.assert_allclose(ordered.sum(1), 1)
    np.testing.assert_allclose(around.sum(1), 1)
    assert ordered[1, 2] == ordered[1, 3] == 0.5 and ordered[3, 6] == 1  # the end stops
    np.testing.assert_array_equal(around[3], around[0])
    assert basis.columns(factors).shape == (4, basis.size) == (4, 7 + 8 + 56)


def test_shift_knows_an_interaction_and_no_direction_does():
    random = np.random.RandomState(9)
    factors = np.indices((5, 4)).reshape(2, -1).T.astype(float)
    factors = np.repeat(factors, 30, axis=0)
    place = random.randn(4, D)  # each value of the second has a direction of its own
    means = factors[:, :1] * place[factors[:, 1].astype(int)]
    codes = means + 0.01 * random.randn(len(factors), D)
    shift = mean_shift.fitted(codes, factors)
    truth = codes + place[factors[:, 1].astype(int)]
    inside = factors[:, 0] < 4
    known = np.abs(shift.moved(codes, 0, 1.0, factors) - truth)[inside]
    assert known.max() < 0.1
    straight = codes + directions.pattern(codes, factors)[0]
    assert np.abs(straight - truth)[inside].max() > 0.5  # the control
    ends = shift.moved(codes, 0, 1.0, factors)[~inside]
    np.testing.assert_allclose(ends, codes[~inside], atol=1e-9)  # nothing is beyond the range
    read = shift.read(codes)
    change = shift.mean(read + np.array([1, 0])) - shift.mean(read)
    np.testing.assert_allclose(shift.moved(codes, 0, 1.0) - codes, change, atol=1e-9)


def test_factors_are_read_from_codes(linear):
    codes, factors, _ = linear
    parts = [slice(k, None, 5) for k in range(2)]
    shift = mean_shift.fitted(*(v[parts[0]] for v in (codes, factors)))
    chosen = mean_shift.fitted(
        *(v[parts[0]] for v in (codes, factors)), held=(codes[parts[1]], factors[parts[1]])
    )
    assert chosen.agreement(codes[2::5], factors[2::5]).min() > 0.95
    assert (
        chosen.agreement(codes[1::5], factors[1::5]).mean()
        >= shift.agreement(codes[1::5], factors[1::5]).mean()
    )
    right = np.mean(shift.read(codes[2::5]) == factors[2::5], axis=0)
    np.testing.assert_array_equal(right, shift.agreement(codes[2::5], factors[2::5]))


def test_discriminant_is_that_of_scikit_learn():
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    random = np.random.RandomState(10)
    classes = np.tile(np.arange(3), 80)
    codes = random.randn(240, 5) @ random.randn(5, 5) + random.randn(3, 5)[classes]
    found = mean_shift.discriminant(codes, classes, 4, 0.0, codes.T @ codes)
    theirs = LinearDiscriminantAnalysis(solver="lsqr").fit(codes, classes)
    scores = codes @ found[:-1] + found[-1]
    expected = theirs.decision_function(codes)
    for k in (1, 2):
        np.testing.assert_allclose(
            scores[:, k] - scores[:, 0], expected[:, k] - expected[:, 0], atol=1e-6
        )
    assert np.argmax(scores, axis=1).max() == 2  # a class without examples is never chosen


def test_too_many_products_are_refused():
    with pytest.raises(ValueError, match="keep fewer"):
        mean_shift.Basis.of(np.random.RandomState(0).randn(100, 20))


def test_the_channel_by_which_examples_stand_out():
    """One of forty numbers follows the attribute; another, of a larger scale, a little."""
    random = np.random.RandomState(0)
    attribute = random.rand(2000)
    codes = random.randn(2000, 40) * np.geomspace(0.01, 100, 40)
    codes[:, 7] += 0.3 * attribute
    codes[:, 39] += 20 * attribute
    assert np.flatnonzero(directions.channel(codes, attribute)).tolist() == [7]
    flat = codes.copy()
    flat[:, 3] = 1.0  # a style that does not vary
    assert np.flatnonzero(directions.channel(flat, attribute)).tolist() == [7]
    assert np.flatnonzero(directions.channel(codes, random.rand(2000))).tolist() != [7]
