"""BigGAN in PyTorch; see `peers`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from peers import adam, move, symmetric


def unit(x: torch.Tensor) -> torch.Tensor:
    """A vector of norm one."""
    return x / (x.norm() + 1e-12)


class Spectral(nn.Module):
    """A kernel over its largest singular value; a dense layer, or a convolution of a `size`."""

    def __init__(self, c: int, out: int, size: int = 0, bias: bool = True, stride: int = 1):
        super().__init__()
        shape = (out, c, size, size) if size else (out, c)
        self.weight = nn.Parameter(nn.init.orthogonal_(torch.empty(shape)))
        self.bias = nn.Parameter(torch.zeros(out)) if bias else None
        self.register_buffer("u", unit(torch.randn(out)))
        self.stride, self.padding = stride, size // 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, ...] -> [B, out, ...]; one iteration of the power method."""
        matrix = self.weight.flatten(1)
        with torch.no_grad():
            u = unit(matrix @ unit(self.u @ matrix))
            v = unit(u @ matrix)
            self.u.copy_(u)
        kernel = self.weight / (u @ matrix @ v).clamp(min=1e-12)
        if self.weight.dim() == 2:
            return F.linear(x, kernel, self.bias)
        return F.conv2d(x, kernel, self.bias, self.stride, self.padding)


class ClassNorm(nn.Module):
    """Batch normalisation whose scale and shift depend on the condition."""

    def __init__(self, c: int, cond: int):
        super().__init__()
        self.moments = nn.BatchNorm2d(c, affine=False)
        self.gain, self.shift = (Spectral(cond, c, bias=False) for _ in range(2))

    def forward(self, x: torch.Tensor, cond: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] to the same."""
        gain, shift = (layer(cond)[:, :, None, None] for layer in (self.gain, self.shift))
        return self.moments(x) * (1 + gain) + shift


class Attention(nn.Module):
    """Self-attention with pooled keys and values."""

    def __init__(self, c: int):
        super().__init__()
        self.query, self.key = (Spectral(c, c // 8, 1, bias=False) for _ in range(2))
        self.value, self.out = (
            Spectral(c, c // 2, 1, bias=False),
            Spectral(c // 2, c, 1, bias=False),
        )
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] to the same."""
        query = self.query(x).flatten(2)
        key = F.max_pool2d(self.key(x), 2).flatten(2)
        value = F.max_pool2d(self.value(x), 2).flatten(2)
        weights = torch.softmax(torch.bmm(query.transpose(1, 2), key), -1)
        mixed = torch.bmm(value, weights.transpose(1, 2))
        return x + self.gamma * self.out(mixed.view(len(x), -1, *x.shape[2:]))


def doubled(x: torch.Tensor) -> torch.Tensor:
    """Every pixel four times."""
    return F.interpolate(x, scale_factor=2)


class Up(nn.Module):
    """A block of the generator."""

    def __init__(self, c: int, out: int, cond: int):
        super().__init__()
        self.norm1, self.norm2 = ClassNorm(c, cond), ClassNorm(out, cond)
        self.conv1, self.conv2, self.skip = (
            Spectral(a, out, size) for a, size in ((c, 3), (out, 3), (c, 1))
        )

    def forward(self, x: torch.Tensor, cond: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] -> [B, out, 2 H, 2 W]."""
        h = self.conv1(doubled(F.relu(self.norm1(x, cond))))
        return self.conv2(F.relu(self.norm2(h, cond))) + self.skip(doubled(x))


class Down(nn.Module):
    """A block of the discriminator."""

    def __init__(self, c: int, out: int, down: bool, first: bool):
        super().__init__()
        self.down, self.first = down, first
        self.conv1, self.conv2 = Spectral(c, out, 3), Spectral(out, out, 3)
        self.skip = Spectral(c, out, 1) if down or c != out else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] -> [B, out, H', W']."""
        h = self.conv2(F.relu(self.conv1(x if self.first else F.relu(x))))
        if self.skip is None:
            return h + x
        if not self.down:
            return h + self.skip(x)
        if self.first:
            return F.avg_pool2d(h, 2) + self.skip(F.avg_pool2d(x, 2))
        return F.avg_pool2d(h, 2) + F.avg_pool2d(self.skip(x), 2)


class Generator(nn.Module):
    """As `models.gans.biggan.Generator`, hierarchical and of a shared embedding."""

    def __init__(
        self,
        spec: Any,
        latent: int,
        width: int,
        multipliers: Sequence[int],
        shared: int,
        attention: int,
    ):
        super().__init__()
        times = len(multipliers) - 1
        self.part, self.side = latent // (times + 1), spec.shape[0] >> times
        self.shared = nn.Linear(spec.num_classes, shared, bias=False)
        first = width * multipliers[0]
        self.first = Spectral(self.part, self.side**2 * first)
        self.blocks, self.attention, c, side = nn.ModuleList(), nn.ModuleDict(), first, self.side
        for i, multiplier in enumerate(multipliers[1:]):
            self.blocks.append(Up(c, width * multiplier, shared + self.part))
            c, side = width * multiplier, 2 * side
            if side == attention:
                self.attention[str(i)] = Attention(c)
        self.norm, self.image = nn.BatchNorm2d(c), Spectral(c, spec.shape[2], 3)

    def forward(self, z: torch.Tensor, cond: torch.Tensor) -> torch.Tensor:
        """[B, latent] and one-hot classes to images in [-1, 1]."""
        first, *parts = z.split(self.part, 1)
        cond = self.shared(cond)
        h = self.first(first).view(len(z), -1, self.side, self.side)
        for i, (part, block) in enumerate(zip(parts, self.blocks, strict=True)):
            h = block(h, torch.cat([cond, part], 1))
            if str(i) in self.attention:
                h = self.attention[str(i)](h)
        return torch.tanh(self.image(F.relu(self.norm(h))))


class Discriminator(nn.Module):
    """As `models.gans.biggan.Discriminator`, with the projection of the class."""

    def __init__(
        self, spec: Any, width: int, multipliers: Sequence[int], attention: int, still: int
    ):
        super().__init__()
        self.blocks, self.attention = nn.ModuleList(), nn.ModuleDict()
        side, c = spec.shape[0], spec.shape[2]
        for i, multiplier in enumerate(multipliers):
            down = i < len(multipliers) - still
            self.blocks.append(Down(c, width * multiplier, down, i == 0))
            c, side = width * multiplier, side // 2 if down else side
            if side == attention:
                self.attention[str(i)] = Attention(c)
        self.psi, self.classes = Spectral(c, 1), Spectral(spec.num_classes, c, bias=False)

    def forward(self, x: torch.Tensor, cond: torch.Tensor) -> torch.Tensor:
        """Images and one-hot classes to logits [B]."""
        for i, block in enumerate(self.blocks):
            x = block(x)
            if str(i) in self.attention:
                x = self.attention[str(i)](x)
        phi = F.relu(x).sum((2, 3))
        return self.psi(phi)[:, 0] + (self.classes(cond) * phi).sum(1)


def orthogonality(module: nn.Module) -> torch.Tensor:
    """Squared products of different rows of all kernels, summed."""
    total = 0.0
    for p in module.parameters():
        if p.dim() >= 2:
            products = p.flatten(1) @ p.flatten(1).T
            total = total + products.square().sum() - products.diagonal().square().sum()
    return total


class Peer:
    """The hinge game; the discriminator moves first."""

    period = 1

    def __init__(self, config: Any, spec: Any):
        players = {k: dict(v) for k, v in config["model"].items()}
        for options in players.values():
            del options["name"], options["dtype"]
        players["generator"].pop("hierarchical")
        self.latent, self.spec = players["generator"]["latent"], spec
        self.g = Generator(spec, **players["generator"])
        self.d = Discriminator(spec, **players["discriminator"])
        self.modules = {"generator": self.g, "discriminator": self.d}
        self.adams = {k: adam(m, config["optim"][k]) for k, m in self.modules.items()}
        self.orthogonal = config["method"]["orthogonal"]

    def compile(self, **options: Any) -> None:
        """Both players."""
        self.g, self.d = torch.compile(self.g, **options), torch.compile(self.d, **options)

    def step(self, i: int, x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """One move of each player."""
        real = symmetric(x, self.spec.levels)
        cond = F.one_hot(label, self.spec.num_classes).float()
        z = [torch.randn(len(x), self.latent, device=x.device) for _ in range(2)]
        with torch.no_grad():
            fake = self.g(z[0], cond)
        loss = (F.relu(1 - self.d(real, cond)) + F.relu(1 + self.d(fake, cond))).mean()
        move(self.adams["discriminator"], loss)
        loss = -self.d(self.g(z[1], cond), cond).mean()
        loss = loss + self.orthogonal * orthogonality(self.modules["generator"])
        move(self.adams["generator"], loss)
        return loss
