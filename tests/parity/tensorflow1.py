"""What the official codes of PixelCNN++ and PixelSNAIL call of TensorFlow 1, by PyTorch, at once.

`install` puts it in the place of TensorFlow. Variables are in `VARIABLES`, by layer and name.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import types

import numpy as np

VARIABLES: dict[str, dict] = {}  # layer -> name -> tensor, in the order of their making
SCOPE: list[str] = []
DEFAULTS: list[dict] = []  # of arg_scope


@contextlib.contextmanager
def arg_scope(functions, **options):
    """Default arguments of functions."""
    DEFAULTS.append({f: options for f in functions})
    yield
    DEFAULTS.pop()


def add_arg_scope(function):
    """A function that has the defaults of the scopes that it is called in."""

    @functools.wraps(function)
    def run(*args, **options):
        found = {}
        for scope in DEFAULTS:
            found |= scope.get(run, {})
        return function(*args, **(found | options))

    return run


@contextlib.contextmanager
def variable_scope(name):
    """Names variables."""
    SCOPE.append(name)
    yield
    SCOPE.pop()


def install():
    """Makes `import tensorflow` find what is here."""
    import torch
    from torch.nn import functional as F

    def get_variable(name, shape=None, dtype=None, initializer=None, trainable=True):
        layer = VARIABLES.setdefault("/".join(SCOPE), {})
        if name not in layer:
            layer[name] = initializer(shape) if callable(initializer) else initializer
        return layer[name]

    def nchw(x):
        return x.permute(0, 3, 1, 2)

    def conv2d(x, kernel, strides, pad):
        assert pad == "VALID"
        y = F.conv2d(nchw(x), kernel.permute(3, 2, 0, 1), stride=strides[1:3])
        return y.permute(0, 2, 3, 1)

    def conv2d_transpose(x, kernel, shape, strides, padding):
        assert padding == "VALID"
        y = F.conv_transpose2d(nchw(x), kernel.permute(3, 2, 0, 1), stride=strides[1:3])
        y = y.permute(0, 2, 3, 1)
        short = [want - have for want, have in zip(shape[1:3], y.shape[1:3], strict=True)]
        return F.pad(y, (0, 0, 0, short[1], 0, short[0]))

    def moments(x, axes):
        return x.mean(axes), x.var(axes, correction=0)

    def l2_normalize(x, axes):
        return x * torch.rsqrt(torch.clamp((x**2).sum(axes, keepdim=True), min=1e-12))

    def pad(x, pads):
        return F.pad(x, [n for pair in reversed(pads) for n in pair])

    def reduce_max(x, axis, keepdims=False, keep_dims=False):
        return x.amax(axis, keepdim=keepdims or keep_dims)

    def reduce_sum(x, axis=None, keepdims=False, keep_dims=False):
        return x.sum() if axis is None else x.sum(axis, keepdim=keepdims or keep_dims)

    def matmul(a, b, transpose_b=False):
        return a @ (b.transpose(-1, -2) if transpose_b else b)

    torch.Tensor.get_shape = lambda self: self.shape
    torch.Tensor.assign = lambda self, v: self.copy_(v)
    torch.Tensor.assign_add = lambda self, v: self.add_(v)
    torch.Tensor.initialized_value = lambda self: self
    nn = types.SimpleNamespace(
        elu=F.elu, relu=F.relu, sigmoid=torch.sigmoid, softplus=F.softplus, tanh=torch.tanh,
        bias_add=torch.add, conv2d=conv2d, conv2d_transpose=conv2d_transpose, moments=moments,
        l2_normalize=l2_normalize,
    )  # fmt: skip
    tf = types.ModuleType("tensorflow")
    vars(tf).update(
        nn=nn, float32=torch.float32, concat=torch.cat, ones=torch.ones, zeros=torch.zeros,
        sqrt=torch.sqrt, square=torch.square, log=torch.log, exp=torch.exp, matmul=matmul,
        reshape=torch.reshape, where=torch.where, pad=pad, reduce_max=reduce_max,
        reduce_sum=reduce_sum, get_variable=get_variable, variable_scope=variable_scope,
        split=lambda x, num, axis: torch.chunk(x, num, axis),
        range=lambda n, dtype: torch.arange(n, dtype=dtype),
        constant=lambda value, dtype: torch.from_numpy(value).to(dtype),
        maximum=lambda x, least: torch.clamp(x, min=least),
        add_to_collection=lambda *_: None,
        control_dependencies=lambda _: contextlib.nullcontext(),
        random_normal_initializer=lambda mean, std: lambda shape: std * torch.randn(*shape),
        constant_initializer=lambda value: lambda shape: torch.full(tuple(shape), value),
    )  # fmt: skip
    ops = types.ModuleType("tensorflow.contrib.framework.python.ops")
    ops.arg_scope, ops.add_arg_scope = arg_scope, add_arg_scope
    python = types.ModuleType("tensorflow.python.ops")
    python.variables = types.SimpleNamespace(Variable=type("Variable", (), {}))
    framework = types.ModuleType("tensorflow.python.framework")
    framework.function = None
    above = ["contrib", "contrib.framework", "contrib.framework.python", "python"]
    sys.modules.update({f"tensorflow.{n}": types.ModuleType(f"tensorflow.{n}") for n in above})
    sys.modules |= {m.__name__: m for m in (tf, ops, python, framework)}


def off(ours, theirs):
    """Largest difference, relative to the largest number."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def copy(ours, names):
    """Ours, one dict a layer in the order of their making, into the variables."""
    import torch

    for layer, known in zip(VARIABLES.values(), ours, strict=True):
        for name in set(names) & set(known):
            value = torch.from_numpy(np.array(known[name]))
            layer[name].copy_(value.reshape(layer[name].shape))


def count():
    """Numbers in all variables."""
    return sum(v.numel() for layer in VARIABLES.values() for v in layer.values())


def resnet(tree):
    """Our layers of a gated residual block."""
    yield from (tree[name] for name in ("first", "beside", "second", "cond") if name in tree)


def our_order(mixtures):
    """Where our numbers of a pixel are among the official ones, of three channels."""
    of_channel = mixtures + np.arange(9 * mixtures).reshape(3, 3, mixtures)
    return np.concatenate([np.arange(mixtures), *(of_channel[:, k].ravel() for k in range(3))])


def moved(params, random):
    """Parameters away from their start, so that all of them matter."""
    import jax

    def away(v):
        return v + 0.2 * random.randn(*v.shape).astype(np.float32) * np.abs(v).mean()

    return jax.tree.map(away, params)


def ours(net, width=100):
    """Number of our parameters for CIFAR-10."""
    import jax
    import jax.numpy as jnp

    from jaxgen.nn.heads import Head

    x = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.uint8)
    made = jax.eval_shape(lambda x: net.init(jax.random.key(0), x, Head(256, width)), x)
    return sum(leaf.size for leaf in jax.tree.leaves(made))
