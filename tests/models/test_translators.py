"""Networks that translate images: parameters of the papers, and PyTorch's layers as the truth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.models.gans import cyclegan, pix2pix, pix2pixhd, spade
from jaxgen.models.gans.patchgan import MultiScale
from jaxgen.nn.spectral_norm import unit

try:
    import torch
    import torch.nn.functional as F
except ModuleNotFoundError:
    torch = F = None

needs_torch = pytest.mark.skipif(torch is None, reason="pip install torch")

KEY = jax.random.key(0)
RANDOM = np.random.RandomState(0)


def normals(*shape):
    return jnp.asarray(RANDOM.randn(*shape).astype(np.float32))


def shaken(tree):
    """Params with biases, and kernels large enough to be seen."""
    return jax.tree.map(lambda p: p * 5 + 0.1 * normals(*p.shape), tree)


def count(model, *args):
    made = jax.eval_shape(lambda k: model.init({"params": k, "dropout": k}, *args), KEY)
    return sum(leaf.size for leaf in jax.tree.leaves(made["params"]))


def torched(x):
    """NHWC to NCHW."""
    return torch.from_numpy(np.array(x)).permute(0, 3, 1, 2)


def conv(params, x, **options):
    """A convolution of PyTorch with Flax's params."""
    kernel = torch.from_numpy(np.array(params["kernel"])).permute(3, 2, 0, 1)
    bias = torch.from_numpy(np.array(params["bias"])) if "bias" in params else None
    return F.conv2d(x, kernel, bias, **options)


def conv_up(params, x, **options):
    """A transposed convolution of PyTorch, whose kernel is the mirror image of Flax's."""
    kernel = torch.from_numpy(np.array(params["kernel"])[::-1, ::-1].copy()).permute(2, 3, 0, 1)
    bias = torch.from_numpy(np.array(params["bias"])) if "bias" in params else None
    return F.conv_transpose2d(x, kernel, bias, 2, **options)


def assert_close(found, expected, atol=2e-5):
    np.testing.assert_allclose(found, expected.permute(0, 2, 3, 1).numpy(), rtol=1e-4, atol=atol)


@pytest.mark.parametrize(("blocks", "expected"), [(9, 11_378_179), (6, 7_837_699)])
def test_parameters_of_cyclegan(blocks, expected):
    assert count(cyclegan.Generator(blocks=blocks), jnp.zeros((1, 256, 256, 3)), 3) == expected


def test_parameters_of_pix2pix():
    assert count(pix2pix.Generator(), jnp.zeros((1, 256, 256, 3)), 3) == 54_413_955


@pytest.mark.parametrize(
    ("classes", "size", "generator", "discriminator"),
    [
        (151, (256, 256), 96_492_483, 5_836_930),  # ADE20K
        (184, (256, 256), 97_480_899, 5_904_514),  # COCO-Stuff, with boundaries
        (36, (256, 512), 93_048_003, 5_601_410),  # Cityscapes, with boundaries
    ],
)
def test_parameters_of_spade(classes, size, generator, discriminator):
    assert count(spade.Generator(), jnp.zeros((1, *size, classes)), 3) == generator
    judge = MultiScale(2, 64, 3, "instance", 2, True)
    assert count(judge, jnp.zeros((1, *size, classes + 3))) == discriminator


@pytest.mark.parametrize(("enhancer", "expected"), [(0, 182_546_755), (3, 182_857_059)])
def test_parameters_of_pix2pixhd(enhancer, expected):
    """Of 35 classes and a boundary, beside the image for two discriminators.

    The official code throws the coarse network's last layer away when it enhances.
    """
    model = pix2pixhd.Generator(enhancer_blocks=enhancer)
    last = 7 * 7 * 64 * 3 + 3 if enhancer else 0
    assert count(model, jnp.zeros((1, 256, 512, 36)), 3) == expected + last
    judge = MultiScale(2, 64, 3, "instance", 2)
    assert count(judge, jnp.zeros((1, 64, 128, 39))) == 5_603_202


@needs_torch
def test_the_enhancer_is_pytorchs():
    """It sees means of 3x3 for the coarse network, whose features it adds at half the size."""
    model, x = pix2pixhd.Generator(4, 1, 1, 1), normals(2, 8, 16, 3)
    params = shaken(model.init(KEY, x, 2)["params"])

    def reflected(params, x, pad):
        return conv(params["Conv_0"], F.pad(x, (pad,) * 4, "reflect"))

    def halved(params, x):
        return F.relu(F.instance_norm(conv(params, x, stride=2, padding=1)))

    def block(params, h):
        g = F.relu(F.instance_norm(reflected(params["conv_0"], h, 1)))
        return h + F.instance_norm(reflected(params["conv_1"], g, 1))

    def doubled(params, x):
        return F.relu(F.instance_norm(conv_up(params, x, padding=1, output_padding=1)))

    coarse, image = params["coarse"], torched(x)
    h = F.avg_pool2d(image, 3, 2, 1, count_include_pad=False)
    h = F.relu(F.instance_norm(reflected(coarse["first"], h, 3)))
    h = doubled(coarse["up_0"], block(coarse["block_0"], halved(coarse["down_0"], h)))
    fine = F.relu(F.instance_norm(reflected(params["first"], image, 3)))
    h = block(params["block_0"], halved(params["down"], fine) + h)
    expected = torch.tanh(reflected(params["last"], doubled(params["up"], h), 3))
    assert_close(model.apply({"params": params}, x, 2), expected, 1e-4)


def test_the_encoder_of_styles_by_hand():
    """Convolutions without biases, as they are normalised; two linear maps of 4x4 features."""
    widths = [3, 64, 128, 256, 512, 512, 512]
    convs = sum(9 * a * b for a, b in zip(widths, widths[1:], strict=False))
    linear = 2 * (512 * 16 * 256 + 256)
    assert count(spade.Encoder(256), jnp.zeros((1, 64, 64, 3))) == convs + linear


def residual_generator(params, x, blocks, halvings):
    """Of Zhu et al. 2017, in PyTorch: reflecting pads, instance normalisation of eps 1e-5."""

    def reflected(params, x, pad):
        return conv(params["Conv_0"], F.pad(x, (pad,) * 4, "reflect"))

    h = F.relu(F.instance_norm(reflected(params["first"], x, 3)))
    for i in range(halvings):
        h = F.relu(F.instance_norm(conv(params[f"down_{i}"], h, stride=2, padding=1)))
    for i in range(blocks):
        own = params[f"block_{i}"]
        g = F.relu(F.instance_norm(reflected(own["conv_0"], h, 1)))
        h = h + F.instance_norm(reflected(own["conv_1"], g, 1))
    for i in reversed(range(halvings)):
        up = conv_up(params[f"up_{i}"], h, padding=1, output_padding=1)
        h = F.relu(F.instance_norm(up))
    return torch.tanh(reflected(params["last"], h, 3))


@needs_torch
def test_the_generator_of_cyclegan_is_pytorchs():
    model, x = cyclegan.Generator(4, 2, 2), normals(2, 16, 24, 3)
    params = shaken(model.init(KEY, x, 2)["params"])
    expected = residual_generator(params, torched(x), 2, 2)
    assert_close(model.apply({"params": params}, x, 2), expected)


def test_two_generators_of_their_own():
    model, x = cyclegan.Generators(4, 1, 1, 3), normals(1, 8, 8, 1)
    params = model.init(KEY, x, "b", 2)["params"]
    assert set(params) == {"to_b"}
    one = cyclegan.Generator(4, 1, 1, 3)
    alone = one.apply({"params": params["to_b"]}, x, 2)
    np.testing.assert_array_equal(model.apply({"params": params}, x, "b", 2), alone)


@pytest.mark.parametrize("size", [(8, 10), (6, 8), (4, 4)])
def test_sizes_that_cannot_be_are_refused(size):
    with pytest.raises(ValueError, match="expected sides that are multiples of 4 and 8 or more"):
        cyclegan.Generator(2, 1, 2, 3).init(KEY, jnp.zeros((1, *size, 1)), 1)
    with pytest.raises(ValueError, match="3 times: expected multiples of 8"):
        pix2pix.Generator(2, 3).init(KEY, jnp.zeros((1, 12, 8, 1)), 1)
    with pytest.raises(ValueError, match="5 doublings reach multiples of 32"):
        spade.Generator(2).init(KEY, jnp.zeros((1, 48, 64, 1)), 1)


def u_net(params, x, levels, noise):
    """Of Isola et al. 2017 in PyTorch, by the batch's moments, without dropout where noise is 1."""

    def norm(params, x):
        scale, bias = (torch.from_numpy(np.array(params[k])) for k in ("scale", "bias"))
        return F.batch_norm(x, None, None, scale, bias, training=True)

    maps, h = [], x
    for i in range(levels):
        h = conv(params[f"down_{i}"], F.leaky_relu(h, 0.2) if i else h, stride=2, padding=1)
        h = norm(params[f"norm_{i}"]["moments"], h) if 0 < i < levels - 1 else h
        maps.append(h)
    maps.pop()
    for i in reversed(range(levels)):
        h = conv_up(params[f"up_{i}"], F.relu(h), padding=1)
        if i:
            h = noise * norm(params[f"norm_up_{i}"]["moments"], h)
            h = torch.cat([maps.pop(), h], 1)
    return torch.tanh(h)


@needs_torch
def test_the_u_net_is_pytorchs():
    model, x = pix2pix.Generator(2, 4, dropout=0.0), normals(3, 16, 32, 3)
    made = model.init({"params": KEY, "dropout": KEY}, x, 1)
    params = shaken(made["params"])
    found, _ = model.apply(
        {"params": params, "batch_stats": made["batch_stats"]},
        x,
        1,
        mutable=["batch_stats"],
        rngs={"dropout": KEY},
    )
    assert_close(found, u_net(params, torched(x), 4, 1), 1e-4)


def test_bridges_carry_what_the_innermost_layer_does_not():
    """Without it the output still depends on the input, pixel by pixel."""
    model, x = pix2pix.Generator(2, 3, dropout=0.0), normals(1, 8, 8, 1)
    made = model.init({"params": KEY, "dropout": KEY}, x, 1)
    params = shaken(made["params"])
    params["up_2"] = jax.tree.map(jnp.zeros_like, params["up_2"])

    def first(x):
        variables = {"params": params, "batch_stats": made["batch_stats"]}
        return model.apply(variables, x, 1, rngs={"dropout": KEY})[0, 2, 2, 0]

    slope = np.asarray(jax.grad(first)(x))[0, ..., 0]
    assert (slope != 0).sum() > 10


def spaded(params, x, layout):
    """Park et al. 2019, equation 1, in PyTorch."""
    normed = F.batch_norm(x, None, None, training=True)
    layout = F.interpolate(layout, x.shape[2:], mode="nearest")
    h = F.relu(conv(params["shared"], layout, padding=1))
    gain, shift = (conv(params[k], h, padding=1) for k in ("gain", "shift"))
    return normed * (1 + gain) + shift


def normalised(params, u):
    """The kernel over its singular value, as half an iteration of the power method has it."""
    kernel = params["kernel"]
    matrix = kernel.reshape(-1, kernel.shape[-1])
    u = unit(unit(matrix @ u) @ matrix)
    return {**params, "kernel": kernel / (unit(matrix @ u) @ matrix @ u)}


@needs_torch
@pytest.mark.parametrize("features", [6, 3])
def test_a_block_of_spade_is_pytorchs(features):
    """The shortcut is learnt where widths differ, without activation or bias."""
    model, x = spade.Block(features, 5), normals(2, 4, 4, 6)
    layout = jax.nn.one_hot(jnp.asarray(RANDOM.randint(3, size=(2, 8, 12))), 3)[:, :, :8]
    made = model.init(KEY, x, layout)
    params, vectors = shaken(made["params"]), made["spectral"]
    mutable = ["batch_stats", "spectral"]
    found, _ = model.apply({**made, "params": params}, x, layout, mutable=mutable)
    assert ("conv_s" in params) == (features == 3)
    assert set(vectors) == {name for name in params if name.startswith("conv")}
    kernels = {k: normalised(params[k], v["u"]) for k, v in vectors.items()}
    h, m = torched(x), torched(layout)
    dx = conv(kernels["conv_0"], F.leaky_relu(spaded(params["spade_0"], h, m), 0.2), padding=1)
    dx = conv(kernels["conv_1"], F.leaky_relu(spaded(params["spade_1"], dx, m), 0.2), padding=1)
    if features == 3:
        h = conv(kernels["conv_s"], spaded(params["spade_s"], h, m))
    assert_close(found, h + dx, 1e-4)


@needs_torch
def test_without_modulation_spade_is_batch_normalisation():
    model, x = spade.Spade(4), normals(3, 4, 4, 2)
    layout = jnp.ones((3, 4, 4, 2))
    made = model.init(KEY, x, layout)
    params = {**made["params"]}
    params |= {k: jax.tree.map(jnp.zeros_like, params[k]) for k in ("gain", "shift")}
    found, _ = model.apply({**made, "params": params}, x, layout, mutable=["batch_stats"])
    assert_close(found, F.batch_norm(torched(x), None, None, training=True))


@needs_torch
def test_styles_change_the_picture_and_layouts_place_it():
    model, cond = spade.Generator(4, (2, 1), (), 3, 4, 1, 4), normals(2, 8, 8, 3)
    made = model.init(KEY, cond, 3, jnp.zeros((2, 3)))
    mean, log_var = model.apply(made, normals(2, 8, 8, 3), method="encode")
    assert mean.shape == log_var.shape == (2, 3)
    one, two = (model.apply(made, cond, 3, normals(2, 3) * 9) for _ in range(2))
    assert one.shape == (2, 8, 8, 3) and float(jnp.abs(one - two).max()) > 0
    with pytest.raises(ValueError, match="16x8: a network with styles makes images of one size"):
        model.apply(made, normals(2, 16, 8, 3), 3, normals(2, 3))
    picture = jnp.arange(64.0).reshape(1, 8, 8, 1)
    np.testing.assert_array_equal(
        spade.nearest(picture, 4, 4)[0, ..., 0],
        F.interpolate(torched(picture), (4, 4), mode="nearest")[0, 0].numpy(),
    )
