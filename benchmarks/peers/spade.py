"""SPADE in PyTorch, after the paper; see `peers`, for `benchmarks/translation_speed.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from peers import move
from peers.biggan import Spectral, doubled


class Spade(nn.Module):
    """Batch normalisation that a layout modulates."""

    def __init__(self, c: int, classes: int, hidden: int):
        super().__init__()
        self.moments = nn.BatchNorm2d(c, affine=False)
        self.shared = nn.Conv2d(classes, hidden, 3, padding=1)
        self.gain, self.shift = (nn.Conv2d(hidden, c, 3, padding=1) for _ in range(2))

    def forward(self, x: torch.Tensor, layout: torch.Tensor) -> torch.Tensor:
        """[B, C, h, w] to the same."""
        h = F.relu(self.shared(F.interpolate(layout, x.shape[2:])))
        return self.moments(x) * (1 + self.gain(h)) + self.shift(h)


class Block(nn.Module):
    """The residual block."""

    def __init__(self, c: int, out: int, classes: int, hidden: int):
        super().__init__()
        middle = min(c, out)
        self.spades = nn.ModuleList(Spade(n, classes, hidden) for n in (c, middle))
        self.convs = nn.ModuleList(Spectral(a, b, 3) for a, b in ((c, middle), (middle, out)))
        self.beside = c != out
        if self.beside:
            self.spade, self.conv = Spade(c, classes, hidden), Spectral(c, out, 1, bias=False)

    def forward(self, x: torch.Tensor, layout: torch.Tensor) -> torch.Tensor:
        """[B, C, h, w] -> [B, out, h, w]."""
        h = x
        for spade, conv in zip(self.spades, self.convs, strict=True):
            h = conv(F.leaky_relu(spade(h, layout), 0.2))
        return h + (self.conv(self.spade(x, layout)) if self.beside else x)


class Generator(nn.Module):
    """A layout and an image, whose style it takes, to an image in [-1, 1]."""

    def __init__(
        self,
        classes: int,
        channels: int,
        width: int,
        multipliers: Sequence[int],
        hidden: int,
        latent: int,
        side: int,
        halvings: int = 4,
    ):
        super().__init__()
        self.low, wide = side // 2 ** (len(multipliers) - 1), width * multipliers[0]
        self.first = nn.Linear(latent, wide * self.low**2)
        widths = [wide, *(width * m for m in multipliers)]
        self.blocks = nn.ModuleList(
            Block(c, out, classes, hidden) for c, out in zip(widths[:-1], widths[1:], strict=True)
        )
        self.last = nn.Conv2d(widths[-1], channels, 3, padding=1)
        seen = [channels, *(width * min(2**i, 8) for i in range(halvings))]
        self.encoder = nn.ModuleList(
            Spectral(c, out, 3, False, 2) for c, out in zip(seen[:-1], seen[1:], strict=True)
        )
        self.style = nn.ModuleList(nn.Linear(seen[-1] * 16, latent) for _ in range(2))
        self.seen = 4 * 2**halvings

    def forward(self, layout: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The image, and the divergence of its style."""
        h = F.interpolate(x, (self.seen, self.seen), mode="bilinear") if self.resized(x) else x
        for i, conv in enumerate(self.encoder):
            h = F.instance_norm(conv(F.leaky_relu(h, 0.2) if i else h))
        mean, log_var = (layer(F.leaky_relu(h, 0.2).flatten(1)) for layer in self.style)
        kl = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(1).mean()
        z = mean + (0.5 * log_var).exp() * torch.randn_like(mean)
        h = self.first(z).view(len(z), -1, self.low, self.low)
        h = h.contiguous(memory_format=torch.channels_last)
        for i, block in enumerate(self.blocks):
            h = block(doubled(h) if i else h, layout)
        return torch.tanh(self.last(F.leaky_relu(h, 0.2))), kl

    def resized(self, x: torch.Tensor) -> bool:
        """Whether an image is of another size than the encoder sees."""
        return x.shape[2:] != (self.seen, self.seen)


def discriminator(channels: int, width: int, layers: int) -> nn.ModuleList:
    """Of patches at one scale: each layer but the last is followed by a leaky ReLU."""
    made: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 2)]
    c = width
    for i in range(1, layers + 1):
        out, stride = width * min(2**i, 8), 2 if i < layers else 1
        conv = Spectral(c, out, 4, False, stride)
        made.append(nn.Sequential(conv, nn.InstanceNorm2d(out)))
        c = out
    return nn.ModuleList([*made, nn.Conv2d(c, 1, 4, 1, 2)])


def judged(judges: Any, x: torch.Tensor) -> list[list[torch.Tensor]]:
    """Features of each layer, the logits last, of an image and of its halves."""
    found = []
    for scale, layers in enumerate(judges):
        x = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False) if scale else x
        h, made = x, []
        for layer in layers[:-1]:
            h = F.leaky_relu(layer(h), 0.2)
            made.append(h)
        found.append([*made, layers[-1](h)])
    return found


def step(maker: Generator, judges: Any, adams: Any, x: torch.Tensor, layout: torch.Tensor) -> None:
    """One move of the generator and its encoder, then of the discriminators."""
    twice, num = torch.cat([layout, layout]), len(x)
    fake, kl = maker(layout, x)
    seen = judged(judges, torch.cat([torch.cat([fake, x]), twice], 1))
    total = 0.2 * kl
    for scale in seen:
        total = total - scale[-1][:num].mean() / len(seen)
        for h in scale[:-1]:
            total = total + 10 * (h[num:].detach() - h[:num]).abs().mean() / len(seen)
    move(adams[0], total)
    with torch.no_grad():
        fake, _ = maker(layout, x)
    total = torch.zeros(())
    for scale in judged(judges, torch.cat([torch.cat([fake, x]), twice], 1)):
        logits = scale[-1]
        paid = F.relu(1 + logits[:num]).mean() + F.relu(1 - logits[num:]).mean()
        total = total + paid / len(seen)
    move(adams[1], total)
