"""PyTorch's side of `benchmarks/accelerator.py` and others: the same networks and steps.

Each module that `accelerator.py` takes has a class `Peer(config, spec)`, of a config's sections and
a data set:

    modules         player -> nn.Module, whose parameters are as many as jaxgen's
    period          steps after which the turns repeat
    step(i, x, label)   the i-th train step, on x [B, C, H, W] uint8 and label [B]
    compile(**options)  hands what can be compiled to `torch.compile`

Moving averages of parameters are left out; schedules of learning rates stand still.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def move(optimizer: Any, loss: torch.Tensor) -> None:
    """One step of an optimiser down the gradient of its own parameters alone."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for p, slope in zip(
        parameters, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True
    ):
        p.grad = slope
    optimizer.step()


def adam(module: torch.nn.Module, options: Any) -> torch.optim.Adam:
    """The Adam of a section of `config.optim`."""
    betas = options.get("b1", 0.9), options.get("b2", 0.999)
    rate, eps = options["learning_rate"], options.get("eps", 1e-8)
    return torch.optim.Adam(module.parameters(), rate, betas, eps)


def symmetric(x: torch.Tensor, levels: int) -> torch.Tensor:
    """Grey levels to [-1, 1]."""
    return x.float() * (2 / (levels - 1)) - 1


def channels_last(x: np.ndarray) -> torch.Tensor:
    """Images [B, H, W, C] of bytes to [B, C, H, W] in [-1, 1], in the memory's order."""
    return symmetric(torch.from_numpy(x).permute(0, 3, 1, 2), 256)
