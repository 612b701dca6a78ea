"""Train steps of PixelCNN++ and of the VQGAN against PyTorch eager's.

    python benchmarks/discrete.py [--only=pixelcnnpp,vqgan]

A step is all of it: forward, backward and Adam, of the VQGAN of both players with the adaptive
weight, on 16 images of 16x16x3; the same networks in PyTorch are in `peers/`. Medians of rounds
A B A B in one process; ratios below 1 mean that ours is the faster. Needs PyTorch, on CPU.
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
import numpy as np  # noqa: E402

from jaxgen.methods.autoregressive import Autoregressive  # noqa: E402
from jaxgen.methods.vqgan import VQGAN  # noqa: E402
from jaxgen.models.autoregressive.pixelcnnpp import PixelCNNPP  # noqa: E402
from jaxgen.models.gans.patchgan import PatchDiscriminator  # noqa: E402
from jaxgen.models.vaes import vqgan  # noqa: E402
from jaxgen.sharding import make_mesh  # noqa: E402
from jaxgen.train.optim import optimizer  # noqa: E402
from jaxgen.train.program import build_program  # noqa: E402
from jaxgen.types import DataSpec  # noqa: E402

ROUNDS, STEPS = 5, 3
X = np.random.RandomState(0).randint(0, 256, (16, 16, 16, 3)).astype(np.uint8)
SPEC = DataSpec.of("images", X.shape[1:], levels=256)
WIDTH, BLOCKS, LEVELS, DROPOUT = 32, 2, 2, 0.5
CODES, DIM, FEATURES = 64, 8, 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="pixelcnnpp,vqgan")
    pairs = {"pixelcnnpp": (our_pixelcnnpp, torch_pixelcnnpp), "vqgan": (our_vqgan, torch_vqgan)}
    for name in parser.parse_args().only.split(","):
        (ours, count), (theirs, other) = (make() for make in pairs[name])
        times: tuple[list[float], list[float]] = ([], [])
        for number in range(ROUNDS + 1):
            for call, found in zip((ours, theirs), times, strict=True):
                start = time.perf_counter()
                call()
                if number:
                    found.append((time.perf_counter() - start) / STEPS)
        a, b = map(statistics.median, times)
        print(f"{name}, ours / PyTorch eager: {a / b:.3f} ({a:.3f} s, {b:.3f} s)", flush=True)
        print(f"  parameters {count:,} and {other:,}")


def ours(method: Any, *players: str) -> tuple[Callable[[], Any], int]:
    """Train steps of a method, and the number of its parameters."""
    optimizers = {player: optimizer("adam", learning_rate=1e-3) for player in players}
    program = build_program(method, optimizers, {}, make_mesh(), {"x": X}, seed=0)
    step, holder = program.compile(), [program.init({"x": X})]
    placed = program.put([{"x": X}])

    def run() -> None:
        for _ in range(STEPS):
            holder[0], out = step(holder[0], placed, program.rng, np.int32(1))
        jax.block_until_ready(out)

    return run, sum(leaf.size for leaf in jax.tree.leaves(holder[0].params))


def our_pixelcnnpp() -> tuple[Callable[[], Any], int]:
    net = PixelCNNPP(WIDTH, BLOCKS, LEVELS, DROPOUT)
    return ours(Autoregressive(net, SPEC, observation="logistic_mixture"), "model")


def our_vqgan() -> tuple[Callable[[], Any], int]:
    book = dict(name="codebook", codes=CODES, dim=DIM, learned="gradient", start="narrow")
    net = vqgan.VQGAN(WIDTH, (1, 2), 1, (8,), FEATURES, book)
    judge = PatchDiscriminator(WIDTH, 1, "instance")
    return ours(VQGAN(net, SPEC, discriminator=judge, game_weight=0.8), "model", "discriminator")


def torch_pixelcnnpp() -> tuple[Callable[[], Any], int]:
    import torch
    from peers import move, pixelcnnpp, symmetric

    net = pixelcnnpp.PixelCNNPP(3, WIDTH, BLOCKS, LEVELS, 100, DROPOUT)
    net = net.to(memory_format=torch.channels_last)
    adam = torch.optim.Adam(net.parameters(), 1e-3)
    x = symmetric(torch.from_numpy(X).permute(0, 3, 1, 2), 256)

    def run() -> None:
        for _ in range(STEPS):
            move(adam, pixelcnnpp.nats(x, net(x), 10) / x.numel())

    return run, count(net)


def torch_vqgan() -> tuple[Callable[[], Any], int]:
    import torch
    from peers import symmetric, vqgan

    net, judge = vqgan.VQGAN(3, WIDTH, FEATURES, CODES, DIM), vqgan.discriminator(3, WIDTH)
    net, judge = (part.to(memory_format=torch.channels_last) for part in (net, judge))
    adams = [torch.optim.Adam(part.parameters(), 1e-3) for part in (net, judge)]
    x = symmetric(torch.from_numpy(X).permute(0, 3, 1, 2), 256)

    def run() -> None:
        for _ in range(STEPS):
            vqgan.step(net, judge, adams, x)

    return run, count(net, judge)


def count(*parts: Any) -> int:
    return sum(p.numel() for part in parts for p in part.parameters())


if __name__ == "__main__":
    main()
