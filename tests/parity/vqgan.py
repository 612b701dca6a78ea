"""The VQGAN's encoder, decoder and discriminator against the official modules, random weights.

    git clone https://github.com/CompVis/taming-transformers DIR
    python tests/parity/vqgan.py DIR

Prints the largest difference of each output, and exits with 1 if one is above 1e-5 of the largest
value. Needs PyTorch, on CPU. The official code is imported from DIR.
"""

from __future__ import annotations

import pathlib
import sys

LIMIT = 1e-5
BATCH, SIDE, WIDTH, MULTIPLIERS, BLOCKS, ATTENTION, FEATURES = 2, 32, 32, (1, 2, 2), 2, (16,), 48


def array(tensor):
    return tensor.detach().numpy().copy()


def convolution(layer):
    """[co, ci, kh, kw] to [kh, kw, ci, co]."""
    found = {"kernel": array(layer.weight).transpose(2, 3, 1, 0)}
    return found | ({} if layer.bias is None else {"bias": array(layer.bias)})


def norm(layer):
    """Scale and bias."""
    return {"scale": array(layer.weight), "bias": array(layer.bias)}


def block(layer):
    """Parameters of our ResBlock."""
    found = {f"GroupNorm_{i}": norm(getattr(layer, f"norm{i + 1}")) for i in range(2)}
    found |= {f"Conv_{i}": convolution(getattr(layer, f"conv{i + 1}")) for i in range(2)}
    if hasattr(layer, "nin_shortcut"):
        found["shortcut"] = convolution(layer.nin_shortcut)
    return found


def attention(layer):
    """Parameters of our Attention."""
    names = {"query": layer.q, "key": layer.k, "value": layer.v, "out": layer.proj_out}
    return {k: convolution(v) for k, v in names.items()} | {"GroupNorm_0": norm(layer.norm)}


def middle(module):
    """Of both blocks and what is between them."""
    blocks = {"ResBlock_0": block(module.mid.block_1), "ResBlock_1": block(module.mid.block_2)}
    return {"Middle_0": blocks | {"Attention_0": attention(module.mid.attn_1)}}


def network(module, levels, resample):
    """Ours, with convolutions numbered as they come; the last is left out."""
    blocks, heard, convolutions = [], [], [module.conv_in]
    for level in levels:
        blocks += list(level.block)
        heard += list(level.attn)
        if hasattr(level, resample):
            convolutions.append(getattr(level, resample).conv)
    found = {f"ResBlock_{i}": block(layer) for i, layer in enumerate(blocks)}
    found |= {f"Attention_{i}": attention(layer) for i, layer in enumerate(heard)}
    found |= {f"Conv_{i}": convolution(layer) for i, layer in enumerate(convolutions)}
    return found | middle(module) | {"GroupNorm_0": norm(module.norm_out)}, len(convolutions)


def discriminator(module):
    """Ours, of PatchDiscriminator."""
    layers = [m for m in module.main if hasattr(m, "weight")]
    convolutions = [m for m in layers if m.weight.ndim == 4]
    norms = [m for m in layers if m.weight.ndim == 1]
    found = {f"Conv_{i}": convolution(m) for i, m in enumerate(convolutions)}
    return found | {f"BatchNorm_{i}": {"moments": norm(m)} for i, m in enumerate(norms)}


def main(checkout):
    """Compares."""
    sys.path.insert(0, str(pathlib.Path(checkout).resolve()))
    import jax
    import numpy as np
    import torch
    from taming.modules.diffusionmodules.model import Decoder as TheirDecoder
    from taming.modules.diffusionmodules.model import Encoder as TheirEncoder
    from taming.modules.discriminator.model import NLayerDiscriminator, weights_init

    from jaxgen.models.gans.patchgan import PatchDiscriminator
    from jaxgen.models.vaes.vqgan import Decoder, Encoder

    torch.manual_seed(0)
    options = dict(ch=WIDTH, out_ch=3, ch_mult=MULTIPLIERS, num_res_blocks=BLOCKS)
    options |= dict(attn_resolutions=ATTENTION, in_channels=3, resolution=SIDE)
    options |= dict(z_channels=FEATURES, double_z=False)
    theirs = TheirEncoder(**options), TheirDecoder(**options)
    judge = NLayerDiscriminator(3, ndf=16, n_layers=2).apply(weights_init)
    random = np.random.RandomState(0)
    for module in (*theirs, judge):  # scales that are not one, biases that are not zero
        for parameter in module.parameters():
            if parameter.ndim == 1:
                parameter.data += torch.from_numpy(0.1 * random.randn(*parameter.shape)).float()
    encoder, last = network(theirs[0], theirs[0].down, "downsample")
    encoder[f"Conv_{last}"] = convolution(theirs[0].conv_out)
    decoder, _ = network(theirs[1], list(theirs[1].up)[::-1], "upsample")
    decoder["last"] = convolution(theirs[1].conv_out)

    sizes = WIDTH, MULTIPLIERS, BLOCKS, ATTENTION
    x = random.randn(BATCH, SIDE, SIDE, 3).astype(np.float32)
    h = random.randn(BATCH, SIDE // 4, SIDE // 4, FEATURES).astype(np.float32)
    first = lambda a: torch.from_numpy(a.transpose(0, 3, 1, 2).copy())  # noqa: E731
    with torch.no_grad():
        expected = theirs[0](first(x)), theirs[1](first(h)), judge(first(x))
    run = jax.jit(Encoder(*sizes, FEATURES, 0.0).apply)
    found = [run({"params": encoder}, x)]
    show = jax.jit(lambda p, h: Decoder(*sizes, 0.0).apply({"params": p}, h, x.shape))
    found.append(show(decoder, h))
    patch = PatchDiscriminator(16, 2, "batch")
    variables = {**patch.init(jax.random.key(0), x), "params": discriminator(judge)}
    logits, _ = jax.jit(lambda v, x: patch.apply(v, x, mutable=["batch_stats"]))(variables, x)
    found.append(logits[..., None])
    worst = 0.0
    for name, a, b in zip(("encoder", "decoder", "discriminator"), found, expected, strict=True):
        b = array(b).transpose(0, 2, 3, 1)
        if a.shape != b.shape:
            raise SystemExit(f"{name}: {a.shape}, expected {b.shape}")
        off = float(np.abs(a - b).max() / np.abs(b).max())
        worst = max(worst, off)
        print(f"{name}: largest difference {off:.1e} of the largest value")
    return 0 if worst <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
