"""What `cyclegan.py`, `pix2pixhd.py` and `spade.py` share: params of PyTorch's layers as ours."""

from __future__ import annotations

import numpy as np

LIMIT = 1e-5


def array(tensor):
    return tensor.detach().numpy().copy()


def convolution(layer):
    """[co, ci, kh, kw] to [kh, kw, ci, co]."""
    weight = layer.weight_orig if hasattr(layer, "weight_orig") else layer.weight
    found = {"kernel": array(weight).transpose(2, 3, 1, 0)}
    return found | ({} if layer.bias is None else {"bias": array(layer.bias)})


def transposed(layer):
    """[ci, co, kh, kw] to [kh, kw, ci, co], mirrored."""
    found = {"kernel": array(layer.weight).transpose(2, 3, 0, 1)[::-1, ::-1].copy()}
    return found | ({} if layer.bias is None else {"bias": array(layer.bias)})


def reflected(layer):
    """A convolution within our Reflected."""
    return {"Conv_0": convolution(layer)}


def block(module):
    """Our Block of two."""
    first, second = convolutions(module)
    return {"conv_0": reflected(first), "conv_1": reflected(second)}


def convolutions(module):
    """All convolutions within, in their order."""
    return [m for m in module.modules() if type(m).__name__ in ("Conv2d", "ConvTranspose2d")]


def residual(layers, blocks):
    """Our residual generator, or encoder, of what a sequential network has; "last" where it is."""
    first, *others = (m for m in layers if type(m).__name__ != "ResnetBlock" and convolutions(m))
    ups = [m for m in others if type(m).__name__ == "ConvTranspose2d"]
    params = {"first": reflected(first)}
    params |= {f"down_{i}": convolution(m) for i, m in enumerate(others[: len(ups)])}
    middle = [m for m in layers if type(m).__name__ == "ResnetBlock"]
    assert len(middle) == blocks
    params |= {f"block_{i}": block(m) for i, m in enumerate(middle)}
    params |= {f"up_{i}": transposed(m) for i, m in enumerate(reversed(ups))}
    last = others[2 * len(ups) :]
    return params | ({"last": reflected(last[0])} if last else {})


def patches(module):
    """Our PatchDiscriminator, without batch normalisation."""
    return {f"Conv_{i}": convolution(m) for i, m in enumerate(convolutions(module))}


def settle(module, torch):
    """Random parameters, biases and gains too, of some size."""
    for parameter in module.parameters():
        parameter.data = 0.2 * torch.randn(parameter.shape)
    return module.train()


def first(x):
    """[B, H, W, C] to a tensor [B, C, H, W]."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))


def back(tensor):
    """A tensor [B, C, H, W] to [B, H, W, C]."""
    return tensor.detach().numpy().transpose(0, 2, 3, 1)


def judged(pairs):
    """Prints the difference of each pair (ours, theirs), by the largest value; 1 past `LIMIT`."""
    worst = 0.0
    for name, (a, b) in pairs.items():
        assert np.shape(a) == np.shape(b), (name, np.shape(a), np.shape(b))
        off = float(np.abs(np.asarray(a) - b).max() / np.abs(b).max())
        print(f"{name:36} {off:.1e}")
        worst = max(worst, off)
    return int(not worst <= LIMIT)
