"""Every elementwise transform in coupling and in autoregressive form, and the masks of MADE.

The forms that `test_bijectors.py` has among its cases are not repeated here.
"""

import checks
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import Dense

from jaxgen.bijectors.autoregressive import DEGREES, MADE, ORDERS, MaskedAutoregressive
from jaxgen.bijectors.base import Invert
from jaxgen.bijectors.coupling import Coupling
from jaxgen.bijectors.mixture import MixtureLogistic
from jaxgen.bijectors.monotonic import MonotonicNetwork
from jaxgen.bijectors.transforms import CircularSpline, Scale, Shift

NET = MADE((9,), jnp.tanh)
FORMS = {"coupling": lambda t: Coupling(t, Dense()), "ar": lambda t: MaskedAutoregressive(t, NET)}
TRANSFORMS = {
    "shift": (Shift(), ("ar",)),
    "sigmoid": (Scale("sigmoid"), ("ar",)),
    "circular": (CircularSpline(4), FORMS),
    "mixture": (MixtureLogistic(3), FORMS),
    "monotonic": (MonotonicNetwork((6,), 3, nodes=40), FORMS),
}


@pytest.mark.parametrize(
    ("name", "form"), [(name, form) for name, (_, forms) in TRANSFORMS.items() for form in forms]
)
def test_slogdet_and_inverse_of_every_form(name, form):
    _, jacobian = checks.exact((FORMS[form](TRANSFORMS[name][0]), (3,), None))
    assert (np.triu(jacobian, 1) == 0).all()  # exactly, for a coupling too
    assert (np.abs(np.tril(jacobian)[:, 2]) > 0).all(0).sum() >= 2


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("degrees", DEGREES)
@pytest.mark.parametrize("d", [1, 2, 5, 8])
@pytest.mark.parametrize("hidden", [(64,), (64, 48), (64, 64, 64)])
def test_masks_pass_all_that_precedes_and_nothing_else(order, degrees, d, hidden):
    net = MADE(hidden, order=order, degrees=degrees, seed=3)
    masks, last = net.masks(d)
    reached = np.eye(d)
    for mask in (*masks, last):
        reached = reached @ mask
    assert [m.shape[1] for m in masks] == list(hidden) and last.shape == (hidden[-1], d)
    place = np.argsort(np.argsort((reached > 0).sum(0)))
    np.testing.assert_array_equal(reached > 0, place[:, None] < place[None])
    if order != "random":
        np.testing.assert_array_equal(place, np.arange(d)[:: -1 if order == "reverse" else 1])


def test_random_orders_and_degrees_follow_the_seed():
    a, b, c = (MADE((16,), order="random", degrees="random", seed=s).masks(6) for s in (0, 0, 1))
    np.testing.assert_array_equal(a[1], b[1])
    assert (a[1] != c[1]).any() and (a[0][0] != c[0][0]).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"order": "reversed"}, "order='reversed'"), ({"degrees": "uniform"}, "degrees='uniform'")],
)
def test_unknown_options_are_refused(options, message):
    with pytest.raises(ValueError, match=f"{message}, expected one of"):
        MADE(**options).masks(3)


def test_a_random_order_is_inverted_in_as_many_passes():
    net = MADE((32,), order="random", degrees="random", seed=1)
    checks.exact((MaskedAutoregressive(Scale(), net), (6,), (2,)))


def test_inverse_autoregressive_has_the_directions_exchanged():
    forward = MaskedAutoregressive(Scale(), NET)
    bijector, variables, x, _ = checks.build((forward, (3,), None))
    inverted = {"params": {"bijector": variables["params"]}}
    z, logdet = jax.jit(lambda x: Invert(forward).apply(inverted, x, method="inverse"))(x)
    expected = jax.jit(bijector.apply)(variables, x)
    np.testing.assert_array_equal(z, expected[0])
    np.testing.assert_array_equal(logdet, expected[1])
