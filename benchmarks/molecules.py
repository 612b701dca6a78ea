"""Molecules beside their floor: shares of valid, unique and novel texts, of runs and of n-grams.

    python benchmarks/molecules.py nci_molecules [RUN ...]
    python benchmarks/molecules.py moses_20k --manual_dir=DIR [RUN ...]

The floor are characters by those before them, counted in the train molecules (orders 1, 3, 5, 8);
the control that must pass are test molecules themselves. Of a run also: test molecules that come
back letter by letter, the share of valid texts among them, R^2 of each property by the network
that predicts it, and a search for 5 QED - SAS beside its controls (`jaxgen molecules`).
"""

from __future__ import annotations

import argparse

import numpy as np

import jaxgen
from jaxgen.data import load, smiles
from jaxgen.evaluate.molecules import Grams, worth

ORDERS = (1, 3, 5, 8)
TESTED = 500
LINE = "{:26}{:>8}{:>8}{:>8}"


def floors(data, num):
    field = data.spec.x
    texts = {
        name: smiles.texts_of(field, split.take(np.arange(len(split)))["x"])
        for name, split in data.splits.items()
    }
    train = [smiles.canonical(t) or t for t in texts["train"]]
    print(LINE.format(f"{data.spec.name}, {num} texts", "valid", "unique", "novel"))
    shown("test molecules", worth(texts["test"][:num], train))
    for order in ORDERS:
        drawn = Grams(texts["train"], order).sample(num, field.shape[0])
        shown(f"{order}-grams", worth(drawn, train))
    return train


def shown(name, of):
    print(LINE.format(name, f"{of.valid:.3f}", f"{of.unique:.3f}", f"{of.novel:.3f}"), flush=True)


def of_run(path, train, num, places):
    run = jaxgen.load(path)
    field = run.spec.x
    shown(run.directory.path.name, worth(smiles.texts_of(field, run.sample(num)), train))
    split = run.dataset(**places).splits["test"]
    batch = split.take(np.arange(min(TESTED, len(split))))
    texts = smiles.texts_of(field, batch["x"])
    back = smiles.texts_of(field, run.reconstruct(batch["x"]))
    same = np.mean([a == b for a, b in zip(texts, back, strict=True)])
    valid = worth(back, train).valid
    print(f"  restored {same:.3f}, of which any are valid {valid:.3f}, of {len(texts)} test")
    units = run.spec.fields[smiles.FIELD].units
    columns = run.per_example("test")
    true = units.outward(split.take(columns["index"])[smiles.FIELD])
    for i, name in enumerate(smiles.PROPERTIES):
        share = 1 - np.square(columns[f"{name}_error"]).mean() / true[:, i].var()
        print(
            f"  {name}: R^2 {share:.3f}, mean absolute error {columns[f'{name}_error'].mean():.3f}"
        )
    found = run.optimise("5qed-SAS", num, **places).about
    for name in ("process", "random", "genetic"):
        print(f"  5 QED - SAS, {name}: mean of the 50 best {found[name].best:.3f}")
    print(f"  99th percentile of train molecules: {found['percentile']:.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("runs", nargs="*")
    parser.add_argument("--num", type=int, default=500)
    parser.add_argument("--manual_dir")
    arguments = parser.parse_args()
    places = {"manual_dir": arguments.manual_dir} if arguments.manual_dir else {}
    train = floors(load(arguments.data, **places), arguments.num)
    for path in arguments.runs:
        of_run(path, train, arguments.num, places)


if __name__ == "__main__":
    main()
