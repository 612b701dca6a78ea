"""Trains Glow, NVAE, StyleGAN2 and a VAE on the same data with one budget, measures, makes a page.

    python benchmarks/comparison.py [--data=digits] [--root=runs/comparison] [--only=glow,nvae]
    python benchmarks/comparison.py --data=mnist --manual_dir=DIR
    python benchmarks/comparison.py --data=digits_diffusion
        the same for models of diffusion and flow matching

The budget is CPU time, user and system, of the whole training command: at most 6 minutes for
digits, 20 for MNIST. What is there already is neither trained nor measured again. Writes
ROOT/DATA/NAME (runs), ROOT/DATA/minutes.json (what each took), ROOT/DATA/report.html, and
ROOT/DATA/samples.png, 40 samples of each model. What came out is in docs/comparison.md.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import resource
import subprocess
import sys

import numpy as np

import jaxgen
from jaxgen.pictures import grid, save_png, to_uint8

# What is given to jaxgen.main: --config, and what is changed.
TRAIN = {
    "digits": {
        "glow": "configs/glow.py train.steps=11000",
        "nvae": "configs/nvae.py",
        "stylegan2": "configs/stylegan2.py",
        "vae": "configs/vae.py:digits_grey",
    },
    "digits_diffusion": {
        "flow_matching": "configs/flow_matching.py",
        "mean_flow": "configs/mean_flow.py",
        "ddpm": "configs/ddpm.py:digits_classes",
        "edm": "configs/edm.py:digits_classes",
        "vdm": "configs/vdm.py",
    },
    "mnist": {
        "glow": "configs/glow.py:mnist model.depth=8 model.width=64 train.batch_size=64 "
        "train.steps=3000 evaluate.max_examples=2048 optim.model.schedule=cosine "
        "optim.model.decay_steps=3000 optim.model.clip_norm=100.0",
        "nvae": "configs/nvae.py:mnist_grey",
        "stylegan2": "configs/stylegan2.py:mnist",
        "vae": "configs/vae.py:mnist_grey",
    },
}
# The knob of each model, temperature by default; verdicts are about its default of 1.
KNOBS = {"stylegan2": "truncation"} | dict.fromkeys(("flow_matching", "ddpm", "edm"), "guidance")
VALUES = {"guidance": (1.5, 2.0, 4.0)}
LOW = (0.5, 0.7, 0.85)  # of other knobs
NUM = {"digits": 1500, "digits_diffusion": 1500, "mnist": 2000}  # generated images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", choices=tuple(TRAIN), default="digits")
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path("runs/comparison"))
    parser.add_argument("--only", help="comma-separated models; default: all, and the page")
    parser.add_argument("--manual_dir", help="where MNIST's idx files are")
    arguments = parser.parse_args()
    root, where = arguments.root / arguments.data, []
    if arguments.manual_dir:
        where = [f"--manual_dir={arguments.manual_dir}"]
    known = TRAIN[arguments.data]
    models = arguments.only.split(",") if arguments.only else list(known)
    if unknown := set(models) - set(known):
        parser.error(f"--only: {', '.join(sorted(unknown))} not among {', '.join(known)}")
    for name in models:
        train(root, name, known[name], arguments.manual_dir)
    for name in models:
        knob = KNOBS.get(name, "temperature")
        for given in ((), *((f"--{knob}={value}",) for value in VALUES.get(knob, LOW))):
            measure(root / name, given, [f"--num={NUM[arguments.data]}", *where])
    if not arguments.only:
        runs = [f"{name}={root / name}" for name in models]
        call("jaxgen.cli", "compare", *runs, f"--out={root / 'report.html'}", "--force")
        save_png(root / "samples.png", np.hstack([samples(root / name) for name in models]))


def train(root: pathlib.Path, name: str, options: str, manual_dir: str | None) -> None:
    """Trains a model, or goes on with it, and adds the CPU minutes to ROOT/minutes.json."""
    workdir, times = root / name, root / "minutes.json"
    if (workdir / "summary.json").exists():
        return
    config, *changes = options.split()
    if manual_dir:
        changes.append(f"data.manual_dir={manual_dir}")
    changes = [f"--config.{change}" for change in changes]
    before = cpu_minutes()
    call("jaxgen.main", f"--config={config}", f"--workdir={workdir}", *changes)
    minutes = json.loads(times.read_text()) if times.exists() else {}
    minutes[name] = round(minutes.get(name, 0.0) + cpu_minutes() - before, 2)
    times.write_text(json.dumps(minutes, indent=1) + "\n")


def measure(run: pathlib.Path, knobs: tuple[str, ...], options: list[str]) -> None:
    """All metrics of samples as the model is; of other knobs those of the curve."""
    done = run / "evaluation" / "".join(["measured", *knobs])
    if done.exists():
        return
    what = ["--metrics=fd,pr,dc"] if knobs else ["--metrics=all", "--page"]
    call("jaxgen.cli", "eval", str(run), *what, *knobs, *options)
    done.touch()


def samples(run: pathlib.Path) -> np.ndarray:
    """A picture of 40, eight rows of five."""
    opened = jaxgen.load(run)
    return grid(to_uint8(opened.sample(40, seed=0), opened.spec.levels), columns=5)


def call(module: str, *arguments: str) -> None:
    print("+", module, *arguments, flush=True)
    done = subprocess.run([sys.executable, "-m", module, *arguments], stdout=subprocess.DEVNULL)
    if done.returncode:
        raise SystemExit(done.returncode)


def cpu_minutes() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) / 60


if __name__ == "__main__":
    main()
