"""Directions of latents along which an attribute of the data changes, and the rest is kept.

Codes are [N, D], attributes [N]; all is float64. A direction [D] is scaled so that a step of 1
moves codes along it as far as their mean moves for one unit of the attribute, see `natural`:
methods differ in where they point, and strengths of all of them are in units of the attribute.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

EXTREME, LEAST = 0.02, 25  # of the examples at either end, and how many at least
STIFFNESS = 1.0  # C of the hyperplane, as of the official code


class Plane(NamedTuple):
    """The hyperplane normal . z + offset = 0, positive where the attribute is high."""

    normal: np.ndarray
    offset: float


def natural(direction: np.ndarray, codes: np.ndarray, attribute: np.ndarray) -> np.ndarray:
    """The direction, as long as the mean of the codes moves along it per unit of the attribute.

    Raises:
        ValueError: for an attribute that does not vary, or a direction of no length.
    """
    length = np.linalg.norm(direction)
    spread = attribute - attribute.mean()
    if not length or not spread.any():
        raise ValueError("the direction has no length, or the attribute one value alone")
    unit = direction / length
    return unit * float(spread @ (codes @ unit) / (spread @ spread))


def halves(attribute: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows below and above the middle of the range of an attribute, which is bool [N] each.

    Rows in the middle are of neither.
    """
    middle = (attribute.min() + attribute.max()) / 2
    return attribute < middle, attribute > middle


def mean_difference(codes: np.ndarray, attribute: np.ndarray) -> np.ndarray:
    """From the mean code of examples with little of an attribute to that of those with much.

    Source: Kingma & Dhariwal 2018, Glow, section 5, "semantic manipulation".
    """
    low, high = halves(attribute)
    return codes[high].mean(0) - codes[low].mean(0)


def extremes(attribute: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the examples with least and with most of an attribute, ties in a random order."""
    order = np.lexsort((np.random.RandomState(seed).rand(len(attribute)), attribute))
    num = min(max(round(EXTREME * len(order)), LEAST), len(order) // 2)
    return order[:num], order[-num:]


def hyperplane(codes: np.ndarray, above: np.ndarray, stiffness: float = STIFFNESS) -> Plane:
    """The linear support vector machine that tells rows `above`, bool [N], from the others.

    It minimises |w|^2 / 2 + b^2 / 2 + C sum max(0, 1 - y (w . z + b))^2. The hinge is
    squared, which that of the official code is not: the minimum is smooth.

    Source: Shen et al. 2020, Interpreting the latent space of GANs, section 3.1.

    Args:
        codes: [N, D], standardised or not: the penalty is on codes as they are.
        above: which rows are on the positive side; both sides need one.
        stiffness: C.
    """
    from sklearn.svm import LinearSVC

    solver: Any = LinearSVC  # whose stubs know no bool of `dual`
    few = len(codes) < codes.shape[1]  # the normal is a sum of rows: their span is enough
    basis = np.linalg.qr(codes.T)[0] if few else np.eye(codes.shape[1])
    found = solver(C=stiffness, dual=False, tol=1e-8, max_iter=10_000).fit(codes @ basis, above)
    return Plane(basis @ found.coef_[0], float(found.intercept_[0]))


def conditional(normal: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """The part of a normal [D] that is orthogonal to the normals [K, D] of what is kept.

    Source: Shen et al. 2020, equation 6 for K = 1; official code, `utils/manipulator.py`, for more.
    """
    if not len(kept):
        return normal
    basis = np.linalg.svd(kept / np.linalg.norm(kept, axis=1)[:, None], full_matrices=False)
    rows = basis[2][basis[1] > 1e-10 * basis[1][0]]
    return normal - rows.T @ (rows @ normal)


def pattern(codes: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """[F, D]: how the mean code changes per unit of each of the factors [N, F], others fixed.

    The slopes of the least squares codes = A factors + b. Where the factors have all that varies
    with the attribute, nothing needs to be made orthogonal.

    Source: Haufe et al. 2014, On the interpretation of weight vectors of linear models in
    multivariate neuroimaging, section 2: the pattern and not the filter.
    """
    centred = factors - factors.mean(0)
    return np.linalg.lstsq(centred, codes - codes.mean(0), rcond=None)[0]


def factorised(weights: np.ndarray, num: int) -> np.ndarray:
    """[num, D]: directions along which the layers [channels, D] of all weights move most, SeFa.

    Source: Shen & Zhou 2021, Closed-form factorization of latent semantics in GANs, equation 4;
    official code, where each channel has length 1 first. Largest eigenvalues first.
    """
    rows = weights / np.maximum(np.linalg.norm(weights, axis=1, keepdims=True), 1e-12)
    _, vectors = np.linalg.eigh(rows.T @ rows)
    return vectors.T[::-1][:num]


def principal(codes: np.ndarray, num: int) -> np.ndarray:
    """[num, D]: directions in which codes vary most, largest first.

    Source: Harkonen et al. 2020, GANSpace, section 2.1.
    """
    import scipy.linalg

    centred = codes - codes.mean(0)
    few = len(centred) < centred.shape[1]  # the smaller of the two matrices has the same values
    products = centred @ centred.T if few else centred.T @ centred
    ends = [max(0, len(products) - num), len(products) - 1]
    vectors = scipy.linalg.eigh(products, subset_by_index=ends)[1].T[::-1]
    if not few:
        return vectors
    axes = vectors @ centred
    return axes / np.maximum(np.linalg.norm(axes, axis=1, keepdims=True), 1e-12)


def channel(codes: np.ndarray, attribute: np.ndarray, seed: int = 0) -> np.ndarray:
    """[D]: the axis of the code in which examples with most of an attribute stand out most.

    Of these, the mean of each number, normalised by mean and deviation of all examples, over its
    deviation among them.

    Source: Wu, Lischinski & Shechtman 2021, StyleSpace Analysis, on attribute-specific channels.
    """
    scale = np.maximum(codes.std(0), 1e-12)
    high = (codes[extremes(attribute, seed)[1]] - codes.mean(0)) / scale
    relevance = np.abs(high.mean(0)) / np.maximum(high.std(0), 1e-6)
    return np.eye(codes.shape[1])[int(np.argmax(relevance * (codes.std(0) > 1e-9)))]


def most_telling(found: np.ndarray, codes: np.ndarray, attribute: np.ndarray) -> int:
    """Which of the directions [K, D] an attribute correlates with most."""
    along = codes @ found.T
    along = along - along.mean(0)
    spread = attribute - attribute.mean()
    scale = np.linalg.norm(along, axis=0) * np.linalg.norm(spread)
    return int(np.argmax(np.abs(spread @ along) / np.maximum(scale, 1e-12)))


def told_apart(direction: np.ndarray, codes: np.ndarray, attribute: np.ndarray) -> float:
    """The boundary along a direction: the middle between both halves of an attribute."""
    low, high = halves(attribute)
    along = codes @ direction
    return float(along[low].mean() + along[high].mean()) / 2


def accuracy(
    direction: np.ndarray, boundary: float, codes: np.ndarray, attribute: np.ndarray
) -> float:
    """Share of examples of either half of an attribute that are on its side of the boundary."""
    low, high = halves(attribute)
    side = codes @ direction > boundary
    right = side[high].sum() + (~side[low]).sum()
    return float(right / max(1, high.sum() + low.sum()))
