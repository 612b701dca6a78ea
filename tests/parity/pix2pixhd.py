"""pix2pixHD's generators, discriminators and encoder of features against the official modules.

    git clone https://github.com/NVIDIA/pix2pixHD DIR
    python tests/parity/pix2pixhd.py DIR

Weights are random. Prints the largest difference of each output, and exits with 1 if one is above
1e-5 of the largest value, in float64. Needs PyTorch, on CPU. The official code is imported from
DIR, without torchvision, of which it wants a trained VGG alone.
"""

from __future__ import annotations

import functools
import pathlib
import sys
import types

from translators import (
    back,
    block,
    convolution,
    first,
    judged,
    patches,
    reflected,
    residual,
    settle,
    transposed,
)

WIDTH, BATCH, CLASSES, HEIGHT, LONG = 4, 2, 5, 64, 96


def enhanced(module, blocks):
    """Our Generator with an enhancer, but for the coarse part's own last layer."""
    first, down = (m for m in module.model1_1 if type(m).__name__ == "Conv2d")
    middle = list(module.model1_2)
    params = {"coarse": residual(list(module.model), blocks)}
    params |= {"first": reflected(first), "down": convolution(down)}
    own = [m for m in middle if type(m).__name__ == "ResnetBlock"]
    params |= {f"block_{i}": block(m) for i, m in enumerate(own)}
    kinds = [type(m).__name__ for m in middle]
    params["up"] = transposed(middle[kinds.index("ConvTranspose2d")])
    return params | {"last": reflected(middle[kinds.index("Conv2d")])}


def around(params):
    """Our Generator without an enhancer, or our Encoder, of a residual network's params."""
    rest = dict(params)
    return rest.pop("last"), rest


def main(checkout):
    """Compares."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import torch

    from jaxgen.models.gans.patchgan import MultiScale
    from jaxgen.models.gans.pix2pixhd import Generator
    from jaxgen.ops.parts import numbered

    sys.path.insert(0, str(pathlib.Path(checkout).resolve()))
    vision = types.ModuleType("torchvision")
    vision.models = types.ModuleType("torchvision.models")
    sys.modules |= {"torchvision": vision, "torchvision.models": vision.models}
    from models import networks

    jax.config.update("jax_enable_x64", True)
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    random, pairs = np.random.RandomState(0), {}
    cond = random.randn(BATCH, HEIGHT, LONG, CLASSES)
    x = random.randn(BATCH, HEIGHT, LONG, 3)
    instance = functools.partial(torch.nn.InstanceNorm2d, affine=False)

    theirs = settle(networks.GlobalGenerator(CLASSES, 3, WIDTH, 3, 2, instance), torch)
    last, coarse = around(residual(list(theirs.model), 2))
    run = jax.jit(lambda v: Generator(WIDTH, 3, 2).apply({"params": v}, cond, 3))
    found = run({"coarse": coarse, "last": last})
    pairs["coarse generator"] = found, back(theirs(first(cond)))

    half = WIDTH // 2
    theirs = settle(networks.LocalEnhancer(CLASSES, 3, half, 3, 2, 1, 2, instance), torch)
    ours = Generator(WIDTH, 3, 2, 2)
    params = enhanced(theirs, 2) | {"last_coarse": last}  # which makes nothing here
    run = jax.jit(lambda v: ours.apply({"params": v}, cond, 3))
    pairs["enhanced generator"] = run(params), back(theirs(first(cond)))

    theirs = settle(networks.Encoder(3, 3, WIDTH, 4, instance), torch)
    ids = np.repeat(np.repeat(random.randint(0, 7, (BATCH, 4, 6)), 16, 1), 16, 2) * 1001
    last, body = around(residual(list(theirs.model), 0))
    net = Generator(WIDTH, 1, 1, features=3, feature_width=WIDTH, feature_halvings=4)
    params = {"encoder": {"body": body, "last": last}}
    encode = lambda v: net.apply({"params": v}, x, numbered(jnp.asarray(ids)), method="encode")  # noqa: E731
    expected = back(theirs(first(x), torch.from_numpy(ids[:, None])))
    pairs["features of instances"] = jax.jit(encode)(params), expected

    for scales in (2, 3):
        judge = networks.MultiscaleDiscriminator(
            3 + CLASSES, WIDTH, 3, instance, False, scales, True
        )
        settle(judge, torch)
        params = {}
        for scale in range(scales):  # theirs are numbered from the smallest image on
            parts = [getattr(judge, f"scale{scales - 1 - scale}_layer{i}") for i in range(5)]
            params[f"scale{scale}"] = patches(torch.nn.ModuleList(parts))
        ours = MultiScale(scales, WIDTH, 3, "instance", 2)
        run = jax.jit(lambda v, ours=ours: ours.apply({"params": v}, x, cond, True))
        logits, features = run(params)
        expected = judge(first(np.concatenate([x, cond], -1)))
        for scale, outputs in enumerate(expected):
            whole = (*features[scale], logits[scale][..., None])
            for layer, (a, b) in enumerate(zip(whole, outputs, strict=True)):
                pairs[f"{scales} discriminators, {scale}, layer {layer}"] = a, back(b)
    return judged(pairs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
