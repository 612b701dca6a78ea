"""Networks of CycleGAN and pix2pix against the official PyTorch modules, random weights.

    git clone https://github.com/junyanz/pytorch-CycleGAN-and-pix2pix DIR
    python tests/parity/cyclegan.py DIR

Prints the largest difference of each output, and exits with 1 if one is above 1e-5 of the largest
value, in float64. Needs PyTorch, on CPU. The official code is imported from DIR.
"""

from __future__ import annotations

import functools
import inspect
import pathlib
import sys

from translators import array, back, convolution, first, judged, patches, residual, settle
from translators import transposed as up

WIDTH, BATCH = 4, 2


def unet(module, levels):
    """Variables of our U-Net: down and up of every level, from the outermost in."""
    params, level = {}, module.model
    for i in range(levels):
        layers = list(level.model)
        inner = next((m for m in layers if type(m) is type(level)), None)
        kinds = [type(m).__name__ for m in layers]
        params[f"down_{i}"] = convolution(layers[kinds.index("Conv2d")])
        params[f"up_{i}"] = up(layers[kinds.index("ConvTranspose2d")])
        norms = [m for m in layers if type(m).__name__ == "BatchNorm2d"]
        if i:
            params[f"norm_up_{i}"] = normalised(norms.pop())
        if norms:
            params[f"norm_{i}"] = normalised(norms.pop())
        level = inner
    return params


def normalised(layer):
    """Our BatchNorm."""
    return {"moments": {"scale": array(layer.weight), "bias": array(layer.bias)}}


def batched(module):
    """Our PatchDiscriminator with batch normalisation."""
    norms = [m for m in module.modules() if type(m).__name__ == "BatchNorm2d"]
    return patches(module) | {f"BatchNorm_{i}": normalised(m) for i, m in enumerate(norms)}


def main(checkout):
    """Compares."""
    import jax
    import numpy as np
    import torch

    from jaxgen.models.gans import cyclegan, pix2pix
    from jaxgen.models.gans.patchgan import PatchDiscriminator

    sys.path.insert(0, str(pathlib.Path(checkout).resolve()))
    from models import networks

    jax.config.update("jax_enable_x64", True)
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    random = np.random.RandomState(0)
    x, y, pairs = random.randn(BATCH, 64, 128, 3), random.randn(BATCH, 64, 128, 2), {}
    instance = functools.partial(torch.nn.InstanceNorm2d, affine=False)
    # versions that can double by interpolation are told not to
    options = inspect.signature(networks.ResnetGenerator).parameters
    doubles = {"use_deconvolution": True} if "use_deconvolution" in options else {}
    for blocks in (6, 9):
        theirs = networks.ResnetGenerator(3, 2, WIDTH, instance, n_blocks=blocks, **doubles)
        params = residual(list(settle(theirs, torch).model), blocks)
        ours = cyclegan.Generator(WIDTH, blocks)
        run = jax.jit(lambda v, ours=ours: ours.apply({"params": v}, x, 2))
        pairs[f"residual generator, {blocks} blocks"] = run(params), back(theirs(first(x)))
    for levels in (5, 6):
        theirs = settle(networks.UnetGenerator(3, 2, levels, WIDTH), torch)
        ours, key = pix2pix.Generator(WIDTH, levels, dropout=0.0), jax.random.key(0)
        keys = {"params": key, "dropout": key}
        moments = jax.jit(lambda k, ours=ours: ours.init(k, x, 2))(keys)["batch_stats"]

        def run(params, moments, ours=ours, key=key):
            variables = {"params": params, "batch_stats": moments}
            rngs = {"dropout": key}
            return ours.apply(variables, x, 2, mutable=["batch_stats"], rngs=rngs)[0]

        found = jax.jit(run)(unet(theirs, levels), moments)
        pairs[f"U-Net, {levels} levels"] = found, back(theirs(first(x)))
    both = np.concatenate([x, y], -1)
    for layers in (1, 3):
        for norm, layer in (("instance", instance), ("batch", torch.nn.BatchNorm2d)):
            theirs = settle(networks.NLayerDiscriminator(5, WIDTH, layers, layer), torch)
            ours = PatchDiscriminator(WIDTH, layers, norm)
            made = jax.jit(lambda k, ours=ours: ours.init(k, x, y))(jax.random.key(0))
            own = batched(theirs) if norm == "batch" else patches(theirs)
            variables = {**made, "params": own}
            run = jax.jit(lambda v, ours=ours: ours.apply(v, x, y, mutable=["batch_stats"])[0])
            name = f"discriminator, {layers} layers, {norm}"
            pairs[name] = run(variables)[..., None], back(theirs(first(both)))
    return judged(pairs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
