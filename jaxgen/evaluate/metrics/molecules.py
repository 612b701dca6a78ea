"""Whether samples are molecules, how many, and new ones; whether latents keep test molecules.

Source: Polykovskiy et al. 2020, Molecular Sets (MOSES), section 5, by RDKit. Shares of valid texts
say little alone: "CCCC" is valid.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jaxgen.abilities import Restores
from jaxgen.data import smiles
from jaxgen.evaluate.comparison import Comparison
from jaxgen.evaluate.measurement import Measurement, Number, fingerprint, of_draws, of_share
from jaxgen.evaluate.molecules import worth

MOST = 500  # test molecules that are restored
NUMBERS = {
    "valid": Number("Valid", "texts that are molecules", better="higher", most=1.0),
    "unique": Number(
        "Unique", "of the valid texts, molecules that were not there before", "diversity", "higher"
    ),
    "novel": Number(
        "Novel", "of the unique molecules, those that are no train molecules", "copying", "higher"
    ),
    "restored": Number(
        "Restored texts",
        "test texts that their latents give back letter by letter",
        "latents",
        "higher",
    ),
}


def _molecules(c: Comparison) -> str | None:
    spec = c.dataset.spec
    return None if smiles.are(spec) else f"{spec.name} has no molecules: it is of SMILES"


NEEDS = (_molecules,)


def measure(c: Comparison) -> list[Measurement]:
    """All that RDKit says of the samples, and of models that restore, of test molecules."""
    field = c.dataset.spec.x
    train = [
        smiles.canonical(t) or t
        for x in c.real_images("train", None)
        for t in smiles.texts_of(field, x)
    ]
    found = [
        worth([t for x in images for t in smiles.texts_of(field, x)], train)
        for images in c.subject.sets
    ]
    print_of = fingerprint(c.print_of_data("train"), {"num_generated": c.subject.num})
    made = [
        c.measured(name, of_draws(of.shares[name] for of in found), fingerprint=print_of)
        for name in found[0].shares
    ]
    method = c.subject.method
    if not isinstance(method, Restores):
        return made
    same = np.concatenate([_restored(c, x) for x in c.real_images("test", MOST)])
    print_of = fingerprint(c.print_of_data("test"), {"num_real": len(same)})
    fields: Mapping[str, Any] = {"fingerprint": print_of, "settings": {}}
    return [*made, c.measured("restored", of_share(float(same.mean()), len(same)), **fields)]


def _restored(c: Comparison, x: np.ndarray) -> np.ndarray:
    """Whether each text of x [B, T] is given back, up to where it ends."""
    method, field = c.subject.method, c.dataset.spec.x
    assert isinstance(method, Restores)
    back = jax.jit(method.reconstruct)(c.subject.state, x, jax.random.key(c.seed))
    pairs = zip(smiles.texts_of(field, x), smiles.texts_of(field, np.asarray(back)), strict=True)
    return np.array([a == b for a, b in pairs], float)
