"""Convolutional and residual players: sizes, classes, and the projection."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.models.gans import dcgan, sngan

KEY = jax.random.key(0)
PAIRS = {
    "dcgan": (dcgan.Generator(5, 4), dcgan.Discriminator(4)),
    "dcgan without norm": (dcgan.Generator(5, 4), dcgan.Discriminator(4, norm=False)),
    "sngan": (sngan.Generator(5, 4), sngan.Discriminator(4)),
    "plain": (dcgan.Generator(5, 4), sngan.PlainDiscriminator(4)),
    "wgan_gp": (sngan.Generator(5, 4), sngan.Discriminator(4, spectral=False, mean=True)),
}


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("size", [(8, 8, 1), (28, 28, 1), (32, 32, 3), (64, 64, 3)], ids=str)
@pytest.mark.parametrize("name", PAIRS)
def test_shapes(name, size, classes):
    generator, discriminator = PAIRS[name]
    cond = jnp.zeros((2, classes)) if classes else None
    make = functools.partial(generator.init_with_output, size=(2, *size), cond=cond)
    x, variables = jax.eval_shape(make, KEY, jnp.zeros((2, 5)))
    assert x.shape == (2, *size) and "batch_stats" in variables
    logits, variables = jax.eval_shape(discriminator.init_with_output, KEY, x, cond)
    assert logits.shape == (2,)
    assert ("spectral" in variables) == (name in ("sngan", "plain"))
    assert ("batch_stats" in variables) == (name == "dcgan" and size[0] > 8)


def kernels(model, x, **options):
    """Shapes of all kernels, by path."""
    variables = jax.eval_shape(functools.partial(model.init, **options), KEY, x)
    leaves = jax.tree_util.tree_leaves_with_path(variables["params"])
    return [leaf.shape for path, leaf in leaves if path[-1].key == "kernel"]


def test_dcgan_has_the_papers_channels():
    """Figure 1 there: 4x4x1024, 512, 256, 128, 3 for images of 64x64."""
    found = kernels(dcgan.Generator(), jnp.zeros((1, 100)), size=(1, 64, 64, 3))
    assert (100, 4 * 4 * 1024) in found
    ups = [shape for shape in found if len(shape) == 4]
    assert ups == [(4, 4, 1024, 512), (4, 4, 512, 256), (4, 4, 256, 128), (4, 4, 128, 3)]
    found = kernels(dcgan.Discriminator(), jnp.zeros((1, 64, 64, 3)))
    downs = [shape for shape in found if len(shape) == 4]
    assert downs == [(4, 4, 3, 64), (4, 4, 64, 128), (4, 4, 128, 256), (4, 4, 256, 512)]


def test_sngan_discriminator_of_cifar10():
    """Table 4 there: four blocks, of which two halve, then the sum over 8x8."""
    found = kernels(sngan.Discriminator(), jnp.zeros((1, 32, 32, 3)))
    assert sum(shape[:2] == (3, 3) for shape in found if len(shape) == 4) == 8
    assert sum(shape[:2] == (1, 1) for shape in found if len(shape) == 4) == 2
    assert (128, 1) in found


def test_plain_discriminator_of_cifar10():
    """Table 3 there: 3x3 and halving 4x4 layers of 64, 128 and 256 channels, and one of 512."""
    found = kernels(sngan.PlainDiscriminator(), jnp.zeros((1, 32, 32, 3)))
    assert found == [
        *((3, 3, 3, 64), (4, 4, 64, 64), (3, 3, 64, 128), (4, 4, 128, 128)),
        *((3, 3, 128, 256), (4, 4, 256, 256), (3, 3, 256, 512), (4 * 4 * 512, 1)),
    ]
    with_class = kernels(sngan.PlainDiscriminator(), jnp.zeros((1, 32, 32, 3)), cond=jnp.eye(1, 10))
    assert sorted(with_class) == sorted([*found, (10, 4 * 4 * 512)])  # V sees every position


def test_projection_of_the_class():
    """D(x, y) - D(x, y') = <V y - V y', phi(x)>, with phi from D's own slope by V."""
    model = sngan.Discriminator(4, spectral=False)
    x = jnp.asarray(np.random.RandomState(0).randn(3, 8, 8, 1))
    y, other = (jnp.asarray(np.eye(3)[rows], jnp.float32) for rows in ([0, 1, 2], [1, 1, 0]))
    variables = jax.jit(model.init)(KEY, x, y)
    rows = np.asarray(variables["params"]["classes"]["kernel"])

    def logits(rows, y):
        params = variables["params"] | {"classes": {"kernel": rows}}
        return model.apply({"params": params}, x, y)

    @jax.jit
    def found(rows):
        return jax.jacobian(logits)(rows, y), logits(rows, y) - logits(rows, other)

    slopes, difference = found(rows)  # [B, K, F]: phi at the row of the class
    phi = np.einsum("bkf,bk->bf", slopes, y)
    expected = np.sum((np.asarray(y - other) @ rows) * phi, axis=1)
    np.testing.assert_allclose(difference, expected, atol=1e-4)
    assert np.abs(phi).max() > 0.01


@pytest.mark.parametrize("model", [sngan.Generator(5, 4), dcgan.Generator(5, 4)], ids=["s", "d"])
def test_the_class_reaches_the_samples(model):
    random, size = np.random.RandomState(0), (4, 8, 8, 1)
    z = jnp.asarray(random.randn(4, 5))
    cond = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]

    @jax.jit
    def start(z, cond):
        return model.init_with_output(KEY, z, size, cond)

    first, variables = start(z, cond)
    assert np.abs(first).max() <= 1
    params = jax.tree.map(
        lambda p: p + 0.1 * random.randn(*p.shape).astype(p.dtype) if p.ndim == 2 else p,
        jax.device_get(variables["params"]),
    )
    make = jax.jit(lambda variables, cond: model.apply(variables, z, size, cond))
    one, two = (np.asarray(make(variables | {"params": params}, c)) for c in (cond, cond[::-1]))
    assert np.abs(one - two)[1:3].max() > 1e-3
    np.testing.assert_array_equal(one[0], two[0])  # the same class, and running statistics
