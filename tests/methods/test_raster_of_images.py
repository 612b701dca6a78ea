"""What networks of images draw from what they keep is what they draw from whole passes."""

import pathlib
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

sys.path.append(str(pathlib.Path(__file__).parents[1] / "models"))
from causal import drawn

from jaxgen.methods.autoregressive import Autoregressive
from jaxgen.models.autoregressive.pixelcnn import GatedPixelCNN, PixelCNN
from jaxgen.models.autoregressive.pixelcnnpp import PixelCNNPP
from jaxgen.models.autoregressive.pixelsnail import PixelSNAIL
from jaxgen.nn.heads import Causal
from jaxgen.types import DataSpec, State

pytestmark = pytest.mark.slow

SPEC = DataSpec.of("pixels", (4, 4, 2), 4)
X = jnp.asarray(np.random.RandomState(0).randint(0, 4, (3, 4, 4, 2)), jnp.uint8)
SMALL = dict(width=6, blocks=2, first_size=3, last=12)
NETWORKS = {
    "masked": PixelCNN(**SMALL),
    "gated": GatedPixelCNN(**SMALL),
    "plusplus": PixelCNNPP(4, 1, 2),
    "snail": PixelSNAIL(4, 1, 1, 3),
}


class Whole(Causal):
    """A network that keeps nothing."""

    inner: Any
    channelwise: bool

    def __call__(self, x, head, cond=None, *, train=False):
        return self.inner(x, head, cond, train=train)


def state_of(params):
    return State(jnp.int32(0), {"model": params}, {"model": {}}, {}, {})


@pytest.mark.parametrize("name", NETWORKS)
def test_samples_and_completions_are_those_of_whole_passes(name):
    """The same key, bit for bit; what is known stays, and what comes after it is not looked at."""
    net = NETWORKS[name]
    observation = "categorical" if net.channelwise else "logistic_mixture"
    method = Autoregressive(net, SPEC, observation, mixtures=2)
    naive = Autoregressive(Whole(net, net.channelwise), SPEC, observation, mixtures=2)
    params = drawn(net, X, method.head)["params"]
    states = state_of(params), state_of({"inner": params})
    known = jnp.asarray(np.random.RandomState(1).rand(4, 4, 1) < 0.5)
    found = []
    for m, state in zip((method, naive), states, strict=True):
        sample = jax.jit(lambda state, m=m: m.sample(state, jax.random.key(3), 3))
        fill = jax.jit(lambda state, m=m: m.complete(state, jax.random.key(4), X, known))
        found.append((np.asarray(sample(state)), np.asarray(fill(state))))
    (sample, fill), (whole, filled) = found
    np.testing.assert_array_equal(sample, whole)
    np.testing.assert_array_equal(fill, filled)
    np.testing.assert_array_equal(np.where(known, fill, X), X)
    assert len(np.unique(sample)) == 4 and np.any(fill != X)


@pytest.mark.parametrize("name", ["gated", "snail"])
def test_one_image_is_memorised(name):
    net = NETWORKS[name]
    method = Autoregressive(net, SPEC, "categorical")
    params, _ = jax.jit(method.init)(jax.random.key(0), {"x": X})
    optimizer = optax.adam(0.03)

    @jax.jit
    def train(params):
        def step(carry, _):
            params, opt = carry
            state = state_of(params)

            def loss(p):
                log_prob = method.log_prob(state.replace(params={"model": p}), X[:1], None)
                return -jnp.mean(log_prob) / (32 * np.log(2))

            value, slope = jax.value_and_grad(loss)(params)
            moved, opt = optimizer.update(slope, opt, params)
            return (optax.apply_updates(params, moved), opt), value

        return jax.lax.scan(step, (params, optimizer.init(params)), length=500)[1]

    bits = train(params["model"])
    assert bits[0] > 1 and bits[-1] < 0.01
