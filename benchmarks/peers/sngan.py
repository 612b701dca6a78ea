"""SNGAN in PyTorch, without classes; see `peers`."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from peers import adam, move, symmetric
from peers.biggan import Down, Spectral, doubled


class Up(nn.Module):
    """A block of the generator."""

    def __init__(self, c: int, out: int):
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(c), nn.BatchNorm2d(out)
        self.conv1, self.conv2 = (nn.Conv2d(a, out, 3, padding=1) for a in (c, out))
        self.skip = nn.Conv2d(c, out, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] -> [B, out, 2 H, 2 W]."""
        h = self.conv1(doubled(F.relu(self.norm1(x))))
        return self.conv2(F.relu(self.norm2(h))) + self.skip(doubled(x))


class Generator(nn.Module):
    """As `models.gans.sngan.Generator`."""

    def __init__(self, side: int, colours: int, latent: int, width: int):
        super().__init__()
        times = int(math.log2(side // 4))
        self.first, self.width = nn.Linear(latent, 16 * width), width
        self.blocks = nn.Sequential(*(Up(width, width) for _ in range(times)))
        self.norm, self.image = nn.BatchNorm2d(width), nn.Conv2d(width, colours, 3, padding=1)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """[B, latent] to images in [-1, 1]."""
        h = self.first(z).view(-1, self.width, 4, 4)
        h = self.blocks(h.contiguous(memory_format=torch.channels_last))
        return torch.tanh(self.image(F.relu(self.norm(h))))


class Discriminator(nn.Module):
    """As `models.gans.sngan.Discriminator`."""

    def __init__(self, side: int, colours: int, width: int, still: int):
        super().__init__()
        halvings = max(int(math.log2(side // 4)) - 1, 1)
        blocks = [Down(colours if i == 0 else width, width, True, i == 0) for i in range(halvings)]
        blocks += [Down(width, width, False, False) for _ in range(still)]
        self.blocks, self.psi = nn.Sequential(*blocks), Spectral(width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images to logits [B]."""
        return self.psi(F.relu(self.blocks(x)).sum((2, 3)))[:, 0]


class Peer:
    """The hinge game, one move of each, the discriminator first."""

    period = 1

    def __init__(self, config: Any, spec: Any):
        g, d = (config["model"][k] for k in ("generator", "discriminator"))
        side, colours, self.levels = spec.shape[0], spec.shape[2], spec.levels
        self.g = Generator(side, colours, g["latent"], g["width"])
        self.d = Discriminator(side, colours, d["width"], d["still"])
        self.latent, self.modules = g["latent"], {"generator": self.g, "discriminator": self.d}
        self.adams = {k: adam(m, config["optim"][k]) for k, m in self.modules.items()}

    def step(self, i: int, x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """One move of each player."""
        real = symmetric(x, self.levels)
        with torch.no_grad():
            fake = self.g(torch.randn(len(x), self.latent))
        loss = (F.relu(1 - self.d(real)) + F.relu(1 + self.d(fake))).mean()
        move(self.adams["discriminator"], loss)
        loss = -self.d(self.g(torch.randn(len(x), self.latent))).mean()
        move(self.adams["generator"], loss)
        return loss
