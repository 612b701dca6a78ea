"""The algebra of bijectors: `from jaxgen.bijectors import ActNorm, Chain, Coupling`.

What a bijector is stands in `jaxgen.bijectors.base`. Names are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import Any

NAMES = {
    "affine": "ActNorm Affine ConditionalAffine InvertibleConv",
    "autoregressive": "MADE MaskedAutoregressive",
    "base": "Bijector Chain Invert Repeat",
    "batch_norm": "BatchNorm",
    "box": "Box",
    "circle": "Conditionals Moebius NonCompactProjection",
    "coupling": "Coupling",
    "image": "Flatten Mirror Multiscale OrderedSqueeze Squeeze",
    "linear": "Diagonal Elementwise Householder",
    "masks": "ChannelMask Checkerboard MaskedCoupling",
    "mixture": "MixtureLogistic",
    "monotonic": "MonotonicNetwork",
    "permutation": "EvenOdd Permute Reverse",
    "planar": "Planar Radial",
    "preprocess": "Logit UniformDequantize VariationalDequantize",
    "sphere": "Cylinder UnitCube",
    "sylvester": "Sylvester",
    "transforms": "CircularSpline RationalQuadraticSpline Scale Shift",
}
WHERE = {name: module for module, names in NAMES.items() for name in names.split()}
__all__ = list(WHERE)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *WHERE})
