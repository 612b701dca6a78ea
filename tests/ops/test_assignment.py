"""The exact pairing against SciPy's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from jaxgen.ops.assignment import assignment

assign = jax.jit(assignment)


@pytest.mark.parametrize(("n", "dims"), [(1, 1), (7, 2), (64, 1), (64, 20), (128, 2)])
def test_the_sum_of_costs_is_the_least(n, dims):
    random = np.random.RandomState(n + dims)
    a, b = random.randn(n, dims), random.randn(n, dims)
    cost = np.square(a[:, None] - b[None]).sum(-1).astype(np.float32)
    found = np.asarray(assign(jnp.asarray(cost)))
    assert sorted(found) == list(range(n))
    rows, columns = linear_sum_assignment(cost)
    least, total = cost[rows, columns].sum(), cost[np.arange(n), found].sum()
    np.testing.assert_allclose(total, least, rtol=1e-5)
    assert n == 1 or least < 0.8 * np.trace(cost)


def test_integers_with_ties():
    cost = np.random.RandomState(0).randint(0, 4, (20, 20)).astype(np.float32)
    found = np.asarray(assign(jnp.asarray(cost)))
    assert cost[np.arange(20), found].sum() == cost[linear_sum_assignment(cost)].sum()
