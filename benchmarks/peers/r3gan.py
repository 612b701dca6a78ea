"""R3GAN in PyTorch, without classes; see `peers`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from peers import adam, move, symmetric

GAIN = math.sqrt(2 / 1.04)


def conv(c: int, out: int, size: int = 1, groups: int = 1, gain: float = 1.0) -> nn.Conv2d:
    """Without biases, of He's initialisation times a gain."""
    layer = nn.Conv2d(c, out, size, padding=size // 2, groups=groups, bias=False)
    nn.init.normal_(layer.weight, std=gain / math.sqrt(c // groups * size**2))
    return layer


def taps(channels: int, scale: float) -> torch.Tensor:
    """The filter (1, 3, 3, 1) of either axis, for each channel."""
    one = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    return (scale * torch.outer(one, one)).expand(channels, 1, 4, 4)


class Block(nn.Module):
    """As `models.gans.r3gan.Block`."""

    def __init__(self, c: int, groups: int, blocks: int):
        super().__init__()
        scale = GAIN * blocks**-0.25
        self.widen, self.grouped = conv(c, 2 * c, 1, 1, scale), conv(2 * c, 2 * c, 3, groups, scale)
        self.narrow = conv(2 * c, c, gain=0.0)
        self.biases = nn.ParameterList(torch.zeros(1, 2 * c, 1, 1) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] to the same."""
        h = F.leaky_relu(self.widen(x) + self.biases[0], 0.2)
        return x + self.narrow(F.leaky_relu(self.grouped(h) + self.biases[1], 0.2))


class Resampled(nn.Module):
    """Doubled after the 1x1 convolution, or halved before it."""

    def __init__(self, c: int, out: int, up: bool):
        super().__init__()
        self.conv, self.up = conv(c, out) if c != out else nn.Identity(), up

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] -> [B, out, H', W']."""
        resample, scale = (F.conv_transpose2d, 4.0) if self.up else (F.conv2d, 1.0)
        x = self.conv(x) if self.up else x
        x = resample(x, taps(x.shape[1], scale), stride=2, padding=1, groups=x.shape[1])
        return x if self.up else self.conv(x)


def stages(
    widths: Sequence[int], cardinalities: Sequence[int], blocks: Sequence[int], up: bool
) -> nn.Module:
    """All of them, resampled between."""
    layers, before = [], widths[0]
    for i, (c, groups, count) in enumerate(zip(widths, cardinalities, blocks, strict=True)):
        layers += [Resampled(before, c, up)] if i else []
        layers, before = [*layers, *(Block(c, groups, sum(blocks)) for _ in range(count))], c
    return nn.Sequential(*layers)


class Generator(nn.Module):
    """As `models.gans.r3gan.Generator`."""

    def __init__(self, side: int, colours: int, latent: int, widths: Sequence[int], *lists: Any):
        super().__init__()
        least = side >> (len(widths) - 1)
        self.basis = nn.Parameter(torch.randn(1, widths[0], least, least))
        self.weights = nn.Linear(latent, widths[0], bias=False)
        self.stages = stages(widths, *lists, up=True)
        self.image = conv(widths[-1], colours)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """[B, latent] to images."""
        x = self.basis * self.weights(z)[:, :, None, None]
        return self.image(self.stages(x.contiguous(memory_format=torch.channels_last)))


class Discriminator(nn.Module):
    """As `models.gans.r3gan.Discriminator`."""

    def __init__(self, side: int, colours: int, widths: Sequence[int], *lists: Any):
        super().__init__()
        least = side >> (len(widths) - 1)
        self.image = conv(colours, widths[0])
        self.stages = stages(widths, *lists, up=False)
        self.basis = nn.Parameter(torch.randn(1, widths[-1], least, least) / least)
        self.logit = nn.Linear(widths[-1], 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images to logits [B]."""
        return self.logit((self.stages(self.image(x)) * self.basis).sum((2, 3)))[:, 0]


class Peer:
    """The relativistic game with R1 and R2 at every step."""

    period = 1

    def __init__(self, config: Any, spec: Any):
        g, d = (config["model"][k] for k in ("generator", "discriminator"))
        side, colours, self.levels = spec.shape[0], spec.shape[2], spec.levels
        names, self.latent = ("widths", "cardinalities", "blocks"), g["latent"]
        self.g = Generator(side, colours, self.latent, *(g[k] for k in names))
        self.d = Discriminator(side, colours, *(d[k] for k in names))
        self.modules = {"generator": self.g, "discriminator": self.d}
        self.adams = {k: adam(m, config["optim"][k]) for k, m in self.modules.items()}
        self.weight = config["method"]["penalties"]["r1"]["weight"]

    def step(self, i: int, x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """One move of each player."""
        real = symmetric(x, self.levels).requires_grad_()
        with torch.no_grad():
            fake = self.g(torch.randn(len(x), self.latent))
        fake.requires_grad_()
        logits, others = self.d(real), self.d(fake)
        penalty = 0.5 * self.weight * (slopes(logits, real) + slopes(others, fake))
        move(self.adams["discriminator"], (F.softplus(others - logits) + penalty).mean())
        fake = self.d(self.g(torch.randn(len(x), self.latent)))
        with torch.no_grad():
            logits = self.d(real)
        loss = F.softplus(logits - fake).mean()
        move(self.adams["generator"], loss)
        return loss


def slopes(logits: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Squared, of each image."""
    (slope,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    return slope.square().sum((1, 2, 3))
