"""DCGAN in PyTorch, without classes; see `peers`."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from peers import adam, move, symmetric


class Generator(nn.Module):
    """As `models.gans.dcgan.Generator`."""

    def __init__(self, side: int, colours: int, latent: int, width: int):
        super().__init__()
        times = int(math.log2(side // 4))
        self.most = c = width * 2 ** (times - 1)
        self.first = nn.Linear(latent, 16 * c, bias=False)
        layers: list[nn.Module] = [nn.BatchNorm2d(c), nn.ReLU()]
        for _ in range(times - 1):
            layers += [nn.ConvTranspose2d(c, c // 2, 4, 2, 1, bias=False)]
            c //= 2
            layers += [nn.BatchNorm2d(c), nn.ReLU()]
        self.rest = nn.Sequential(*layers, nn.ConvTranspose2d(c, colours, 4, 2, 1), nn.Tanh())

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """[B, latent] to images in [-1, 1]."""
        h = self.first(z).view(-1, self.most, 4, 4)
        return self.rest(h.contiguous(memory_format=torch.channels_last))


def discriminator(side: int, colours: int, width: int, norm: bool) -> nn.Module:
    """As `models.gans.dcgan.Discriminator`."""
    layers, c = [], colours
    for i in range(int(math.log2(side // 4))):
        normed = norm and i > 0
        layers.append(nn.Conv2d(c, width * 2**i, 4, 2, 1, bias=not normed))
        c = width * 2**i
        layers += [nn.BatchNorm2d(c)] * normed + [nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * c, 1))


class Peer:
    """The non-saturating game, one move of each, the discriminator first; no penalties."""

    period = 1

    def __init__(self, config: Any, spec: Any):
        g, d = (config["model"][k] for k in ("generator", "discriminator"))
        side, colours = spec.shape[0], spec.shape[2]
        self.g = Generator(side, colours, g["latent"], g["width"])
        self.d = discriminator(side, colours, d["width"], d["norm"])
        self.latent, self.levels = g["latent"], spec.levels
        self.modules = {"generator": self.g, "discriminator": self.d}
        self.adams = {k: adam(m, config["optim"][k]) for k, m in self.modules.items()}

    def step(self, i: int, x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """One move of each player."""
        real = symmetric(x, self.levels)
        with torch.no_grad():
            fake = self.g(torch.randn(len(x), self.latent))
        loss = (F.softplus(-self.d(real)) + F.softplus(self.d(fake))).mean()
        move(self.adams["discriminator"], loss)
        loss = F.softplus(-self.d(self.g(torch.randn(len(x), self.latent)))).mean()
        move(self.adams["generator"], loss)
        return loss
