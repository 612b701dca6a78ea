"""R3GAN against the official modules, with the same random weights.

    git clone https://github.com/brownvc/R3GAN DIR
    python tests/parity/r3gan.py DIR

Prints the largest difference of images, of logits and of the slope of the logits, which R1 and R2
square, with and without classes, and exits with 1 if one is above 1e-6 of the largest value.
Needs PyTorch, on CPU, and a setuptools below 81, which the official code takes versions apart with.
The official code is not ours to copy: it is imported from DIR.
"""

from __future__ import annotations

import pathlib
import sys

LIMIT = 1e-6
BATCH, SIDE, LATENT, EMBEDDING = 4, 32, 16, 8
WIDTHS, CARDINALITIES, BLOCKS = (24, 24, 16, 8), (6, 6, 4, 2), (2, 1, 1, 2)


def array(tensor):
    return tensor.detach().numpy().copy()


def dense(layer):
    """[out, in] to [in, out]."""
    return {"kernel": array(layer.weight).T}


def convolution(layer):
    """[co, ci / groups, kh, kw] to [kh, kw, ci / groups, co]."""
    return {"kernel": array(layer.Layer.weight).transpose(2, 3, 1, 0)}


def block(layer):
    """Parameters of our Block."""
    return {
        "widen": convolution(layer.LinearLayer1),
        "bias1": array(layer.NonLinearity1.Bias),
        "grouped": convolution(layer.LinearLayer2),
        "bias2": array(layer.NonLinearity2.Bias),
        "narrow": convolution(layer.LinearLayer3),
    }


def blocks(module, first):
    """Parameters of all blocks; the transition of a stage is its first layer, or its last."""
    found = {}
    for i, stage in enumerate(module.MainLayers):
        layers = list(stage.Layers)
        transition = layers.pop(0 if first else -1)
        found |= {f"stage{i}_{j}": block(layer) for j, layer in enumerate(layers)}
        if hasattr(transition, "LinearLayer") and not hasattr(transition, "Basis"):
            found[f"to{i if first else i + 1}"] = convolution(transition.LinearLayer)
    return found, transition


def generator(module):
    """Our parameters of the official generator."""
    found, _ = blocks(module, True)
    basis = module.MainLayers[0].Layers[0]
    found |= {
        "basis": array(basis.Basis).transpose(1, 2, 0),
        "weights": dense(basis.LinearLayer),
        "image": convolution(module.AggregationLayer),
    }
    return _with_classes(module, found)


def discriminator(module):
    """Our parameters of the official discriminator."""
    found, basis = blocks(module, False)
    found |= {
        "basis": array(basis.Basis.weight)[:, 0].transpose(1, 2, 0),
        "logit": dense(basis.LinearLayer),
        "image": convolution(module.ExtractionLayer),
    }
    return _with_classes(module, found)


def _with_classes(module, found):
    if hasattr(module, "EmbeddingLayer"):
        found["classes"] = dense(module.EmbeddingLayer)
    return found


def shaken(module, torch):
    """Noise on all parameters that begin at zero, and float64; the filters ask for float32."""
    for parameter in module.parameters():
        if not parameter.any():
            parameter.data += 0.1 * torch.randn_like(parameter)
        parameter.data = parameter.data.double()
    return module


def compare(official, classes):
    """Name -> largest difference over the largest value, with so many classes."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import torch

    from jaxgen.models.gans.r3gan import Discriminator, Generator

    torch.manual_seed(classes)
    condition = {"ConditionDimension": classes, "ConditionEmbeddingDimension": EMBEDDING}
    condition = condition if classes else {}
    lists = (WIDTHS, CARDINALITIES, BLOCKS)
    reverse = [one[::-1] for one in lists]
    theirs = shaken(official.Generator(LATENT, *lists, 2, **condition), torch)
    judge = shaken(official.Discriminator(*reverse, 2, **condition), torch)
    for stage in (*theirs.MainLayers, *judge.MainLayers):
        stage.DataType = torch.float64
    z, x = torch.randn(BATCH, LATENT).double(), torch.randn(BATCH, 3, SIDE, SIDE).double()
    c = torch.eye(classes)[torch.arange(BATCH) % classes].double() if classes else None
    cond = jnp.asarray(c.numpy()) if classes else None
    found = {}

    def note(name, mine, reference):
        reference = array(reference)
        error = np.abs(np.asarray(mine) - reference).max()
        found[name] = float(error / np.abs(reference).max())

    ours = Generator(LATENT, *lists, EMBEDDING)
    size, params = (BATCH, SIDE, SIDE, 3), {"params": generator(theirs)}
    note(
        "images",
        ours.apply(params, jnp.asarray(z.numpy()), size, cond),
        theirs(z, c).permute(0, 2, 3, 1),
    )
    ours = Discriminator(*reverse, EMBEDDING)
    params, pixels = {"params": discriminator(judge)}, jnp.asarray(x.permute(0, 2, 3, 1).numpy())
    x.requires_grad_(True)
    logits = judge(x, c)
    note("logits", ours.apply(params, pixels, cond), logits)
    slope = jax.grad(lambda pixels: jnp.sum(ours.apply(params, pixels, cond)))(pixels)
    (reference,) = torch.autograd.grad(logits.sum(), x)
    note("slope of the logits", slope, reference.permute(0, 2, 3, 1))
    return found


def main(path):
    sys.path.insert(0, str(path))
    import jax
    from R3GAN import Networks

    jax.config.update("jax_enable_x64", True)
    worst = 0.0
    for classes in (0, 3):
        for name, difference in compare(Networks, classes).items():
            print(f"{classes} classes  {name:24} {difference:.1e}")
            worst = max(worst, difference)
    print(f"worst {worst:.1e}, limit {LIMIT:.0e}")
    return worst > LIMIT


if __name__ == "__main__":
    if len(sys.argv) != 2 or not pathlib.Path(sys.argv[1], "R3GAN", "Networks.py").exists():
        sys.exit(__doc__)
    sys.exit(main(pathlib.Path(sys.argv[1])))
