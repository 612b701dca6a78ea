"""What has to be said to JAX before it is imported."""

from __future__ import annotations

import os
import pathlib
from importlib import metadata

# Sends single convolutions on CPU to the multi-threaded library. An XLA that does not know a flag
# aborts the process: only the versions named here were tried. See docs/performance.md.
CONVOLUTION_FLAG = "--xla_cpu_experimental_ynn_fusion_type"
CONVOLUTION_VALUE = "-individual_convolution"
TRIED = ("0.10.2", "0.12.0.1")


def set_defaults() -> None:
    """Sets a compilation cache that lasts, and XLA's flags; what the user has set wins.

    Also silences the log lines of libraries: orbax prints a page for each error that it raises.
    """
    cache = pathlib.Path("~/.cache/jaxgen/xla").expanduser()
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache))
    flags = os.environ.get("XLA_FLAGS", "")
    if metadata.version("jaxlib") in TRIED and CONVOLUTION_FLAG not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {CONVOLUTION_FLAG}={CONVOLUTION_VALUE}".strip()
    from absl import logging

    logging.set_verbosity(logging.FATAL)
