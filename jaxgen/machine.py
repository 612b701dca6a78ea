"""This machine: its memory and disk, its devices, and what is installed on it."""

from __future__ import annotations

import os
import pathlib
import platform
import shutil
from importlib import metadata

from jaxgen import __version__
from jaxgen.config import ConfigError

MARGIN = 0.9  # of what is free: others want some too
UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
CGROUP = pathlib.Path("/sys/fs/cgroup")


def available_bytes() -> int | None:
    """Host memory that this process can still have; None where the system does not say.

    A container may have less than the machine: the smaller one counts.
    """
    found = [n for n in (_of_machine(), _of_container()) if n is not None]
    return min(found, default=None)


def _of_machine() -> int | None:
    try:
        lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return _physical()
    sizes = {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}
    return int(sizes["MemAvailable"][0]) * 1024 if "MemAvailable" in sizes else _physical()


def _physical() -> int | None:
    """All of the memory, where nothing says how much of it is free, as on macOS."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def _of_container() -> int | None:
    """Source: Linux, Documentation/admin-guide/cgroup-v2.rst."""
    try:
        limit, used = ((CGROUP / f"memory.{name}").read_text() for name in ("max", "current"))
        return None if limit.strip() == "max" else max(0, int(limit) - int(used))
    except (OSError, ValueError):
        return None


def check_memory(need: int, what: str, instead: str) -> None:
    """Refuses what cannot fit, before anything is allocated.

    Args:
        need: bytes.
        what: needs them, as "--num=1000000000 images of 8x8x1".
        instead: what to type.

    Raises:
        ConfigError: when `need` is beyond what is available.
    """
    free = available_bytes()
    if free is not None and need > MARGIN * free:
        raise ConfigError(f"{what}: {size(need)} of memory, {size(free)} are available; {instead}")


def check_disk(need: int, what: str, path: pathlib.Path) -> None:
    """Refuses a file that the disk has no room for.

    Args:
        need: bytes.
        what: needs them.
        path: of the file; its folder need not exist yet.

    Raises:
        ConfigError: when `need` is beyond what is free.
    """
    there = next((p for p in path.absolute().parents if p.exists()), None)
    if there is None:
        return
    free = shutil.disk_usage(there).free
    if need > MARGIN * free:
        raise ConfigError(f"{what}: {size(need)}, and {size(free)} are free at {there}")


def size(count: float) -> str:
    """Bytes in the largest unit below: 1536 -> "1.5 KiB"."""
    for unit in UNITS[:-1]:
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} {UNITS[-1]}"


def idle_accelerator() -> str | None:
    """A warning with the install line, when JAX does not use the machine's accelerator."""
    import jax

    if jax.default_backend() != "cpu" or os.environ.get("JAX_PLATFORMS") == "cpu":
        return None
    extra = _present()
    if extra is None:
        return None
    kind = "TPU" if extra == "tpu" else "NVIDIA GPU"
    return (
        f"WARNING: this machine has a {kind}, but JAX runs on the CPU; install:\n"
        f'  pip install -U "jax[{extra}]"'
    )


def _present() -> str | None:
    """The extra of JAX for the accelerator that the operating system shows, None without one."""
    if pathlib.Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi"):
        return "cuda12"
    if pathlib.Path("/dev/accel0").exists() or "TPU_NAME" in os.environ:
        return "tpu"
    return None


RECORDED = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")
PACKAGES = (
    "jax jaxlib flax optax orbax-checkpoint grain array-record tensorflow-datasets "
    "ml-collections numpy pillow tensorboardX"
).split()


def report() -> str:
    """Versions, devices, directories, and the advice of `idle_accelerator`."""
    import jax

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


def versions() -> dict[str, str]:
    """Of Python, jaxgen and what a number may depend on."""
    found = {name: metadata.version(name) for name in RECORDED}
    return {"python": platform.python_version(), "jaxgen": __version__} | found
