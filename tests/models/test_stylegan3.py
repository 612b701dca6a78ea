"""StyleGAN3: official counts and layers, filters, waves, and shifts that images follow."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from jaxgen.models.gans.stylegan3 import FilteredLayer, Generator, Signal, Waves, signals
from jaxgen.ops.lowpass import lowpass, radial_lowpass, resampled, thinned
from jaxgen.ops.upfirdn import upfirdn

KEY = jax.random.key(0)
RANDOM = np.random.RandomState(0)
SMALL = Generator(8, 8, 1, base=128, most=8, layers=4, margin=4)


def count(size, **options):
    z = jnp.zeros((2, options.get("latent", 512)))
    made = jax.eval_shape(functools.partial(Generator(**options).init, size=size), KEY, z)
    return sum(leaf.size for leaf in jax.tree.leaves(made["params"]))


ROTATIONS = {"rotations": True, "most": 1024}
PRESET = {"latent": 64, "style": 64, "layers": 8, "margin": 4, "base": 1024, "most": 64}


@pytest.mark.parametrize(
    ("size", "options", "expected"),
    [
        ((2, 1024, 1024, 3), {}, 22_313_167),
        ((2, 1024, 1024, 3), {**ROTATIONS, "base": 65_536}, 15_093_151),
        ((2, 256, 256, 3), {"base": 16_384}, 23_320_443),
        ((2, 256, 256, 3), {**ROTATIONS, "base": 32_768}, 15_779_565),
        ((2, 32, 32, 1), PRESET, 277_599),
    ],
)
def test_parameter_counts_of_the_official_networks(size, options, expected):
    assert count(size, **options) == expected


def test_layers_of_the_official_network():
    """Sizes and channels as in the names of its layers, L0_36_512 to L14_1024_3."""
    found = [(s.size, s.channels) for s in signals(1024, 3, 14, 2, 10, 32_768, 512)]
    first = [(36, 512), (36, 512), (52, 512), (52, 512), (84, 512), (148, 512), (148, 512)]
    last = [(532, 128), (1044, 81), (1044, 51), (1044, 32), (1024, 32), (1024, 3)]
    assert found == [*first, (276, 323), (276, 203), *last]


def test_filters():
    """What passes and what does not, of a sinc and of a jinc, in all directions."""
    taps = np.asarray(lowpass(48, 4.0, 2.0, 32.0))
    frequencies, response = scipy.signal.freqz(taps, fs=32.0)
    assert np.abs(response[frequencies < 2]).min() > 0.99
    assert np.abs(response[frequencies > 6]).max() < 0.01
    assert np.abs(np.interp(4, frequencies, np.abs(response)) - 0.5) < 0.02
    kernel = radial_lowpass(48, 4.0, 2.0, 32.0)
    assert kernel.sum() == pytest.approx(1, abs=1e-6) and np.allclose(kernel, kernel.T)
    x = (np.arange(48) - 23.5) / 32
    for angle in (0.0, 0.4, np.pi / 4):
        for frequency, least, most in ((1.5, 0.98, 1.02), (7.0, 0.0, 0.02)):
            along = np.cos(angle) * x[None] + np.sin(angle) * x[:, None]
            size = np.abs((kernel * np.exp(2j * np.pi * frequency * along)).sum())
            assert least <= size <= most
    assert lowpass(1, 4.0, 2.0, 32.0) == (1.0,) and radial_lowpass(1, 4.0, 2.0, 32.0).item() == 1


@pytest.mark.parametrize(("up", "down", "pad"), [(2, 1, (4, 3)), (1, 2, (0, 0)), (4, 2, (-1, 5))])
def test_resampling_by_matrices_is_that_by_taps(up, down, pad):
    x = jnp.asarray(RANDOM.randn(2, 14, 17, 3), jnp.float32)
    taps = lowpass(12, 3.0, 1.0, 16.0)
    expected = upfirdn(x, [up * tap for tap in taps], up, down, pad)
    np.testing.assert_allclose(resampled(x, taps, up, down, pad), expected, atol=1e-5)
    flat = np.outer(taps, taps).astype(np.float32)
    np.testing.assert_allclose(thinned(x, flat, down), upfirdn(x, taps, down=down), atol=1e-5)


def test_large_images_are_resampled_by_taps():
    x, taps = jnp.asarray(RANDOM.randn(1, 96, 90, 1), jnp.float32), lowpass(12, 3.0, 1.0, 16.0)
    np.testing.assert_allclose(
        resampled(x, taps, 2), upfirdn(x, [2 * tap for tap in taps], 2), atol=1e-6
    )


def test_waves_follow_transforms():
    """A shift of t sides moves them by t times the rate; a quarter turn turns them."""
    waves = Waves(Signal(16, 24, 2.0, 2.0, 5))
    w = jnp.asarray(RANDOM.randn(2, 3), jnp.float32)
    variables = waves.init(KEY, w)
    x = waves.apply(variables, w)
    assert x.shape == (2, 24, 24, 5)
    frequencies = variables["constants"]["frequencies"]
    assert np.linalg.norm(frequencies, axis=1).max() <= 2.0 and x.std() > 0.3

    def moved(transform):
        return waves.apply(variables, w, jnp.asarray(np.stack([transform] * 2), jnp.float32))

    right = np.eye(3) - [[0, 0, 3 / 16], [0, 0, -1 / 16], [0, 0, 0]]  # by 3 right and 1 up
    np.testing.assert_allclose(moved(right)[:, :-1, 3:], x[:, 1:, :-3], atol=1e-5)
    turned = moved(np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]]))
    np.testing.assert_allclose(turned, np.rot90(x, 1, (2, 1)), atol=1e-5)


def test_w_turns_and_shifts_the_waves_itself():
    """(r_c, r_s, t_x, t_y) over the length of the first two."""
    waves = Waves(Signal(16, 24, 2.0, 2.0, 5))
    w = jnp.ones((1, 1))
    variables = waves.init(KEY, w)
    plain = waves.apply(variables, w)
    at = jnp.array([2.0, 0.0, 2 * 3 / 16, 0.0])
    shifted = {**variables, "params": {**variables["params"], "at": at}}
    np.testing.assert_allclose(waves.apply(shifted, w)[:, :, 3:], plain[:, :, :-3], atol=1e-5)


def test_a_layer_forgets_how_large_its_kernel_and_style_are():
    """Weights are divided by their root mean square, styles by that of the batch."""
    signal = Signal(8, 12, 2.0, 2.0, 4)
    layer = FilteredLayer(signal, signal, False, 3, False, None)
    x, w = jnp.asarray(RANDOM.randn(2, 12, 12, 4)), jnp.asarray(RANDOM.randn(2, 6))
    variables = layer.init(KEY, x, w)
    y = layer.apply(variables, x, w)
    assert y.shape == (2, 12, 12, 4)
    params = variables["params"]
    scales = jnp.asarray(RANDOM.rand(4) + 0.5)
    larger = params | {"kernel": params["kernel"] * scales.reshape(1, 1, 1, -1)}
    np.testing.assert_allclose(
        layer.apply({**variables, "params": larger}, x, w), y, rtol=2e-4, atol=1e-5
    )
    _, moved = layer.apply(variables, 3 * x, w, mutable=["moments"])
    expected = 0.999 + 0.001 * 9 * float(jnp.mean(jnp.square(x)))
    assert float(moved["moments"]["magnitude"]) == pytest.approx(expected, rel=1e-5)
    held = {**variables, "moments": {"magnitude": jnp.float32(4.0)}}
    np.testing.assert_allclose(layer.apply(held, 2 * x, w), y, rtol=2e-4, atol=1e-5)


@pytest.fixture(scope="module")
def images():
    """(transform) -> images [2, 16, 16, 2] of a network whose layers all matter."""
    size = (2, 16, 16, 2)
    z = jnp.asarray(RANDOM.randn(2, 8), jnp.float32)
    variables = SMALL.init(KEY, z, size)
    styles = jnp.asarray(RANDOM.randn(2, 6, 8), jnp.float32)

    @jax.jit
    def made(transforms):
        options = {"transforms": transforms, "method": "synthesize"}
        return SMALL.apply(variables, styles, size, "none", **options)

    return lambda t: made(jnp.broadcast_to(jnp.asarray(t, jnp.float32), (2, 3, 3)))


def test_images_follow_shifts(images):
    """By two pixels, far from the borders: what aliases would break."""
    x = images(np.eye(3))
    moved = images(np.eye(3) - [[0, 0, 2 / 16], [0, 0, 0], [0, 0, 0]])
    error = np.asarray(moved[:, 2:-2, 4:-2] - x[:, 2:-2, 2:-4])
    assert error.std() < 0.03 * np.asarray(x).std()


def test_sizes_that_are_no_power_of_two_are_cut():
    z = jnp.zeros((1, 8))
    x, _ = SMALL.init_with_output(KEY, z, (1, 12, 14, 1))
    assert x.shape == (1, 12, 14, 1)
    with pytest.raises(ValueError, match="3 styles, expected 6"):
        SMALL.init(KEY, jnp.zeros((1, 3, 8)), (1, 16, 16, 1), method="synthesize")
