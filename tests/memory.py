"""How much memory a piece of code takes, by the kernel's own count.

`tracemalloc` counts what is reserved and never touched, and crashes now and then when it is
started and stopped beside the threads of JAX and Arrow.
"""

import contextlib
import pathlib
import types

STATUS, CLEAR = pathlib.Path("/proc/self/status"), pathlib.Path("/proc/self/clear_refs")


def _now(field):
    for line in STATUS.read_text().splitlines():
        if line.startswith(field):
            return 1024 * int(line.split()[1])
    return 0


@contextlib.contextmanager
def growth():
    """`with growth() as taken:`; afterwards `taken.bytes` is the peak beyond what was there.

    0 where the kernel does not say, which is not Linux.
    """
    taken = types.SimpleNamespace(bytes=0)
    if not CLEAR.exists():
        yield taken
        return
    CLEAR.write_text("5")  # the peak begins anew
    before = _now("VmRSS")
    try:
        yield taken
    finally:
        taken.bytes = max(0, _now("VmHWM") - before)
