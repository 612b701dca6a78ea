"""Can a model change one attribute of a face and keep the rest? Measured where the truth is known.

    python benchmarks/editing.py --out=runs/editing --models=vae,glow,nvae

Trains on the cartoon faces at 32x32, one cell in ten of smile x eyes x pose held out
(`editing_data.py`), finds directions by every method, edits faces whose true edit was never seen,
and compares. Runs that are there are not made again. Writes OUT/MODEL-SEED.json, and for each edit
a strip of faces, reconstructions, edits by "mean" and "shift" and true edits; prints a table.

    relative   (error of the edit - error of the truth's own reconstruction) / (that of the face
               left alone - the same): 0 is as good as encoding the true edit, 1 no better than
               doing nothing; errors are mean squared levels, to the true picture
    change     of the factor in the nearest picture of the full grid, in 200 principal components
    hit        share of faces at exactly the wanted value
    moved      of the other factors that which moves most often, in shares of faces beyond that of
               plain reconstructions
    overshoot  strength, in natural ones, at which the mean change is the wanted one; - if none is

`--correlated` finds them on a subset in which smiles come with open eyes.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import time
from typing import Any

import editing_data
import jax
import numpy as np
from editing_data import EDITS, Faces

import jaxgen
from jaxgen.ops import directions as ways
from jaxgen.ops.mean_shift import Shift, fitted
from jaxgen.pictures import grid, save_png
from jaxgen.views.codes import Space
from jaxgen.views.directions import COMPONENTS, SAMPLES, Nearest, vector_of

NUM, DRAWS = 400, 1000  # faces of an edit; of the bootstrap
TRIED, MULTIPLES = 100, (1.0, 2.0, 4.0, 8.0)  # faces, and strengths, of the overshoot
VECTORS = ("mean", "hyperplane", "conditional", "pattern")
SHIFTS = ("shift, factors known", "shift, factors read")
BOUND = "difference of true codes"
RARELY = {
    "train.log_every_steps": 50,
    "train.steps_per_dispatch": 10,
    "evaluate.every_steps": 10**6,
    "evaluate.sample_every_steps": 10**6,
    "evaluate.splits": ("test",),
}
RECIPES: dict[str, tuple[str, int, dict[str, Any]]] = {  # name -> preset, steps, changes
    "vae": (
        "vae:digits",
        12_000,
        {
            "data.binarize": "none",
            "model.latent": 24,
            "model.hidden": (512, 256),
            "model.activation": "relu",
            "method.observation": "gaussian",
            "method.beta": 3e-4,  # a deviation of 0.017 of the range
            "method.warmup_steps": 0,
            "train.batch_size": 64,
            "optim.model.clip_norm": 50.0,
            "optim.model.warmup_steps": 200,
            "optim.model.decay_steps": 12_000,
        },
    ),
    "glow": (
        "glow:digits",
        3000,
        {
            "model.coupling": "additive",  # as official for CelebA-HQ; affine inverses explode
            "model.levels": 3,
            "model.depth": 6,
            "model.width": 48,
            "model.dropout": 0.0,
            "train.batch_size": 32,
        },
    ),
    "nvae": (
        "nvae:mnist_grey",
        2400,
        {
            "model.pad": 0,
            "method.observation": "gaussian",
            "method.beta": 3e-4,
            "method.warmup_steps": 0,
            "method.constant_steps": 0,
            "method.penalty_weight": 3e-6,  # of a loss that is beta times as large
            "optim.model.decay_steps": 2400,
            "evaluate.best": "test/nelbo",
        },
    ),
    "stylegan2": ("stylegan2:faces", 6000, {"data.shift": 0}),
}


def trained(name: str, seed: int, out: pathlib.Path, faces: Faces) -> Any:
    """The run, made where it is not there."""
    path = out / f"{name}-{seed}"
    if (path / "summary.json").exists():
        return jaxgen.load(path)
    preset, steps, changes = RECIPES[name]
    data = editing_data.dataset(faces)
    start = time.process_time()
    run = jaxgen.fit(preset, data, steps=steps, seed=seed, workdir=path, **RARELY, **changes)
    print(f"{path}: {(time.process_time() - start) / 60:.1f} CPU minutes")
    return run


class Judge:
    """Reads factors of pictures: those of the nearest of the full grid."""

    def __init__(self, faces: Faces):
        """Keeps the grid."""
        self._values, self._nearest = faces.truth.values, Nearest(faces.x)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """[N, F]."""
        return self._values[self._nearest(x)]


class Bench:
    """A run, its codes of labelled examples, and the ways to edit them."""

    def __init__(self, run: Any, faces: Faces, judge: Judge, rows: np.ndarray, seed: int):
        """Encodes the rows; of a generator, draws samples and reads their factors."""
        self.space, self.faces, self.judge = Space(run, seed), faces, judge
        if self.space.searches:
            self.codes, x = self.space.drawn(5 * SAMPLES)
            self.values = judge(x).astype(float)
        else:
            self.codes = self.space.encode(faces.x[rows])
            self.values = faces.truth.values[rows].astype(float)
        self.components = ways.principal(self.codes, COMPONENTS)
        self.weights = self.layers = None
        self._vectors: dict[str, dict[str, np.ndarray]] = {}
        if self.space.searches:
            self.weights = np.asarray(run.method.style_weights(run.state.averaged()), np.float64)
            self.layers = Space(run, seed, channels=True)
        held = np.random.RandomState(seed).rand(len(self.codes)) < 0.1
        self.shift: Shift = fitted(
            self.codes[~held],
            self.values[~held],
            faces.truth.nominal,
            (self.codes[held], self.values[held]),
        )
        agreement = self.shift.agreement(self.codes[held], self.values[held])
        self.read = dict(zip(faces.truth.names, agreement.round(3).tolist(), strict=True))

    def vectors(self, factor: str) -> dict[str, np.ndarray]:
        """Method -> [D] of one level of a factor; hyperplanes of many numbers take minutes."""
        if factor in self._vectors:
            return self._vectors[factor]
        k = self.faces.truth.names.index(factor)
        order = [k, *(j for j in range(self.values.shape[1]) if j != k)]
        found = {}
        for name in VECTORS:
            found[name] = vector_of(name, self.codes, self.values[:, order])
        axes = {"ganspace": self.components}
        if self.weights is not None:
            axes["sefa"] = ways.factorised(self.weights, COMPONENTS)
        for name, rows in axes.items():
            along = rows[ways.most_telling(rows, self.codes, self.values[:, k])]
            found[name] = ways.natural(along, self.codes, self.values[:, k])
        self._vectors[factor] = found
        return found

    def measured(self, factor: str, step: int, num: int, seed: int) -> dict[str, Any]:
        """Every method on one edit."""
        faces, k = self.faces, self.faces.truth.names.index(factor)
        rows, wanted = faces.asked(factor, step, num, seed)
        z, target = self.space.encode(faces.x[rows]), self.space.encode(faces.x[wanted])
        plain, best = self.space.decode(z), self.space.decode(target)
        known = faces.truth.values[rows].astype(float)
        errors = {"nothing": squares(plain, faces.x[wanted]), BOUND: squares(best, faces.x[wanted])}
        vectors = self.vectors(factor)

        def edited(method: str, strength: float, some: slice = slice(None)) -> np.ndarray:
            if method in vectors:
                return self.space.decode(z[some] + strength * vectors[method])
            own = known[some] if method == SHIFTS[0] else None
            return self.space.decode(self.shift.moved(z[some], k, strength, own))

        pictures = {"nothing": plain, BOUND: best}
        pictures |= {m: edited(m, float(step)) for m in (*vectors, *SHIFTS)}
        if self.layers is not None:
            styles, _ = self.layers.drawn(5 * SAMPLES)  # of the samples that have the values
            along = vector_of("stylespace", styles, self.values[:, [k]])
            moved = self.layers.encode(faces.x[rows]) + step * along
            pictures["stylespace"] = self.layers.decode(moved)
        base = self.judge(plain)
        found = {
            name: self._scores(x, faces.x[wanted], errors, base, rows, wanted, k)
            for name, x in pictures.items()
        }
        if factor in ("smile", "eyes"):
            for name in vectors:
                self._overshoot(found[name], name, edited, step, (base, rows, wanted, k), errors)
        return found

    def strip(self, factor: str, step: int, seed: int, num: int = 12) -> np.ndarray:
        """Faces, reconstructions, edits by "mean" and by "shift", and the true ones, in rows."""
        faces, k = self.faces, self.faces.truth.names.index(factor)
        rows, wanted = faces.asked(factor, step, num, seed)
        z = self.space.encode(faces.x[rows])
        straight = self.space.decode(z + step * self.vectors(factor)["mean"])
        shifted = self.space.decode(self.shift.moved(z, k, float(step), None))
        parts = (faces.x[rows], self.space.decode(z), straight, shifted, faces.x[wanted])
        return grid(np.concatenate([np.clip(x, 0, 255).astype(np.uint8) for x in parts]), num)

    def _overshoot(
        self, found: dict[str, Any], name: str, edited: Any, step: int, where: Any, errors: Any
    ) -> None:
        """The strength at which the mean change is the wanted one, and scores there."""
        base, rows, wanted, k = where
        some, changes = slice(TRIED), []
        for multiple in MULTIPLES:
            read = self.judge(edited(name, step * multiple, some))[:, k]
            changes.append(float(np.mean(read - base[some, k])))
        reached = [i for i, change in enumerate(changes) if change >= step]
        if not reached:
            found["overshoot"] = None
            return
        i = reached[0]
        multiple = MULTIPLES[0]
        if i:
            share = (step - changes[i - 1]) / (changes[i] - changes[i - 1])
            multiple = MULTIPLES[i - 1] + share * (MULTIPLES[i] - MULTIPLES[i - 1])
        x = edited(name, step * multiple)
        truth = self.faces.x[wanted]
        found["overshoot"] = {"strength": round(multiple, 2)} | self._scores(
            x, truth, errors, base, rows, wanted, k
        )

    def _scores(
        self,
        x: np.ndarray,
        truth: np.ndarray,
        errors: dict[str, np.ndarray],
        base: np.ndarray,
        rows: np.ndarray,
        wanted: np.ndarray,
        k: int,
    ) -> dict[str, Any]:
        values, names = self.faces.truth.values, self.faces.truth.names
        read, before, after = self.judge(x), values[rows], values[wanted]
        relative, interval = bootstrapped(squares(x, truth), errors[BOUND], errors["nothing"])
        moved = np.mean(read != before, axis=0) - np.mean(base != before, axis=0)
        others = {
            n: round(float(m), 3)
            for j, (n, m) in enumerate(zip(names, moved, strict=True))
            if j != k
        }
        change, count = read[:, k] - base[:, k], self.faces.truth.counts[k]
        if k in self.faces.truth.nominal:
            change = (change + count // 2) % count - count // 2
        signed = read - base
        return {
            "relative": relative,
            "interval": interval,
            "change": round(float(np.mean(change)), 3),
            "hit": round(float(np.mean(read[:, k] == after[:, k])), 3),
            "within_one": round(float(np.mean(np.abs(read[:, k] - after[:, k]) <= 1)), 3),
            "moved": max(others.values()),
            "others": others,
            "eyes_change": round(float(np.mean(signed[:, names.index("eyes")])), 3),
            "smile_exact": round(float(np.mean(read[:, 0] == after[:, 0])), 3),
        }


def squares(x: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Mean squared difference in levels, [N]."""
    return np.mean(np.square(x.astype(float) - truth), axis=(1, 2, 3))


def bootstrapped(
    edit: np.ndarray, best: np.ndarray, nothing: np.ndarray
) -> tuple[float, list[float]]:
    """The relative error and its 95 % interval, over faces."""
    draws = np.random.RandomState(0).randint(len(edit), size=(DRAWS, len(edit)))
    every = [
        (edit[d].mean() - best[d].mean()) / (nothing[d].mean() - best[d].mean())
        for d in (np.arange(len(edit)), *draws)
    ]
    ends = np.quantile(every[1:], (0.025, 0.975))
    return round(float(every[0]), 3), [round(float(end), 3) for end in ends]


def table(found: dict[str, Any]) -> str:
    """Edits in Markdown."""
    lines = ["| edit | method | relative error | change | hit | moved | overshoot: relative |"]
    lines.append("|---|---|---|---|---|---|---|")
    for edit, methods in found.items():
        for name, s in methods.items():
            more = s.get("overshoot", "")
            more = "-" if more is None else more and f"x{more['strength']}: {more['relative']}"
            low, high = s["interval"]
            lines.append(
                f"| {edit} | {name} | {s['relative']:.2f} ({low:.2f} to {high:.2f}) | "
                f"{s['change']:.2f} | {s['hit']:.2f} | {100 * s['moved']:.0f} | {more} |"
            )
    return "\n".join(lines)


def main() -> None:
    """Trains what is not there, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/editing"))
    parser.add_argument("--models", default="vae,glow,nvae")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--edits", default=",".join(EDITS))
    parser.add_argument("--num", type=int, default=NUM)
    parser.add_argument("--correlated", action="store_true")
    arguments = parser.parse_args()
    faces = editing_data.faces()
    judge = Judge(faces)
    rows = editing_data.correlated(faces) if arguments.correlated else faces.train
    for name in arguments.models.split(","):
        for seed in map(int, arguments.seeds.split(",")):
            run = trained(name, seed, arguments.out, faces)
            bench = Bench(run, faces, judge, rows, seed)
            found = {
                f"{factor} +{EDITS[factor]}": bench.measured(
                    factor, EDITS[factor], arguments.num, seed
                )
                for factor in arguments.edits.split(",")
            }
            suffix = "-correlated" if arguments.correlated else ""
            path = arguments.out / f"{name}-{seed}{suffix}.json"
            for factor in arguments.edits.split(","):
                picture = arguments.out / f"{name}-{seed}{suffix}-{factor}.png"
                save_png(picture, bench.strip(factor, EDITS[factor], seed))
            path.write_text(json.dumps({"read": bench.read, "edits": found}, indent=1))
            print(f"{path}: factors read from codes {bench.read}\n{table(found)}", flush=True)


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    main()
