"""Draws from logits against the probabilities that they must have."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.ops import choice

LOGITS = jnp.log(jnp.asarray([0.4, 0.1, 0.3, 0.2]))
MANY = 40_000


def shares(**knobs):
    """Of each value in many draws."""
    found = choice.draw(jax.random.key(0), jnp.broadcast_to(LOGITS, (MANY, 4)), **knobs)
    return np.bincount(np.asarray(found), minlength=4) / MANY


@pytest.mark.parametrize(
    "knobs, expected",
    [
        ({}, [0.4, 0.1, 0.3, 0.2]),
        ({"temperature": 0.0}, [1, 0, 0, 0]),
        ({"temperature": 0.5}, np.square([0.4, 0.1, 0.3, 0.2]) / 0.30),
        ({"top_k": 2}, [4 / 7, 0, 3 / 7, 0]),
        ({"top_k": 9}, [0.4, 0.1, 0.3, 0.2]),
        ({"top_p": 0.75}, [4 / 9, 0, 3 / 9, 2 / 9]),
        ({"top_p": 0.69}, [4 / 7, 0, 3 / 7, 0]),
        ({"top_p": 0.0}, [1, 0, 0, 0]),
        ({"top_p": 0.8, "temperature": 0.5}, [16 / 25, 0, 9 / 25, 0]),
    ],
)
def test_shares_of_values(knobs, expected):
    expected = np.asarray(expected)
    assert np.all(shares(**knobs)[expected == 0] == 0)
    np.testing.assert_allclose(shares(**knobs), expected, atol=4 * 0.5 / MANY**0.5)


def test_guidance_moves_from_the_null_to_the_given_and_beyond():
    given, null = jax.random.normal(jax.random.key(1), (2, 5, 7))
    of = jax.nn.log_softmax
    np.testing.assert_allclose(choice.guided(given, null, 1.0), of(given), atol=1e-6)
    np.testing.assert_allclose(choice.guided(given, null, 0.0), of(null), atol=1e-6)
    # p(x|c)^3 / p(x)^2, normalised by the softmax
    np.testing.assert_allclose(
        jax.nn.softmax(choice.guided(given, null, 3.0)),
        jax.nn.softmax(3 * of(given) - 2 * of(null)),
        atol=1e-6,
    )


def test_no_value_at_all_is_refused():
    with pytest.raises(ValueError, match="top_k=0, expected 1 or more"):
        choice.draw(jax.random.key(0), LOGITS, top_k=0)
