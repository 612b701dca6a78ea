"""PixelCNN++ against the official code: start on the first batch, theta, nats, parameter count.

    git clone https://github.com/openai/pixel-cnn DIR
    python tests/parity/pixelcnnpp.py DIR

Prints the largest differences, relative to the largest number, and exits with 1 if one is above
1e-4 or the numbers of parameters differ. Needs PyTorch, on CPU. The official code is not ours to
copy: it is imported from DIR and wants TensorFlow 1, in whose place stands what it calls of it, in
PyTorch.

Of commit bbc15688, PyTorch 2.13.0, jax 0.10.2: scales and biases at the start to 8.4e-7, theta to
3.3e-7, nats to 6.0e-6, and 53,659,080 parameters each.
"""

from __future__ import annotations

import contextlib
import functools
import pathlib
import sys
import types

import numpy as np

LIMIT = 1e-4
SMALL = dict(nr_resnet=2, nr_filters=8, nr_logistic_mix=3)
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


def tensorflow():
    """What the official code calls of TensorFlow 1, run at once."""
    import torch
    from torch.nn import functional as F

    def get_variable(name, shape, initializer, **_):
        layer = VARIABLES.setdefault("/".join(SCOPE), {})
        if name not in layer:
            layer[name] = initializer(shape)
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

    def reduce_max(x, axis, keepdims=False):
        return x.amax(axis, keepdim=keepdims)

    def reduce_sum(x, axis=None, keepdims=False):
        return x.sum() if axis is None else x.sum(axis, keepdim=keepdims)

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
        sqrt=torch.sqrt, square=torch.square, log=torch.log, exp=torch.exp, matmul=torch.matmul,
        reshape=torch.reshape, where=torch.where, pad=pad, reduce_max=reduce_max,
        reduce_sum=reduce_sum, get_variable=get_variable, variable_scope=variable_scope,
        split=lambda x, num, axis: torch.chunk(x, num, axis),
        maximum=lambda x, least: torch.clamp(x, min=least),
        add_to_collection=lambda *_: None,
        control_dependencies=lambda _: contextlib.nullcontext(),
        random_normal_initializer=lambda mean, std: lambda shape: std * torch.randn(*shape),
        constant_initializer=lambda value: lambda shape: torch.full(tuple(shape), value),
    )  # fmt: skip
    ops = types.ModuleType("tensorflow.contrib.framework.python.ops")
    ops.arg_scope, ops.add_arg_scope = arg_scope, add_arg_scope
    names = ["tensorflow.contrib", "tensorflow.contrib.framework"]
    names.append("tensorflow.contrib.framework.python")
    sys.modules.update({name: types.ModuleType(name) for name in names})
    sys.modules |= {"tensorflow": tf, ops.__name__: ops}


def layers(params, blocks, levels):
    """Ours, one dict a layer, in the order in which the official code makes its own."""
    import jax

    def resnet(tree):
        yield from (tree[name] for name in ("first", "beside", "second", "cond") if name in tree)

    def run(tree, length):
        for i in range(length):
            block = jax.tree.map(lambda v: v[i], tree)  # noqa: B023
            yield from (*resnet(block["u"]), *resnet(block["ul"]))

    yield from (params[name] for name in ("above", "row_above", "left"))
    for i in range(levels):
        if i:
            yield from (params[f"halve_{i}_{name}"] for name in ("u", "ul"))
        yield from run(params[f"up_{i}"], blocks)
    for i in reversed(range(levels)):
        if i < levels - 1:
            yield from (params[f"double_{i}_{name}"] for name in ("u", "ul"))
        yield from run(params[f"down_{i}"], blocks + (i < levels - 1))
    yield params["theta"]


def as_official(params, blocks, levels, mixtures):
    """Ours, one dict a layer, under the official names and in the official order of axes."""
    doubling = [params[f"double_{i}_{name}"] for i in range(levels - 1) for name in ("u", "ul")]
    back = np.argsort(our_order(mixtures))
    for layer in layers(params, blocks, levels):
        if "kernel" in layer:
            yield {"hw": layer["kernel"]}
            continue
        v, g, b = (layer[name] for name in ("direction", "scale", "bias"))
        if layer is params["theta"]:
            v, g, b = v[..., back], g[back], b[back]
        if any(layer is other for other in doubling):
            v = v[::-1, ::-1].transpose(0, 1, 3, 2)
        yield {"V": v, "g": g, "b": b}


def copy(ours, names):
    """Ours into the variables of the official code."""
    import torch

    for layer, known in zip(VARIABLES.values(), ours, strict=True):
        for name in set(names) & set(known):
            value = torch.from_numpy(np.array(known[name]))
            layer[name].copy_(value.reshape(layer[name].shape))


def our_order(mixtures):
    """Where our numbers of a pixel are among the official ones, of three channels."""
    of_channel = mixtures + np.arange(9 * mixtures).reshape(3, 3, mixtures)
    return np.concatenate([np.arange(mixtures), *(of_channel[:, k].ravel() for k in range(3))])


def off(ours, theirs):
    """Largest difference, relative to the largest number."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def compare(model, ops):
    """Name -> difference, of a small network given a class."""
    import jax
    import jax.numpy as jnp
    import torch

    from jaxgen.models.autoregressive.pixelcnnpp import PixelCNNPP
    from jaxgen.nn.heads import Head
    from jaxgen.ops.observations import LogisticMixture

    random, blocks, mixtures = np.random.RandomState(0), 2, 3
    decoder = LogisticMixture(256, mixtures)
    head = Head(256, decoder.width(3))
    net = PixelCNNPP(SMALL["nr_filters"], blocks, levels=3)
    x = random.randint(0, 256, (6, 12, 8, 3)).astype(np.uint8)
    labels = np.eye(4, dtype=np.float32)[random.randint(0, 4, 6)]
    made = jax.jit(lambda: net.init(jax.random.key(0), x, head, jnp.asarray(labels)))()
    params = jax.tree.map(np.asarray, made["params"])

    def run(init=False):
        image, h = torch.from_numpy(x / np.float32(127.5) - 1), torch.from_numpy(labels)
        with torch.no_grad():
            return image, model.model_spec(image, h, init=init, dropout_p=0.0, **SMALL)

    run()  # makes the variables
    ours = list(as_official(params, blocks, 3, mixtures))
    copy(ours, ("V", "hw"))
    run(init=True)
    # Of a transposed convolution the code takes the moments before it cuts the edges, ours after:
    # what starts the same are the layers before the first, with those of classes.
    before = 3 + 3 * 7 * blocks + 4 + 8 * blocks
    both = list(zip(ours, VARIABLES.values(), strict=True))[:before]
    found = {
        f"{name} at the start": max(off(a[name], b[name]) for a, b in both if name in a)
        for name in "gb"
    }
    params = jax.tree.map(
        lambda v: v + 0.2 * random.randn(*v.shape).astype(np.float32) * np.abs(v).mean(), params
    )
    copy(as_official(params, blocks, 3, mixtures), ("V", "g", "b", "hw"))
    image, theirs = run()
    theta = jax.jit(lambda p: net.apply({"params": p}, x, head, jnp.asarray(labels)))(params)
    found["theta"] = off(theta, theirs.numpy()[..., our_order(mixtures)])
    nats = ops.discretized_mix_logistic_loss(image, theirs, sum_all=False).numpy()
    return found | {"nats": off(-decoder.log_prob(x, theta), nats)}


def count(model):
    """Parameters of the official run's network and of ours."""
    import jax
    import jax.numpy as jnp
    import torch

    from jaxgen.models.autoregressive.pixelcnnpp import PixelCNNPP
    from jaxgen.nn.heads import Head

    VARIABLES.clear()
    with torch.no_grad():
        model.model_spec(torch.zeros(1, 32, 32, 3), dropout_p=0.0)
    theirs = sum(v.numel() for layer in VARIABLES.values() for v in layer.values())
    x = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.uint8)
    made = jax.eval_shape(lambda x: PixelCNNPP().init(jax.random.key(0), x, Head(256, 100)), x)
    return theirs, sum(leaf.size for leaf in jax.tree.leaves(made))


def main(path):
    """Compares."""
    tensorflow()
    sys.path.insert(0, str(path))
    import pixel_cnn_pp.model as model
    import pixel_cnn_pp.nn as ops

    found = compare(model, ops)
    for name, value in found.items():
        print(f"{name}: {value:.1e}")
    theirs, ours = count(model)
    print(f"parameters: {theirs:,} theirs, {ours:,} ours")
    return int(max(found.values()) > LIMIT or theirs != ours)


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
