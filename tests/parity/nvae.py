"""Every cell of NVAE against the official modules, with the same random weights.

    git clone https://github.com/NVlabs/NVAE DIR
    python tests/parity/nvae.py DIR

Prints the largest difference of outputs and of running statistics, in train and in eval mode,
and exits with 1 if one is above 1e-5. Needs PyTorch, on CPU. The official code is not ours to
copy: it is imported from DIR, with stand-ins for what wants a GPU.

Of commit 9fc1a288, PyTorch 2.13.0, jax 0.10.2: 1.0e-6 at most in train and 7.2e-7 in eval mode,
running statistics to 1.2e-7.
"""

from __future__ import annotations

import pathlib
import sys
import types

LIMIT = 1e-5
BATCH, SIDE, CHANNELS, LATENT = 3, 8, 32, 4


def official(path):
    """The official modules `model` and `neural_ar_operations`, made to run on CPU."""
    import torch

    class BatchNormSwish(torch.nn.BatchNorm2d):
        """What the fused CUDA layer computes."""

        def forward(self, x):
            return torch.nn.functional.silu(super().forward(x))

    fused = types.ModuleType("thirdparty.inplaced_sync_batchnorm")
    fused.SyncBatchNormSwish = BatchNormSwish
    names = {"thirdparty.inplaced_sync_batchnorm": fused}
    for absent in ("tensorboardX", "lmdb"):  # of logging and data, which no cell needs
        names[absent] = types.ModuleType(absent)
    names["tensorboardX"].SummaryWriter = object
    sys.modules.update(names)
    torch.Tensor.cuda = lambda self, *_, **__: self
    sys.path.insert(0, str(path))
    import model
    import neural_ar_operations
    import neural_operations
    import utils

    neural_operations.SYNC_BN = False  # PyTorch's synchronised one wants a GPU too
    return model, neural_operations, neural_ar_operations, utils.get_arch_cells("res_mbconv")


def array(tensor):
    """A convolution's kernel or a batch of images to our order of axes."""
    return tensor.detach().numpy().transpose(2, 3, 1, 0)


def conv(layer):
    """Our parameters of a convolution."""
    params = {"kernel": array(layer.weight)}
    if layer.log_weight_norm is not None:
        params["log_norm"] = layer.log_weight_norm.detach().numpy().ravel()
    if layer.bias is not None:
        params["bias"] = layer.bias.detach().numpy()
    return params


def dense(layer):
    """Our parameters of a dense layer."""
    return {"kernel": layer.weight.detach().numpy().T, "bias": layer.bias.detach().numpy()}


def norm(layer):
    """Our parameters of a batch normalisation."""
    return {"scale": layer.weight.detach().numpy(), "bias": layer.bias.detach().numpy()}


def moments(layer):
    """Our running statistics of a batch normalisation, copied: PyTorch moves them in place."""
    return {"mean": layer.running_mean.numpy().copy(), "var": layer.running_var.numpy().copy()}


def gate(cell):
    """Our parameters of squeeze-excitation."""
    return {"squeeze": dense(cell.se.se[0]), "excite": dense(cell.se.se[2])}


def reduce(layer):
    """Our parameters of the factorised reduction."""
    return {f"part{i}": conv(getattr(layer, f"conv_{i + 1}")) for i in range(4)}


def encoder_cell(cell):
    """Parameters and layers of batch normalisation."""
    params = {"gate": gate(cell)}
    for i, op in enumerate(cell._ops):
        params |= {f"norm{i}": norm(op.bn_act), f"conv{i}": conv(op.conv_0)}
    if hasattr(cell.skip, "conv_1"):
        params["skip"] = reduce(cell.skip)
    return params, {f"norm{i}": op.bn_act for i, op in enumerate(cell._ops)}


def decoder_cell(cell):
    """Parameters and layers of batch normalisation."""
    layers = list(cell._ops[0].conv)[-5:]  # an upsampling may stand before them
    widen, depthwise = layers[1].conv, layers[2].conv
    norms = dict(norm0=layers[0], norm1=widen[1], norm2=depthwise[1], norm3=layers[4])
    params = {"gate": gate(cell)} | {name: norm(layer) for name, layer in norms.items()}
    params |= {"widen": conv(widen[0]), "depthwise": conv(depthwise[0]), "narrow": conv(layers[3])}
    if isinstance(cell.skip, type(cell._ops[0].conv)):
        params["skip"] = conv(cell.skip[1])
    return params, norms


def flow_cell(cell):
    """Parameters; there is no batch normalisation."""
    layers = [m for m in cell.modules() if hasattr(m, "log_weight_norm")]
    return dict(zip(("first", "middle", "last"), map(conv, layers), strict=True)), {}


def scramble(module):
    """Parameters and statistics away from their start, so that all of them matter."""
    import torch

    with torch.no_grad():
        for name, p in module.named_parameters():
            p += 0.3 * torch.randn_like(p) * (1 if name.endswith("bias") else p.abs().mean())
        for name, b in module.named_buffers():
            if name.endswith("running_mean"):
                b += 0.3 * torch.randn_like(b)
            if name.endswith("running_var"):
                b += torch.rand_like(b)


def cells(path):
    """name -> (official module, our module, our parameters, its normalisations)."""
    from jaxgen.nn import nvae_cells as ours

    model, ops, flows, arch = official(path)
    found = {}

    def add(name, theirs, mine, convert):
        scramble(theirs)
        found[name] = (theirs, mine, *convert(theirs))

    half, double = CHANNELS // 2, 2 * CHANNELS
    for name, out, mine in (
        ("normal_enc", CHANNELS, ours.EncoderCell(CHANNELS)),
        ("down_enc", double, ours.EncoderCell(double, down=True)),
        ("normal_pre", CHANNELS, ours.EncoderCell(CHANNELS)),
        ("down_pre", double, ours.EncoderCell(double, down=True)),
    ):
        add(name, model.Cell(CHANNELS, out, name, arch[name], True), mine, encoder_cell)
    for name, out, mine in (
        ("normal_dec", CHANNELS, ours.DecoderCell(CHANNELS, 6)),
        ("up_dec", half, ours.DecoderCell(half, 6, up=True)),
        ("normal_post", CHANNELS, ours.DecoderCell(CHANNELS, 3)),
        ("up_post", half, ours.DecoderCell(half, 3, up=True)),
    ):
        add(name, model.Cell(CHANNELS, out, name, arch[name], True), mine, decoder_cell)
    parts = {"squeeze": 0, "excite": 2}
    add(
        "squeeze-excitation",
        ops.SE(CHANNELS, CHANNELS),
        ours.SqueezeExcite(),
        lambda se: ({name: dense(se.se[i]) for name, i in parts.items()}, {}),
    )
    add(
        "factorised reduction",
        ops.FactorizedReduce(CHANNELS, double + 2),
        ours.FactorizedReduce(double + 2),
        lambda layer: (reduce(layer), {}),
    )
    add(
        "weight-normed conv",
        ops.Conv2D(CHANNELS, half, 3, padding=1, bias=True),
        ours.NormedConv(half),
        lambda layer: (conv(layer), {}),
    )
    for name, mirror in (("flow cell", False), ("flow cell, mirrored", True)):
        theirs = model.CellAR(LATENT, CHANNELS, 8 * LATENT, None, mirror)
        add(name, theirs, ours.FlowCell(mirror), flow_cell)
    del flows
    return found


def differences(theirs, mine, params, norms, train):
    """Of the outputs, and of the statistics after the call: largest absolute values."""
    import jax
    import numpy as np
    import torch

    flow = set(params) == {"first", "middle", "last"}
    x = torch.randn(BATCH, LATENT if flow else CHANNELS, SIDE, SIDE)
    variables = {"params": params, "batch_stats": {n: moments(m) for n, m in norms.items()}}
    theirs.train(train)
    with torch.no_grad():
        wanted = theirs(x, None)[0] if flow else theirs(x)
    run = jax.jit(lambda v, x: mine.apply(v, x, mutable=["batch_stats"] if train else []))
    got, moved = run(variables, x.numpy().transpose(0, 2, 3, 1))
    got = got[0] if flow else got
    output = np.max(np.abs(np.asarray(got).transpose(0, 3, 1, 2) - wanted.numpy()))
    after = moved["batch_stats"] if train and norms else variables["batch_stats"]
    statistics = [
        np.max(np.abs(np.asarray(after[n][k]) - v))
        for n, m in norms.items()
        for k, v in moments(m).items()
    ]
    return output, max(statistics, default=0.0)


def main(path):
    """Prints the table; the exit code."""
    import torch

    torch.manual_seed(0)
    print(f"{'largest difference':24}{'train':>10}{'statistics':>12}{'eval':>10}")
    worst = 0.0
    for name, found in cells(path).items():
        still, _ = differences(*found, train=False)
        train, statistics = differences(*found, train=True)
        worst = max(worst, train, statistics, still)
        print(f"{name:24}{train:10.1e}{statistics:12.1e}{still:10.1e}")
    print(f"worst {worst:.1e}, limit {LIMIT:.0e}")
    return int(not worst <= LIMIT)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        print(f"skipped: no path to a checkout of the official code given\n\n{__doc__}")
        sys.exit(0)
    sys.exit(main(pathlib.Path(sys.argv[1]).resolve()))
