"""The conditional GAN: counts by the paper's layers, maxout, units left out in training alone."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.methods.adversarial import Adversarial
from jaxgen.models.gans.cgan import Discriminator, Generator, Maxout
from jaxgen.types import DataSpec, State

KEY = jax.random.key(0)
RANDOM = np.random.RandomState(0)
DIGITS = DataSpec.of("digits", (8, 8, 1), 17, num_classes=10)


def count(variables):
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def test_parameter_counts():
    """Section 4.1 there: 200, 1000 and 1200 units; 240 and 50 with 5 pieces, 240 with 4."""
    cond, size = jnp.zeros((2, 10)), (2, 28, 28, 1)
    init = functools.partial(Generator().init_with_output, size=size, cond=cond)
    x, made = jax.eval_shape(init, KEY, jnp.zeros((2, 100)))
    expected = 101 * 200 + 11 * 1000 + 1201 * 1200 + 1201 * 784
    assert x.shape == size and count(made) == expected
    _, judged = jax.eval_shape(Discriminator().init_with_output, KEY, x, cond)
    assert count(judged) == 785 * 1200 + 11 * 250 + 291 * 960 + 241


def test_maxout():
    x, layer = jnp.asarray(RANDOM.randn(5, 3)), Maxout(4, 2)
    variables = layer.init(KEY, x)
    params = variables["params"]["Dense_0"]
    every = np.asarray(x @ params["kernel"] + params["bias"][None])
    expected = np.maximum(every[:, 0::2], every[:, 1::2])
    np.testing.assert_allclose(layer.apply(variables, x), expected, atol=1e-6)


def test_units_are_left_out_in_training_alone():
    method = Adversarial(
        Generator(4, 8, 8, 64), Discriminator(8, 4, 8), DIGITS, given=("label",), prior="uniform"
    )
    batch = {"x": RANDOM.randint(0, 17, (8, 8, 8, 1)).astype(np.uint8), "label": np.arange(8)}
    params, variables = jax.jit(method.init)(KEY, batch)
    state = State(jnp.int32(0), params, variables, {}, {})
    cond = jnp.asarray(np.eye(10)[batch["label"]], jnp.float32)

    @jax.jit
    def trained(key):
        x = method.source.train(state, KEY, 8, cond)[0]
        z = method.latents(jax.random.split(KEY, 3)[0], 8)
        logits = method.critic(state, x, cond, key)[0]
        return x, method.source.apply(state, key, z, cond), logits

    (x, whole, logits), (_, same, others) = trained(KEY), trained(jax.random.key(1))
    np.testing.assert_array_equal(whole, same)
    assert np.abs(np.subtract(x, whole)).max() > 1e-3
    assert np.abs(np.subtract(logits, others)).min() > 1e-6
    z = jnp.zeros((2, 4))
    one, other = jax.jit(method.decode)(state, z, {"label": np.arange(2)})
    assert (np.asarray(one) != other).any()
