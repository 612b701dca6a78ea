"""CycleGAN in PyTorch, after the paper; see `peers`, for `benchmarks/translation_speed.py`."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from peers import move


def normed(*layers: nn.Module, width: int) -> nn.Sequential:
    """Layers, instance normalisation, ReLU."""
    return nn.Sequential(*layers, nn.InstanceNorm2d(width), nn.ReLU())


def reflected(c: int, out: int, kernel: int) -> nn.Sequential:
    """A convolution whose border is a mirror."""
    return nn.Sequential(nn.ReflectionPad2d(kernel // 2), nn.Conv2d(c, out, kernel))


class Block(nn.Module):
    """x + two convolutions."""

    def __init__(self, c: int):
        super().__init__()
        first = normed(reflected(c, c, 3), width=c)
        self.path = nn.Sequential(first, reflected(c, c, 3), nn.InstanceNorm2d(c))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] to the same."""
        return x + self.path(x)


class Generator(nn.Sequential):
    """[B, C, H, W] to the same, in [-1, 1]."""

    def __init__(self, channels: int, width: int, blocks: int, halvings: int, kernel: int):
        widths = [width * 2**i for i in range(halvings + 1)]
        steps = list(zip(widths[:-1], widths[1:], strict=True))
        down = [normed(nn.Conv2d(c, out, 3, 2, 1), width=out) for c, out in steps]
        up = [normed(nn.ConvTranspose2d(out, c, 3, 2, 1, 1), width=c) for c, out in reversed(steps)]
        super().__init__(
            normed(reflected(channels, width, kernel), width=width),
            *down,
            *(Block(widths[-1]) for _ in range(blocks)),
            *up,
            reflected(width, channels, kernel),
            nn.Tanh(),
        )


def discriminator(channels: int, width: int, layers: int) -> nn.Module:
    """Of patches."""
    made: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
    c = width
    for i in range(1, layers + 1):
        out = width * min(2**i, 8)
        made += [nn.Conv2d(c, out, 4, 2 if i < layers else 1, 1), nn.InstanceNorm2d(out)]
        made += [nn.LeakyReLU(0.2)]
        c = out
    return nn.Sequential(*made, nn.Conv2d(c, 1, 4, 1, 1))


def step(makers: Any, judges: Any, adams: Any, domains: Any, identity: float) -> None:
    """One move of both generators, then of both discriminators.

    Args:
        makers: to the first domain, to the second.
        judges: of the first, of the second.
        adams: of makers, of judges.
        domains: images in [-1, 1] of the first and of the second.
        identity: weight of the identity loss, as a share of the cycle's, which is 10.
    """
    total = torch.zeros(())
    for here, x in enumerate(domains):
        there = 1 - here
        fake = makers[there](x)
        total = total + (judges[there](fake) - 1).square().mean()
        total = total + 10 * (makers[here](fake) - x).abs().mean()
        if identity:
            total = total + 10 * identity * (makers[here](x) - x).abs().mean()
    move(adams[0], total)
    total = torch.zeros(())
    for here, x in enumerate(domains):
        with torch.no_grad():
            fake = makers[here](domains[1 - here])
        paid = (judges[here](x) - 1).square().mean() + judges[here](fake).square().mean()
        total = total + 0.5 * paid
    move(adams[1], total)
