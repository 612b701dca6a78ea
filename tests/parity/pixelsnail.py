"""PixelSNAIL against the official code: start on the first batch, theta, parameter count.

    git clone https://github.com/neocxi/pixelsnail-public DIR
    python tests/parity/pixelsnail.py DIR

Prints the largest differences, relative to the largest number, and exits with 1 if one is above
1e-4 or the numbers of parameters differ. Needs PyTorch, on CPU. The official code is not ours to
copy: it is imported from DIR and wants TensorFlow 1, for which `tensorflow1.py` stands in.

Of commit 05a70fbe, PyTorch 2.13.0, jax 0.10.2: scales and biases at the start to 6.8e-6, theta to
2.7e-7, and 46,180,788 parameters each.
"""

from __future__ import annotations

import pathlib
import sys

import numpy as np
from tensorflow1 import VARIABLES, copy, count, install, moved, off, our_order, ours, resnet

LIMIT = 1e-4
MIXTURES = 3
SMALL = dict(nr_resnet=2, nr_filters=8, nr_logistic_mix=MIXTURES, attn_rep=3)


def layers(params):
    """Ours, one dict a layer, in the order in which the official code makes its own."""
    import jax

    yield from (params[name] for name in ("row_above", "left"))
    for i in range(SMALL["attn_rep"]):
        block = jax.tree.map(lambda v: v[i], params["blocks"])  # noqa: B023
        for j in range(SMALL["nr_resnet"]):
            yield from resnet(jax.tree.map(lambda v: v[j], block["resnets"]["block"]))  # noqa: B023
        for name in ("content", "query"):
            yield from (*resnet(block[name]), block[f"{name}_out"])
        yield from resnet(block["merge"])
    yield params["theta"]


def as_official(params):
    """As `layers`, under the official names."""
    back = np.argsort(our_order(MIXTURES))
    for layer in layers(params):
        v, g, b = (layer[name] for name in ("direction", "scale", "bias"))
        if layer is params["theta"]:
            v, g, b = v[..., back], g[back], b[back]
        yield {"V": v, "g": g, "b": b}


def compare(model):
    """Name -> difference, of a small network."""
    import jax
    import torch

    from jaxgen.models.autoregressive.pixelsnail import PixelSNAIL
    from jaxgen.nn.heads import Head

    random, head = np.random.RandomState(0), Head(256, 10 * MIXTURES)
    net = PixelSNAIL(SMALL["nr_filters"], SMALL["attn_rep"], SMALL["nr_resnet"])
    x = random.randint(0, 256, (6, 6, 8, 3)).astype(np.uint8)
    made = jax.jit(lambda: net.init(jax.random.key(0), x, head))()
    params = jax.tree.map(np.asarray, made["params"])

    def run(init=False):
        image = torch.from_numpy(x / np.float32(127.5) - 1)
        with torch.no_grad():
            return model._base_noup_smallkey_spec(
                image, init=init, dropout_p=0.0, resnet_nonlinearity="elu", **SMALL
            )

    run(init=True)  # makes the variables
    mine = list(as_official(params))
    copy(mine, ("V",))
    for layer in VARIABLES.values():
        del layer["g"], layer["b"]
    run(init=True)
    both = list(zip(mine, VARIABLES.values(), strict=True))
    found = {f"{name} at the start": max(off(a[name], b[name]) for a, b in both) for name in "gb"}
    params = moved(params, random)
    copy(as_official(params), ("V", "g", "b"))
    theta = jax.jit(lambda p: net.apply({"params": p}, x, head))(params)
    return found | {"theta": off(theta, run().numpy()[..., our_order(MIXTURES)])}


def counts(model):
    """Parameters of the official run's network, and of ours."""
    import torch

    from jaxgen.models.autoregressive.pixelsnail import PixelSNAIL

    VARIABLES.clear()
    options = dict(init=True, dropout_p=0.0, nr_resnet=4, resnet_nonlinearity="elu")
    with torch.no_grad():
        model.h12_noup_smallkey_spec(torch.zeros(1, 32, 32, 3), **options)
    return count(), ours(PixelSNAIL())


def main(path):
    """Compares."""
    install()
    sys.path.insert(0, str(path))
    import pixel_cnn_pp.model as model

    found = compare(model)
    for name, value in found.items():
        print(f"{name}: {value:.1e}")
    theirs, own = counts(model)
    print(f"parameters: {theirs:,} theirs, {own:,} ours")
    return int(max(found.values()) > LIMIT or theirs != own)


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
