"""Official weights of StyleGAN2 and StyleGAN3, by their names, as ours.

Source: NVlabs/stylegan2-ada-pytorch, `training/networks.py`; NVlabs/stylegan3,
`training/networks_stylegan3.py`, whose discriminator is that of StyleGAN2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

Arrays = Mapping[str, np.ndarray]
LAYER = re.compile(r"synthesis\.L(\d+)_\d+_\d+\.weight")


def kernel(weight: np.ndarray, up: bool = False) -> np.ndarray:
    """[co, ci, kh, kw] to [kh, kw, ci, co]; of doubling convolutions flipped in space."""
    out = weight.transpose(2, 3, 1, 0)
    return out[::-1, ::-1].copy() if up else out


def dense(arrays: Arrays, name: str) -> dict[str, np.ndarray]:
    """A dense layer's kernel and bias."""
    return {"kernel": arrays[f"{name}.weight"].T, "bias": arrays[f"{name}.bias"]}


def conv(arrays: Arrays, name: str) -> dict[str, np.ndarray]:
    """A convolution's kernel and bias."""
    return {"kernel": kernel(arrays[f"{name}.weight"]), "bias": arrays[f"{name}.bias"]}


def mapping(arrays: Arrays) -> dict[str, Any]:
    """The layers of a mapping, and the embedding of classes where there is one."""
    out = {"embed": dense(arrays, "mapping.embed")} if "mapping.embed.weight" in arrays else {}
    i = 0
    while f"mapping.fc{i}.weight" in arrays:
        out[f"layer{i}"] = dense(arrays, f"mapping.fc{i}")
        i += 1
    return out


def _sides(arrays: Arrays, pattern: str) -> list[int]:
    """Of the blocks that there are, from 4 on."""
    side, found = 4, []
    while pattern.format(side) in arrays:
        found.append(side)
        side *= 2
    return found


def generator_params(arrays: Arrays) -> dict[str, Any]:
    """Our parameters from the official names."""
    if is_alias_free(arrays):
        return alias_free_params(arrays)
    synthesis: dict[str, Any] = {"constant": arrays["synthesis.b4.const"].transpose(1, 2, 0)}
    for side in _sides(arrays, "synthesis.b{}.conv1.weight"):
        block = f"synthesis.b{side}"
        for ours, theirs in (("conv", "conv1"), ("up", "conv0"))[: 1 if side == 4 else 2]:
            layer = f"{block}.{theirs}"
            synthesis[f"{ours}{side}"] = {
                "affine": dense(arrays, f"{layer}.affine"),
                "kernel": kernel(arrays[f"{layer}.weight"], up=ours == "up"),
                "strength": arrays[f"{layer}.noise_strength"],
                "bias": arrays[f"{layer}.bias"],
            }
        rgb = f"{block}.torgb"
        synthesis[f"image{side}"] = conv(arrays, rgb) | {"affine": dense(arrays, f"{rgb}.affine")}
    return {"mapping": mapping(arrays), "synthesis": synthesis}


def generator_vars(arrays: Arrays) -> dict[str, Any]:
    """Its noise, and its mean of w."""
    if is_alias_free(arrays):
        return alias_free_vars(arrays)
    noise = {}
    for side in _sides(arrays, "synthesis.b{}.conv1.weight"):
        for ours, theirs in (("conv", "conv1"), ("up", "conv0"))[: 1 if side == 4 else 2]:
            constant = arrays[f"synthesis.b{side}.{theirs}.noise_const"]
            noise[f"{ours}{side}"] = {"noise": constant[None, ..., None]}
    moments = {"mapping": {"mean": arrays["mapping.w_avg"]}}
    return {"constants": {"synthesis": noise}, "moments": moments}


def discriminator_params(arrays: Arrays) -> dict[str, Any]:
    """Our parameters from the official names."""
    sides = [side for side in _sides(arrays | {"b4.conv0.weight": 0}, "b{}.conv0.weight")][1:]
    params = {"image": conv(arrays, f"b{sides[-1]}.fromrgb")}
    for side in sides:
        if f"b{side}.skip.weight" in arrays:  # which "orig" has not
            params[f"skip{side}"] = {"kernel": kernel(arrays[f"b{side}.skip.weight"])}
        params[f"conv{side}"] = conv(arrays, f"b{side}.conv0")
        params[f"down{side}"] = conv(arrays, f"b{side}.conv1")
    rows = arrays["b4.fc.weight"]  # [out, c * h * w]
    rows = rows.reshape(len(rows), -1, 4, 4).transpose(2, 3, 1, 0).reshape(-1, len(rows))
    params |= {
        "last": conv(arrays, "b4.conv"),
        "dense": {"kernel": rows, "bias": arrays["b4.fc.bias"]},
        "logit": dense(arrays, "b4.out"),
    }
    return params | mapping(arrays)


def is_alias_free(arrays: Arrays) -> bool:
    """Whether a generator is a StyleGAN3."""
    return "synthesis.input.freqs" in arrays


def layers_of(arrays: Arrays) -> list[str]:
    """Names of a StyleGAN3's layers, in their order, as "synthesis.L0_36_512"."""
    found = {int(m[1]): name for name in arrays if (m := LAYER.fullmatch(name))}
    return [found[i].removesuffix(".weight") for i in sorted(found)]


def alias_free_params(arrays: Arrays) -> dict[str, Any]:
    """A StyleGAN3's parameters from the official names."""
    waves = "synthesis.input"
    synthesis: dict[str, Any] = {
        "waves": {
            "along": arrays[f"{waves}.affine.weight"].T,
            "at": arrays[f"{waves}.affine.bias"],
            "mix": arrays[f"{waves}.weight"].T,
        }
    }
    for i, layer in enumerate(layers_of(arrays)):
        affine = {"affine": dense(arrays, f"{layer}.affine")}
        synthesis[f"layer{i}"] = conv(arrays, layer) | affine
    return {"mapping": mapping(arrays), "synthesis": synthesis}


def alias_free_vars(arrays: Arrays) -> dict[str, Any]:
    """Its waves, its magnitudes, and its mean of w."""
    waves = {
        "frequencies": arrays["synthesis.input.freqs"],
        "phases": arrays["synthesis.input.phases"],
    }
    magnitudes = {
        f"layer{i}": {"magnitude": arrays[f"{layer}.magnitude_ema"]}
        for i, layer in enumerate(layers_of(arrays))
    }
    moments = {"mapping": {"mean": arrays["mapping.w_avg"]}, "synthesis": magnitudes}
    return {"constants": {"synthesis": {"waves": waves}}, "moments": moments}
