"""PixelCNN++ against the official code: start on the first batch, theta, nats, parameter count.

    git clone https://github.com/openai/pixel-cnn DIR
    python tests/parity/pixelcnnpp.py DIR

Prints the largest differences, relative to the largest number, and exits with 1 if one is above
1e-4 or the numbers of parameters differ. Needs PyTorch, on CPU. The official code is not ours to
copy: it is imported from DIR and wants TensorFlow 1, for which `tensorflow1.py` stands in.

Of commit bbc15688, PyTorch 2.13.0, jax 0.10.2: scales and biases at the start to 8.4e-7, theta to
3.3e-7, nats to 6.0e-6, and 53,659,080 parameters each.
"""

from __future__ import annotations

import pathlib
import sys

import numpy as np
from tensorflow1 import VARIABLES, copy, count, install, moved, off, our_order, ours, resnet

LIMIT = 1e-4
SMALL = dict(nr_resnet=2, nr_filters=8, nr_logistic_mix=3)


def layers(params, blocks, levels):
    """Ours, one dict a layer, in the order in which the official code makes its own."""
    import jax

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
    mine = list(as_official(params, blocks, 3, mixtures))
    copy(mine, ("V", "hw"))
    run(init=True)
    # Of a transposed convolution the code takes the moments before it cuts the edges, ours after:
    # what starts the same are the layers before the first, with those of classes.
    before = 3 + 3 * 7 * blocks + 4 + 8 * blocks
    both = list(zip(mine, VARIABLES.values(), strict=True))[:before]
    found = {
        f"{name} at the start": max(off(a[name], b[name]) for a, b in both if name in a)
        for name in "gb"
    }
    params = moved(params, random)
    copy(as_official(params, blocks, 3, mixtures), ("V", "g", "b", "hw"))
    image, theirs = run()
    theta = jax.jit(lambda p: net.apply({"params": p}, x, head, jnp.asarray(labels)))(params)
    found["theta"] = off(theta, theirs.numpy()[..., our_order(mixtures)])
    nats = ops.discretized_mix_logistic_loss(image, theirs, sum_all=False).numpy()
    return found | {"nats": off(-decoder.log_prob(x, theta), nats)}


def counts(model):
    """Parameters of the official run's network, and of ours."""
    import torch

    from jaxgen.models.autoregressive.pixelcnnpp import PixelCNNPP

    VARIABLES.clear()
    with torch.no_grad():
        model.model_spec(torch.zeros(1, 32, 32, 3), dropout_p=0.0)
    return count(), ours(PixelCNNPP())


def main(path):
    """Compares."""
    install()
    sys.path.insert(0, str(path))
    import pixel_cnn_pp.model as model
    import pixel_cnn_pp.nn as ops

    found = compare(model, ops)
    for name, value in found.items():
        print(f"{name}: {value:.1e}")
    theirs, own = counts(model)
    print(f"parameters: {theirs:,} theirs, {own:,} ours")
    return int(max(found.values()) > LIMIT or theirs != own)


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
