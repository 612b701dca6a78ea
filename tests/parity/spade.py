"""SPADE's generator, encoder and discriminators against the official modules, random weights.

    git clone https://github.com/NVlabs/SPADE DIR
    python tests/parity/spade.py DIR

Prints the largest difference of each output, and exits with 1 if one is above 1e-5 of the largest
value, in float64. Needs PyTorch, on CPU. The official code is imported from DIR; its batch
normalisation over devices, which lies elsewhere, is PyTorch's.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import types

from translators import array, back, convolution, first, judged

CLASSES, WIDTH, SIDE, BATCH, LATENT = 5, 4, 256, 2, 256


def spade(layer):
    """Parameters of our Spade."""
    parts = {"shared": layer.mlp_shared[0], "gain": layer.mlp_gamma, "shift": layer.mlp_beta}
    return {name: convolution(part) for name, part in parts.items()}


def vectors(layer):
    return {"u": array(layer.weight_u)}


def block(layer):
    """Parameters and vectors of our Block."""
    names = [n for n in ("0", "1", "s") if hasattr(layer, f"conv_{n}")]
    params = {f"conv_{n}": convolution(getattr(layer, f"conv_{n}")) for n in names}
    params |= {f"spade_{n}": spade(getattr(layer, f"norm_{n}")) for n in names}
    return params, {f"conv_{n}": vectors(getattr(layer, f"conv_{n}")) for n in names}


def linear(layer, channels, last):
    """[out, in] to [in, out], between [C, h, w] and [h, w, C], on the side that `last` says."""
    kernel, bias = array(layer.weight).T, array(layer.bias)
    if last:
        kernel = kernel.reshape(len(kernel), channels, -1).swapaxes(1, 2).reshape(len(kernel), -1)
        return {"kernel": kernel, "bias": bias.reshape(channels, -1).T.ravel()}
    kernel = kernel.reshape(channels, -1, kernel.shape[1]).swapaxes(0, 1)
    return {"kernel": kernel.reshape(-1, kernel.shape[2]), "bias": bias}


def generator(module, styles):
    """Variables of our Generator, but for the encoder's and moments."""
    names = ("head_0", "G_middle_0", "G_middle_1", "up_0", "up_1", "up_2", "up_3")
    made = [block(getattr(module, name)) for name in names]
    params = {f"block_{i}": own for i, (own, _) in enumerate(made)}
    params["last"] = convolution(module.conv_img)
    params["first"] = linear(module.fc, 16 * WIDTH, True) if styles else convolution(module.fc)
    return params, {f"block_{i}": own for i, (_, own) in enumerate(made)}


def encoder(module):
    """Variables of our Encoder."""
    layers = [getattr(module, f"layer{i + 1}")[0] for i in range(6)]
    params = {f"conv_{i}": convolution(layer) for i, layer in enumerate(layers)}
    params["mean"], params["log_var"] = (
        linear(layer, 8 * WIDTH, False) for layer in (module.fc_mu, module.fc_var)
    )
    return params, {f"conv_{i}": vectors(layer) for i, layer in enumerate(layers)}


def official(checkout):
    """Its modules, without what they import and do not need here."""
    import torch

    root = pathlib.Path(checkout).resolve()
    sys.path.insert(0, str(root))
    for name in ("models", "models.networks"):
        package = types.ModuleType(name)
        package.__path__ = [str(root / name.replace(".", "/"))]
        sys.modules[name] = package
    synchronized = types.ModuleType("models.networks.sync_batchnorm")
    synchronized.SynchronizedBatchNorm2d = torch.nn.BatchNorm2d
    sys.modules[synchronized.__name__] = synchronized
    sys.modules["torchvision"] = types.ModuleType("torchvision")
    util, whole = types.ModuleType("util"), types.ModuleType("util.util")
    sys.modules |= {"util": util, "util.util": whole}
    util.util = whole
    from models.networks import discriminator, encoder, generator

    whole.find_class_in_module = lambda name, _: discriminator.NLayerDiscriminator
    return generator, encoder, discriminator


def settle(module, torch):
    """Random biases, kernels of some size, and their singular vectors."""
    for layer in module.modules():
        for parameter in layer.parameters(recurse=False):
            parameter.data = 0.2 * torch.randn(parameter.shape)
        if hasattr(layer, "weight_u"):
            matrix = layer.weight_orig.data.flatten(1)
            left, _, right = torch.linalg.svd(matrix, full_matrices=False)
            layer.weight_u.copy_(left[:, 0])
            layer.weight_v.copy_(right[0])
    return module.train()


def main(checkout):
    """Compares."""
    import jax
    import numpy as np
    import torch

    from jaxgen.models.gans.patchgan import MultiScale
    from jaxgen.models.gans.spade import Encoder, Generator

    generators, encoders, discriminators = official(checkout)
    jax.config.update("jax_enable_x64", True)
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    options = dict(ngf=WIDTH, ndf=WIDTH, semantic_nc=CLASSES, z_dim=LATENT, crop_size=SIDE)
    options |= dict(num_upsampling_layers="normal", norm_G="spectralspadebatch3x3")
    options |= dict(norm_D="spectralinstance", norm_E="spectralinstance", aspect_ratio=1.0)
    options |= dict(num_D=2, n_layers_D=4, netD_subarch="n_layer", label_nc=CLASSES, output_nc=3)
    options |= dict(contain_dontcare_label=False, no_instance=True, no_ganFeat_loss=False)
    random = np.random.RandomState(0)
    layout = np.eye(CLASSES)[random.randint(CLASSES, size=(BATCH, SIDE, SIDE))]
    x = random.randn(BATCH, SIDE, SIDE, 3)
    z = random.randn(BATCH, LATENT)
    mutable, pairs = ["batch_stats", "spectral"], {}
    for styles in (False, True):
        opt = argparse.Namespace(**options, use_vae=styles)
        theirs = settle(generators.SPADEGenerator(opt), torch)
        ours = Generator(WIDTH, latent=LATENT * styles, encoder_width=WIDTH)
        style = z if styles else None
        start = jax.jit(lambda k, s, ours=ours: ours.init(k, layout, 3, s))(
            jax.random.key(0), style
        )
        params, spectral = generator(theirs, styles)
        variables = {**start, "params": params, "spectral": spectral}
        with torch.no_grad():
            expected = back(theirs(first(layout), z=torch.from_numpy(z) if styles else None))
        run = jax.jit(lambda v, s, ours=ours: ours.apply(v, layout, 3, s, mutable=mutable)[0])
        pairs[f"generator, styles {styles}"] = run(variables, style), expected
    opt = argparse.Namespace(**options, use_vae=True)
    theirs = settle(encoders.ConvEncoder(opt), torch)
    params, spectral = encoder(theirs)
    variables = {"params": params, "spectral": spectral}
    small = x[:, :64, :64]  # which either side enlarges
    found, _ = jax.jit(lambda v: Encoder(LATENT, WIDTH).apply(v, small, mutable=mutable))(variables)
    with torch.no_grad():
        expected = [t.numpy() for t in theirs(first(small))]
    pairs |= {
        f"encoder, {n}": p
        for n, p in zip(("mean", "log variance"), zip(found, expected, strict=True), strict=True)
    }
    theirs = settle(discriminators.MultiscaleDiscriminator(opt), torch)
    ours, start = MultiScale(2, WIDTH, 3, "instance", 2, True), {"params": {}, "spectral": {}}
    for scale, module in enumerate(theirs.children()):
        layers = [getattr(module, f"model{i}")[0] for i in range(5)]
        inner = [layer[0] for layer in layers[1:4]]
        every = (layers[0], *inner, layers[4])
        params = {f"Conv_{i}": convolution(c) for i, c in enumerate(every)}
        start["params"][f"scale{scale}"] = params
        kept = {f"Conv_{i + 1}": vectors(c) for i, c in enumerate(inner)}
        start["spectral"][f"scale{scale}"] = kept
    with torch.no_grad():
        expected = theirs(first(np.concatenate([x, layout], -1)))
    run = jax.jit(lambda v: ours.apply(v, x, layout, True, mutable=mutable)[0])
    logits, features = run(start)
    for scale, theirs in enumerate(expected):
        whole = zip((*features[scale], logits[scale][..., None]), theirs, strict=True)
        for layer, (a, b) in enumerate(whole):
            pairs[f"discriminator {scale}, layer {layer}"] = a, back(b)
    return judged(pairs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
