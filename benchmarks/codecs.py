"""Bytes of test images by a model's own file, and by general lossless formats.

    python benchmarks/codecs.py RUN [--num=N] [--precision=BITS]
    python benchmarks/codecs.py RUN --lossy [--num=N]

The formats get all images at once, as one picture of so many rows of images that it is about
square, which favours them over a file an image, and then a file an image. JPEG XL needs
`pip install pillow-jxl-plugin`. Says whether the round trip was exact, with another batch size and
in a process of one thread too. With --lossy, bits a value and PSNR of files of the first groups of
latents, and of JPEG, WebP and JPEG XL at several qualities.
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
from typing import Any

import numpy as np
import PIL.Image
import pyarrow

import jaxgen
from jaxgen import coding
from jaxgen.coding import rivals
from jaxgen.coding.flows import Flows

ALONE = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
AGAIN = (
    "import sys, numpy, jaxgen; "
    "numpy.save(sys.argv[3], jaxgen.load(sys.argv[1]).decompress(sys.argv[2]))"
)
QUALITIES = (5, 15, 30, 50, 75, 90)
FINENESS = (1, 2, 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run")
    parser.add_argument("--num", type=int)
    parser.add_argument("--precision", type=int)
    parser.add_argument("--lossy", action="store_true")
    arguments = parser.parse_args()
    run = jaxgen.load(arguments.run)
    x = coding.chosen(run, num=arguments.num)
    print(f"{len(x)} {run.spec.unit} of {run.spec.name}, {x.size:,} values")
    if arguments.lossy:
        lossy(run, x)
    else:
        lossless(run, x, arguments.run, arguments.precision)


def lossless(run: Any, x: np.ndarray, path: str, precision: int | None) -> None:
    """Bytes, and whether what comes back is what went in."""
    start = time.perf_counter()
    data = coding.compress(run, x, verify=False, precision=precision)
    middle = time.perf_counter()
    exact = bool((run.decompress(data) == x).all())
    end = time.perf_counter()
    batch = None if isinstance(coding.coder(coding.Network(run)), Flows) else 7
    other = coding.compress(run, x[:50], batch=batch, chunk=20, verify=False)
    exact &= bool((run.decompress(other) == x[:50]).all())
    alike = alone(path, data, x)
    own = coding.bits_per_dim(run, x) * x.size / 8
    print(f"exact: {exact}; in a process of one thread: {alike}")
    show("this model", len(data), x)
    parts = coding.inspect(data)["bits"]
    print("  " + ", ".join(f"{name} {bits / 8:,.0f}" for name, bits in parts.items()) + " bytes")
    print(
        f"  its own bits: {own:,.0f} bytes; {middle - start:.1f} s there, {end - middle:.1f} back"
    )
    for name, size in rivals.sizes(x).items():
        single = sum(rivals.size(rivals.tiled(row[None]), name) for row in x)
        show(name, size, x)
        show(f"  {name} files", single, x)
    show("zstd -19", len(pyarrow.Codec("zstd", 19).compress(x.tobytes(), asbytes=True)), x)


def alone(run: str, data: bytes, x: np.ndarray) -> str:
    """What a process of one thread finds."""
    with tempfile.TemporaryDirectory() as folder:
        file, out = pathlib.Path(folder) / "x.jxg", pathlib.Path(folder) / "x.npy"
        file.write_bytes(data)
        environment = {**os.environ, "XLA_FLAGS": ALONE, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", AGAIN, run, str(file), str(out)]
        found = subprocess.run(command, env=environment, capture_output=True, text=True)
        if found.returncode:
            return "refused: " + found.stderr.strip().split("\n")[-1][:160]
        return "the same" if (np.load(out) == x).all() else "others"


def lossy(run: Any, x: np.ndarray) -> None:
    """A line a file: bits a value, and the peak signal to noise ratio."""
    top, count = run.spec.levels - 1, len(coding.Latents(coding.Network(run), 1).zeros)
    for groups in range(1, count + 1):
        for fineness in FINENESS:
            data = coding.compress(run, x, groups=groups, fineness=fineness, verify=False)
            header = coding.inspect(data)["bits"]["header"] // 8
            name = f"{groups} groups, 1/{fineness}"
            tell(name, len(data), x, run.decompress(data), top, header)
    wide = np.rint(x * (255 / top)).astype(np.uint8)  # the formats have 256 levels
    sheet = rivals.tiled(wide)
    for name in ("JPEG", *rivals.formats()[1:]):
        for quality in QUALITIES:
            out = io.BytesIO()
            sheet.save(out, name, quality=quality)
            back = PIL.Image.open(io.BytesIO(out.getvalue())).convert(sheet.mode)
            found = untiled(np.asarray(back), x) * (top / 255)
            tell(f"{name} {quality}", len(out.getvalue()), x, found, top)


def untiled(sheet: np.ndarray, x: np.ndarray) -> np.ndarray:
    """What `rivals.tiled` made one picture of."""
    columns = math.ceil(math.sqrt(len(x)))
    _, height, width, channels = x.shape
    parts = sheet.reshape(-1, height, columns, width, channels).swapaxes(1, 2)
    return parts.reshape(-1, height, width, channels)[: len(x)]


def tell(name: str, size: int, x: np.ndarray, found: np.ndarray, top: int, header: int = 0) -> None:
    """A line of a lossy file."""
    error = float(np.mean(np.square(found.astype(float) - x))) / top**2
    without = f" ({size - header:,} without its header)" if header else ""
    bits = 8 * size / x.size
    psnr = -10 * math.log10(max(error, 1e-12))
    print(f"{name:16} {size:7,} bytes{without}  {bits:.3f} bits/dim  {psnr:.2f} dB", flush=True)


def show(name: str, size: int, x: np.ndarray) -> None:
    """A line."""
    print(f"{name:12} {size:9,} bytes  {8 * size / x.size:.3f} bits/dim", flush=True)


if __name__ == "__main__":
    main()
