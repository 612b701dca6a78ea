"""The U-Net of DDPM against that of DDIM's official code in PyTorch, with the same random weights.

    git clone https://github.com/ermongroup/ddim DIR
    python tests/parity/ddim.py DIR

Prints the largest difference of the output, and exits with 1 if it is above 1e-4. Needs PyTorch, on
CPU. The official code is imported from DIR.

Of commit e8df66cf, PyTorch 2.13.0, jax 0.10.2: 5.7e-6.
"""

from __future__ import annotations

import importlib.util
import pathlib
import sys
import types

import numpy as np

LIMIT = 1e-4
SIDE, BATCH, WIDTH, MULTIPLIERS, BLOCKS, ATTENTION = 32, 2, 128, (1, 2, 2, 2), 2, (16,)


def array(tensor):
    return tensor.detach().numpy().copy()


def convolution(layer):
    """[co, ci, kh, kw] to [kh, kw, ci, co]."""
    return {"kernel": array(layer.weight).transpose(2, 3, 1, 0), "bias": array(layer.bias)}


def dense(*layers):
    """Of linear layers, or of convolutions of one position, side by side."""
    kernels = [array(layer.weight).reshape(*layer.weight.shape[:2]).T for layer in layers]
    biases = [array(layer.bias) for layer in layers]
    return {"kernel": np.concatenate(kernels, 1), "bias": np.concatenate(biases)}


def norm(layer):
    return {"scale": array(layer.weight), "bias": array(layer.bias)}


def block(layer):
    """Our parameters of a residual block."""
    found = {f"norm{i}": norm(getattr(layer, f"norm{i}")) for i in (1, 2)}
    found |= {f"conv{i}": convolution(getattr(layer, f"conv{i}")) for i in (1, 2)}
    found["time"] = dense(layer.temb_proj)
    if hasattr(layer, "nin_shortcut"):
        found["shortcut"] = dense(layer.nin_shortcut)
    return found


def attention(layer):
    qkv = dense(layer.q, layer.k, layer.v)
    return {"norm": norm(layer.norm), "qkv": qkv, "out": dense(layer.proj_out)}


def level_of(module, level):
    """Of the blocks of a level of either way."""
    found = {f"block_{level}_{i}": block(layer) for i, layer in enumerate(module.block)}
    return found | {f"attention_{level}_{i}": attention(a) for i, a in enumerate(module.attn)}


def ours(net):
    """Our parameters of the whole network."""
    down = {"first": convolution(net.conv_in)}
    up = {"norm": norm(net.norm_out), "last": convolution(net.conv_out)}
    for level in range(len(MULTIPLIERS)):
        down |= level_of(net.down[level], level)
        up |= level_of(net.up[level], level)
        if level:
            down[f"shrink_{level}"] = convolution(net.down[level - 1].downsample.conv)
            up[f"grow_{level}"] = convolution(net.up[level].upsample.conv)
    middle = {"block_0": block(net.mid.block_1), "block_1": block(net.mid.block_2)}
    middle["attention"] = attention(net.mid.attn_1)
    time = {f"time_{i + 1}": dense(layer) for i, layer in enumerate(net.temb.dense)}
    return {**time, "unet": {"down": down, "middle": middle, "up": up}}


def main(path):
    import jax
    import torch

    from jaxgen.models.diffusion.ddpm import DDPM

    where = pathlib.Path(path) / "models/diffusion.py"
    spec = importlib.util.spec_from_file_location("ddim_model", where)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    space = types.SimpleNamespace
    sizes = dict(ch=WIDTH, out_ch=3, ch_mult=MULTIPLIERS, num_res_blocks=BLOCKS, dropout=0.1)
    sizes |= dict(attn_resolutions=ATTENTION, in_channels=3, type="simple", resamp_with_conv=True)
    torch.manual_seed(0)
    config = space(model=space(**sizes), data=space(image_size=SIDE))
    config.diffusion = space(num_diffusion_timesteps=1000)
    net = module.Model(config).eval()
    for parameter in net.parameters():
        parameter.data += 0.03 * torch.randn_like(parameter)
    random = np.random.RandomState(0)
    x = random.randn(BATCH, SIDE, SIDE, 3).astype(np.float32)
    t = np.array([7.0, 903.0], np.float32)
    with torch.no_grad():
        y = net(torch.from_numpy(x.transpose(0, 3, 1, 2).copy()), torch.from_numpy(t))
    y = y.numpy().transpose(0, 2, 3, 1)
    model, params = DDPM(WIDTH, MULTIPLIERS, BLOCKS, ATTENTION), ours(net)
    made = jax.eval_shape(lambda: model.init(jax.random.key(0), x, t))["params"]
    jax.tree.map(lambda a, b: np.testing.assert_equal(a.shape, b.shape), params, made)
    error = float(np.abs(np.asarray(jax.jit(model.apply)({"params": params}, x, t)) - y).max())
    print(f"output: {error:.1e}, of values up to {np.abs(y).max():.1f}")
    return int(error > LIMIT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
