"""Time of forward and backward: jaxgen's convolutions, plain lax and PyTorch, side by side.

    python benchmarks/convolutions.py [--repeats 9] [--rows REGEX]

The contestants take turns in one process, so a busy machine slows all alike; medians, then ratios.
PyTorch (channels-last, all cores) is left out where it is not installed. On the CPU, set
`XLA_FLAGS=--xla_cpu_experimental_ynn_fusion_type=-individual_convolution` to see what that gives.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import os
import re
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxgen.nn import conv as fast

LAYOUT = ("NHWC", "HWIO", "NHWC")


@dataclasses.dataclass(frozen=True)
class Row:
    """One operation: shapes of x and kernel, and how to apply a convolution to them.

    `apply(ops, x, w)` is written once for both JAX contestants; `torch(F, x, w)` for PyTorch, whose
    kernel comes as `layout` permutes the one of JAX.
    """

    name: str
    x: tuple[int, ...]
    w: tuple[int, ...]
    apply: Callable
    torch: Callable
    layout: tuple[int, ...] = (3, 2, 0, 1)


class Lax:
    """The two operations in plain lax."""

    @staticmethod
    def conv(x, w, stride=1, padding="SAME", groups=1):
        """NHWC, HWIO."""
        pads = ((padding, padding),) * 2 if isinstance(padding, int) else padding
        return lax.conv_general_dilated(
            x, w, (stride,) * 2, pads, dimension_numbers=LAYOUT, feature_group_count=groups
        )

    @staticmethod
    def conv_transpose(x, w, stride):
        """NHWC, HWIO, SAME."""
        return lax.conv_transpose(x, w, (stride, stride), "SAME")


def plain(x, w, padding, **options):
    """A row without further ado."""
    row = dict(x=x, w=w)
    row["apply"] = lambda ops, x, w: ops.conv(x, w, padding=padding, **options)
    row["torch"] = lambda f, x, w: f.conv2d(x, w, padding=padding, **options)
    return row


def nearest(x):
    b, h, w, c = x.shape
    return jnp.broadcast_to(x[:, :, None, :, None], (b, h, 2, w, 2, c)).reshape(b, 2 * h, 2 * w, c)


def depth_to_space(x):
    b, h, w, c = x.shape
    x = x.reshape(b, h, w, 2, 2, c // 4).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(b, 2 * h, 2 * w, c // 4)


def scanned(ops, x, w):
    return lax.scan(lambda x, w: (jnp.tanh(ops.conv(x, w)), None), x, w)[0]


def scanned_torch(f, x, w):
    for kernel in w:
        x = f.conv2d(x, kernel, padding=1).tanh()
    return x


def modulated(ops, x, w):
    """StyleGAN2's modulated convolution with the activations scaled; styles taken from x itself."""
    style = x[:, :1, :1]
    demodulate = lax.rsqrt(jnp.einsum("bi,hwio->bo", style[:, 0, 0] ** 2, w**2) + 1e-8)
    return ops.conv(x * style, w) * demodulate[:, None, None]


def modulated_torch(f, x, w):
    """The official form: kernels of each example, as one grouped convolution."""
    b, c, h, _ = x.shape
    kernels = w[None] * x[:, :, :1, :1].reshape(b, 1, c, 1, 1)
    kernels = kernels * (kernels.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    y = f.conv2d(x.reshape(1, b * c, h, h), kernels.flatten(0, 1), padding=1, groups=b)
    return y.reshape(b, -1, h, h)


BIG = (32, 32, 32, 64)
ROWS = (
    Row("3x3, 64->64, 32x32", **plain(BIG, (3, 3, 64, 64), 1)),
    Row("3x3, 256->256, 8x8", **plain((32, 8, 8, 256), (3, 3, 256, 256), 1)),
    Row("1x1, 64->64", **plain(BIG, (1, 1, 64, 64), 0)),
    Row("3x3 thin output, 128->12", **plain((32, 16, 16, 128), (3, 3, 128, 12), 1)),
    Row("3x3 thin input, 6->128", **plain((32, 16, 16, 6), (3, 3, 6, 128), 1)),
    Row("4x4 stride 2, 64->128", **plain(BIG, (4, 4, 64, 128), 1, stride=2)),
    Row("3x3 stride 2, 64->128", **plain(BIG, (3, 3, 64, 128), 1, stride=2)),
    Row("depthwise 5x5, 64", **plain(BIG, (5, 5, 1, 64), 2, groups=64)),
    Row(
        "transposed 4x4 stride 2, 128->64",
        (32, 16, 16, 128),
        (4, 4, 128, 64),
        lambda ops, x, w: ops.conv_transpose(x, w, 2),
        lambda f, x, w: f.conv_transpose2d(x, w, stride=2, padding=1),
        (2, 3, 0, 1),
    ),
    Row(
        "nearest x2 + 3x3, 64->64",
        (32, 16, 16, 64),
        (3, 3, 64, 64),
        lambda ops, x, w: ops.conv(nearest(x), w),
        lambda f, x, w: f.conv2d(f.interpolate(x, scale_factor=2), w, padding=1),
    ),
    Row(
        "3x3 to 4C + depth-to-space, 64",
        (32, 16, 16, 64),
        (3, 3, 64, 256),
        lambda ops, x, w: depth_to_space(ops.conv(x, w)),
        lambda f, x, w: f.pixel_shuffle(f.conv2d(x, w, padding=1), 2),
    ),
    Row("modulated 3x3, 64->64", (8, 32, 32, 64), (3, 3, 64, 64), modulated, modulated_torch),
    Row(
        "8 x 3x3, 64->64, in lax.scan",
        (16, 16, 16, 64),
        (8, 3, 3, 64, 64),
        scanned,
        scanned_torch,
        (0, 4, 3, 1, 2),
    ),
)


def jax_step(row, ops, x, w):
    """Output and both gradients, compiled; the cotangent is the output."""

    @jax.jit
    def step(x, w):
        y, pull = jax.vjp(lambda x, w: row.apply(ops, x, w), x, w)
        return y, *pull(y)

    return lambda: jax.block_until_ready(step(x, w))


def torch_step(row, x, w):
    import torch

    torch.set_num_threads(os.cpu_count())
    x = torch.tensor(x.transpose(0, 3, 1, 2)).contiguous(memory_format=torch.channels_last)
    w = torch.tensor(w.transpose(row.layout))
    if w.ndim == 4:
        w = w.contiguous(memory_format=torch.channels_last)
    x.requires_grad_(), w.requires_grad_()

    def step():
        y = row.torch(torch.nn.functional, x, w)
        return y, *torch.autograd.grad(y, (x, w), y.detach())

    return step


def measure(row: Row, repeats: int, with_torch: bool) -> dict[str, float]:
    """Median seconds of each contestant."""
    rng = np.random.default_rng(0)
    x, w = (rng.normal(size=s).astype(np.float32) for s in (row.x, row.w))
    w /= np.sqrt(np.prod(w.shape[-4:-1]))
    steps = {"jaxgen": jax_step(row, fast, x, w), "lax": jax_step(row, Lax, x, w)}
    if with_torch:
        steps["torch"] = torch_step(row, x, w)
    times = {name: [] for name in steps}
    for _ in range(repeats + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--rows", default="", help="only rows whose name matches this expression")
    args = parser.parse_args()
    with_torch = importlib.util.find_spec("torch") is not None
    print(f"jax {jax.__version__} on {jax.default_backend()}, {os.cpu_count()} cores, float32,")
    print(f"XLA_FLAGS={os.environ.get('XLA_FLAGS', '')}\n")
    print("| forward + backward | jaxgen ms | jaxgen / lax | jaxgen / torch | lax / torch |")
    print("|---|---|---|---|---|")
    for row in ROWS:
        if not re.search(args.rows, row.name):
            continue
        t = measure(row, args.repeats, with_torch)
        torch = t.get("torch", float("nan"))
        ratios = (t["jaxgen"] / t["lax"], t["jaxgen"] / torch, t["lax"] / torch)
        numbers = " | ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"| {row.name} | {1e3 * t['jaxgen']:.1f} | {numbers} |", flush=True)


if __name__ == "__main__":
    main()
