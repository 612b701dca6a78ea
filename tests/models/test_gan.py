"""The dense discriminator's options: bounded slopes, and a look at the other examples."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.models.gans.gan import Discriminator

KEY = jax.random.key(0)
X = jnp.asarray(np.random.RandomState(0).randn(64, 2))


def test_a_normalised_discriminator_is_lipschitz():
    """No two logits differ by more than their points, once the singular values are known."""
    model = Discriminator((16, 16), slope=0.1, spectral=True)
    variables = jax.jit(model.init)(KEY, X)
    move = jax.jit(lambda v: v | model.apply(v, X, mutable=["spectral"])[1])
    for _ in range(100):
        variables = move(variables)
    logits, x = map(np.asarray, (jax.jit(model.apply)(variables, X), X))
    change, far = np.abs(logits[::2] - logits[1::2]), np.linalg.norm(x[::2] - x[1::2], axis=1)
    assert (change <= far * (1 + 1e-4)).all()


def test_minibatch_discrimination_sees_the_others():
    """An example's logit depends on the rest of the batch, with `kernels` alone."""
    for kernels in (0, 3):
        model = Discriminator((4,), kernels=kernels)

        @jax.jit
        def moved(x, model=model):
            variables = model.init(KEY, x)
            return model.apply(variables, x.at[1:].set(x[0])) - model.apply(variables, x)

        assert (abs(float(np.asarray(moved(X))[0])) > 1e-4) == bool(kernels)
