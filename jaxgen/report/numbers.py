"""Numbers and names as people read them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

# what stands before the extractor in the name of a measurement -> title, what it says
TITLES = {
    "fid": ("Fréchet inception distance", "distance of Gaussians fitted to Inception features"),
    "fcd": (
        "Fréchet classifier distance",
        "distance of Gaussians fitted to features of a classifier of these data; not the FID",
    ),
    "fcd_ratio": ("Fréchet distance / variance of the data", "moves less with the classifier"),
    "fcd_inf": ("Fréchet distance, extrapolated", "to infinitely many samples"),
    "fd": ("Fréchet distance", "distance of Gaussians fitted to features; not the FID"),
    "fd_ratio": ("Fréchet distance / variance of the data", "of the features named"),
    "fd_inf": ("Fréchet distance, extrapolated", "to infinitely many samples"),
    "fid_inf": ("FID, extrapolated", "to infinitely many samples"),
    "kd": ("Kernel distance", "squared MMD of features, unbiased: may be negative"),
    "kcd": ("Kernel classifier distance", "squared MMD of features, unbiased: may be negative"),
    "kid": ("Kernel inception distance", "squared MMD of Inception features, unbiased"),
    "score": ("Classifier score", "confident and varied predictions; not the Inception score"),
    "precision": ("Precision", "share of samples that lie among the real ones"),
    "recall": ("Recall", "share of real examples that lie among the samples"),
    "density": ("Density", "how many real neighbourhoods hold a sample"),
    "coverage": ("Coverage", "share of real neighbourhoods that hold a sample"),
    "ppl_z": ("Perceptual path length, z", "how much the image moves with the latents"),
    "ppl_w": ("Perceptual path length, w", "how much the image moves with the styles"),
    "ppl_codes": ("Perceptual path length, codes", "between codes of real examples"),
    "modes": ("Modes", "classes found among the samples"),
    "mode_kl": ("Modes, reverse KL", "of the classes of samples from those of the data"),
    "swd": ("Sliced Wasserstein distance", "of patches of the Laplacian pyramid, by resolution"),
    "class_accuracy": ("Class accuracy", "share of samples read as the class asked for"),
    "cas": ("Classification accuracy score", "of real data, by a classifier trained on samples"),
    "high_quality": ("High-quality samples", "share within three standard deviations of a mode"),
    "bpd": ("Bits per dimension", "test likelihood; its kind of bound is in the fingerprint"),
    "nll": ("Negative log-likelihood", "of the test data"),
    "nelbo": ("Negative ELBO", "upper bound of the negative log-likelihood"),
    "iw_bpd": ("Importance-weighted bits per dimension", "tighter upper bound"),
    "iw_nll": ("Importance-weighted NLL", "tighter upper bound of the negative log-likelihood"),
    "copying_ct": ("Data-copying test C_T", "far below 0: samples sit on training data"),
    "authentic": ("Authentic share", "samples that are no near copies of training data"),
    "nn_ratio": ("Nearest-neighbour ratio", "distance to training data, of samples over test"),
    "images_per_second": ("Sampling speed", "images per second, compilation excluded"),
    "step_seconds": ("Train step", "median time, of all turns"),
    "parameters": ("Parameters", "counted"),
    "points_per_second": ("Sampling speed", "points per second, compilation excluded"),
    "peak_bytes": ("Peak memory", "of the device"),
}


def title(name: str) -> tuple[str, str]:
    """Title and explanation of a measurement; its own name and "" for one that is not known."""
    prefix = name.split("@")[0].partition("-")[0]
    for known in (prefix, prefix.rpartition("_")[0]):
        if known in TITLES:
            text, meaning = TITLES[known]
            rest = prefix[len(known) + 1 :]
            return (f"{text}, {rest}" if rest else text), meaning
    return name, ""


def number(value: float | None, low: float | None = None, high: float | None = None) -> str:
    """A value, to two digits of its interval where there is one, otherwise to four digits."""
    if value is None:
        return "—"
    if low is not None and high is not None and 0 < high - low < math.inf:
        places = 1 - math.floor(math.log10((high - low) / 2))
        if 0 <= places <= 6 and abs(value) < 1e6:
            return f"{value:,.{places}f}"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{value:,.0f}"
    if 1e-3 <= abs(value) < 1e6:
        return f"{value:,.{max(0, 3 - math.floor(math.log10(abs(value))))}f}"
    return f"{value:.3e}"


def quantity(value: float | None, low: float | None, high: float | None, unit: str) -> str:
    """`number`, but bytes in KiB, MiB or GiB, and less than a second in milliseconds."""
    if unit not in ("bytes", "s") or value is None:
        return number(value, low, high)
    scale, name = _scale(value, unit)
    if unit == "bytes":
        return f"{value / scale:,.1f} {name}"
    ends = (None if end is None else end / scale for end in (low, high))
    return f"{number(value / scale, *ends)} {name}"


def _scale(value: float, unit: str) -> tuple[float, str]:
    if unit == "s":
        return (1.0, "s") if value >= 1 else (1e-3, "ms")
    sizes = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
    return next((s for s in sizes if value >= s[0]), sizes[-1])


def interval(value: float | None, low: float | None, high: float | None, unit: str) -> str:
    """The interval in the decimals of the value; "" where there is none."""
    if value is None or low is None or high is None or low == high:
        return ""
    if unit == "bytes":
        return f"{quantity(low, None, None, unit)} to {quantity(high, None, None, unit)}"
    if unit == "s":
        scale, _ = _scale(value, unit)
        value, low, high = value / scale, low / scale, high / scale
    places = 1 - math.floor(math.log10((high - low) / 2)) if high > low else 0
    if 0 <= places <= 6 and abs(value) < 1e6:
        return f"{low:,.{places}f} to {high:,.{places}f}"
    return f"{number(low)} to {number(high)}"


def pairs(values: Mapping[str, Any]) -> str:
    """`a=1, b=x`; hashes are cut to eight characters."""
    return ", ".join(f"{key}={plain(value)}" for key, value in values.items())


def plain(value: Any) -> str:
    """A value of a fingerprint or a config on one line."""
    if isinstance(value, str):
        long = len(value) >= 32 and all(c in "0123456789abcdef" for c in value)
        return value[:8] if long else value
    if isinstance(value, float):
        return f"{value:.6g}"
    return json.dumps(value, default=str)
