"""Where a block is in real pictures, learned from rendered ones: errors in pixels, by seed.

    python benchmarks/sim_to_real.py                       three seeds, about 15 CPU minutes
    python benchmarks/sim_to_real.py --seeds=1 --pairs=25,50,100,200,400

For each number of real pictures and seed: the regressor of rendered pictures straight on real ones,
one trained on the real pictures, the same with changes of gain and brightness, and three second
autoencoders (see configs/sim_to_real.py), on 1,000 real test pictures, and as many with a disc
beside the block. --out has the figures and a sheet: real, what the autoencoder makes of it, truth.
"""

from __future__ import annotations

import argparse
import json
import pathlib
from typing import Any

import numpy as np

import jaxgen
from jaxgen.data.dataset import ArraySplit, Dataset
from jaxgen.data.embedded import blocks
from jaxgen.pictures import save_png

TESTS = ("real_block", "real_block_distractor")
SECOND = ("mixed", "real", "frozen")
SHOWN = 12  # of the sheet


def pictures(name: str, count: int, seed: int) -> Dataset:
    """So many for training, whose first do not depend on their number, and the usual test."""
    splits = {"train": (count, 100 + seed), "test": (blocks.COUNTS["real"]["test"], 1)}
    made = {s: ArraySplit(blocks.drawn(name, n, own)) for s, (n, own) in splits.items()}
    return Dataset(blocks.spec_of(name), made, "seeded pictures of a block")


def trained(preset: str, data: Dataset, path: pathlib.Path, seed: int, **changes: Any) -> Any:
    """A run, or the one that is there; the newest checkpoint: no test picture chooses."""
    quiet = {"evaluate.num_samples": 0, "evaluate.sample_every_steps": 0}
    quiet |= {"evaluate.every_steps": 2000}
    return jaxgen.fit(
        f"sim_to_real:{preset}", data, seed=seed, workdir=path, quiet=True, **quiet, **changes
    )


def error(run: Any, batch: dict[str, np.ndarray]) -> float:
    """Mean distance from the truth, in pixels."""
    found = run.method.evaluate(run.state.averaged(), batch, jaxgen_key())
    return float(np.mean(found["pixels"]))


def jaxgen_key() -> Any:
    """Of what draws nothing."""
    import jax

    return jax.random.key(0)


def measured(pairs: int, seed: int, out: pathlib.Path) -> tuple[dict[str, list[float]], Any]:
    """Name -> error on both tests, and the run of "mixed"."""
    tests = [blocks.drawn(name, blocks.COUNTS["real"]["test"], 1) for name in TESTS]
    rendered = pictures("sim_block", blocks.COUNTS["sim"]["train"], seed)
    real = pictures("real_block", pairs, seed)
    first = trained("sim", rendered, out / f"sim-{seed}", seed)
    straight = trained("direct", rendered, out / f"sim_direct-{seed}", seed)
    runs = {"rendered regressor, straight": straight}
    for preset in ("direct", "jitter"):
        runs[preset] = trained(preset, real, out / f"{preset}-{pairs}-{seed}", seed)
    for preset in SECOND:
        stage = {"frozen.first": str(first.directory.path)}
        runs[preset] = trained(preset, real, out / f"{preset}-{pairs}-{seed}", seed, **stage)
    found = {name: [error(run, test) for test in tests] for name, run in runs.items()}
    sim = rendered.splits["test"].take(np.arange(1000))
    found["rendered, through the first"] = [error(first, sim)]
    return found, runs["mixed"]


def sheet(run: Any, path: pathlib.Path) -> None:
    """Real pictures, what becomes of them, and the rendered ones of the same places, in rows."""
    batch = blocks.drawn("real_block_distractor", SHOWN, 1)
    state = run.state.averaged()
    made = run.method.decode(state, run.method.encode(state, batch["x"], jaxgen_key()))
    made = np.clip(np.rint(np.asarray(made)), 0, 255).astype(np.uint8)
    rows = [np.concatenate(list(x), axis=1) for x in (batch["x"], made, batch["synthetic"])]
    save_png(path, np.repeat(np.repeat(np.concatenate(rows, axis=0), 3, 0), 3, 1))


def main() -> None:
    """Measures, prints, and writes figures and sheet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pairs", default="200", help="numbers of real pictures")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", default="runs/sim_to_real")
    arguments = parser.parse_args()
    out = pathlib.Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Any] = {}
    for pairs in map(int, arguments.pairs.split(",")):
        every = []
        for seed in range(arguments.seeds):
            found, run = measured(pairs, seed, out)
            every.append(found)
            print(pairs, seed, {k: np.round(v, 3).tolist() for k, v in found.items()}, flush=True)
            if seed == 0:
                sheet(run, out / f"sheet-{pairs}.png")
        for name in every[0]:
            mean = np.mean([found[name] for found in every], axis=0)
            print(f"{pairs} pictures, {name}: {', '.join(f'{v:.2f}' for v in mean)}", flush=True)
        figures[str(pairs)] = every
    (out / "figures.json").write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
