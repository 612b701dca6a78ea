"""EDM's DDPM++, NCSN++ and ADM against the official code, with the same random weights.

    git clone https://github.com/NVlabs/edm DIR
    python tests/parity/edm.py DIR

Each with classes and labels of augmentation. Prints the largest difference of each output, and
exits with 1 if one is above 1e-4. Needs PyTorch, on CPU. The official code is imported from DIR.

Also images after the changes that the labels of the official augmentation tell.

Of commit 008a4e53, PyTorch 2.13.0, jax 0.10.2: DDPM++ 3.9e-6, NCSN++ 7.9e-6, ADM 2.5e-6, augmented
images 3.6e-5.
"""

from __future__ import annotations

import pathlib
import sys

import numpy as np

LIMIT = 1e-4
SIDE, BATCH, CLASSES, LABELS, WIDTH, BLOCKS, ATTENTION = 32, 2, 10, 9, 32, 2, (16,)
MULTIPLIERS = (2, 2, 2)


def array(tensor):
    return tensor.detach().numpy().copy()


def with_bias(layer, kernel):
    return {"kernel": kernel} | ({} if layer.bias is None else {"bias": array(layer.bias)})


def convolution(layer):
    """[co, ci, kh, kw] to [kh, kw, ci, co]."""
    return with_bias(layer, array(layer.weight).transpose(2, 3, 1, 0))


def dense(layer):
    """Of a linear layer, or of a convolution of one position."""
    return with_bias(layer, array(layer.weight).reshape(*layer.weight.shape[:2]).T)


def norm(layer):
    return {"scale": array(layer.weight), "bias": array(layer.bias)}


def block(layer):
    """Our parameters of a residual block."""
    found = {f"norm{i + 1}": norm(getattr(layer, f"norm{i}")) for i in range(2)}
    found |= {f"conv{i + 1}": convolution(getattr(layer, f"conv{i}")) for i in range(2)}
    found["time"] = dense(layer.affine)
    if layer.skip is not None and layer.skip.weight is not None:
        found["shortcut"] = dense(layer.skip)
    return found


def attention(layer):
    return {"norm": norm(layer.norm2), "qkv": dense(layer.qkv), "out": dense(layer.proj)}


def down(modules):
    """Of the way down."""
    found = {}
    for name, layer in modules.items():
        side, part = name.split("_", 1)
        level = (SIDE // int(side.split("x")[0])).bit_length() - 1
        if part == "conv":
            found["first"] = convolution(layer)
        elif part == "aux_residual":
            found[f"image_{level}"] = convolution(layer)
        elif part == "down":
            found[f"shrink_{level}"] = block(layer)
        else:
            found |= of_block(level, part.removeprefix("block"), layer)
    return found


def of_block(level, number, layer):
    """Of a block of a level and of the attention after it."""
    found = {f"block_{level}_{number}": block(layer)}
    return found | ({f"attention_{level}_{number}": attention(layer)} if layer.num_heads else {})


def up(modules, last):
    """Of the way up and of the middle."""
    found, middle = {"norm": norm(last[0]), "last": convolution(last[1])}, {}
    for name, layer in modules.items():
        side, part = name.split("_", 1)
        level = (SIDE // int(side.split("x")[0])).bit_length() - 1
        if part in ("in0", "in1"):
            middle[f"block_{part[-1]}"] = block(layer)
            middle |= {"attention": attention(layer)} if layer.num_heads else {}
        elif part == "up":
            found[f"grow_{level + 1}"] = block(layer)
        elif part.startswith("block"):
            found |= of_block(level, part.removeprefix("block"), layer)
    return found, middle


def ours(net):
    """Our parameters of the whole network."""
    last = f"{SIDE}x{SIDE}_aux_"
    ends = (net.dec[f"{last}norm"], net.dec[f"{last}conv"]) if f"{last}norm" in net.dec else None
    above, middle = up(net.dec, ends or (net.out_norm, net.out_conv))
    found = {"time_1": dense(net.map_layer0), "time_2": dense(net.map_layer1)}
    found |= {"cond": dense(net.map_label), "augmented": dense(net.map_augment)}
    return {**found, "unet": {"down": down(net.enc), "middle": middle, "up": above}}


def compare(net, model, inputs):
    """The largest difference, and the largest value."""
    import jax
    import torch

    for parameter in net.parameters():
        parameter.data += 0.03 * torch.randn_like(parameter)
    x, t, cond, labels = inputs
    theirs = [torch.from_numpy(a) for a in (x.transpose(0, 3, 1, 2).copy(), t, cond, labels)]
    with torch.no_grad():
        y = net.eval()(*theirs).numpy().transpose(0, 2, 3, 1)
    params = ours(net)
    given = dict(cond=cond, augmented=labels)
    made = jax.eval_shape(lambda: model.init(jax.random.key(0), x, t, **given))["params"]
    jax.tree.map(lambda a, b: np.testing.assert_equal(a.shape, b.shape), params, made)
    found = jax.jit(model.apply)({"params": params}, x, t, **given)
    return float(np.abs(np.asarray(found) - y).max()), float(np.abs(y).max())


def compare_augmentation():
    """The same of images, after the changes that their labels tell."""
    import torch
    from training.augment import AugmentPipe

    from jaxgen.ops.augment import labelled

    kinds = dict(xflip=1e8, yflip=1, scale=1, rotate_frac=1, aniso=1, translate_frac=1)
    x = torch.randn(64, 3, SIDE, SIDE)
    y, told = (a.numpy() for a in AugmentPipe(p=0.5, **kinds)(x))
    found = []
    for sign in (1, -1):  # of the stretch: the labels do not tell it from one along -axis
        stretch, axis = sign * np.hypot(told[:, 5], told[:, 6]), np.arctan2(*told[:, [6, 5]].T)
        axis = axis if sign > 0 else axis + np.pi
        angle = np.arctan2(told[:, 4], told[:, 3] + 1)
        columns = *told[:, :3].T, angle, stretch, axis, *told[:, 7:].T
        change = labelled.Change(*(np.asarray(column, np.float32) for column in columns))
        np.testing.assert_allclose(labelled.labels(change), told, atol=1e-5)
        ours = labelled.changed(x.numpy().transpose(0, 2, 3, 1), change)
        found.append(np.abs(np.asarray(ours).transpose(0, 3, 1, 2) - y).max(axis=(1, 2, 3)))
    return float(np.minimum(*found).max()), float(np.abs(y).max())


def main(path):
    sys.path.insert(0, str(pathlib.Path(path).resolve()))
    import torch
    from training.networks import DhariwalUNet as TheirDhariwal
    from training.networks import SongUNet as TheirSong

    from jaxgen.models.diffusion.edm import DhariwalUNet, SongUNet
    from jaxgen.nn.time import FourierTime

    torch.manual_seed(0)
    random = np.random.RandomState(0)
    x = random.randn(BATCH, SIDE, SIDE, 3).astype(np.float32)
    t = np.array([-1.1, 0.7], np.float32)
    cond = np.eye(CLASSES, dtype=np.float32)[[3, 9]]
    inputs = x, t, cond, random.randn(BATCH, LABELS).astype(np.float32)
    sizes = dict(model_channels=WIDTH, num_blocks=BLOCKS, attn_resolutions=list(ATTENTION))
    sizes |= dict(img_resolution=SIDE, in_channels=3, out_channels=3, label_dim=CLASSES)
    sizes |= dict(channel_mult=list(MULTIPLIERS), augment_dim=LABELS)
    own = dict(width=WIDTH, multipliers=MULTIPLIERS, blocks=BLOCKS, attention=ATTENTION)
    own |= dict(augment=LABELS)
    ncsnpp = dict(embedding_type="fourier", channel_mult_noise=2, encoder_type="residual")
    fourier = TheirSong(**sizes, **ncsnpp, resample_filter=[1, 3, 3, 1])
    frequencies = FourierTime(2 * WIDTH).frequencies().astype(np.float32)
    fourier.map_noise.freqs.copy_(torch.from_numpy(frequencies))
    found = {
        "DDPM++": compare(TheirSong(**sizes), SongUNet(**own), inputs),
        "NCSN++": compare(fourier, SongUNet("ncsnpp", **own), inputs),
        "ADM": compare(TheirDhariwal(**sizes), DhariwalUNet(**own), inputs),
        "augmentation": compare_augmentation(),
    }
    for name, (error, size) in found.items():
        print(f"{name}: {error:.1e}, of values up to {size:.1f}")
    return int(max(error for error, _ in found.values()) > LIMIT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
