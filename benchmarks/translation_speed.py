"""Train steps of CycleGAN and SPADE against PyTorch eager's.

    python benchmarks/translation_speed.py [--only=cyclegan,cyclegan_halved,spade]

A step is all of it: forward, backward and Adam of all players. `cyclegan` is the network of
`configs/cyclegan.py` on 8 pictures of 32x32x3 a domain, `cyclegan_halved` that of the paper at a
quarter of the width on one of 64x64x3, with the identity loss; `spade` that of `configs/spade.py`
on 4 pictures of 64x64x3, with its encoder of styles. Discriminators see what the generators make
after their move, in both; pools are ours alone. The same networks in PyTorch are in `peers/`,
channels last. Medians of rounds A B A B in one process; ratios below 1 mean that ours is the
faster. Needs PyTorch, on CPU.
"""

from __future__ import annotations

import argparse
from typing import Any

from jaxgen.platform import set_defaults

set_defaults()

import numpy as np  # noqa: E402
from rounds import Run, compared, repeated, steps_of  # noqa: E402

from jaxgen.fields import Field  # noqa: E402
from jaxgen.methods.cyclegan import CycleGAN  # noqa: E402
from jaxgen.methods.translation import Translation  # noqa: E402
from jaxgen.models.gans import cyclegan, spade  # noqa: E402
from jaxgen.models.gans.patchgan import MultiScale  # noqa: E402
from jaxgen.types import DataSpec  # noqa: E402

CYCLEGANS = {  # width, blocks, halvings, kernel; width and layers of judges; images, side, identity
    "cyclegan": ((24, 3, 0, 3), (32, 1), 8, 32, 0.0),
    "cyclegan_halved": ((16, 9, 2, 7), (16, 3), 1, 64, 0.5),
}
CLASSES, LATENT, SIDE, SCENES, HIDDEN = 8, 8, 64, 4, 24
MULTIPLIERS, WIDTH, JUDGE = (4, 4, 2, 1), 12, 16
RATE, CALM, TWO = 1e-3, (0.5, 0.999), {"generator": 4e-4, "discriminator": 16e-4}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="cyclegan,cyclegan_halved,spade")
    for name in parser.parse_args().only.split(","):
        ours, theirs = cyclegans(name) if name in CYCLEGANS else spades()
        compared(name, ours, theirs)


def pictures(num: int, side: int, seed: int) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, 256, (num, side, side, 3)).astype(np.uint8)


def cyclegans(name: str) -> tuple[Run, Run]:
    import torch
    from peers import channels_last
    from peers import cyclegan as peer

    network, judge, num, side, identity = CYCLEGANS[name]
    field = Field("image", (side, side, 3), "uint8", levels=256)
    spec = DataSpec("domains", {"x": field, "b": field})
    batch = {"x": pictures(num, side, 0), "b": pictures(num, side, 1)}
    parts = cyclegan.Generators(*network), cyclegan.Discriminators(*judge)
    method = CycleGAN(*parts, spec, identity_weight=identity)
    rule = dict(learning_rate=RATE, b1=CALM[0], b2=CALM[1])
    ours = steps_of(method, batch, generator=rule, discriminator=rule)
    makers = torch.nn.ModuleList(peer.Generator(3, *network) for _ in range(2))
    judges = torch.nn.ModuleList(peer.discriminator(3, *judge) for _ in range(2))
    a, b = (channels_last(x) for x in batch.values())
    makers, judges = (m.to(memory_format=torch.channels_last) for m in (makers, judges))
    adams = [torch.optim.Adam(m.parameters(), RATE, CALM) for m in (makers, judges)]
    step = lambda: peer.step(makers, judges, adams, (a, b), identity)  # noqa: E731
    return ours, repeated(step, makers, judges)


def spades() -> tuple[Run, Run]:
    import torch
    from peers import channels_last
    from peers import spade as peer

    spec = DataSpec.of("scenes", (SIDE, SIDE, 3), 256).with_field(
        "layout", kind="layout", shape=(SIDE, SIDE), dtype="uint8", classes=CLASSES
    )
    layout = np.random.RandomState(1).randint(0, CLASSES, (SCENES, SIDE, SIDE)).astype(np.uint8)
    batch = {"x": pictures(SCENES, SIDE, 0), "layout": layout}
    net = spade.Generator(WIDTH, MULTIPLIERS, (), LATENT, WIDTH, 4, HIDDEN)
    judge = MultiScale(2, JUDGE, 2, "instance", 2, True)
    options: Any = dict(game="hinge", feature_weight=10.0, kl_weight=0.2, joined=True)
    method = Translation(net, judge, spec, generator_first=True, **options)
    rules = {k: dict(learning_rate=v, b1=0.0, b2=0.9) for k, v in TWO.items()}
    ours = steps_of(method, batch, **rules)
    maker = peer.Generator(CLASSES, 3, WIDTH, MULTIPLIERS, HIDDEN, LATENT, SIDE)
    judges = torch.nn.ModuleList(peer.discriminator(CLASSES + 3, JUDGE, 2) for _ in range(2))
    maker, judges = (m.to(memory_format=torch.channels_last) for m in (maker, judges))
    adams = [
        torch.optim.Adam(m.parameters(), rate, (0.0, 0.9))
        for m, rate in zip((maker, judges), TWO.values(), strict=True)
    ]
    x = channels_last(batch["x"])
    cond = torch.nn.functional.one_hot(torch.from_numpy(layout).long(), CLASSES)
    cond = cond.permute(0, 3, 1, 2).float()
    step = lambda: peer.step(maker, judges, adams, x, cond)  # noqa: E731
    return ours, repeated(step, maker, judges)


if __name__ == "__main__":
    main()
