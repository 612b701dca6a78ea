"""Dense and convolutional networks: sizes, shapes, classes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from jaxgen.models.vaes.autoencoder import Autoencoder, ConvAutoencoder
from jaxgen.models.vaes.iwae import DeepVAE
from jaxgen.models.vaes.vae import VAE, ConvVAE

KEY = jax.random.key(0)
RNGS = {"params": KEY, "latent": KEY}


def shapes(model, size, cond=None):
    """Shapes of the variables and of the draw."""
    x = jnp.zeros((size[0], *size[1:3], 1))
    init = functools.partial(model.init_with_output, size=size, cond=cond)
    return jax.eval_shape(init, RNGS, x)


def count(variables):
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def test_network_of_the_importance_weighted_autoencoder():
    """784-200-200-50 and back, as Burda et al. 2016, section 5."""
    draw, variables = shapes(VAE(), (3, 28, 28, 1))
    up = 784 * 200 + 200 + 200 * 200 + 200 + 200 * 100 + 100
    down = 50 * 200 + 200 + 200 * 200 + 200 + 200 * 784 + 784
    assert count(variables) == up + down
    assert draw.theta.shape == (3, 28, 28, 1)
    assert draw.z[0].shape == draw.kl[0].shape == (3, 50)


@pytest.mark.parametrize(
    "model",
    [
        VAE(3, (8,), centred=True),
        VAE(3, (8,)),
        DeepVAE((3, 2), ((8,), (4,)), centred=True),
        DeepVAE((3, 2), ((8,), (4,))),
    ],
    ids=["vae", "vae, plain", "deep", "deep, plain"],
)
def test_a_centred_decoder_begins_at_the_mean_of_the_first_batch(model):
    x = jnp.asarray(np.random.RandomState(0).rand(40, 3, 4, 1) < 0.2, jnp.float32)
    variables = jax.jit(lambda x: model.init(RNGS, x, x.shape))(x)
    bias = scipy.special.expit(variables["params"]["decoder"]["Dense_0"]["bias"])
    expected = (np.asarray(x).sum(0).ravel() + 0.5) / 41 if model.centred else 0.5
    np.testing.assert_allclose(bias, expected, rtol=1e-5)


def test_convolutional_network_of_locatello():
    """32, 32, 64, 64 channels, 256, 10 latents, on 64x64 images: table 1."""
    draw, variables = shapes(ConvVAE(), (2, 64, 64, 1))
    kernels = jax.tree.map(lambda x: x.shape, variables["params"]["encoder"])
    assert [kernels[f"Conv_{i}"]["kernel"] for i in range(4)] == [
        (4, 4, 1, 32),
        (4, 4, 32, 32),
        (2, 2, 32, 64),
        (2, 2, 64, 64),
    ]
    assert kernels["MLP_0"]["Dense_0"]["kernel"] == (4 * 4 * 64, 256)
    assert variables["params"]["decoder"]["MLP_0"]["Dense_1"]["kernel"].shape == (256, 1024)
    assert draw.theta.shape == (2, 64, 64, 1)


@pytest.mark.parametrize("size", [(2, 28, 28, 1), (2, 9, 14, 30)], ids=str)
@pytest.mark.parametrize("cls", [ConvVAE, ConvAutoencoder])
def test_images_of_any_size(cls, size):
    model = cls(3, (8,), channels=(4, 4), kernels=(4, 2))
    assert shapes(model, size)[0].theta.shape == size


def test_classes_widen_the_networks():
    plain, with_class = (
        count(shapes(VAE(3, (8,)), (2, 4, 4, 1), cond)[1]) for cond in (None, jnp.zeros((2, 5)))
    )
    assert with_class == plain + 5 * 6 + 5 * 8
    with pytest.raises(ValueError, match="takes no condition"):
        shapes(Autoencoder(3, (8,)), (2, 4, 4, 1), jnp.zeros((2, 5)))


def test_latents_given_or_cold_need_no_key():
    model = VAE(3, (8,))
    size = (2, 4, 4, 1)

    @jax.jit
    def found(x, z):
        variables = model.init(RNGS, x, size)
        given = model.apply(variables, None, size, given=(z,), method="top_down")
        rngs = {"latent": KEY}
        options = dict(temperature=0.0, method="top_down", rngs=rngs)
        return given, model.apply(variables, None, size, **options)

    given, cold = found(jnp.zeros(size), jnp.ones((2, 3)))
    np.testing.assert_allclose(given.log_p, -1.5 - 1.5 * np.log(2 * np.pi), rtol=1e-6)
    assert not np.any(cold.z[0]) and cold.kl == ()


def test_unknown_activation_is_refused():
    with pytest.raises(ValueError, match="activation='elu', expected one of"):
        shapes(VAE(3, (8,), "elu"), (2, 4, 4, 1))
