"""Bytes of test images by a model's own file, and by general lossless formats.

    python benchmarks/codecs.py RUN [--num=N]

The formats get all images at once, as one picture of so many rows of images that it is about
square, which favours them over a file an image. JPEG XL needs `pip install pillow-jxl-plugin`. Says
whether the round trip was exact, with another batch size and in a process of one thread too.
"""

from __future__ import annotations

import argparse
import io
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import PIL.Image
import pyarrow

import jaxgen
from jaxgen import coding

ALONE = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
AGAIN = (
    "import sys, numpy, jaxgen; "
    "numpy.save(sys.argv[3], jaxgen.load(sys.argv[1]).decompress(sys.argv[2]))"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run")
    parser.add_argument("--num", type=int)
    arguments = parser.parse_args()
    run = jaxgen.load(arguments.run)
    x = coding.chosen(run, num=arguments.num)
    start = time.perf_counter()
    data = run.compress(x)
    middle = time.perf_counter()
    exact = bool((run.decompress(data) == x).all())
    end = time.perf_counter()
    other = run.compress(x, batch=7)
    exact &= bool((run.decompress(other) == x).all()) and alone(arguments.run, data, x)
    own = coding.bits_per_dim(run, x) * x.size / 8
    print(f"{len(x)} {run.spec.unit} of {run.spec.name}, {x.size:,} values; exact: {exact}")
    show("this model", len(data), x)
    print(
        f"  its own bits: {own:,.0f} bytes; {middle - start:.1f} s there, {end - middle:.1f} back"
    )
    sheet = tiled(x)
    for name, options in (
        ("PNG", {"optimize": True}),
        ("WEBP", {"lossless": True, "quality": 100}),
    ):
        show(name, len(encoded(sheet, name, **options)), x)
    try:
        import pillow_jxl  # noqa: F401
    except ImportError:
        print("JPEG XL: not installed")
    else:
        show("JPEG XL", len(encoded(sheet, "JXL", lossless=True, effort=9)), x)
    show("zstd -19", len(pyarrow.Codec("zstd", 19).compress(x.tobytes(), asbytes=True)), x)


def alone(run: str, data: bytes, x: np.ndarray) -> bool:
    """Whether a process of one thread finds the same."""
    with tempfile.TemporaryDirectory() as folder:
        file, out = pathlib.Path(folder) / "x.jxg", pathlib.Path(folder) / "x.npy"
        file.write_bytes(data)
        environment = {**os.environ, "XLA_FLAGS": ALONE, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", AGAIN, run, str(file), str(out)]
        subprocess.run(command, env=environment, check=True)
        return bool((np.load(out) == x).all())


def tiled(x: np.ndarray) -> PIL.Image.Image:
    """All images in one, the rest black."""
    columns = math.ceil(math.sqrt(len(x)))
    rows = math.ceil(len(x) / columns)
    blank = np.zeros((rows * columns - len(x), *x.shape[1:]), x.dtype)
    sheet = np.concatenate([x, blank]).reshape(rows, columns, *x.shape[1:]).swapaxes(1, 2)
    sheet = sheet.reshape(rows * x.shape[1], columns * x.shape[2], -1)
    return PIL.Image.fromarray(sheet[..., 0] if sheet.shape[-1] == 1 else sheet)


def encoded(sheet: PIL.Image.Image, name: str, **options: object) -> bytes:
    """A file in memory, which opens to the same pixels."""
    out = io.BytesIO()
    sheet.save(out, name, **options)
    back = PIL.Image.open(io.BytesIO(out.getvalue())).convert(sheet.mode)
    assert (np.asarray(back) == np.asarray(sheet)).all(), name
    return out.getvalue()


def show(name: str, size: int, x: np.ndarray) -> None:
    """A line."""
    print(f"{name:12} {size:9,} bytes  {8 * size / x.size:.3f} bits/dim", flush=True)


if __name__ == "__main__":
    main()
