"""VDM's score network against the official code, with the same random weights.

    git clone https://github.com/google-research/vdm DIR
    python tests/parity/vdm.py DIR

With attention after each block and without. Prints the largest difference of each output, and exits
with 1 if one is above 1e-4. The official code is imported from DIR.

Of commit dc27b98a, jax 0.10.2: 1.6e-5.
"""

from __future__ import annotations

import importlib.util
import pathlib
import sys

import numpy as np

LIMIT = 1e-4
SIDE, BATCH, WIDTH, BLOCKS, GAMMA = 8, 2, 128, 3, (-13.3, 5.0)


def block(layer):
    """Our parameters of a residual block."""
    names = dict(conv1="conv1", conv2="conv2", cond_proj="time", nin_shortcut="shortcut")
    found = {ours: layer[name] for name, ours in names.items() if name in layer}
    return found | {f"norm{i + 1}": layer[f"GroupNorm_{i}"] for i in range(2)}


def attention(layer):
    parts = [layer[name] for name in "qkv"]
    qkv = {k: np.concatenate([p[k] for p in parts], axis=-1) for k in ("kernel", "bias")}
    return {"norm": layer["GroupNorm_0"], "qkv": qkv, "out": layer["proj_out"]}


def stacked(params, way, length):
    """Our parameters of the blocks of one way."""
    import jax

    layers = []
    for i in range(length):
        layers.append({"block": block(params[f"{way}.block_{i}"])})
        if f"{way}.attn_{i}" in params:
            layers[-1]["attention"] = attention(params[f"{way}.attn_{i}"])
    return jax.tree.map(lambda *leaves: np.stack(leaves), *layers)


def ours(params):
    """Our parameters of the whole network."""
    return {
        "time_1": params["dense0"],
        "time_2": params["dense1"],
        "first": params["conv_in"],
        "down": stacked(params, "down", BLOCKS),
        "middle_0": block(params["mid.block_1"]),
        "middle_attention": attention(params["mid.attn_1"]),
        "middle_1": block(params["mid.block_2"]),
        "up": stacked(params, "up", BLOCKS + 1),
        "norm": params["GroupNorm_0"],
        "last": params["conv_out"],
    }


def compare(module, attend):
    """The largest difference, and the largest value."""
    import jax

    from jaxgen.models.diffusion.vdm import VDM

    random, (low, high) = np.random.RandomState(0), GAMMA
    sizes = "fixed", low, high, 0, WIDTH, BLOCKS, 0.0
    config = module.VDMConfig(256, False, True, True, attend, *sizes)
    net = module.ScoreUNet(config)
    z = random.randn(BATCH, SIDE, SIDE, 3).astype(np.float32)
    gamma, cond = np.array([-12.0, 3.0], np.float32), np.array([0.0, 4.0], np.float32)
    made = jax.jit(net.init)(jax.random.key(0), z, gamma, cond)["params"]
    params = jax.tree.map(lambda p: (p + 0.03 * random.randn(*p.shape)).astype(np.float32), made)
    y = np.asarray(jax.jit(net.apply)({"params": params}, z, gamma, cond))
    model = VDM(WIDTH, BLOCKS, attend)
    t = ((gamma - low) / (high - low) * 1000).astype(np.float32)
    found = jax.jit(model.apply)({"params": ours(params)}, z, t, cond[:, None])
    return float(np.abs(np.asarray(found) - y).max()), float(np.abs(y).max())


def main(path):
    where = pathlib.Path(path) / "model_vdm.py"
    spec = importlib.util.spec_from_file_location("model_vdm", where)
    module = importlib.util.module_from_spec(spec)
    sys.modules["model_vdm"] = module
    spec.loader.exec_module(module)
    worst = 0.0
    for attend in (False, True):
        error, size = compare(module, attend)
        worst = max(worst, error)
        print(f"attention everywhere {attend}: {error:.1e}, of values up to {size:.1f}")
    return int(worst > LIMIT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
