"""NVAE in PyTorch; see `peers`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from jaxgen.nn.nvae_cells import causal_mask
from peers import move

RESIDUAL, MOMENTUM = 0.1, 0.05


class NormedConv(nn.Module):
    """A convolution whose kernels have a learned norm; `noted` is what the penalty sees."""

    def __init__(
        self,
        c: int,
        out: int,
        size: int = 3,
        stride: int = 1,
        bias: bool = True,
        normed: bool = True,
        depthwise: bool = False,
        causal: str | None = None,
        mirror: bool = False,
    ):
        super().__init__()
        self.groups = c if depthwise else 1
        layer = nn.Conv2d(c, out, size, stride, size // 2, groups=self.groups, bias=bias)
        self.weight, self.bias = layer.weight, layer.bias
        self.stride, self.padding, mask = stride, size // 2, None
        if causal:
            shape = (size, size, c // self.groups, out)
            mask = causal_mask(shape, depthwise, causal == "strict", mirror).transpose(3, 2, 0, 1)
            mask = torch.tensor(mask.copy())
        self.register_buffer("mask", mask)
        self.log_norm = nn.Parameter(torch.log(self.norm() + 1e-2)) if normed else None
        self.noted = None

    def norm(self) -> torch.Tensor:
        """Of every output's kernel, [out, 1, 1, 1]."""
        weight = self.weight.detach() if self.mask is None else self.weight.detach() * self.mask
        return weight.square().sum((1, 2, 3), keepdim=True).sqrt()

    def kernel(self) -> torch.Tensor:
        """As it is used."""
        kernel = self.weight if self.mask is None else self.weight * self.mask
        if self.log_norm is None:
            return kernel
        norm = kernel.square().sum((1, 2, 3), keepdim=True).sqrt()
        return kernel * (torch.exp(self.log_norm) / (norm + 1e-5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] -> [B, out, H / stride, W / stride]."""
        kernel = self.kernel()
        if not torch.compiler.is_compiling():  # there an attribute that moves compiles anew
            self.noted = kernel
        return F.conv2d(x, kernel, self.bias, self.stride, self.padding, groups=self.groups)


def normal(c: int) -> nn.BatchNorm2d:
    """Batch normalisation with NVAE's constants."""
    return nn.BatchNorm2d(c, eps=1e-5, momentum=MOMENTUM)


class Gate(nn.Module):
    """Squeeze-excitation."""

    def __init__(self, c: int):
        super().__init__()
        hidden = max(c // 16, 4)
        self.squeeze, self.excite = nn.Linear(c, hidden), nn.Linear(hidden, c)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] to the same."""
        h = self.excite(F.relu(self.squeeze(x.mean((2, 3)))))
        return x * torch.sigmoid(h)[:, :, None, None]


class Reduce(nn.Module):
    """Halves the image by four 1x1 convolutions."""

    def __init__(self, c: int, out: int):
        super().__init__()
        part = out // 4
        widths = (part, part, part, out - 3 * part)
        self.parts = nn.ModuleList(NormedConv(c, width, 1) for width in widths)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] -> [B, out, H / 2, W / 2]."""
        x, corners = F.silu(x), ((0, 0), (1, 1), (0, 1), (1, 0))
        corners = [x[:, :, top::2, left::2] for top, left in corners]
        return torch.cat([part(y) for part, y in zip(self.parts, corners, strict=True)], 1)


class EncoderCell(nn.Module):
    """Two times batch normalisation, swish, 3x3."""

    def __init__(self, c: int, out: int, down: bool = False):
        super().__init__()
        self.norms = nn.ModuleList([normal(c), normal(out)])
        self.convs = nn.ModuleList([NormedConv(c, out, stride=1 + down), NormedConv(out, out)])
        self.skip, self.gate = Reduce(c, out) if down else nn.Identity(), Gate(out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] -> [B, out, H, W]."""
        h = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            h = conv(F.silu(norm(h)))
        return self.skip(x) + RESIDUAL * self.gate(h)


class DecoderCell(nn.Module):
    """A depthwise 5x5 between two 1x1."""

    def __init__(self, c: int, out: int, expand: int, up: bool = False):
        super().__init__()
        hidden, plain = expand * c, {"bias": False, "normed": False}
        self.up, self.gate = up, Gate(out)
        self.norms = nn.ModuleList(normal(n) for n in (c, hidden, hidden, out))
        self.widen = NormedConv(c, hidden, 1, **plain)
        self.depthwise = NormedConv(hidden, hidden, 5, depthwise=True, **plain)
        self.narrow = NormedConv(hidden, out, 1, **plain)
        self.skip = NormedConv(c, out, 1, bias=False) if up else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] -> [B, out, H', W']."""
        h = F.interpolate(x, scale_factor=2) if self.up else x
        h = F.silu(self.norms[1](self.widen(self.norms[0](h))))
        h = F.silu(self.norms[2](self.depthwise(h)))
        h = self.norms[3](self.narrow(h))
        x = self.skip(x)
        if self.up:
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
        return x + RESIDUAL * self.gate(h)


class FlowCell(nn.Module):
    """z - mean(z), autoregressive."""

    def __init__(self, c: int, mirror: bool):
        super().__init__()
        width = 6 * c
        self.first = NormedConv(c, width, 3, bias=False, causal="strict", mirror=mirror)
        self.middle = NormedConv(
            width, width, 5, bias=False, depthwise=True, causal="weak", mirror=mirror
        )
        self.last = NormedConv(width, c, 1, causal="weak", mirror=mirror)
        with torch.no_grad():
            self.last.log_norm += math.log(0.1)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """[B, K, H, W] to the same."""
        h = self.middle(F.elu(self.first(z)))
        return z - self.last(F.elu(F.elu(h)))


def soft_normal(raw: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and log-std, softly clamped."""
    mean, log_std = (5 * torch.tanh(raw / 5)).chunk(2, 1)
    return mean, torch.log(torch.exp(log_std) + 1e-2)


def log_normal(z: torch.Tensor, mean: torch.Tensor, log_std: torch.Tensor) -> torch.Tensor:
    """Elementwise, in nats."""
    return -0.5 * (((z - mean) * torch.exp(-log_std)).square() + math.log(2 * math.pi)) - log_std


class Latents(nn.Module):
    """A group: its posterior, a draw, its divergence [B]."""

    def __init__(self, c: int, latent: int, flows: int):
        super().__init__()
        self.posterior = NormedConv(c, 2 * latent, 3)
        mirrored = flows * (False, True)
        self.flow = nn.Sequential(*(FlowCell(latent, mirror) for mirror in mirrored))

    def forward(self, raw: torch.Tensor, features: torch.Tensor) -> tuple[Any, Any]:
        """The prior's parameters and what the posterior knows, to z and its divergence."""
        prior, posterior = soft_normal(raw), soft_normal(raw + self.posterior(features))
        base = posterior[0] + torch.exp(posterior[1]) * torch.randn_like(posterior[0])
        if len(self.flow):
            z = self.flow(base)
            kl = log_normal(base, *posterior) - log_normal(z, *prior)
        else:
            z, ratio = base, posterior[1] - prior[1]
            distance = (posterior[0] - prior[0]) * torch.exp(-prior[1])
            kl = 0.5 * (torch.exp(2 * ratio) + distance.square() - 1) - ratio
        return z, kl.flatten(1).sum(1)


class Group(nn.Module):
    """The decoder's cells before a group, and the group."""

    def __init__(self, c: int, cells: int, latent: int, flows: int):
        super().__init__()
        self.cells = nn.Sequential(*(DecoderCell(c, c, 6) for _ in range(cells)))
        self.prior, self.meet = NormedConv(c, 2 * latent, 1), NormedConv(c, c, 1)
        self.latents, self.join = Latents(c, latent, flows), NormedConv(c + latent, c, 1)

    def forward(self, s: torch.Tensor, up: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """s, and what the encoder says, to the next s and the divergence [B]."""
        s = self.cells(s)
        z, kl = self.latents(self.prior(F.elu(s)), up + self.meet(s))
        return self.join(torch.cat([s, z], 1)), kl


class NVAE(nn.Module):
    """As `models.vaes.nvae.NVAE`, without padding; [B, C, H, W] in [0, 1] to theta and KLs."""

    def __init__(
        self,
        channels: int,
        groups: Sequence[int],
        latent: int,
        blocks: int,
        block_cells: int,
        group_cells: int,
        flows: int,
        shape: Sequence[int],
        theta: int,
    ):
        super().__init__()
        width, side = channels, shape[0] >> (blocks + len(groups) - 1)
        self.stem, pre = NormedConv(shape[2], width), []
        for _ in range(blocks):
            pre += [EncoderCell(width, width) for _ in range(block_cells - 1)]
            pre.append(EncoderCell(width, 2 * width, down=True))
            width *= 2
        self.pre, self.ups, self.halves = nn.Sequential(*pre), nn.ModuleList(), nn.ModuleList()
        for scale in reversed(range(len(groups))):
            cells = [
                [EncoderCell(width, width) for _ in range(group_cells)]
                for _ in range(groups[scale])
            ]
            self.ups.append(nn.ModuleList(nn.Sequential(*group) for group in cells))
            if scale:
                self.halves.append(EncoderCell(width, 2 * width, down=True))
                width *= 2
        self.top = NormedConv(width, width, 1)
        self.start = nn.Parameter(torch.rand(1, width, side, side))
        self.latent, self.latents = latent, Latents(width, latent, flows)
        self.join = NormedConv(width + latent, width, 1)
        self.scales, self.doubles = nn.ModuleList(), nn.ModuleList()
        for scale, count in enumerate(groups):
            if scale:
                self.doubles.append(DecoderCell(width, width // 2, 6, up=True))
                width //= 2
            made = (Group(width, group_cells, latent, flows) for _ in range(count - (not scale)))
            self.scales.append(nn.ModuleList(made))
        post = []
        for _ in range(blocks):
            post.append(DecoderCell(width, width // 2, 3, up=True))
            width //= 2
            post += [DecoderCell(width, width, 3) for _ in range(block_cells - 1)]
        self.post, self.image = nn.Sequential(*post), NormedConv(width, theta)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """theta [B, T, H, W] and the groups' divergences [B, G]."""
        h, ups = self.pre(self.stem(2 * x - 1)), []
        for i, scale in enumerate(self.ups):
            for cells in scale:
                h = cells(h)
                ups.append(h)
            if i < len(self.halves):
                h = self.halves[i](h)
        ups.pop()  # the last cells of the encoder go to the first group
        h = F.elu(self.top(F.elu(h)))
        s = self.start.expand(len(x), -1, -1, -1)
        z, kl = self.latents(s.new_zeros(len(x), 2 * self.latent, *s.shape[2:]), h)
        s, kls = self.join(torch.cat([s, z], 1)), [kl]
        for i, scale in enumerate(self.scales):
            s = self.doubles[i - 1](s) if i else s
            for group in scale:
                s, kl = group(s, ups.pop())
                kls.append(kl)
        return self.image(F.elu(self.post(s))), torch.stack(kls, 1)


def log_mass(x: torch.Tensor, theta: torch.Tensor, mixtures: int, levels: int) -> torch.Tensor:
    """The discretised mixture of logistics, [B] in nats; x [B, C, H, W], theta [B, T, H, W]."""
    b, c, h, w = x.shape
    theta = theta.view(b, -1, mixtures, h, w)
    logits, means = theta[:, 0], theta[:, 1 : 1 + c]
    log_scales = theta[:, 1 + c : 1 + 2 * c].clamp(min=-7.0)
    pairs, half = torch.tanh(theta[:, 1 + 2 * c :]), 1 / (levels - 1)
    seen = x * (2 * half) - 1
    total = torch.log_softmax(logits, 1)
    for i in range(c):
        mean, first = means[:, i], i * (i - 1) // 2
        for k in range(i):
            mean = mean + pairs[:, first + k] * seen[:, k, None]
        inverse, value = torch.exp(-log_scales[:, i]), x[:, i, None]
        centred = seen[:, i, None] - mean
        lowest, highest = value == 0, value == levels - 1
        edge = lowest | highest
        inner = torch.log(-torch.expm1(-torch.where(edge, 1.0, 2 * half * inverse)))
        below = torch.where(highest, 0.0, F.logsigmoid(inverse * (centred + half)))
        above = torch.where(lowest, 0.0, F.logsigmoid(-inverse * (centred - half)))
        total = total + below + above + torch.where(edge, 0.0, inner)
    return torch.logsumexp(total, 1).flatten(1).sum(1)


class Peer:
    """The bound, with balanced divergences and the penalties of kernels and scales."""

    period = 1

    def __init__(self, config: Any, spec: Any):
        model, method, options = config["model"], config["method"], config["optim"]["model"]
        sizes = {k: v for k, v in model.items() if k not in ("name", "pad", "memory")}
        self.mixtures, self.spec, colours = method["mixtures"], spec, spec.shape[2]
        theta = self.mixtures * (1 + 2 * colours + colours * (colours - 1) // 2)
        self.network = NVAE(**sizes, shape=spec.shape, theta=theta)
        self.modules = {"model": self.network}
        self.convs = [m for m in self.network.modules() if isinstance(m, NormedConv)]
        self.norms = [m for m in self.network.modules() if isinstance(m, nn.BatchNorm2d)]
        self.weight, self.warmup, self.groups = method["penalty_weight"], 1000, model["groups"]
        self.adamax = torch.optim.Adamax(
            self.network.parameters(),
            options["learning_rate"],
            eps=options["eps"],
            weight_decay=options["l2"],
        )
        self.vectors: dict[Any, torch.Tensor] = {}

    def compile(self, **options: Any) -> None:
        """The network; the penalties stay eager."""
        self.outputs = torch.compile(self.outputs, **options)

    def outputs(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
        """theta, the groups' divergences, and all kernels as they were used."""
        theta, kl = self.network(x)
        if torch.compiler.is_compiling():  # the compiler finds that they are made already
            return theta, kl, [layer.kernel() for layer in self.convs]
        return theta, kl, [layer.noted for layer in self.convs]

    def step(self, i: int, x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Down the negative bound, in nats per example."""
        x = x.float()
        theta, kl, kernels = self.outputs(x / (self.spec.levels - 1))
        nll = -log_mass(x, theta, self.mixtures, self.spec.levels).mean()
        alphas = [4.0**s / n for s, n in enumerate(self.groups) for _ in range(n)]
        share = (kl.detach().abs().mean(0) + 0.01) / torch.tensor(alphas, device=x.device)
        beta = min(max(i / self.warmup, 1e-4), 1.0)
        loss = nll + beta * (share / share.mean() * kl.mean(0)).sum() + self.penalty(kernels)
        move(self.adamax, loss)
        return loss

    def penalty(self, kernels: list[torch.Tensor]) -> torch.Tensor:
        """Largest singular values of all kernels, and largest scales of all normalisations."""
        shapes: dict[Any, list[torch.Tensor]] = {}
        for kernel in kernels:
            matrix = kernel.flatten(1)
            shapes.setdefault(matrix.shape, []).append(matrix)
        total = sum(layer.weight.abs().max() for layer in self.norms)
        for shape, matrices in shapes.items():
            w = torch.stack(matrices)
            with torch.no_grad():
                u = self.vectors.get(shape)
                u = F.normalize(torch.randn_like(w[:, :, 0]), dim=1) if u is None else u
                for _ in range(4):
                    v = F.normalize(torch.bmm(u[:, None], w), dim=2, eps=1e-3)
                    u = F.normalize(torch.bmm(w, v.transpose(1, 2)), dim=1, eps=1e-3)[:, :, 0]
                self.vectors[shape] = u
            total = total + torch.bmm(torch.bmm(u[:, None], w), v.transpose(1, 2)).sum()
        return self.weight * total
