"""PixelCNN++ in PyTorch, after the paper; with `peers`, for `benchmarks/discrete.py`."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import weight_norm


def concat_elu(x: torch.Tensor) -> torch.Tensor:
    """[B, C, H, W] -> [B, 2C, H, W]."""
    return F.elu(torch.cat([x, -x], 1))


class Shifted(nn.Module):
    """A convolution that sees (left, right, top, bottom) of zeros."""

    def __init__(self, c: int, out: int, size: tuple[int, int], pads: Any, stride: int = 1):
        super().__init__()
        self.pads = pads
        self.conv = weight_norm(nn.Conv2d(c, out, size, stride))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] -> [B, out, H', W']."""
        return self.conv(F.pad(x, self.pads))


def down(c: int, out: int, stride: int = 1) -> Shifted:
    """Sees the row of the position and the one above."""
    return Shifted(c, out, (2, 3), (1, 1, 1, 0), stride)


def down_right(c: int, out: int, stride: int = 1) -> Shifted:
    """Sees of these what is to the left."""
    return Shifted(c, out, (2, 2), (1, 0, 1, 0), stride)


class Resnet(nn.Module):
    """The gated residual block."""

    def __init__(self, c: int, conv: Any, beside: int, dropout: float):
        super().__init__()
        self.first, self.second = conv(2 * c, c), conv(2 * c, 2 * c)
        self.beside = weight_norm(nn.Conv2d(2 * beside, c, 1)) if beside else None
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, beside: torch.Tensor | None = None) -> torch.Tensor:
        """[B, C, H, W] to the same."""
        h = self.first(concat_elu(x))
        if self.beside is not None:
            h = h + self.beside(concat_elu(beside))
        a, b = self.second(self.dropout(concat_elu(h))).chunk(2, 1)
        return x + a * torch.sigmoid(b)


class Doubled(nn.Module):
    """A transposed convolution of stride 2, cut to twice the size."""

    def __init__(self, c: int, size: tuple[int, int], cut: int):
        super().__init__()
        self.conv, self.cut = weight_norm(nn.ConvTranspose2d(c, c, size, 2), dim=1), cut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] -> [B, C, 2H, 2W]."""
        height, width = x.shape[2:]
        return self.conv(x)[:, :, : 2 * height, self.cut : self.cut + 2 * width]


class PixelCNNPP(nn.Module):
    """Images [B, C, H, W] in [-1, 1] to theta [B, width, H, W]."""

    def __init__(self, channels: int, c: int, blocks: int, levels: int, out: int, dropout: float):
        super().__init__()
        seen = channels + 1
        self.above, self.row = down(seen, c), Shifted(seen, c, (1, 3), (1, 1, 0, 0))
        self.left = Shifted(seen, c, (2, 1), (0, 0, 1, 0))
        modules, self.levels = nn.ModuleDict(), levels
        for level in range(levels):
            if level:
                modules[f"halve_u{level}"] = down(c, c, 2)
                modules[f"halve_l{level}"] = down_right(c, c, 2)
                modules[f"double_u{level}"] = Doubled(c, (2, 3), 1)
                modules[f"double_l{level}"] = Doubled(c, (2, 2), 0)
            for i in range(blocks):
                modules[f"up_u{level}_{i}"] = Resnet(c, down, 0, dropout)
                modules[f"up_l{level}_{i}"] = Resnet(c, down_right, c, dropout)
            for i in range(blocks + (level < levels - 1)):
                modules[f"down_u{level}_{i}"] = Resnet(c, down, c, dropout)
                modules[f"down_l{level}_{i}"] = Resnet(c, down_right, 2 * c, dropout)
        self.parts, self.blocks = modules, blocks
        self.theta = weight_norm(nn.Conv2d(c, out, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        parts = self.parts
        x = torch.cat([x, torch.ones_like(x[:, :1])], 1)
        u = F.pad(self.above(x), (0, 0, 1, 0))[:, :, :-1]
        row = F.pad(self.row(x), (0, 0, 1, 0))[:, :, :-1]
        l = row + F.pad(self.left(x), (1, 0, 0, 0))[..., :-1]  # noqa: E741
        us, ls = [u], [l]
        for level in range(self.levels):
            if level:
                u, l = parts[f"halve_u{level}"](u), parts[f"halve_l{level}"](l)  # noqa: E741
                us.append(u)
                ls.append(l)
            for i in range(self.blocks):
                u = parts[f"up_u{level}_{i}"](u)
                l = parts[f"up_l{level}_{i}"](l, u)  # noqa: E741
                us.append(u)
                ls.append(l)
        u, l = us.pop(), ls.pop()  # noqa: E741
        for level in reversed(range(self.levels)):
            lowest = level == self.levels - 1
            if not lowest:
                u, l = parts[f"double_u{level + 1}"](u), parts[f"double_l{level + 1}"](l)  # noqa: E741
            for i in range(self.blocks + (not lowest)):
                u = parts[f"down_u{level}_{i}"](u, us.pop())
                l = parts[f"down_l{level}_{i}"](l, torch.cat([u, ls.pop()], 1))  # noqa: E741
        return self.theta(F.elu(l))


def nats(x: torch.Tensor, theta: torch.Tensor, mixtures: int) -> torch.Tensor:
    """-log p of images [B, 3, H, W] in [-1, 1], of 256 levels, summed."""
    b, _, height, width = x.shape
    theta = theta.view(b, 10, mixtures, height, width)
    logits, scales = theta[:, 0], theta[:, 4:7].clamp(min=-7.0)
    pairs, x = torch.tanh(theta[:, 7:]), x[:, :, None]
    means = torch.stack(
        [
            theta[:, 1],
            theta[:, 2] + pairs[:, 0] * x[:, 0],
            theta[:, 3] + pairs[:, 1] * x[:, 0] + pairs[:, 2] * x[:, 1],
        ],
        1,
    )
    inverse = torch.exp(-scales)
    high, low = inverse * (x - means + 1 / 255), inverse * (x - means - 1 / 255)
    inside = torch.sigmoid(high) - torch.sigmoid(low)
    middle = inverse * (x - means)
    flat = middle - scales - 2 * F.softplus(middle) - 4.848116  # log 127.5
    each = torch.where(inside > 1e-5, inside.clamp(min=1e-12).log(), flat)
    each = torch.where(x < -0.999, high - F.softplus(high), each)
    each = torch.where(x > 0.999, -F.softplus(low), each)
    return -torch.logsumexp(each.sum(1) + F.log_softmax(logits, 1), 1).sum()
