"""StyleGAN2 in PyTorch; see `peers`. Activations are scaled, not kernels, as in jaxgen."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from peers import adam, move, symmetric

GAIN = math.sqrt(2)


def blur(x: torch.Tensor, pads: tuple[int, ...], scale: float = 1.0) -> torch.Tensor:
    """The filter (1, 3, 3, 1) of either axis."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], device=x.device) / 8
    kernel = (scale * torch.outer(taps, taps)).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(F.pad(x, pads), kernel, groups=x.shape[1])


def active(x: torch.Tensor, bias: torch.Tensor | float = 0.0) -> torch.Tensor:
    """A leaky rectifier that keeps the variance."""
    return GAIN * F.leaky_relu(x + bias, 0.2)


def unit_length(x: torch.Tensor) -> torch.Tensor:
    """Rows over the root of their mean square."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


class Dense(nn.Module):
    """An equalised dense layer."""

    def __init__(self, c: int, out: int, rate: float = 1.0, bias: float = 0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out, c) / rate)
        self.bias = nn.Parameter(torch.full((out,), bias))
        self.scale, self.rate = rate / math.sqrt(c), rate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C] -> [B, out]."""
        return F.linear(x, self.weight * self.scale, self.bias * self.rate)


class Conv(nn.Module):
    """An equalised convolution; `down` halves through the filter."""

    def __init__(self, c: int, out: int, size: int, down: bool = False, skip: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out, c, size, size))
        self.bias = None if skip else nn.Parameter(torch.zeros(1, out, 1, 1))
        self.scale, self.down, self.size = 1 / math.sqrt(c * size**2), down, size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] -> [B, out, H', W']."""
        kernel = self.weight * self.scale
        if not self.down:
            y = F.conv2d(x, kernel, padding=self.size // 2)
        elif self.size == 1:
            y = F.conv2d(blur(x, (1, 1, 1, 1))[:, :, ::2, ::2], kernel)
        else:
            y = F.conv2d(blur(x, (2, 2, 2, 2)), kernel, stride=2)
        return y if self.bias is None else active(y, self.bias)


class Styled(nn.Module):
    """Modulated 3x3, noise, bias, rectifier."""

    def __init__(self, c: int, out: int, style: int, up: bool):
        super().__init__()
        self.affine, self.up = Dense(style, c, bias=1.0), up
        self.weight = nn.Parameter(torch.randn(out, c, 3, 3))
        self.strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(1, out, 1, 1))

    def forward(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] and w [B, style] -> [B, out, H', W']."""
        style = self.affine(w)
        x = x * style[:, :, None, None]
        if self.up:
            x = blur(
                F.conv_transpose2d(x, self.weight.transpose(0, 1), stride=2), (1, 1, 1, 1), 4.0
            )
        else:
            x = F.conv2d(x, self.weight, padding=1)
        squares = self.weight.square().sum((2, 3))
        x = x * torch.rsqrt(style.square() @ squares.T + 1e-8)[:, :, None, None]
        noise = torch.randn(len(x), 1, *x.shape[2:], device=x.device)
        return active(x + self.strength * noise, self.bias)


class ToImage(nn.Module):
    """Modulated 1x1 to colours."""

    def __init__(self, c: int, colours: int, style: int):
        super().__init__()
        self.affine = Dense(style, c, bias=1.0)
        self.weight = nn.Parameter(torch.randn(colours, c, 1, 1))
        self.bias = nn.Parameter(torch.zeros(colours))

    def forward(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] and w [B, style] -> [B, colours, H, W]."""
        style = self.affine(w) / math.sqrt(x.shape[1])
        return F.conv2d(x * style[:, :, None, None], self.weight, self.bias)


class Generator(nn.Module):
    """As `models.gans.stylegan2.Generator`."""

    def __init__(self, spec: Any, latent: int, style: int, layers: int, base: int, most: int):
        super().__init__()
        self.levels, self.latent = int(math.log2(spec.shape[0])), latent
        widths = [min(base // 2**i, most) for i in range(2, self.levels + 1)]
        sizes = (latent if i == 0 else style for i in range(layers))
        self.mapping = nn.ModuleList(Dense(c, style, 0.01) for c in sizes)
        self.constant = nn.Parameter(torch.randn(1, widths[0], 4, 4))
        self.convs = nn.ModuleList([Styled(widths[0], widths[0], style, False)])
        self.images = nn.ModuleList([ToImage(widths[0], spec.shape[2], style)])
        for c, out in zip(widths[:-1], widths[1:], strict=True):
            self.convs += [Styled(c, out, style, True), Styled(out, out, style, False)]
            self.images.append(ToImage(out, spec.shape[2], style))

    def map(self, z: torch.Tensor) -> torch.Tensor:
        """z [B, latent] to w [B, style]."""
        h = unit_length(z)
        for layer in self.mapping:
            h = active(layer(h))
        return h

    def styles(self, num: int, mixing: float) -> torch.Tensor:
        """w of every layer, [num, L, style], those of a second z from a random layer on."""
        z = torch.randn(2, num, self.latent, device=self.constant.device)
        first, second = self.map(z[0]), self.map(z[1])
        count = 2 * self.levels - 2
        cut = int(torch.randint(1, count, (), device="cpu"))
        cut = cut if float(torch.rand((), device="cpu")) < mixing else count
        return torch.stack([first if i < cut else second for i in range(count)], 1)

    def forward(self, styles: torch.Tensor) -> torch.Tensor:
        """[B, L, style] to images."""
        x = self.constant.repeat(len(styles), 1, 1, 1)
        x = self.convs[0](x, styles[:, 0])
        image = self.images[0](x, styles[:, 1])
        for i in range(self.levels - 2):
            x = self.convs[2 * i + 1](x, styles[:, 2 * i + 1])
            x = self.convs[2 * i + 2](x, styles[:, 2 * i + 2])
            wide = image.new_zeros(*image.shape[:2], 2 * image.shape[2], 2 * image.shape[3])
            wide[:, :, ::2, ::2] = image
            image = blur(wide, (2, 1, 2, 1), 4.0) + self.images[i + 1](x, styles[:, 2 * i + 3])
        return image


class Discriminator(nn.Module):
    """As `models.gans.stylegan2.Discriminator`, without classes."""

    def __init__(self, spec: Any, base: int, most: int, group: int):
        super().__init__()
        levels = int(math.log2(spec.shape[0]))
        widths = [min(base // 2**i, most) for i in range(levels, 1, -1)]
        self.image, self.group = Conv(spec.shape[2], widths[0], 1), group
        self.blocks = nn.ModuleList(
            nn.ModuleList(
                [Conv(c, out, 1, down=True, skip=True), Conv(c, c, 3), Conv(c, out, 3, down=True)]
            )
            for c, out in zip(widths[:-1], widths[1:], strict=True)
        )
        c = widths[-1]
        self.last, self.dense, self.logit = Conv(c + 1, c, 3), Dense(16 * c, c), Dense(c, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images to logits [B]."""
        h = self.image(x)
        for skip, conv, down in self.blocks:
            h = (skip(h) + down(conv(h))) * math.sqrt(0.5)
        size = min(self.group, len(h))
        groups = h.view(size, -1, *h.shape[1:])
        spread = (groups.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
        spread = spread.repeat(size).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)
        h = self.last(torch.cat([h, spread], 1))
        return self.logit(active(self.dense(h.flatten(1))))[:, 0]


class Peer:
    """The game with lazy turns: path length every 4 steps, R1 every 16."""

    def __init__(self, config: Any, spec: Any):
        g, d = (dict(config["model"][k]) for k in ("generator", "discriminator"))
        method, self.spec = config["method"], spec
        names = ("latent", "style", "layers", "base", "most")
        self.g = self.generator = Generator(spec, **{k: g[k] for k in names})
        self.d = self.discriminator = Discriminator(spec, d["base"], d["most"], d["group"])
        self.modules = {"generator": self.g, "discriminator": self.d}
        self.adams = {k: adam(m, config["optim"][k]) for k, m in self.modules.items()}
        self.mixing, self.path = method["mixing"], (method["path_every"], method["path_weight"])
        r1 = method["penalties"]["r1"]
        self.r1 = (r1["every"], r1["weight"])
        self.period, self.mean = math.lcm(self.path[0], self.r1[0]), 0.0

    def compile(self, **options: Any) -> None:
        """Both players, in the turns without second derivatives, which `torch.compile` lacks."""
        self.g, self.d = torch.compile(self.g, **options), torch.compile(self.d, **options)

    def step(self, i: int, x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Generator, path length, discriminator, R1: those that are due."""
        num, real = len(x), symmetric(x, self.spec.levels)
        loss = F.softplus(-self.d(self.g(self.generator.styles(num, self.mixing)))).mean()
        move(self.adams["generator"], loss)
        if i % self.path[0] == 0:
            move(self.adams["generator"], self.path_loss(num // 2, x.device))
        with torch.no_grad():
            fake = self.g(self.generator.styles(num, self.mixing))
        loss = (F.softplus(-self.d(real)) + F.softplus(self.d(fake))).mean()
        move(self.adams["discriminator"], loss)
        if i % self.r1[0] == 0:
            real = real.requires_grad_()
            logits = self.discriminator(real).sum()
            (slope,) = torch.autograd.grad(logits, real, create_graph=True)
            penalty = 0.5 * slope.square().sum((1, 2, 3)).mean()
            move(self.adams["discriminator"], self.r1[0] * self.r1[1] * penalty)
        return loss

    def path_loss(self, num: int, device: Any) -> torch.Tensor:
        """Of so many draws."""
        styles = self.generator.styles(num, self.mixing)
        y = torch.randn(num, *self.spec.shape[::-1], device=device) / self.spec.shape[0]
        value = (self.generator(styles) * y).sum()
        (slope,) = torch.autograd.grad(value, styles, create_graph=True)
        lengths = slope.square().sum(2).mean(1).sqrt()
        mean = 0.99 * self.mean + 0.01 * lengths.mean()
        self.mean = mean.detach()
        return self.path[0] * self.path[1] * (lengths - mean).square().mean()
