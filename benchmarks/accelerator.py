"""Training on one accelerator, against PyTorch: one command, at most 8 minutes.

    python benchmarks/accelerator.py --out=accelerator.json
    python benchmarks/accelerator.py --tiny         on CPU, a few minutes: does it run?
    python benchmarks/accelerator.py --rows=glow,training --precision=tf32 --seconds=240

Needs a checkout, jax with its plugin for the card, flax, optax, orbax-checkpoint, numpy, torch,
and of jaxgen's other dependencies absl-py, jaxtyping, scikit-learn and ml-collections. On a
machine without internet carry as wheels what it lacks; mostly that is ml-collections alone. Data
sets, tfds, grain, array-record, tensorboardX and matplotlib are not needed.

Rows: a train step of Glow (CIFAR-10), NVAE (CIFAR-10), StyleGAN2 (256x256) and BigGAN (128x128),
with the batch that one of the recipe's eight cards has, and the same network in PyTorch, eager and
under `torch.compile` (`benchmarks/peers`; NCHW or channels last, whichever two steps say is
faster). Runs alternate, A B A B, in one process a row; printed are medians and medians of ratios
of pairs. StyleGAN2's step is the mean of a cycle of 16 with its lazy turns. Moving averages of
parameters, the watch for numbers that are not finite on PyTorch's side, and reading data are left
out. The FLOPs of convolutions and matrix products are counted on PyTorch's side (XLA counts the
body of a loop once); "share" is FLOPs / time over the card's peak for the precision: "float32" is
IEEE single precision on both sides, "tf32" lets both round the inputs of products. jaxgen keeps
Glow's invertible 1x1 products in single precision under either.

Row "training": two minutes of Glow's CIFAR-10 recipe on 32x32 patches of scikit-learn's two
photographs, or on `--data=FILE.npz` with uint8 images "x" [N, 32, 32, 3]; the bits/dim of images
held out at every interval.

Each row is a process of its own with a time budget: what was measured before it fails or runs out
of time is kept, in the JSON file after every row, and as a Markdown table at the end.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import subprocess
import sys
import time

import accelerator_rows
from accelerator_rows import ROWS, write


def spawn(name, arguments, seconds, part):
    """Runs a row in a process of its own; what it left behind, with its error."""
    command = [sys.executable, __file__, f"--row={name}", f"--out={part}"]
    command += [f"--seconds={seconds:.0f}", f"--precision={arguments.precision}"]
    command += [f"--train_seconds={arguments.train_seconds}"]
    command += ["--tiny"] * arguments.tiny + [f"--data={arguments.data}"] * bool(arguments.data)
    error = None
    try:
        done = subprocess.run(command, timeout=seconds, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            error = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    except subprocess.TimeoutExpired:
        error = f"stopped after its {seconds:.0f} s"
    row = json.loads(part.read_text()) if part.exists() else {}
    part.unlink(missing_ok=True)
    whole = row.pop("whole", False)  # then its process was only slow to end
    return row | ({"error": error[:300]} if error and not whole else {})


def cell(row, key, form="{:.1f}", scale=1):
    value = row.get(key)
    return form.format(value * scale) if isinstance(value, int | float) else "-"


def table(found):
    """The rows as Markdown."""
    rows = found["rows"]
    devices = {r["device"] for r in rows.values() if "device" in r} or {"no device"}
    lines = [
        f"{', '.join(devices)}, {found['precision']}, jax {found['jax']}, torch {found['torch']}",
        "",
        "| | batch | jaxgen ms | eager ms | compiled ms | jaxgen / eager | jaxgen / compiled "
        "| TFLOP a step | share of peak, jaxgen | eager | peak GB, jaxgen | torch | compile s |",
        "|" + "---|" * 13,
    ]
    for name, row in rows.items():
        if name != "training":
            cells = [
                name,
                cell(row, "batch", "{:d}"),
                cell(row, "jaxgen_ms"),
                cell(row, "eager_ms"),
            ]
            cells += [cell(row, "compiled_ms"), cell(row, "jaxgen/eager", "**{:.2f}**")]
            cells += [cell(row, "jaxgen/compiled", "{:.2f}"), cell(row, "flops", "{:.3f}", 1e-12)]
            cells += [cell(row, "share", "{:.0%}"), cell(row, "torch_share", "{:.0%}")]
            cells += [cell(row, "jaxgen_bytes", "{:.2f}", 1e-9)]
            cells += [cell(row, "torch_bytes", "{:.2f}", 1e-9), cell(row, "compile_s")]
            lines.append("| " + " | ".join(cells) + " |")
    for name, row in rows.items():
        for key in ("error", "compiled"):
            if row.get(key):
                lines += ["", f"{name}: {key}: {row[key]}"]
    if curve := rows.get("training", {}).get("curve"):
        row, points = rows["training"], [f"{p['seconds']:.0f} s {p['test_bpd']:.2f}" for p in curve]
        lines += ["", f"Training, {row['config']}, batch {row['batch']}, {row['data']}: "]
        lines[-1] += f"{cell(row, 'images_per_second', '{:.0f}')} images/s; bits/dim held out: "
        lines[-1] += ", ".join(points)
    return "\n".join(lines)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("accelerator.json"))
    parser.add_argument("--rows", default=",".join(ROWS), help="names, by commas")
    parser.add_argument("--precision", choices=("float32", "tf32"), default="float32")
    parser.add_argument("--seconds", type=float, default=470.0, help="for all rows together")
    parser.add_argument("--train_seconds", type=float, default=120.0)
    parser.add_argument("--data", help=".npz with uint8 images x, for the training")
    parser.add_argument("--tiny", action="store_true", help="small networks, for a try on CPU")
    parser.add_argument("--row", choices=ROWS, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.row:
        accelerator_rows.run(arguments)
        return 0
    if arguments.tiny:
        arguments.train_seconds = min(arguments.train_seconds, 5.0)
    names = arguments.rows.split(",")
    if unknown := set(names) - set(ROWS):
        parser.error(f"--rows: unknown {sorted(unknown)}, expected some of {','.join(ROWS)}")
    from importlib.metadata import version

    found = {k: version(k) for k in ("jax", "torch")} | {"precision": arguments.precision}
    found["rows"], end = {}, time.monotonic() + arguments.seconds
    for i, name in enumerate(names):
        shares = [ROWS[other][4] for other in names[i:]]
        seconds = (end - time.monotonic()) * shares[0] / sum(shares)
        part = arguments.out.with_name(f".{arguments.out.name}.{name}")
        print(f"{name}: at most {seconds:.0f} s ...", flush=True)
        found["rows"][name] = spawn(name, arguments, max(seconds, 1), part)
        write(arguments.out, found)
    print(table(found))
    return int(any("error" in row for row in found["rows"].values()))


if __name__ == "__main__":
    sys.exit(main())
