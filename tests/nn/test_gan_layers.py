"""Layers of the adversarial networks against NumPy: singular values, classes, attention, sets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.nn import spectral_norm
from jaxgen.nn.gan_layers import (
    BatchNorm,
    MinibatchDiscrimination,
    SelfAttention,
    doubled,
    largest,
    pooled,
    pyramid,
)
from jaxgen.sharding import batch_sharding, make_mesh

KEY = jax.random.key(0)
RANDOM = np.random.RandomState(0)


def images(*shape):
    return jnp.asarray(RANDOM.randn(*shape))


LAYERS = {
    "dense": (spectral_norm.Dense(6, False), images(5, 8)),
    "conv": (spectral_norm.Conv(6, use_bias=False), images(2, 4, 4, 3)),
}


def trained(layer, x, passes):
    """Variables after so many training passes, and the output in evaluation."""
    variables = jax.jit(layer.init)(KEY, x)
    apply = jax.jit(lambda v: layer.apply(v, x, mutable=["spectral"])[1])
    for _ in range(passes):
        variables = variables | apply(variables)
    return variables


@pytest.mark.parametrize("name", LAYERS)
def test_singular_value_is_that_of_numpy(name):
    """Never more than it, better with every pass, and to 1e-6 after 200; in float64."""
    with jax.enable_x64(True):
        layer, x = LAYERS[name]
        x = jnp.asarray(np.asarray(x, np.float64))
        variables = jax.jit(layer.init)(KEY, x)
        assert variables["params"]["kernel"].dtype == jnp.float64
        kernel = np.asarray(variables["params"]["kernel"])
        sigma = np.linalg.svd(kernel.reshape(-1, 6), compute_uv=False)[0]
        plain = jax.jit(layer.clone(spectral=False).apply)({"params": variables["params"]}, x)
        plain = np.asarray(plain)
        apply = jax.jit(lambda v: layer.apply(v, x, mutable=["spectral"]))
        found = []
        for _ in range(200):
            y, moved = apply(variables)
            variables = variables | moved
            y = np.asarray(y)
            found.append(np.sum(plain * y) / np.sum(y * y))  # what it divided by
        assert (np.diff(found) >= -1e-12).all() and max(found) <= sigma * (1 + 1e-12)
        assert found[0] < sigma * 0.99
        np.testing.assert_allclose(found[-1], sigma, rtol=1e-6)
        y = jax.jit(layer.apply)(variables, x)
        np.testing.assert_allclose(y, plain / sigma, rtol=1e-6, atol=1e-9)


def test_one_iteration_a_training_pass_and_none_in_evaluation():
    layer, x = LAYERS["dense"]
    before = jax.jit(layer.init)(KEY, x)
    u, kernel = np.asarray(before["spectral"]["u"]), np.asarray(before["params"]["kernel"])
    after = trained(layer, x, 1)
    v = kernel @ u
    expected = kernel.T @ (v / np.linalg.norm(v))
    expected /= np.linalg.norm(expected)
    np.testing.assert_allclose(after["spectral"]["u"], expected, rtol=1e-5)
    _, moved = layer.apply(before, x, mutable=["batch_stats"])
    assert not moved


def test_gradient_takes_the_vectors_as_constants():
    """d sigma / dW = v u^T: against W / (v^T W u) with v and u of NumPy."""
    layer, x = LAYERS["dense"]
    variables = trained(layer, x, 3)
    kernel, u = variables["params"]["kernel"], np.asarray(variables["spectral"]["u"])
    v = np.asarray(kernel) @ u
    v /= np.linalg.norm(v)

    def mine(kernel):
        return jnp.sum(jnp.sin(layer.apply(variables | {"params": {"kernel": kernel}}, x)))

    def expected(kernel):
        return jnp.sum(jnp.sin(x @ (kernel / (v @ kernel @ u))))

    found, right = jax.jit(lambda k: (jax.grad(mine)(k), jax.grad(expected)(k)))(kernel)
    np.testing.assert_allclose(found, right, atol=1e-5)


def test_a_normalised_network_is_lipschitz():
    layer, _ = LAYERS["dense"]
    a, b = np.asarray(images(2, 200, 8))
    variables, apply = trained(layer, jnp.asarray(a), 200), jax.jit(layer.apply)
    far = np.linalg.norm(np.subtract(apply(variables, a), apply(variables, b)), axis=1)
    assert (far <= np.linalg.norm(a - b, axis=1) * (1 + 1e-5)).all()


def test_batch_norm_by_class():
    x, cond = images(6, 2, 2, 3), jnp.asarray(np.tile(np.eye(3), (2, 1)), jnp.float32)
    layer, plain = BatchNorm(spectral=True), BatchNorm()
    params = {name: {"kernel": images(3, 3)} for name in ("gain", "shift")}

    @jax.jit
    def found(x):
        first = layer.init(KEY, x, cond), plain.init(KEY, x, cond)
        every = (layer, first[0]), (plain, first[1]), (plain, first[1] | {"params": params})
        moving = ["batch_stats", "spectral"]
        return [norm.apply(v, x, cond, mutable=moving)[0] for norm, v in every]

    spectral, start, moved = map(np.asarray, found(x))
    flat = np.asarray(x).reshape(-1, 3)
    normal = (np.asarray(x) - flat.mean(0)) / np.sqrt(flat.var(0) + 1e-5)
    assert np.abs(spectral - normal).max() > 0.1
    np.testing.assert_allclose(start, normal, atol=1e-5)  # gain and shift begin at zero
    gain, shift = (
        (np.asarray(cond) @ np.asarray(params[k]["kernel"]))[:, None, None] for k in params
    )
    np.testing.assert_allclose(moved, normal * (1 + gain) + shift, atol=1e-5)


def test_batch_norm_sees_the_global_batch():
    x = jnp.asarray(images(16, 2, 2, 3) * np.arange(16, dtype=np.float32).reshape(-1, 1, 1, 1))
    layer = BatchNorm()
    variables = jax.jit(layer.init)(KEY, x)
    apply = jax.jit(lambda x: layer.apply(variables, x, mutable=["batch_stats"]))
    expected, statistics = apply(x)
    got, moved = apply(jax.device_put(x, batch_sharding(make_mesh())))
    np.testing.assert_allclose(got, expected, atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), moved, statistics)


def test_attention():
    """Pixel by pixel in NumPy; the identity at first."""
    x = images(2, 4, 4, 16)
    layer = SelfAttention(spectral=False)
    variables, apply = jax.jit(layer.init)(KEY, x), jax.jit(layer.apply)
    np.testing.assert_array_equal(apply(variables, x), x)
    variables["params"]["gamma"] = jnp.float32(0.7)
    kernels = {
        k: np.asarray(v["kernel"])[0, 0] for k, v in variables["params"].items() if k != "gamma"
    }
    got, x = np.asarray(apply(variables, x)), np.asarray(x)
    for b in range(2):
        query = x[b].reshape(16, 16) @ kernels["query"]

        def pooled_rows(kernel, b=b):
            full = x[b] @ kernel
            return np.array(
                [full[i : i + 2, j : j + 2].max((0, 1)) for i in (0, 2) for j in (0, 2)]
            )

        key, value = pooled_rows(kernels["key"]), pooled_rows(kernels["value"])
        for i in range(16):
            weight = np.exp(key @ query[i])
            mixed = (weight / weight.sum()) @ value
            expected = x[b].reshape(16, 16)[i] + 0.7 * mixed @ kernels["out"]
            np.testing.assert_allclose(got[b].reshape(16, 16)[i], expected, atol=1e-4)


def test_minibatch_discrimination():
    x = images(5, 4)
    layer = MinibatchDiscrimination(3, 2)
    y, variables = jax.jit(layer.init_with_output)(KEY, x)
    m = (np.asarray(x) @ np.asarray(variables["params"]["kernel"])).reshape(5, 3, 2)
    expected = np.full((5, 3), -1.0)
    for i in range(5):
        for j in range(5):
            if i != j:
                expected[i] += np.exp(-np.abs(m[i] - m[j]).sum(-1))
    np.testing.assert_allclose(y, np.concatenate([x, expected], 1), atol=1e-5)


def test_resizing():
    x = images(1, 4, 6, 2)
    wide = np.asarray(doubled(x))
    np.testing.assert_array_equal(wide, np.asarray(x).repeat(2, 1).repeat(2, 2))
    np.testing.assert_allclose(pooled(jnp.asarray(wide)), x, rtol=1e-6)
    np.testing.assert_allclose(
        pooled(x)[0, 1, 2], np.asarray(x)[0, 2:4, 4:6].mean((0, 1)), rtol=1e-5
    )
    np.testing.assert_allclose(largest(x)[0, 1, 2], np.asarray(x)[0, 2:4, 4:6].max((0, 1)))


def test_pyramid():
    found = {(8, 8): (4, 4, 1), (28, 28): (7, 7, 2), (32, 32): (4, 4, 3), (64, 48): (8, 6, 3)}
    for size, expected in found.items():
        assert pyramid(size) == expected
    with pytest.raises(ValueError, match="images of 6x9 cannot be halved"):
        pyramid((6, 9))
