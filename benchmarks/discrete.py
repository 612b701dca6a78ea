"""Train steps of PixelCNN++ and of the VQGAN against PyTorch eager's.

    python benchmarks/discrete.py [--only=pixelcnnpp,vqgan]

A step is all of it: forward, backward and Adam, of the VQGAN of both players with the adaptive
weight, on 16 images of 16x16x3; the same networks in PyTorch are in `peers/`. Medians of rounds
A B A B in one process; ratios below 1 mean that ours is the faster. Needs PyTorch, on CPU.
"""

from __future__ import annotations

import argparse

from jaxgen.platform import set_defaults

set_defaults()

import numpy as np  # noqa: E402
from rounds import Run, compared, repeated, steps_of  # noqa: E402

from jaxgen.methods.autoregressive import Autoregressive  # noqa: E402
from jaxgen.methods.vqgan import VQGAN  # noqa: E402
from jaxgen.models.autoregressive.pixelcnnpp import PixelCNNPP  # noqa: E402
from jaxgen.models.gans.patchgan import PatchDiscriminator  # noqa: E402
from jaxgen.models.vaes import vqgan  # noqa: E402
from jaxgen.types import DataSpec  # noqa: E402

X = np.random.RandomState(0).randint(0, 256, (16, 16, 16, 3)).astype(np.uint8)
SPEC = DataSpec.of("images", X.shape[1:], levels=256)
WIDTH, BLOCKS, LEVELS, DROPOUT = 32, 2, 2, 0.5
CODES, DIM, FEATURES = 64, 8, 64
RULE = dict(learning_rate=1e-3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="pixelcnnpp,vqgan")
    pairs = {"pixelcnnpp": (our_pixelcnnpp, torch_pixelcnnpp), "vqgan": (our_vqgan, torch_vqgan)}
    for name in parser.parse_args().only.split(","):
        ours, theirs = (make() for make in pairs[name])
        compared(name, ours, theirs)


def our_pixelcnnpp() -> Run:
    net = PixelCNNPP(WIDTH, BLOCKS, LEVELS, DROPOUT)
    method = Autoregressive(net, SPEC, observation="logistic_mixture")
    return steps_of(method, {"x": X}, model=RULE)


def our_vqgan() -> Run:
    book = dict(name="codebook", codes=CODES, dim=DIM, learned="gradient", start="narrow")
    net = vqgan.VQGAN(WIDTH, (1, 2), 1, (8,), FEATURES, book)
    judge = PatchDiscriminator(WIDTH, 1, "instance")
    method = VQGAN(net, SPEC, discriminator=judge, game_weight=0.8)
    return steps_of(method, {"x": X}, model=RULE, discriminator=RULE)


def torch_pixelcnnpp() -> Run:
    import torch
    from peers import channels_last, move, pixelcnnpp

    net = pixelcnnpp.PixelCNNPP(3, WIDTH, BLOCKS, LEVELS, 100, DROPOUT)
    net = net.to(memory_format=torch.channels_last)
    adam = torch.optim.Adam(net.parameters(), 1e-3)
    x = channels_last(X)
    step = lambda: move(adam, pixelcnnpp.nats(x, net(x), 10) / x.numel())  # noqa: E731
    return repeated(step, net)


def torch_vqgan() -> Run:
    import torch
    from peers import channels_last, vqgan

    net, judge = vqgan.VQGAN(3, WIDTH, FEATURES, CODES, DIM), vqgan.discriminator(3, WIDTH)
    net, judge = (part.to(memory_format=torch.channels_last) for part in (net, judge))
    adams = [torch.optim.Adam(part.parameters(), 1e-3) for part in (net, judge)]
    x = channels_last(X)
    return repeated(lambda: vqgan.step(net, judge, adams, x), net, judge)


if __name__ == "__main__":
    main()
