"""DiT against the official code, with the same random weights.

    git clone https://github.com/facebookresearch/DiT DIR
    python tests/parity/dit.py DIR

Prints the largest difference of the output, with a class and with none, and exits with 1 if one is
above 1e-4. Needs PyTorch, on CPU. The official code is imported from DIR; what it takes from timm,
its attention, MLP and patches, is written here in PyTorch, from what timm's say they do.

Of commit ed81ce22, PyTorch 2.13.0, jax 0.10.2: 1.5e-5.
"""

from __future__ import annotations

import pathlib
import sys
import types

import numpy as np

LIMIT = 1e-4
SIDE, CHANNELS, BATCH, CLASSES, PATCH, DEPTH, WIDTH, HEADS = 8, 4, 2, 10, 2, 3, 48, 4


def install():
    """Stand-ins for timm."""
    import torch

    class PatchEmbed(torch.nn.Module):
        def __init__(self, side, patch, channels, width, bias):
            super().__init__()
            self.patch_size, self.num_patches = (patch, patch), (side // patch) ** 2
            self.proj = torch.nn.Conv2d(channels, width, patch, patch, bias=bias)

        def forward(self, x):
            return self.proj(x).flatten(2).transpose(1, 2)

    class Attention(torch.nn.Module):
        def __init__(self, width, num_heads, qkv_bias):
            super().__init__()
            self.heads = num_heads
            self.qkv = torch.nn.Linear(width, 3 * width, bias=qkv_bias)
            self.proj = torch.nn.Linear(width, width)

        def forward(self, x):
            b, t, width = x.shape
            joint = self.qkv(x).reshape(b, t, 3, self.heads, width // self.heads)
            q, k, v = joint.permute(2, 0, 3, 1, 4)
            mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v)
            return self.proj(mixed.transpose(1, 2).reshape(b, t, width))

    class Mlp(torch.nn.Module):
        def __init__(self, in_features, hidden_features, act_layer, drop):
            super().__init__()
            self.fc1 = torch.nn.Linear(in_features, hidden_features)
            self.act, self.fc2 = act_layer(), torch.nn.Linear(hidden_features, in_features)

        def forward(self, x):
            return self.fc2(self.act(self.fc1(x)))

    names = ("timm", "timm.models", "timm.models.vision_transformer")
    modules = {name: types.ModuleType(name) for name in names}
    vars(modules[names[-1]]).update(PatchEmbed=PatchEmbed, Attention=Attention, Mlp=Mlp)
    sys.modules.update(modules)


def array(tensor):
    return tensor.detach().numpy().copy()


def dense(layer):
    return {"kernel": array(layer.weight).T, "bias": array(layer.bias)}


def block(layer):
    """Our parameters of a block."""
    return {
        "adapt": dense(layer.adaLN_modulation[1]),
        "attention": {"qkv": dense(layer.attn.qkv), "out": dense(layer.attn.proj)},
        "wide": dense(layer.mlp.fc1),
        "narrow": dense(layer.mlp.fc2),
    }


def ours(net):
    """Our parameters; a class is its row over the one of no class, which is the bias."""
    import jax

    proj, table = net.x_embedder.proj, array(net.y_embedder.embedding_table.weight)
    kernel = array(proj.weight).transpose(2, 3, 1, 0).reshape(-1, WIDTH)
    blocks = [block(layer) for layer in net.blocks]
    return {
        "patches": {"kernel": kernel, "bias": array(proj.bias)},
        "time_0_0": dense(net.t_embedder.mlp[0]),
        "time_0_1": dense(net.t_embedder.mlp[2]),
        "cond": {"kernel": table[:-1] - table[-1:], "bias": table[-1]},
        "blocks": jax.tree.map(lambda *leaves: np.stack(leaves), *blocks),
        "adapt": dense(net.final_layer.adaLN_modulation[1]),
        "last": dense(net.final_layer.linear),
    }


def main(path):
    install()
    sys.path.insert(0, str(pathlib.Path(path).resolve()))
    import jax
    import torch
    from models import DiT as TheirDiT

    from jaxgen.models.diffusion.dit import DiT

    torch.manual_seed(0)
    sizes = dict(input_size=SIDE, patch_size=PATCH, in_channels=CHANNELS, num_classes=CLASSES)
    net = TheirDiT(**sizes, hidden_size=WIDTH, depth=DEPTH, num_heads=HEADS).eval()
    for name, parameter in net.named_parameters():
        if name != "pos_embed":
            parameter.data += 0.1 * torch.randn_like(parameter)
    x = np.random.RandomState(0).randn(BATCH, SIDE, SIDE, CHANNELS).astype(np.float32)
    t, label = np.array([7.0, 903.0], np.float32), np.array([3, CLASSES])  # the last is no class
    with torch.no_grad():
        theirs = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()), torch.from_numpy(t)
        y = net(*theirs, torch.from_numpy(label)).numpy().transpose(0, 2, 3, 1)
    cond = np.eye(CLASSES + 1, dtype=np.float32)[label, :CLASSES]
    model, params = DiT(PATCH, DEPTH, WIDTH, HEADS, outputs=2), ours(net)
    made = jax.eval_shape(lambda: model.init(jax.random.key(0), x, t, cond))["params"]
    jax.tree.map(lambda a, b: np.testing.assert_equal(a.shape, b.shape), params, made)
    found = np.asarray(jax.jit(model.apply)({"params": params}, x, t, cond))
    errors = np.abs(found - y).max((1, 2, 3))
    for name, error in zip(("with a class", "with none"), errors, strict=True):
        print(f"{name}: {error:.1e}, of values up to {np.abs(y).max():.1f}")
    return int(errors.max() > LIMIT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
