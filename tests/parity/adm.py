"""ADM's U-Net and classifier against the official code, with the same random weights.

    git clone https://github.com/openai/guided-diffusion DIR
    python tests/parity/adm.py DIR

Compares both orders of the attention, with scale-shift normalisation and without, with residual
blocks that resample and without, then the classifier. Prints the largest difference of each output,
and exits with 1 if one is above 1e-4. Needs PyTorch, on CPU. The official code is imported from
DIR.

Of commit 22e0df81, PyTorch 2.13.0, jax 0.10.2: 1.0e-5 of the U-Nets, 2.0e-6 of the classifiers.
"""

from __future__ import annotations

import itertools
import pathlib
import sys

import numpy as np

LIMIT = 1e-4
SIDE, BATCH, CLASSES, WIDTH, MULTIPLIERS, BLOCKS, HEAD = 32, 2, 10, 128, (1, 2, 3), 2, 64
ATTENTION = (16, 8)


def array(tensor):
    return tensor.detach().numpy().copy()


def convolution(layer):
    """[co, ci, kh, kw] to [kh, kw, ci, co]."""
    return {"kernel": array(layer.weight).transpose(2, 3, 1, 0), "bias": array(layer.bias)}


def dense(layer):
    """Of a linear layer, or of a convolution of one position."""
    weight = array(layer.weight)
    return {"kernel": weight.reshape(*weight.shape[:2]).T, "bias": array(layer.bias)}


def norm(layer):
    return {"scale": array(layer.weight), "bias": array(layer.bias)}


def block(layer):
    """Our parameters of a residual block."""
    found = {
        "norm1": norm(layer.in_layers[0]),
        "conv1": convolution(layer.in_layers[2]),
        "time": dense(layer.emb_layers[1]),
        "norm2": norm(layer.out_layers[0]),
        "conv2": convolution(layer.out_layers[3]),
    }
    if hasattr(layer.skip_connection, "weight"):
        found["shortcut"] = dense(layer.skip_connection)
    return found


def attention(layer):
    return {"norm": norm(layer.norm), "qkv": dense(layer.qkv), "out": dense(layer.proj_out)}


def resampling(layer):
    """Of a residual block that resamples, or of the convolution that does."""
    if hasattr(layer, "in_layers"):
        return block(layer)
    return convolution(layer.op if hasattr(layer, "op") else layer.conv)


def down(net):
    """Of the way down."""
    rest = iter(net.input_blocks)
    found = {"first": convolution(next(rest)[0])}
    for level in range(len(MULTIPLIERS)):
        if level:
            found[f"shrink_{level}"] = resampling(next(rest)[0])
        for i in range(BLOCKS):
            layers = list(next(rest))
            found[f"block_{level}_{i}"] = block(layers[0])
            if len(layers) > 1:
                found[f"attention_{level}_{i}"] = attention(layers[1])
    return found


def middle(net):
    first, heard, second = net.middle_block
    return {"block_0": block(first), "attention": attention(heard), "block_1": block(second)}


def up(net):
    """Of the way up."""
    rest = iter(net.output_blocks)
    found = {"norm": norm(net.out[0]), "last": convolution(net.out[2])}
    for level in reversed(range(len(MULTIPLIERS))):
        for i in range(BLOCKS + 1):
            layers = list(next(rest))
            found[f"block_{level}_{i}"] = block(layers[0])
            if level and i == BLOCKS:
                found[f"grow_{level}"] = resampling(layers.pop())
            if len(layers) > 1:
                found[f"attention_{level}_{i}"] = attention(layers[1])
    return found


def time(net):
    return {"time_1": dense(net.time_embed[0]), "time_2": dense(net.time_embed[2])}


def unet(net):
    """Our parameters of the whole network."""
    label = {"cond": {"kernel": array(net.label_emb.weight)}}
    return {**time(net), **label, "unet": {"down": down(net), "middle": middle(net), "up": up(net)}}


def classifier(net):
    """Our parameters of the classifier."""
    pool = net.out[2]
    parts = {"qkv": dense(pool.qkv_proj), "out": dense(pool.c_proj)}
    parts["places"] = array(pool.positional_embedding).T
    return {
        **time(net),
        "down": down(net),
        "middle": middle(net),
        "norm": norm(net.out[0]),
        "pool": parts,
    }


def moved(net):
    """Away from where it starts, where many weights are zero."""
    import torch

    for parameter in net.parameters():
        parameter.data += 0.03 * torch.randn_like(parameter)
    return net.eval()


def off(params, model, found, *inputs):
    """The largest difference; `found` is the official output, channels last."""
    import jax

    made = jax.eval_shape(lambda: model.init(jax.random.key(0), *inputs))["params"]
    jax.tree.map(lambda a, b: np.testing.assert_equal(a.shape, b.shape), params, made)
    ours = jax.jit(model.apply)({"params": params}, *inputs)
    return float(np.abs(np.asarray(ours) - found).max()), float(np.abs(found).max())


def main(path):
    sys.path.insert(0, str(pathlib.Path(path).resolve()))
    import torch
    from guided_diffusion.unet import EncoderUNetModel, UNetModel

    from jaxgen.models.diffusion.adm import ADM
    from jaxgen.models.diffusion.adm_classifier import ADMClassifier

    torch.manual_seed(0)
    random = np.random.RandomState(0)
    x = random.randn(BATCH, SIDE, SIDE, 3).astype(np.float32)
    t, label = np.array([7.0, 903.0], np.float32), np.array([3, 9])
    cond = np.eye(CLASSES, dtype=np.float32)[label]
    theirs = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()), torch.from_numpy(t)
    sizes = dict(attention_resolutions=[SIDE // a for a in ATTENTION], channel_mult=MULTIPLIERS)
    sizes |= dict(image_size=SIDE, in_channels=3, model_channels=WIDTH, num_res_blocks=BLOCKS)
    own = dict(width=WIDTH, multipliers=MULTIPLIERS, blocks=BLOCKS, attention=ATTENTION)
    own |= dict(head_width=HEAD)
    found = {}
    for order, shift, updown in itertools.product(("qkv", "legacy"), (True, False), (True, False)):
        habits = dict(use_scale_shift_norm=shift, resblock_updown=updown)
        habits |= dict(num_head_channels=HEAD, use_new_attention_order=order == "qkv")
        net = moved(UNetModel(**sizes, out_channels=6, num_classes=CLASSES, **habits))
        with torch.no_grad():
            y = net(*theirs, torch.from_numpy(label)).numpy().transpose(0, 2, 3, 1)
        model = ADM(**own, order=order, scale_shift=shift, updown=updown)
        name = f"order={order}, scale_shift={shift}, updown={updown}"
        found[name] = off(unet(net), model, y, x, t, cond)
        habits = dict(use_scale_shift_norm=shift, resblock_updown=updown, pool="attention")
        habits |= dict(num_head_channels=HEAD, use_new_attention_order=order == "qkv")
        net = moved(EncoderUNetModel(**sizes, out_channels=CLASSES, **habits))
        with torch.no_grad():
            y = net(*theirs).numpy()
        model = ADMClassifier(CLASSES, **own, order=order, scale_shift=shift, updown=updown)
        found[f"classifier, {name}"] = off(classifier(net), model, y, x, t)
    for name, (error, size) in found.items():
        print(f"{name}: {error:.1e}, of values up to {size:.1f}")
    return int(max(error for error, _ in found.values()) > LIMIT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
