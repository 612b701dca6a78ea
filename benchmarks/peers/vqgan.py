"""The VQGAN in PyTorch, after the paper; with `peers`, for `benchmarks/discrete.py`."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from peers import move


def norm(c: int) -> nn.Module:
    """Group normalisation."""
    return nn.GroupNorm(min(32, c), c, 1e-6)


class Block(nn.Module):
    """The residual block."""

    def __init__(self, c: int, out: int):
        super().__init__()
        self.first = nn.Sequential(norm(c), nn.SiLU(), nn.Conv2d(c, out, 3, padding=1))
        self.second = nn.Sequential(norm(out), nn.SiLU(), nn.Conv2d(out, out, 3, padding=1))
        self.beside = nn.Conv2d(c, out, 1) if c != out else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] -> [B, out, H, W]."""
        return self.beside(x) + self.second(self.first(x))


class Attention(nn.Module):
    """One head over all positions."""

    def __init__(self, c: int):
        super().__init__()
        self.norm, self.qkv, self.out = norm(c), nn.Conv2d(c, 3 * c, 1), nn.Conv2d(c, c, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] to the same."""
        q, k, v = self.qkv(self.norm(x)).flatten(2).transpose(1, 2).chunk(3, -1)
        heard = F.scaled_dot_product_attention(q, k, v)
        return x + self.out(heard.transpose(1, 2).reshape(x.shape))


class Halved(nn.Module):
    """A convolution of stride 2, padded at its end."""

    def __init__(self, c: int):
        super().__init__()
        self.conv = nn.Conv2d(c, c, 3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] -> [B, C, H / 2, W / 2]."""
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Doubled(nn.Module):
    """Nearest neighbours, then a convolution."""

    def __init__(self, c: int):
        super().__init__()
        self.conv = nn.Conv2d(c, c, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] -> [B, C, 2H, 2W]."""
        return self.conv(F.interpolate(x, scale_factor=2.0))


class VQGAN(nn.Module):
    """Two levels of one block with attention at the lower one, around a codebook."""

    def __init__(self, channels: int, width: int, features: int, codes: int, dim: int):
        super().__init__()
        c = 2 * width
        middle = [Block(c, c), Attention(c), Block(c, c)]
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            Block(width, width),
            Halved(width),
            Block(width, c),
            Attention(c),
            *middle,
            norm(c),
            nn.SiLU(),
            nn.Conv2d(c, features, 3, padding=1),
            nn.Conv2d(features, dim, 1),
        )
        self.codes = nn.Embedding(codes, dim)
        self.decoder = nn.Sequential(
            nn.Conv2d(dim, features, 1),
            nn.Conv2d(features, c, 3, padding=1),
            *[Block(c, c), Attention(c), Block(c, c)],
            *[Block(c, c), Attention(c), Block(c, c), Attention(c)],
            Doubled(c),
            *[Block(c, width), Block(width, width)],
            norm(width),
            nn.SiLU(),
        )
        self.last = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The image, and what the codebook asks for."""
        z = self.encoder(x)
        flat = z.movedim(1, -1).reshape(-1, z.shape[1])
        table = self.codes.weight
        off = flat.square().sum(1, keepdim=True) + table.square().sum(1) - 2 * flat @ table.T
        q = self.codes(off.argmin(1)).view(*z.movedim(1, -1).shape).movedim(-1, 1)
        asked = (q - z.detach()).square().mean() + 0.25 * (q.detach() - z).square().mean()
        return self.last(self.decoder(z + (q - z).detach())), asked


def discriminator(channels: int, width: int) -> nn.Module:
    """Of patches, with one layer that halves before the last two."""
    return nn.Sequential(
        nn.Conv2d(channels, width, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, 2 * width, 4, 1, 1),
        nn.InstanceNorm2d(2 * width),
        nn.LeakyReLU(0.2),
        nn.Conv2d(2 * width, 1, 4, 1, 1),
    )


def step(net: VQGAN, judge: nn.Module, adams: Any, x: torch.Tensor) -> None:
    """One move of each player, on images in [-1, 1]."""
    fake, asked = net(x)
    near, paid = (x - fake).abs().mean(), -judge(fake).mean()
    pulls = [torch.autograd.grad(v, net.last.weight, retain_graph=True)[0] for v in (near, paid)]
    weight = (pulls[0].norm() / (pulls[1].norm() + 1e-4)).clamp(0, 1e4).detach()
    move(adams[0], near + asked + 0.8 * weight * paid)
    with torch.no_grad():
        fake, _ = net(x)
    move(adams[1], 0.5 * (F.relu(1 - judge(x)) + F.relu(1 + judge(fake))).mean())
