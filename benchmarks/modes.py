"""Trains adversarial configs on points with several seeds, and counts the modes they cover.

    python benchmarks/modes.py [--root=runs/modes] [--data=ring8,grid25] [--seeds=0,1,2]
        [--presets=r1,r1_none,r3,r3_none,wgan_gp,wgan_gp_none] [--steps=N]

Runs that are there already are not trained again; half an hour for each data set on one core.
Prints a row for each preset, with a value for each seed, and draws the samples of the last seed
into ROOT/DATA.png. Presets are those of configs/gan.py.
"""

from __future__ import annotations

import argparse
import pathlib
import subprocess
import sys

PRESETS = "r1,r1_none,r3,r3_none,wgan_gp,wgan_gp_none"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path("runs/modes"))
    parser.add_argument("--data", default="ring8,grid25")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--presets", default=PRESETS)
    parser.add_argument("--steps", type=int, help="of every run; default: the preset's own")
    arguments = parser.parse_args()
    presets, seeds = arguments.presets.split(","), arguments.seeds.split(",")
    for data in arguments.data.split(","):
        study(arguments.root, data, presets, seeds, arguments.steps)


def study(
    root: pathlib.Path, data: str, presets: list[str], seeds: list[str], steps: int | None
) -> None:
    from jaxgen.pictures import save_png
    from jaxgen.run import Run
    from jaxgen.tools.modes import coverage, drawing

    print(f"{data}: modes covered, share of high quality (2,500 samples), seeds {','.join(seeds)}")
    runs, samples = [], []
    for preset in presets:
        cells = []
        for seed in seeds:
            workdir = root / data / f"{preset}-{seed}"
            train(workdir, preset, data, seed, steps)
            run = Run(workdir)
            found, x = coverage(run)
            cells.append(f"{found.modes}/{found.of} {found.high_quality:.1%}")
        runs.append(run)
        samples.append(x)
        print(f"{preset:16}" + "  ".join(f"{cell:>12}" for cell in cells), flush=True)
    save_png(root / f"{data}.png", drawing(runs, samples))


def train(workdir: pathlib.Path, preset: str, data: str, seed: str, steps: int | None) -> None:
    if (workdir / "summary.json").exists():
        return
    config = f"configs/gan.py:{preset},data={data}"
    command = [sys.executable, "-m", "jaxgen.main", f"--config={config}", f"--workdir={workdir}"]
    command.append(f"--config.seed={seed}")
    if steps:
        command.append(f"--config.train.steps={steps}")
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])


if __name__ == "__main__":
    main()
