"""The bound of activations, against the same layers without one and NumPy's clip."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.models.gans.stylegan2 import Discriminator, Generator
from jaxgen.nn.stylegan import EqualConv, StyledConv, ToImage

X = 3 * jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
W = jax.random.normal(jax.random.key(1), (2, 5))
MOST = 0.7


@pytest.mark.parametrize(
    ("layer", "arguments", "most"),
    [
        (lambda clamp: EqualConv(4, clamp=clamp), (X,), MOST),
        (lambda clamp: EqualConv(4, down=True, gain=0.5, clamp=clamp), (X,), 0.5 * MOST),
        (lambda clamp: StyledConv(4, clamp=clamp), (X, W, "const"), MOST),
        (lambda clamp: StyledConv(4, True, clamp), (X, W, "none"), MOST),
        (lambda clamp: ToImage(3, clamp), (X, W), MOST),
    ],
    ids=["conv", "residual conv", "styled", "styled up", "image"],
)
def test_outputs_are_bounded_after_the_rectifier_and_before_the_gain(layer, arguments, most):
    @jax.jit
    def outputs(*arguments):
        variables = layer(None).init(jax.random.key(2), *arguments, *rest)
        return [layer(clamp).apply(variables, *arguments, *rest) for clamp in (None, MOST)]

    rest = [a for a in arguments if isinstance(a, str)]
    whole, found = map(np.asarray, outputs(*arguments[: len(arguments) - len(rest)]))
    assert (abs(whole) > most).any() and (abs(whole) < most).any()
    np.testing.assert_allclose(found, np.clip(whole, -most, most), rtol=1e-6)


def test_the_layers_that_official_networks_bound():
    """All convolutions, but for the skips of the discriminator."""
    names = []

    def note(run, arguments, options, context):
        if getattr(context.module, "clamp", None) and context.method_name == "__call__":
            names.append(context.module.name)
        return run(*arguments, **options)

    generator = Generator(4, 4, 1, base=32, most=4, clamp=256.0)
    judge = Discriminator(32, 4, 2, 4, 1, clamp=256.0)
    rngs = {"params": jax.random.key(0), "noise": jax.random.key(1)}
    with nn.intercept_methods(note):
        jax.eval_shape(lambda: generator.init(rngs, jnp.zeros((2, 4)), (2, 8, 8, 1)))
        jax.eval_shape(lambda: judge.init(rngs, jnp.zeros((2, 8, 8, 1))))
    convolutions = {"conv4", "image4", "up8", "conv8", "image8", "image", "down8", "last"}
    assert set(names) - {None, "synthesis"} == convolutions
