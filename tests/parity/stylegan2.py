"""StyleGAN2 against the official modules, with the same random weights.

    git clone https://github.com/NVlabs/stylegan2-ada-pytorch DIR
    python tests/parity/stylegan2.py DIR

Prints the largest difference of w, of its running mean, of images and of logits, with and without
classes, skips of the discriminator, and a bound of the activations that matters. Exits with 1 if
one is above 1e-4, or if the official pickle is not read exactly.
Needs PyTorch, on CPU. The official code is not ours to copy: it is imported from DIR.
"""

from __future__ import annotations

import pathlib
import pickle
import sys
import tempfile

from jaxgen.weights.pickles import read
from jaxgen.weights.stylegan import discriminator_params, generator_params, generator_vars

LIMIT = 1e-4
BATCH, SIDE, COLOURS, LATENT, BASE, MOST, LAYERS = 4, 32, 3, 16, 512, 32, 3


def arrays(module):
    """By their official names."""
    named = [*module.named_parameters(), *module.named_buffers()]
    return {name: tensor.detach().numpy().copy() for name, tensor in named}


def generator(module):
    """Our variables of the official generator."""
    return {"params": generator_params(arrays(module)), **generator_vars(arrays(module))}


def discriminator(module):
    """Our variables of the official discriminator."""
    return {"params": discriminator_params(arrays(module))}


def pickled(module):
    """Whether the arrays of the official pickle of a module are read as they are."""
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "module.pkl")
        path.write_bytes(pickle.dumps({"module": module}))
        found = read(path)["module"].arrays()
    expected = arrays(module)
    same = [np.array_equal(found[name], value) for name, value in expected.items()]
    return found.keys() == expected.keys() and all(same)


def shaken(module, torch):
    """Noise on all parameters that begin at a constant."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim < 2 or not parameter.any():
                parameter.add_(0.3 * torch.randn_like(parameter))
    return module


def compare(networks, classes, kind, clamp):
    """Name -> largest difference, with so many classes, a discriminator of a kind, and a bound."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import torch

    from jaxgen.models.gans.stylegan2 import Discriminator, Generator

    torch.manual_seed(classes)
    widths = {"channel_base": BASE, "channel_max": MOST, "conv_clamp": clamp}
    layers = {"num_layers": LAYERS}
    theirs = networks.Generator(
        LATENT, classes, LATENT, SIDE, COLOURS, mapping_kwargs=layers, synthesis_kwargs=widths
    )
    judge = networks.Discriminator(
        classes, SIDE, COLOURS, architecture=kind, mapping_kwargs=layers, **widths
    )
    shaken(theirs, torch), shaken(judge, torch)
    if not (pickled(theirs) and pickled(judge)):
        sys.exit("the official pickle is not read as it was written")
    ours = Generator(LATENT, LATENT, LAYERS, BASE, MOST, clamp)
    our_judge = Discriminator(BASE, MOST, 4, MOST, LAYERS, kind == "resnet", clamp)
    variables, size = generator(theirs), (BATCH, SIDE, SIDE, COLOURS)
    z = torch.randn(BATCH, LATENT)
    c = torch.eye(classes)[torch.arange(BATCH) % classes] if classes else torch.zeros(BATCH, 0)
    cond = jnp.asarray(c.numpy()) if classes else None
    found = {}

    def note(name, mine, reference):
        reference = reference.detach().numpy()
        scale = max(1.0, float(np.abs(reference).max()))
        found[name] = float(np.abs(np.asarray(mine) - reference).max()) / scale

    w = theirs.train().mapping(z, c)
    mapped, moved = ours.apply(
        variables, jnp.asarray(z.numpy()), cond, method="map", mutable=["moments"]
    )
    note("w", mapped, w[:, 0])
    note("mean of w", moved["moments"]["mapping"]["mean"], theirs.mapping.w_avg)
    variables = generator(theirs.eval())
    w = theirs.mapping(z, c, truncation_psi=0.7)
    mean = variables["moments"]["mapping"]["mean"]
    near = mean + 0.7 * (np.asarray(mapped) - mean)
    note("truncated w", near, w[:, 0])
    styles = torch.randn(w.shape)
    for mode in ("const", "none"):
        image = ours.apply(variables, jnp.asarray(styles.numpy()), size, mode, method="synthesize")
        reference = theirs.synthesis(styles, noise_mode=mode)
        note(f"images, noise {mode}", image, reference.permute(0, 2, 3, 1))
    x = torch.randn(BATCH, COLOURS, SIDE, SIDE)
    logits = our_judge.apply(discriminator(judge), jnp.asarray(x.permute(0, 2, 3, 1).numpy()), cond)
    note("logits", logits, judge(x, c)[:, 0])
    with jax.default_matmul_precision("highest"):
        pixels = jnp.asarray(x.permute(0, 2, 3, 1).numpy())
        slope = jax.grad(lambda p: jnp.sum(our_judge.apply(discriminator(judge), p, cond)))(pixels)
    x.requires_grad_(True)
    (reference,) = torch.autograd.grad(judge(x, c).sum(), x)
    note("slope of the logits", slope, reference.permute(0, 2, 3, 1))
    return found


def main(path):
    sys.path.insert(0, str(path))
    from training import networks

    worst = 0.0
    for case in (
        (0, "resnet", None),
        (3, "resnet", None),
        (3, "orig", None),
        (0, "orig", 0.5),
        (3, "resnet", 0.5),
    ):
        for name, difference in compare(networks, *case).items():
            print("{} classes  {:6} clamp {!s:4}".format(*case), f" {name:24} {difference:.1e}")
            worst = max(worst, difference)
    print(f"worst {worst:.1e}, limit {LIMIT:.0e}")
    return worst > LIMIT


if __name__ == "__main__":
    if len(sys.argv) != 2 or not pathlib.Path(sys.argv[1], "training", "networks.py").exists():
        sys.exit(__doc__)
    sys.exit(main(pathlib.Path(sys.argv[1])))
