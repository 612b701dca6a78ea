"""Glow: the inverse is exact to single precision where every coupling does something."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.models.flows import glow
from jaxgen.models.flows.glow import Glow, pad_edge

KEY = jax.random.key(0)


class NoisyConv(nn.Module):
    """In place of the convolution that starts at zero, so that every coupling does something."""

    features: int
    edge: bool = True
    dtype: object = None
    std = 0.02

    @nn.compact
    def __call__(self, x):
        init = nn.initializers.normal(self.std)
        return nn.Conv(self.features, (3, 3), padding="VALID", kernel_init=init)(pad_edge(x))


class FaintConv(NoisyConv):
    std = 0.005


def inverse_errors(x, factors, **options):
    """Largest errors of round trips of x times each factor, initialised on x."""
    flow = Glow(levels=1, width=32, **options)
    variables = jax.jit(flow.init)(KEY, x)

    @jax.jit
    def there_and_back(x):
        z, _ = flow.apply(variables, x)
        return jnp.max(jnp.abs(flow.apply(variables, z, method="inverse")[0] - x))

    return [float(there_and_back(np.float32(factor) * np.asarray(x))) for factor in factors]


@pytest.mark.parametrize(
    ("coupling", "conv", "bounds"),
    [
        ("affine", NoisyConv, {1.0: 5e-5}),
        ("additive", NoisyConv, {1.0: 5e-5, 10.0: 1e-3}),
        ("affine", FaintConv, {10.0: 1e-3}),  # more noise there makes scales of 1e-6 and less
    ],
)
@pytest.mark.parametrize("depth", [pytest.param(8, marks=pytest.mark.slow), 32])
def test_the_inverse_is_exact_to_single_precision(monkeypatch, coupling, conv, bounds, depth):
    monkeypatch.setattr(glow, "ZeroConv", conv)
    x = jnp.asarray(np.random.RandomState(0).randn(8, 16, 16, 3))
    errors = inverse_errors(x, bounds, coupling=coupling, depth=depth)
    for error, bound in zip(errors, bounds.values(), strict=True):
        assert 0 < error <= bound
