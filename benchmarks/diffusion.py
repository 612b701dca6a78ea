"""Train steps of DDPM's U-Net and of DiT against PyTorch's, and images/s of sampling.

    python benchmarks/diffusion.py [--only=unet,dit,sampling] [--cpu]

A step is forward, backward and Adam of the same network on the same noised images, in PyTorch eager
with its own attention: the U-Net of `configs/ddpm.py` on 64 digits of 8x8, a wider one of three
levels on 8 images of 32x32x3, and DiT of 4 blocks of 128, 256 tokens, on 16. Medians of rounds
A B A B in one process; ratios below 1 mean that ours is the faster. Sampling draws 64 digits by
the U-Net of `configs/ddpm.py` in 10, 25 and 50 steps of DDIM, of one program. Where others use the
machine, `--cpu` counts CPU seconds instead, and gives PyTorch one thread: several wait for each
other busily. Needs PyTorch, on CPU.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

from jaxgen.platform import set_defaults

set_defaults()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402

from jaxgen.fields import DataSpec  # noqa: E402
from jaxgen.methods.diffusion import Diffusion  # noqa: E402
from jaxgen.models.diffusion.ddpm import DDPM  # noqa: E402
from jaxgen.models.diffusion.dit import DiT  # noqa: E402
from jaxgen.types import State  # noqa: E402

ROUNDS, STEPS = 5, 3
SMALL = dict(width=32, multipliers=(1, 2), blocks=1, attention=(4,), dropout=0.0)
WIDE = dict(width=64, multipliers=(1, 2, 2), blocks=1, attention=(16,), dropout=0.0)
DEPTH, WIDTH, HEADS, PATCH = 4, 128, 4, 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="unet,dit,sampling")
    parser.add_argument("--cpu", action="store_true")
    options = parser.parse_args()
    wanted, clock = options.only.split(","), time.perf_counter
    if options.cpu:
        import torch

        torch.set_num_threads(1)
        clock = time.process_time
    if "unet" in wanted:
        for name, sizes, shape in (
            ("digits", SMALL, (64, 8, 8, 1)),
            ("wide", WIDE, (8, 32, 32, 3)),
        ):
            theirs = unet(sizes, shape)
            name = f"U-Net, {name}, ours / PyTorch eager"
            report(name, clock, ours(DDPM(**sizes), shape), theirs)
    if "dit" in wanted:
        shape = (16, 32, 32, 3)
        theirs = torch_steps(transformer(shape), shape)
        net = DiT(PATCH, DEPTH, WIDTH, HEADS)
        report("DiT, ours / PyTorch eager", clock, ours(net, shape), theirs)
    if "sampling" in wanted:
        sampling(clock)


def report(
    name: str, clock: Callable[[], float], first: Callable[[], Any], second: Callable[[], Any]
) -> None:
    """Medians of a step, A B A B after a round of each that is not counted."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(ROUNDS + 1):
        for call, found in zip((first, second), times, strict=True):
            start = clock()
            call()
            if number:
                found.append((clock() - start) / STEPS)
    a, b = map(statistics.median, times)
    print(f"{name}: {a / b:.3f} ({a * 1e3:.0f} ms, {b * 1e3:.0f} ms)", flush=True)


def ours(net: Any, shape: tuple[int, ...]) -> Callable[[], Any]:
    """Some steps."""
    x = jax.random.normal(jax.random.key(0), shape)
    t = jnp.linspace(0, 999, len(x))
    params = jax.jit(net.init)(jax.random.key(1), x, t)["params"]
    adam = optax.adam(1e-4)

    @jax.jit
    def step(params: Any, opt: Any) -> Any:
        def loss(params: Any) -> Any:
            return jnp.mean(jnp.square(net.apply({"params": params}, x, t) - x))

        updates, opt = adam.update(jax.grad(loss)(params), opt)
        return optax.apply_updates(params, updates), opt

    def run() -> None:
        now, opt = params, adam.init(params)
        for _ in range(STEPS):
            now, opt = step(now, opt)
        jax.block_until_ready(now)

    return run


def torch_steps(network: Any, shape: tuple[int, ...]) -> Callable[[], Any]:
    """Some steps of a module of (x, t)."""
    import torch

    adam = torch.optim.Adam(network.parameters(), 1e-4)
    x = torch.randn(shape[0], shape[3], *shape[1:3])
    t = torch.linspace(0, 999, len(x))

    def run() -> None:
        for _ in range(STEPS):
            adam.zero_grad()
            (network(x, t) - x).square().mean().backward()
            adam.step()

    return run


def waves(t: Any, width: int) -> Any:
    """Sines and cosines of time."""
    import torch

    rate = torch.exp(-np.log(10_000) * torch.arange(width // 2) / (width // 2 - 1))
    angle = t[:, None] * rate[None]
    return torch.cat([angle.sin(), angle.cos()], 1)


def unet(sizes: dict[str, Any], shape: tuple[int, ...]) -> Callable[[], Any]:
    """Some steps of the U-Net in PyTorch, of one block a level."""
    import torch
    from torch.nn import functional as F

    width, widths = sizes["width"], [m * sizes["width"] for m in sizes["multipliers"]]

    def norm(channels: int) -> Any:
        return torch.nn.GroupNorm(min(32, channels // 4), channels, eps=1e-6)

    class Block(torch.nn.Module):
        def __init__(self, before: int, after: int) -> None:
            super().__init__()
            self.norm1, self.norm2 = norm(before), norm(after)
            self.conv1 = torch.nn.Conv2d(before, after, 3, padding=1)
            self.conv2 = torch.nn.Conv2d(after, after, 3, padding=1)
            self.time = torch.nn.Linear(4 * width, after)
            same = before == after
            self.beside = torch.nn.Identity() if same else torch.nn.Conv2d(before, after, 1)

        def forward(self, x: Any, emb: Any) -> Any:
            h = self.conv1(F.silu(self.norm1(x))) + self.time(emb)[:, :, None, None]
            return self.beside(x) + self.conv2(F.silu(self.norm2(h)))

    class Attention(torch.nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.norm = norm(channels)
            self.qkv = torch.nn.Conv2d(channels, 3 * channels, 1)
            self.out = torch.nn.Conv2d(channels, channels, 1)

        def forward(self, x: Any) -> Any:
            q, k, v = self.qkv(self.norm(x)).flatten(2).transpose(1, 2)[:, None].chunk(3, -1)
            mixed = F.scaled_dot_product_attention(q, k, v)
            return x + self.out(mixed[:, 0].transpose(1, 2).reshape(x.shape))

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = torch.nn.Conv2d(shape[3], width, 3, padding=1)
            self.mlp = torch.nn.Sequential(
                torch.nn.Linear(width, 4 * width),
                torch.nn.SiLU(),
                torch.nn.Linear(4 * width, 4 * width),
            )
            kept, before, side = [width], width, shape[1]
            self.down, self.up = torch.nn.ModuleList(), torch.nn.ModuleList()
            for level, after in enumerate(widths):
                if level:
                    self.down.append(torch.nn.Conv2d(before, before, 3, 2))
                    kept.append(before)
                    side //= 2
                self.down.append(self._pair(before, after, side))
                before = after
                kept.append(after)
            self.middle = torch.nn.ModuleList(
                [Block(before, before), Attention(before), Block(before, before)]
            )
            for level, after in reversed(list(enumerate(widths))):
                for _ in range(2):
                    self.up.append(self._pair(before + kept.pop(), after, side))
                    before = after
                if level:
                    self.up.append(torch.nn.Conv2d(after, after, 3, padding=1))
                    side *= 2
            self.norm, self.last = norm(before), torch.nn.Conv2d(before, shape[3], 3, padding=1)

        def _pair(self, before: int, after: int, side: int) -> Any:
            heard = [Attention(after)] if side in sizes["attention"] else []
            return torch.nn.ModuleList([Block(before, after), *heard])

        def forward(self, x: Any, t: Any) -> Any:
            emb = F.silu(self.mlp(waves(t, width)))
            kept = [self.first(x)]
            for layer in self.down:
                if isinstance(layer, torch.nn.Conv2d):
                    kept.append(layer(F.pad(kept[-1], (0, 1, 0, 1))))
                else:
                    kept.append(self._through(layer, kept[-1], emb))
            h = self._through(self.middle, kept[-1], emb)
            for layer in self.up:
                if isinstance(layer, torch.nn.Conv2d):
                    h = layer(F.interpolate(h, scale_factor=2.0, mode="nearest"))
                else:
                    h = self._through(layer, torch.cat([h, kept.pop()], 1), emb)
            return self.last(F.silu(self.norm(h)))

        def _through(self, layers: Any, h: Any, emb: Any) -> Any:
            for layer in layers:
                h = layer(h, emb) if isinstance(layer, Block) else layer(h)
            return h

    network = Network()
    made = jax.eval_shape(
        DDPM(**sizes).init, jax.random.key(0), np.zeros(shape, np.float32), np.zeros(shape[0])
    )
    assert sum(p.numel() for p in network.parameters()) == sum(
        leaf.size for leaf in jax.tree.leaves(made)
    )
    return torch_steps(network, shape)


def transformer(shape: tuple[int, ...]) -> Any:
    """DiT in PyTorch."""
    import torch
    from torch.nn import functional as F

    class Block(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv, self.out = torch.nn.Linear(WIDTH, 3 * WIDTH), torch.nn.Linear(WIDTH, WIDTH)
            wide = 4 * WIDTH
            self.adapt = torch.nn.Linear(WIDTH, 6 * WIDTH)
            self.mlp = torch.nn.Sequential(
                torch.nn.Linear(WIDTH, wide),
                torch.nn.GELU(approximate="tanh"),
                torch.nn.Linear(wide, WIDTH),
            )

        def forward(self, x: Any, emb: Any) -> Any:
            a, b, c, d, e, f = self.adapt(emb)[:, None].chunk(6, -1)
            joint = self.qkv(F.layer_norm(x, (WIDTH,), eps=1e-6) * (1 + b) + a)
            q, k, v = (
                p.reshape(*x.shape[:2], HEADS, -1).transpose(1, 2) for p in joint.chunk(3, -1)
            )
            mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
            x = x + c * self.out(mixed)
            return x + f * self.mlp(F.layer_norm(x, (WIDTH,), eps=1e-6) * (1 + e) + d)

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            channels = shape[3]
            self.patches = torch.nn.Conv2d(channels, WIDTH, PATCH, PATCH)
            self.places = torch.randn(1, (shape[1] // PATCH) ** 2, WIDTH)
            self.mlp = torch.nn.Sequential(
                torch.nn.Linear(256, WIDTH), torch.nn.SiLU(), torch.nn.Linear(WIDTH, WIDTH)
            )
            self.blocks = torch.nn.ModuleList(Block() for _ in range(DEPTH))
            self.adapt = torch.nn.Linear(WIDTH, 2 * WIDTH)
            self.last = torch.nn.Linear(WIDTH, PATCH**2 * channels)

        def forward(self, x: Any, t: Any) -> Any:
            emb = F.silu(self.mlp(waves(t, 256)))
            h = self.patches(x).flatten(2).transpose(1, 2) + self.places
            for block in self.blocks:
                h = block(h, emb)
            shift, scale = self.adapt(emb)[:, None].chunk(2, -1)
            h = self.last(F.layer_norm(h, (WIDTH,), eps=1e-6) * (1 + scale) + shift)
            return F.fold(h.transpose(1, 2), x.shape[2:], kernel_size=PATCH, stride=PATCH)

    return Network()


def sampling(clock: Callable[[], float]) -> None:
    """One program for all numbers of steps."""
    spec = DataSpec.of("digits", (8, 8, 1), 17, 10)
    method = Diffusion(DDPM(**SMALL), spec)
    batch = {k: jnp.zeros(v.shape, v.dtype) for k, v in spec.batch(64).items()}
    params, variables = jax.jit(method.init)(jax.random.key(0), batch)
    state = State(jnp.int32(0), params, variables, {}, {})
    draw = jax.jit(
        lambda state, key, steps: method.sample(state, key, 64, steps=steps, sampler="ddim")
    )
    for steps in (10, 25, 50):
        times = []
        for number in range(ROUNDS + 1):
            start = clock()
            jax.block_until_ready(draw(state, jax.random.key(number), jnp.int32(steps)))
            times.append(clock() - start)
        print(f"sampling, {steps} steps: {64 / statistics.median(times[1:]):,.0f} images/s")


if __name__ == "__main__":
    main()
