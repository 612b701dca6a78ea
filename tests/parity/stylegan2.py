"""StyleGAN2 against the official modules, with the same random weights.

    git clone https://github.com/NVlabs/stylegan2-ada-pytorch DIR
    python tests/parity/stylegan2.py DIR

Prints the largest difference of w, of its running mean, of images and of logits, with and without
classes, and exits with 1 if one is above 1e-4. Needs PyTorch, on CPU. The official code is not
ours to copy: it is imported from DIR.
"""

from __future__ import annotations

import pathlib
import sys

LIMIT = 1e-4
BATCH, SIDE, COLOURS, LATENT, BASE, MOST, LAYERS = 4, 32, 3, 16, 512, 32, 3


def array(tensor):
    return tensor.detach().numpy().copy()


def kernel(tensor, flip=False):
    """[co, ci, kh, kw] to [kh, kw, ci, co]; transposed convolutions are flipped in space."""
    out = array(tensor).transpose(2, 3, 1, 0)
    return out[::-1, ::-1].copy() if flip else out


def dense(layer):
    return {"kernel": array(layer.weight).T, "bias": array(layer.bias)}


def mapping(module):
    out = {f"layer{i}": dense(getattr(module, f"fc{i}")) for i in range(LAYERS)}
    return out | ({"embed": dense(module.embed)} if hasattr(module, "embed") else {})


def styled(layer, up=False):
    return {
        "affine": dense(layer.affine),
        "kernel": kernel(layer.weight, flip=up),
        "strength": array(layer.noise_strength),
        "bias": array(layer.bias),
    }


def to_image(layer):
    return {
        "affine": dense(layer.affine),
        "kernel": kernel(layer.weight),
        "bias": array(layer.bias),
    }


def generator(module):
    """Our variables of the official generator."""
    synthesis = {"constant": array(module.synthesis.b4.const).transpose(1, 2, 0)}
    noise = {}
    side = 4
    while side <= SIDE:
        block = getattr(module.synthesis, f"b{side}")
        parts = {"conv": block.conv1} | ({"up": block.conv0} if side > 4 else {})
        for name, layer in parts.items():
            synthesis[f"{name}{side}"] = styled(layer, up=name == "up")
            noise[f"{name}{side}"] = {"noise": array(layer.noise_const)[None, ..., None]}
        synthesis[f"image{side}"] = to_image(block.torgb)
        side *= 2
    return {
        "params": {"mapping": mapping(module.mapping), "synthesis": synthesis},
        "constants": {"synthesis": noise},
        "moments": {"mapping": {"mean": array(module.mapping.w_avg)}},
    }


def discriminator(module):
    """Our variables of the official discriminator."""
    top, last = getattr(module, f"b{SIDE}"), module.b4
    params = {"image": {"kernel": kernel(top.fromrgb.weight), "bias": array(top.fromrgb.bias)}}
    side = SIDE
    while side > 4:
        block = getattr(module, f"b{side}")
        params[f"skip{side}"] = {"kernel": kernel(block.skip.weight)}
        for ours, layer in (("conv", block.conv0), ("down", block.conv1)):
            params[f"{ours}{side}"] = {
                "kernel": kernel(layer.weight),
                "bias": array(layer.bias),
            }
        side //= 2
    params["last"] = {"kernel": kernel(last.conv.weight), "bias": array(last.conv.bias)}
    rows = array(last.fc.weight)  # [out, c * h * w]
    rows = rows.reshape(len(rows), -1, 4, 4).transpose(2, 3, 1, 0).reshape(-1, len(rows))
    params["dense"] = {"kernel": rows, "bias": array(last.fc.bias)}
    params["logit"] = dense(last.out)
    if module.c_dim:
        params |= mapping(module.mapping)
    return {"params": params}


def shaken(module, torch):
    """Noise on all parameters that begin at a constant."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim < 2 or not parameter.any():
                parameter.add_(0.3 * torch.randn_like(parameter))
    return module


def compare(networks, classes):
    """Name -> largest difference, with so many classes."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import torch

    from jaxgen.models.gans.stylegan2 import Discriminator, Generator

    torch.manual_seed(classes)
    widths = {"channel_base": BASE, "channel_max": MOST}
    layers = {"num_layers": LAYERS}
    theirs = networks.Generator(
        LATENT, classes, LATENT, SIDE, COLOURS, mapping_kwargs=layers, synthesis_kwargs=widths
    )
    judge = networks.Discriminator(classes, SIDE, COLOURS, mapping_kwargs=layers, **widths)
    shaken(theirs, torch), shaken(judge, torch)
    ours = Generator(LATENT, LATENT, LAYERS, BASE, MOST)
    our_judge = Discriminator(BASE, MOST, 4, MOST, LAYERS)
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
    for classes in (0, 3):
        for name, difference in compare(networks, classes).items():
            print(f"{classes} classes  {name:24} {difference:.1e}")
            worst = max(worst, difference)
    print(f"worst {worst:.1e}, limit {LIMIT:.0e}")
    return worst > LIMIT


if __name__ == "__main__":
    if len(sys.argv) != 2 or not pathlib.Path(sys.argv[1], "training", "networks.py").exists():
        sys.exit(__doc__)
    sys.exit(main(pathlib.Path(sys.argv[1])))
