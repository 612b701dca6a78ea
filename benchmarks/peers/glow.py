"""Glow in PyTorch; see `peers`. One `slogdet` a level takes all of its matrices at once."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from peers import move


def pad_edge(x: torch.Tensor) -> torch.Tensor:
    """A zero border, and a channel that is one on it."""
    x = F.pad(x, (1, 1, 1, 1))
    border = F.pad(x.new_zeros(x.shape[2] - 2, x.shape[3] - 2), (1, 1, 1, 1), value=1.0)
    return torch.cat([x, border.expand(len(x), 1, *border.shape)], 1)


class ActNorm(nn.Module):
    """Per channel, (x + bias) * exp(3 log_scale)."""

    def __init__(self, c: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, c, 1, 1))
        self.log_scale = nn.Parameter(torch.zeros(1, c, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] to the same."""
        return (x + self.bias) * torch.exp(3 * self.log_scale)


class ZeroConv(nn.Module):
    """3x3, zero at first, with the edge channel where there is one."""

    def __init__(self, c: int, out: int, edge: bool):
        super().__init__()
        self.edge = edge
        self.conv = nn.Conv2d(c + edge, out, 3, padding=0 if edge else 1)
        nn.init.zeros_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)
        self.log_scale = nn.Parameter(torch.zeros(1, out, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] -> [B, out, H, W]."""
        return self.conv(pad_edge(x) if self.edge else x) * torch.exp(3 * self.log_scale)


class Step(nn.Module):
    """Actnorm, invertible 1x1 convolution, affine coupling."""

    def __init__(self, c: int, width: int, edge: bool):
        super().__init__()
        self.edge = edge
        self.norm, self.norm1, self.norm2 = ActNorm(c), ActNorm(width), ActNorm(width)
        self.weight = nn.Parameter(torch.linalg.qr(torch.randn(c, c))[0])
        padding = 0 if edge else 1
        self.conv1 = nn.Conv2d(c // 2 + edge, width, 3, padding=padding, bias=False)
        self.conv2 = nn.Conv2d(width, width, 1, bias=False)
        self.conv3 = ZeroConv(width, c, edge)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """[B, C, H, W] to the same, and the coupling's log-determinant [B]."""
        x = F.conv2d(self.norm(x), self.weight[:, :, None, None])
        a, b = x.chunk(2, 1)
        h = F.relu(self.norm1(self.conv1(pad_edge(a) if self.edge else a)))
        h = F.relu(self.norm2(self.conv2(h)))
        shift, raw = self.conv3(h).chunk(2, 1)
        log_scale = F.logsigmoid(raw + 2)
        b = (b + shift) * torch.exp(log_scale)
        return torch.cat([a, b], 1), log_scale.flatten(1).sum(1)


class Glow(nn.Module):
    """`levels` times (squeeze, `depth` steps, split), with learned priors."""

    def __init__(self, levels: int, depth: int, width: int, edge: bool, colours: int):
        super().__init__()
        self.levels, self.priors, c = nn.ModuleList(), nn.ModuleList(), colours
        for level in range(levels):
            c *= 4
            self.levels.append(nn.ModuleList(Step(c, width, edge) for _ in range(depth)))
            last = level == levels - 1
            c = c if last else c // 2
            self.priors.append(ZeroConv(2 * c if last else c, 2 * c, edge))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] to log p(x), [B] in nats."""
        total = x.new_zeros(len(x))
        for i, (steps, prior) in enumerate(zip(self.levels, self.priors, strict=True)):
            x = F.pixel_unshuffle(x, 2)
            positions = x.shape[2] * x.shape[3]
            weights = torch.stack([step.weight for step in steps])
            scales = torch.stack([step.norm.log_scale for step in steps])
            logdet = torch.linalg.slogdet(weights)[1].sum() + 3 * scales.sum()
            total = total + positions * logdet
            for step in steps:
                x, logdet = step(x)
                total = total + logdet
            if i < len(self.levels) - 1:
                x, z = x.chunk(2, 1)
                theta = prior(x)
            else:
                z, theta = x, prior(torch.zeros_like(torch.cat([x, x], 1)))
            mean, log_scale = theta.chunk(2, 1)
            eps = (z - mean) * torch.exp(-log_scale)
            log_p = -0.5 * (eps.square() + math.log(2 * math.pi)) - log_scale
            total = total + log_p.flatten(1).sum(1)
        return total


def shifted(x: torch.Tensor, fraction: float) -> torch.Tensor:
    """Every image moved by whole pixels; the nearest edge comes into view."""
    batch, _, h, w = x.shape
    offsets = (2 * torch.rand(batch, 2, device=x.device) - 1) * fraction
    down = torch.round(offsets[:, 0] * h).long()[:, None]
    right = torch.round(offsets[:, 1] * w).long()[:, None]
    rows = (torch.arange(h, device=x.device)[None] + down).clamp(0, h - 1)
    columns = (torch.arange(w, device=x.device)[None] + right).clamp(0, w - 1)
    x = torch.gather(x, 2, rows[:, None, :, None].expand_as(x))
    return torch.gather(x, 3, columns[:, None, None, :].expand_as(x))


class Peer:
    """Maximum likelihood of Glow, in bits/dim."""

    period = 1

    def __init__(self, config: Any, spec: Any):
        names = ("levels", "depth", "width", "edge")
        self.net = Glow(**{k: config["model"][k] for k in names}, colours=spec.shape[2])
        self.modules = {"model": self.net}
        options = config["optim"]["model"]
        self.adamax = torch.optim.Adamax(self.net.parameters(), options["learning_rate"])
        self.shift, self.levels = config["method"]["shift"], spec.levels
        self.unit = spec.dims * math.log(2)

    def compile(self, **options: Any) -> None:
        """The network."""
        self.net = torch.compile(self.net, **options)

    def step(self, i: int, x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Down the bits/dim of noisy images."""
        x = shifted(x, self.shift) if self.shift else x
        y = x.float()
        y = (y + torch.rand_like(y)) / self.levels - 0.5
        loss = math.log2(self.levels) - self.net(y).mean() / self.unit
        move(self.adamax, loss)
        return loss
