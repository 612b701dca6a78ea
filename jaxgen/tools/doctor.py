"""`jaxgen doctor`: what is installed, what JAX sees, and what it takes to see more."""

from __future__ import annotations

import platform
import shutil
from importlib import metadata

import jax

from jaxgen import __version__
from jaxgen.machine import idle_accelerator

PACKAGES = (
    "jax jaxlib flax optax orbax-checkpoint grain array-record tensorflow-datasets "
    "ml-collections numpy pillow tensorboardX"
).split()


def report() -> str:
    """Versions, devices, directories, and the advice of `idle_accelerator`."""
    lines = [f"python {platform.python_version()} on {platform.platform()}"]
    lines.append(f"jaxgen {__version__}")
    for name in PACKAGES:
        try:
            lines.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            lines.append(f"{name} is missing: pip install {name}")
    devices = jax.devices()
    lines.append(f"devices: {len(devices)} x {devices[0].platform} ({devices[0].device_kind})")
    stats = devices[0].memory_stats() or {}
    if "bytes_limit" in stats:
        lines.append(f"memory of a device: {stats['bytes_limit'] / 2**30:.1f} GiB")
    lines.append(f"free disk here: {shutil.disk_usage('.').free / 2**30:.1f} GiB")
    lines.append(idle_accelerator() or "every accelerator that was found is used")
    return "\n".join(lines)
