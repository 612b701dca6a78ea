"""Learned perceptual distance: VGG-16 with a weight for each of its channels.

Source: Zhang et al. 2018 (arXiv:1801.03924), equation 1, version 0.1 of the weights; the network is
configuration D of Simonyan & Zisserman 2015, with the parameters and names of torchvision.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import flax.traverse_util
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxgen.config import ConfigError
from jaxgen.nn.arrays import Batched, Images, Rows
from jaxgen.nn.conv import Conv

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels, convolutions
SMALLEST = 16  # height and width, of which the last stage sees one pixel
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of images in [-1, 1]


class Vgg16(nn.Module):
    """The convolutions; a stage after the first begins with maxima of 2x2."""

    @nn.compact
    def __call__(self, x: Images) -> list[Batched]:
        """[B, H, W, 3], standardised, to the last ReLU of each stage, [B, H / 2^i, W / 2^i, C]."""
        stages = []
        layer = 0  # as torchvision counts: every convolution, ReLU and pool
        for i, (width, convolutions) in enumerate(STAGES):
            if i:
                x = nn.max_pool(x, (2, 2), (2, 2))
                layer += 1
            for _ in range(convolutions):
                conv = Conv(
                    width, (3, 3), name=f"features_{layer}", precision=lax.Precision.HIGHEST
                )
                x = nn.relu(conv(x))
                layer += 2
            stages.append(x)
        return stages


class PerceptualVgg(nn.Module):
    """Images to vectors whose squared Euclidean distance is the perceptual one."""

    @nn.compact
    def __call__(self, x: Images) -> Rows:
        """Vectors of images.

        Args:
            x: float32 [B, H, W, 3] in [-1, 1], at least 16 pixels a side.

        Returns:
            [B, D]; D grows with H W: 499,712 for 64x64.
        """
        shift, scale = (np.asarray(v, np.float32)[None, None, None] for v in (SHIFT, SCALE))
        x = (x - shift) / scale
        parts = []
        for i, stage in enumerate(Vgg16(name="trunk")(x)):
            weight = self.param(f"weight_{i}", nn.initializers.ones, (stage.shape[-1],))
            length = jnp.sqrt(jnp.sum(stage**2, -1, keepdims=True))
            share = jnp.sqrt(weight / (stage.shape[1] * stage.shape[2]))
            parts.append(
                (stage / (length + 1e-10) * share[None, None, None]).reshape(x.shape[0], -1)
            )
        return jnp.concatenate(parts, -1)


def params_of(vgg: Mapping[str, np.ndarray], heads: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The network's params from the arrays of the two published files, by their names in them.

    Raises:
        ConfigError: when a channel has a negative weight, which makes this no distance.
    """
    flat: dict[tuple[str, ...], np.ndarray] = {}
    for name, array in vgg.items():
        part, layer, kind = name.split(".")
        if part == "features":
            value = array.transpose(2, 3, 1, 0) if kind == "weight" else array
            flat["trunk", f"features_{layer}", "kernel" if kind == "weight" else "bias"] = value
    for name, array in heads.items():
        if (array < 0).any():
            raise ConfigError(f"{name}: expected weights of channels of at least 0")
        flat[(f"weight_{name.split('.')[0].removeprefix('lin')}",)] = array.ravel()
    return flax.traverse_util.unflatten_dict(flat)
