"""What has to be said to JAX before it is imported."""

from __future__ import annotations

import logging
import os
import pathlib
import sys
import threading
from importlib import metadata
from typing import Any

# Sends single convolutions and sums on CPU to the multi-threaded library. An XLA that does not know
# a flag aborts the process: only the versions named here were tried. See docs/performance.md.
FUSION_FLAG = "--xla_cpu_experimental_ynn_fusion_type"
FUSION_VALUE = "-individual_convolution,-reduce"
TRIED = ("0.10.2", "0.12.0.1")


def set_defaults() -> None:
    """Sets a compilation cache that lasts, XLA's flags and BLAS's threads; what the user set wins.

    The BLAS that JAX borrows for small linear algebra on CPU keeps its threads spinning after
    every call, on the cores that XLA's threads want: it gets one.

    Also silences the log lines of libraries: orbax prints a page for each error that it raises, and
    asyncio thousands of lines for those that orbax does not ask for.
    """
    cache = pathlib.Path("~/.cache/jaxgen/xla").expanduser()
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache))
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    flags = os.environ.get("XLA_FLAGS", "")
    if metadata.version("jaxlib") in TRIED and FUSION_FLAG not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {FUSION_FLAG}={FUSION_VALUE}".strip()
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    from absl import logging as absl_logging

    absl_logging.set_verbosity(absl_logging.FATAL)
    if not os.environ.get("JAXGEN_DEBUG"):
        _quiet_threads()


def _quiet_threads() -> None:
    """What fails in a thread is said once, by who waits for it.

    Orbax and tensorstore print it as well, up to 300 lines around the one that helps.
    """
    of_main = sys.excepthook

    def hook(*error: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            of_main(*error)

    sys.excepthook = hook
    threading.excepthook = lambda args: None
    sys.unraisablehook = lambda args: None
