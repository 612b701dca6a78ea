"""What a person waits for before the first step: tracing, lowering and compiling of a config.

    python benchmarks/compile_time.py [configs/nvae.py configs/flowpp.py:digits,tiny ...]

Without arguments the three that take longest. CPU seconds of this process, which a busy machine
stretches less than wall time, and wall time of the compilations; lines of StableHLO and
instructions of the compiled program. Nothing is cached.
"""

import argparse
import importlib.util
import os
import time

from jaxgen.platform import set_defaults

set_defaults()
os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"

import jax  # noqa: E402
import numpy as np  # noqa: E402

from jaxgen import session  # noqa: E402
from jaxgen.data import load  # noqa: E402

CONFIGS = ("configs/nvae.py", "configs/flowpp.py", "configs/vdvae.py")


def config(path):
    name, _, arg = path.partition(":")
    spec = importlib.util.spec_from_file_location("config", name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(arg).to_dict()


class Watch:
    """CPU and wall seconds since it was made, or since it was last read."""

    def __init__(self):
        self.read()

    def read(self):
        """[CPU, wall] seconds."""
        now = time.process_time(), time.perf_counter()
        passed = [n - b for n, b in zip(now, getattr(self, "before", now), strict=True)]
        self.before = now
        return passed


def compiled(name, lowered, traced):
    watch = Watch()
    program = lowered.compile()
    cpu, wall = watch.read()
    text, final = lowered.as_text(), program.as_text()
    instructions = sum(" = " in line for line in final.splitlines())
    print(
        f"| {name} | {traced:.1f} | {cpu:.1f} | {wall:.1f} | {len(text.splitlines())} "
        f"| {instructions} |",
        flush=True,
    )


def measure(path):
    chosen = config(path)
    dataset = load(**chosen["data"])
    watch = Watch()
    program, _ = session.prepare(chosen, dataset)
    step = watch.read()[0]
    x = dataset.splits["train"].take(np.arange(chosen["train"]["batch_size"]))
    watch.read()
    init = program._init.lower(program.rng, x)
    compiled(f"{path}, init", init, watch.read()[0])
    compiled(f"{path}, step", program._lowered, step)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("configs", nargs="*", default=CONFIGS)
    print(f"jax {jax.__version__}, {os.cpu_count()} cores, XLA_FLAGS={os.environ['XLA_FLAGS']}\n")
    print(
        "| | trace, lower (CPU s) | compile (CPU s) | (wall s) | StableHLO lines | instructions |"
    )
    print("|---|---|---|---|---|---|")
    for path in parser.parse_args().configs:
        measure(path)


if __name__ == "__main__":
    main()
