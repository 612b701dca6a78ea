"""StyleGAN3 in PyTorch, configuration T; see `peers`.

Filters work along one axis after the other, on zeros between pixels, as in the reference part of
the official code; bands and filters are taken from jaxgen.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from jaxgen.models.gans.stylegan3 import MAGNITUDE_DECAY, SCALE, TAPS, Signal, signals
from jaxgen.ops.lowpass import lowpass
from peers import adam, move, symmetric
from peers.stylegan2 import Dense, Discriminator, active, unit_length


def filtered(x: torch.Tensor, taps: torch.Tensor, up: int, down: int, pad: tuple[int, int]):
    """Zeros inserted, padded, filtered along both axes, thinned out."""
    if up > 1:
        wide = x.new_zeros(*x.shape[:2], up * x.shape[2], up * x.shape[3])
        wide[:, :, ::up, ::up] = x
        x = wide
    x, c = F.pad(x, (*pad, *pad)), x.shape[1]
    x = F.conv2d(x, taps.expand(c, 1, 1, -1), stride=(1, down), groups=c)
    return F.conv2d(x, taps.expand(c, 1, 1, -1).transpose(2, 3), stride=(down, 1), groups=c)


class Layer(nn.Module):
    """As `models.gans.stylegan3.FilteredLayer`."""

    def __init__(self, before: Signal, after: Signal, style: int, image: bool):
        super().__init__()
        c, size = before.channels, 1 if image else 3
        self.image, self.after = image, after
        self.affine = Dense(style, c, bias=1.0)
        self.weight = nn.Parameter(torch.randn(after.channels, c, size, size))
        self.bias = nn.Parameter(torch.zeros(1, after.channels, 1, 1))
        self.register_buffer("magnitude", torch.ones(()))
        between = 2 * max(before.rate, after.rate)
        self.up, self.down = between // before.rate, between // after.rate
        taps = []
        for signal, factor in ((before, self.up), (after, self.down)):
            count = TAPS * factor if factor > 1 else 1
            taps.append(lowpass(count, signal.cutoff, signal.half_width, float(between)))
        self.register_buffer("up_taps", self.up * torch.tensor(taps[0]))
        self.register_buffer("down_taps", torch.tensor(taps[1]))

    def forward(self, x: torch.Tensor, w: torch.Tensor, moved: bool) -> torch.Tensor:
        """[B, C, H, W] and w [B, style] -> what `after` says; `moved`: the magnitude moves."""
        style, kernel = self.affine(w), self.weight
        if self.image:
            style = style / math.sqrt(x.shape[1])
        else:
            kernel = kernel * kernel.square().mean((1, 2, 3), keepdim=True).rsqrt()
            style = style * style.square().mean().rsqrt()
        if moved:
            with torch.no_grad():
                self.magnitude.lerp_(x.square().mean(), 1 - MAGNITUDE_DECAY)
        x = x * self.magnitude.rsqrt() * style[:, :, None, None]
        x = F.conv2d(x, kernel, padding=0 if self.image else 2)
        if self.image:
            return x + self.bias
        squares = kernel.square().sum((2, 3))
        x = x * torch.rsqrt(style.square() @ squares.T + 1e-8)[:, :, None, None] + self.bias
        taps = len(self.up_taps) + len(self.down_taps)
        pad = (self.after.size - 1) * self.down + 1 + taps - 2 - x.shape[2] * self.up
        low = (pad + self.up) // 2
        x = active(filtered(x, self.up_taps, self.up, 1, (low, pad - low)))
        return filtered(x, self.down_taps, 1, self.down, (0, 0))


class Generator(nn.Module):
    """As `models.gans.stylegan3.Generator`, without moves of the image."""

    def __init__(self, spec: Any, options: Any):
        super().__init__()
        side, colours = spec.shape[0], spec.shape[2]
        keys = ("layers", "critical", "margin", "base", "most")
        planned = signals(side, colours, *(options[k] for k in keys))
        style, self.first = options["style"], planned[0]
        sizes = [options["latent"], *[style] * (options["mapping_layers"] - 1)]
        self.mapping = nn.ModuleList(Dense(c, style, 0.01) for c in sizes)
        c, band = self.first.channels, self.first.cutoff
        self.along = nn.Parameter(torch.zeros(4, style))
        self.at = nn.Parameter(torch.tensor([1.0, 0.0, 0.0, 0.0]))
        self.mix = nn.Parameter(torch.randn(c, c))
        f = torch.randn(c, 2)
        radius = f.norm(dim=1, keepdim=True)
        self.register_buffer("frequencies", band * f / (radius * (0.25 * radius.square()).exp()))
        self.register_buffer("phases", torch.rand(c) - 0.5)
        last = len(planned) - 1
        self.layers = nn.ModuleList(
            Layer(planned[max(i - 1, 0)], after, style, i == last)
            for i, after in enumerate(planned)
        )

    def waves(self, w: torch.Tensor) -> torch.Tensor:
        """[B, style] -> [B, C, size, size]."""
        t = w @ self.along.T / math.sqrt(w.shape[1]) + self.at
        t = t / t[:, :2].norm(dim=1, keepdim=True)
        cos, sin, right, down = t.T[:, :, None]
        fx, fy = self.frequencies.T
        turned = torch.stack([fx * cos + fy * sin, fy * cos - fx * sin], -1)
        shifts = self.phases - turned[..., 0] * right - turned[..., 1] * down
        left = self.first.rate / 2 - self.first.cutoff
        amplitudes = (1 - (turned.norm(dim=2) - self.first.cutoff) / left).clamp(0, 1)
        n = self.first.size
        at = (torch.arange(n) + 0.5 - n / 2) / self.first.rate
        angles = at.view(1, 1, n, 1) * turned[:, None, None, :, 0]
        angles = angles + at.view(1, n, 1, 1) * turned[:, None, None, :, 1]
        x = torch.sin(2 * math.pi * (angles + shifts[:, None, None])) * amplitudes[:, None, None]
        return (x @ (self.mix / math.sqrt(len(self.mix)))).permute(0, 3, 1, 2)

    def forward(self, z: torch.Tensor, moved: bool = False) -> torch.Tensor:
        """[B, latent] to images; `moved`: magnitudes move."""
        w = unit_length(z)
        for layer in self.mapping:
            w = active(layer(w))
        x = self.waves(w).contiguous(memory_format=torch.channels_last)
        for layer in self.layers:
            x = layer(x, w, moved)
        return SCALE * x


class Peer:
    """The game with a lazy R1; no blur."""

    def __init__(self, config: Any, spec: Any):
        g, d = (config["model"][k] for k in ("generator", "discriminator"))
        self.g, self.latent = Generator(spec, g), g["latent"]
        self.d = Discriminator(spec, d["base"], d["most"], d["group"])
        self.levels, self.modules = spec.levels, {"generator": self.g, "discriminator": self.d}
        self.adams = {k: adam(m, config["optim"][k]) for k, m in self.modules.items()}
        r1 = config["method"]["penalties"]["r1"]
        self.period, self.weight = r1["every"], r1["weight"]

    def step(self, i: int, x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Generator, discriminator, and R1 where it is due."""
        real = symmetric(x, self.levels)
        loss = F.softplus(-self.d(self.g(torch.randn(len(x), self.latent)))).mean()
        move(self.adams["generator"], loss)
        with torch.no_grad():
            fake = self.g(torch.randn(len(x), self.latent), moved=True)
        loss = (F.softplus(-self.d(real)) + F.softplus(self.d(fake))).mean()
        move(self.adams["discriminator"], loss)
        if i % self.period == 0:
            real = real.requires_grad_()
            (slope,) = torch.autograd.grad(self.d(real).sum(), real, create_graph=True)
            penalty = 0.5 * slope.square().sum((1, 2, 3)).mean()
            move(self.adams["discriminator"], self.period * self.weight * penalty)
        return loss
