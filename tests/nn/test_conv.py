"""jaxgen's convolutions equal those of lax: values, gradients of any order, sharded or not."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxgen.nn import conv_cpu
from jaxgen.nn.conv import Conv, ConvTranspose, conv, conv_transpose

LAYOUT = ("NHWC", "HWIO", "NHWC")
CANONICAL = "[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]"

# name: size, kernel [kh, kw, ci / groups, co], stride, padding, groups
CASES = {
    "1x1": ((5, 6), (1, 1, 3, 7), 1, "SAME", 1),
    "1x1 stride 2": ((7, 6), (1, 1, 3, 7), 2, "SAME", 1),
    "1x1 padded": ((5, 6), (1, 1, 3, 7), 1, ((1, 0), (0, 2)), 1),
    "3x3": ((8, 8), (3, 3, 8, 9), 1, "SAME", 1),
    "3x3 odd size, VALID": ((7, 9), (3, 3, 8, 9), 1, "VALID", 1),
    "5x5": ((8, 7), (5, 5, 8, 6), 1, "SAME", 1),
    "even kernel": ((6, 7), (2, 4, 8, 9), 1, "SAME", 1),
    "padded past the kernel": ((4, 5), (3, 3, 8, 9), 1, ((4, 3), (0, 5)), 1),
    "cropped": ((8, 9), (3, 3, 8, 9), 1, ((-1, 2), (0, -2)), 1),
    "thin input": ((6, 6), (3, 3, 3, 32), 1, "SAME", 1),
    "thin output": ((6, 6), (3, 3, 32, 4), 1, "SAME", 1),
    "thin output, explicit pads": ((6, 7), (3, 3, 32, 4), 1, ((0, 2), (1, 3)), 1),
    "3x3 stride 2": ((8, 8), (3, 3, 8, 9), 2, "SAME", 1),
    "3x3 stride 2, odd size": ((9, 7), (3, 3, 8, 9), 2, "SAME", 1),
    "4x4 stride 2": ((8, 8), (4, 4, 8, 9), 2, 1, 1),
    "stride past the kernel": ((9, 11), (2, 1, 8, 9), 3, "VALID", 1),
    "an output larger than the input": ((6, 5), (4, 4, 8, 17), 1, ((2, 2), (2, 2)), 1),
    "an output of padding alone": ((1, 1), (2, 2, 8, 9), 2, ((2, 0), (2, 0)), 1),
    "unequal strides": ((8, 9), (3, 4, 8, 9), (1, 3), ((0, 2), (3, 1)), 1),
    "depthwise 5x5": ((7, 8), (5, 5, 1, 6), 1, "SAME", 6),
    "depthwise stride 2": ((7, 8), (3, 3, 1, 6), 2, "SAME", 6),
}
GROUPS = {
    "groups": ((6, 6), (3, 3, 4, 8), 1, "SAME", 2),
    "wide groups": ((5, 6), (3, 3, 16, 36), 1, "SAME", 2),
    "groups, 1x1": ((5, 6), (1, 1, 4, 18), 1, "SAME", 3),
    "groups, stride 2": ((7, 8), (3, 3, 16, 32), 2, "SAME", 2),
    "groups, unequal": ((8, 9), (3, 4, 3, 6), (1, 3), ((0, 2), (3, -1)), 2),
    "groups to one channel": ((6, 5), (3, 3, 5, 3), 1, "VALID", 3),
    "depthwise with a multiplier": ((6, 6), (3, 3, 1, 80), 1, "SAME", 40),
}
CASES |= GROUPS
# name: size, kernel, stride, padding
TRANSPOSED = {
    "4x4 stride 2": ((4, 5), (4, 4, 8, 6), 2, "SAME"),
    "4x4 stride 2, VALID": ((4, 5), (4, 4, 8, 6), 2, "VALID"),
    "3x3 stride 2": ((4, 5), (3, 3, 8, 6), 2, "SAME"),
    "5x5 stride 2, explicit": ((4, 5), (5, 5, 8, 6), 2, ((2, 3), (4, 1))),
    "stride past the kernel": ((4, 5), (2, 2, 8, 6), 3, "SAME"),
    "stride past the kernel, VALID": ((4, 5), (2, 2, 8, 6), 3, "VALID"),
    "stride 1": ((4, 5), (4, 3, 8, 6), 1, "SAME"),
    "unequal strides": ((4, 5), (4, 4, 8, 6), (2, 1), "SAME"),
}


def lax_conv(x, w, stride=1, padding="SAME", groups=1):
    strides = (stride, stride) if isinstance(stride, int) else stride
    pads = ((padding, padding),) * 2 if isinstance(padding, int) else padding
    return lax.conv_general_dilated(
        x, w, strides, pads, dimension_numbers=LAYOUT, feature_group_count=groups
    )


def lax_conv_transpose(x, w, stride, padding):
    return lax.conv_transpose(x, w, (stride,) * 2 if isinstance(stride, int) else stride, padding)


def arrays(size, kernel, groups=1, batch=3, dtype=np.float32):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, *size, kernel[2] * groups))
    w = rng.normal(size=kernel) / np.sqrt(np.prod(kernel[:3]))
    return jax.device_put(x.astype(dtype)), jax.device_put(w.astype(dtype))


def through(f):
    """A function of x and kernel -> what every order makes of f."""

    def penalty(x, w):
        """Like R1: the squared norm of an input gradient."""
        return jnp.sum(jax.grad(lambda x: jnp.sum(jnp.tanh(f(x, w))))(x) ** 2)

    def everything(x, w):
        y, pull = jax.vjp(f, x, w)
        first = pull(jnp.asarray(np.cos(np.arange(y.size)).reshape(y.shape), y.dtype))
        second = jax.grad(penalty, (0, 1))(x, w)
        return dict(y=y, first=first, second=second)

    return everything


def loss(f, *options):
    return lambda x, w: jnp.sum(jnp.sin(f(x, w, *options)))


def beside(ours, theirs):
    """Both functions of the same arrays, in one program."""
    return jax.jit(lambda *arrays: (ours(*arrays), theirs(*arrays)))


def assert_close(got, expected, tolerance=1e-5):
    def check(path, a, b):
        assert a.shape == b.shape and a.dtype == b.dtype, path
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        error = np.abs(a - b).max() / max(np.abs(b).max(), 1e-30)
        assert error <= tolerance, (jax.tree_util.keystr(path), error)

    jax.tree_util.tree_map_with_path(check, got, expected)


@pytest.mark.parametrize("case", [case for case in CASES if case not in GROUPS])
def test_equals_lax(case):
    size, kernel, *options = CASES[case]
    x, w = arrays(size, kernel, options[2])
    ours, theirs = (through(lambda x, w, f=f: f(x, w, *options)) for f in (conv, lax_conv))
    assert_close(*beside(ours, theirs)(x, w))


@pytest.mark.parametrize("case", GROUPS)
def test_groups_equal_lax_in_double_precision(case):
    size, kernel, *options = GROUPS[case]
    with jax.enable_x64(True):
        x, w = arrays(size, kernel, options[2], dtype=np.float64)
        ours, theirs = (through(lambda x, w, f=f: f(x, w, *options)) for f in (conv, lax_conv))
        assert_close(*beside(ours, theirs)(x, w), 1e-12)


@pytest.mark.parametrize("case", TRANSPOSED)
def test_transposed_equals_lax(case):
    size, kernel, *options = TRANSPOSED[case]
    x, w = arrays(size, kernel)
    pair = (conv_transpose, lax_conv_transpose)
    ours, theirs = (through(lambda x, w, f=f: f(x, w, *options)) for f in pair)
    assert_close(*beside(ours, theirs)(x, w))


def test_transposed_refuses_unknown_padding():
    with pytest.raises(ValueError, match="expected 'SAME'.*got 'CIRCULAR'"):
        conv_transpose(jnp.ones((1, 4, 4, 2)), jnp.ones((3, 3, 2, 2)), 2, "CIRCULAR")


def convolutions(f, x, w, platform):
    """The dimension numbers of all convolutions lowered for a platform."""
    text = jax.jit(f).trace(x, w).lower(lowering_platforms=(platform,)).as_text()
    return sorted(re.findall(r"dim_numbers = (\S.*?\]->\[.*?\])", text))


@pytest.mark.parametrize("case", CASES)
def test_cpu_sees_canonical_convolutions_only(case):
    size, kernel, *options = CASES[case]
    x, w = arrays(size, kernel, options[2])
    everything = through(lambda x, w: conv(x, w, *options))
    assert set(convolutions(everything, x, w, "cpu")) <= {CANONICAL}


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
@pytest.mark.parametrize(
    "case", ["3x3", "1x1", "thin output", "4x4 stride 2", "depthwise 5x5", "groups"]
)
def test_other_platforms_see_those_of_lax(case, platform):
    size, kernel, *options = CASES[case]
    x, w = arrays(size, kernel, options[2])
    ours, theirs = (
        convolutions(jax.grad(loss(f, *options), (0, 1)), x, w, platform) for f in (conv, lax_conv)
    )
    assert ours == theirs and ours


def test_inside_scan():
    x, w = arrays((6, 6), (3, 3, 8, 8))
    stack = jnp.asarray(np.multiply.outer(np.float32([1, 2, -1]), w))

    def scanned(f):
        return lambda x, ws: lax.scan(lambda x, w: (jnp.tanh(f(x, w)), None), x, ws)[0]

    assert_close(*beside(through(scanned(conv)), through(scanned(lax_conv)))(x, stack))
    assert set(convolutions(through(scanned(conv)), x, stack, "cpu")) == {CANONICAL}


@pytest.mark.parametrize("case", ["3x3", "4x4 stride 2", "depthwise stride 2", "groups"])
def test_forward_mode_and_vmap(case):
    size, kernel, *options = CASES[case]
    x, w = arrays(size, kernel, options[2], batch=4)
    pairs = jnp.asarray(np.reshape(x, (2, 2, *x.shape[1:])))
    kernels = jnp.asarray(np.stack([w, -np.asarray(w)]))

    def everything(f):
        def g(x, w):
            return f(x, w, *options)

        def gradient(x, w):
            return jax.grad(lambda w: jnp.sum(jnp.tanh(g(x, w))))(w)

        return dict(
            forward=jax.jvp(g, (x, w), (jnp.cos(x), jnp.sin(w))),
            forward_over_reverse=jax.jvp(gradient, (x, w), (jnp.cos(x), jnp.sin(w))),
            inputs=jax.vmap(g, (0, None))(pairs, w),
            inputs_back=jax.vmap(jax.grad(lambda x: jnp.sum(g(x, w) ** 2)))(pairs),
            kernels=jax.vmap(g, (None, 0), 1)(x, kernels),
            per_example=jax.vmap(gradient, (0, None))(pairs, w),
            both=jax.vmap(g)(pairs, kernels),
            both_back=jax.vmap(jax.grad(lambda x, w: jnp.sum(g(x, w) ** 2), (0, 1)))(
                pairs, kernels
            ),
        )

    assert_close(*jax.jit(lambda: (everything(conv), everything(lax_conv)))())


def test_runs_without_jit():
    x, w = arrays((5, 5), (3, 3, 8, 9))
    assert_close(*(jax.grad(loss(f), (0, 1))(x, w) for f in (conv, lax_conv)))


@pytest.mark.parametrize(
    "case", ["1x1", "3x3", "thin output", "thin input", "depthwise 5x5", "groups"]
)
def test_half_precision(case):
    size, kernel, *options = CASES[case]
    x, w = arrays(size, kernel, options[2], dtype=jnp.bfloat16)

    def value_and_gradients(f):
        return lambda x, w: (f(x, w, *options), *jax.grad(loss(f, *options), (0, 1))(x, w))

    got = jax.jit(value_and_gradients(conv))(x, w)
    assert {a.dtype for a in got} == {jnp.dtype(jnp.bfloat16)}
    wide = [np.asarray(a, np.float32) for a in (x, w)]
    exact = jax.jit(value_and_gradients(lax_conv))(*wide)
    assert_close(tuple(np.asarray(a, np.float32) for a in got), exact, 2**-6)


def test_default_precision_is_that_of_the_call():
    x, w = arrays((5, 5), (3, 3, 8, 9))
    with jax.default_matmul_precision("float32"):
        traced = jax.jit(lambda x, w: conv(x, w)).trace(x, w)
    assert "HIGHEST" in traced.lower().as_text()


SHARDED = {
    name: CASES[name] for name in ("1x1", "3x3", "3x3 stride 2", "thin input", "thin output")
}
SHARDED |= {name: CASES[name] for name in ("depthwise 5x5", "wide groups")}
SHARDED |= {"transposed": TRANSPOSED["4x4 stride 2"]}


@pytest.mark.parametrize("case", SHARDED)
def test_sharded_equals_unsharded(case, monkeypatch):
    monkeypatch.setattr(conv_cpu, "_CHUNK_ROWS", 1)
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    size, kernel, *options = SHARDED[case]
    f, reference = (
        (conv_transpose, lax_conv_transpose) if case == "transposed" else (conv, lax_conv)
    )
    x, w = arrays(size, kernel, (*options, 1)[2], batch=32)
    mesh = jax.make_mesh((4, 2), ("data", "fsdp"), axis_types=(AxisType.Auto,) * 2)
    split, whole = NamedSharding(mesh, P(("data", "fsdp"))), NamedSharding(mesh, P())

    step = jax.jit(
        jax.grad(loss(f, *options), (0, 1)),
        in_shardings=(split, whole),
        out_shardings=(split, whole),
    )
    assert_close(step(x, w), jax.jit(jax.grad(loss(reference, *options), (0, 1)))(x, w))
    assert "all-gather" not in step.lower(x, w).compile().as_text()


@pytest.mark.parametrize(
    "options",
    [
        dict(features=5, kernel_size=(3, 3)),
        dict(features=4, kernel_size=(3, 3), feature_group_count=4, use_bias=False),
        dict(features=5, kernel_size=(4, 4), strides=2, padding=1, dtype=jnp.bfloat16),
        dict(features=5, kernel_size=(3, 3), kernel_dilation=2),
        dict(features=5, kernel_size=(3, 3), padding="CIRCULAR", param_dtype=jnp.bfloat16),
        dict(features=5, kernel_size=(3,)),
    ],
)
def test_module_is_that_of_flax(options):
    x, _ = arrays((8, 8), (1, 1, 4, 1))
    pair = (Conv(**options), nn.Conv(**options))
    ours, theirs = beside(*(layer.init_with_output for layer in pair))(jax.random.key(0), x)
    assert_close(ours, theirs)


@pytest.mark.parametrize(
    "options",
    [
        dict(features=5, kernel_size=(4, 4), strides=(2, 2)),
        dict(features=5, kernel_size=(3, 3), use_bias=False, padding="VALID"),
        dict(features=5, kernel_size=(4, 4), strides=(2, 2), dtype=jnp.bfloat16),
    ],
)
def test_transposed_module_is_that_of_flax(options):
    x, _ = arrays((4, 4), (1, 1, 4, 1))
    pair = (ConvTranspose(**options), nn.ConvTranspose(**options))
    both = beside(*(layer.init_with_output for layer in pair))
    (got, variables), (expected, same) = both(jax.random.key(0), x)
    assert_close(variables, same)
    assert_close(got, expected, 1e-5 if got.dtype == jnp.float32 else 2**-7)


def test_inside_nn_scan():
    """Scanned and rematerialised layers, as `Repeat` holds them, learn what Flax's do."""

    class Block(nn.Module):
        layer: type

        @nn.compact
        def __call__(self, x, _):
            return x + nn.tanh(self.layer(4, (3, 3), name="conv")(x)), None

    block = nn.remat(Block, prevent_cse=False)
    scan = nn.scan(block, variable_axes={"params": 0}, split_rngs={"params": True}, length=3)
    x, _ = arrays((6, 6), (1, 1, 4, 1))
    variables = jax.jit(scan(Conv).init)(jax.random.key(0), x, None)

    def gradient(layer):
        return jax.jit(jax.grad(lambda v: jnp.sum(scan(layer).apply(v, x, None)[0] ** 2)))

    assert_close(gradient(Conv)(variables), gradient(nn.Conv)(variables))
