"""Molecules that a run draws, those between two of one's own, and a search for good ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxgen.abilities import Decodes, Encodes
from jaxgen.config import ConfigError, unknown
from jaxgen.data import smiles
from jaxgen.data.loader import evenly
from jaxgen.evaluate.molecules import worth
from jaxgen.evaluate.validation import check_count, check_seed
from jaxgen.views.picture import Picture

SHOWN, COLUMNS, SIDE = 24, 6, 200  # molecules of a sheet, in a row, and pixels of one
KNOWN, BEST = 1000, 50  # train molecules that a search knows; whose mean is told
ASCENT = 10  # steps: half of the latents' usual norm
GENERATIONS = 5
Objective = Callable[[np.ndarray], np.ndarray]
OBJECTIVES: dict[str, Objective] = {  # of QED, SAS and logP [N, 3]; higher is better
    "qed": lambda p: p[:, 0],
    "SAS": lambda p: -p[:, 1],
    "logP": lambda p: p[:, 2],
    "5qed-SAS": lambda p: 5 * p[:, 0] - p[:, 1],
}


def molecules(run: Any, num: int = 1000, seed: int = 0, **options: Any) -> Picture:
    """Draws texts and judges them: the first that are molecules, drawn; shares in `about`.

    Arrays: "x" [num, T], tokens; "valid" [num]. `about` has "valid", "unique", "novel", see
    `evaluate.molecules.worth`, and the mean of each property of the unique molecules.

    Args:
        run: of molecules.
        num: texts.
        seed: of the draws.
        **options: knobs of the method, as `temperature`; `data`, `manual_dir`, `data_dir` where
            the data have moved.

    Raises:
        ConfigError: for a run of other data, or a knob that there is not.
        DataError: without RDKit, or the data.
    """
    _checked(run)
    places = {k: options.pop(k) for k in ("data", "manual_dir", "data_dir") if k in options}
    x = run.sample(check_count(num, "num"), check_seed(seed), **options)
    texts = smiles.texts_of(run.spec.x, x)
    train, _ = _known(run, None, **places)
    found = worth(texts, [smiles.canonical(t) or t for t in train])
    about: dict[str, Any] = dict(found.shares)
    if found.molecules:
        means = smiles.properties(found.molecules).mean(0)
        about |= dict(zip(smiles.PROPERTIES, map(float, means), strict=True))
    valid = np.array([smiles.molecule(t) is not None for t in texts])
    shown = found.molecules[:SHOWN]
    return Picture({"x": x, "valid": valid}, lambda: sheet(shown), about=about)


def between(run: Any, first: str, second: str, points: int = 8) -> Picture:
    """Texts at even steps between the latents of two molecules, each the likeliest, in a row.

    Arrays: "x" [points, T]. `about` has "texts"; what is no molecule is an empty place.

    Args:
        run: of molecules, with latents.
        first: SMILES.
        second: SMILES.
        points: both ends among them.

    Raises:
        ConfigError: for a run of other data, or a text that is none of its molecules.
        DataError: without RDKit.
    """
    _checked(run, latents=True)
    x = np.stack([_read(run, text) for text in (first, second)])
    (z,) = run.encode(x)
    share = np.linspace(0, 1, check_count(points, "points"), dtype=np.float32)[:, None]
    found = run.decode(((1 - share) * z[:1] + share * z[1:],))
    texts = smiles.texts_of(run.spec.x, found)
    return Picture({"x": found}, lambda: sheet(texts), about={"texts": texts})


@dataclasses.dataclass(frozen=True)
class Search:
    """What a search found.

    Attributes:
        texts: new molecules, the best first.
        values: of the objective, [N].
        asked: texts that were decoded.
    """

    texts: tuple[str, ...]
    values: np.ndarray
    asked: int

    @property
    def best(self) -> float:
        """Mean of the best."""
        return float(self.values[:BEST].mean()) if len(self.values) else float("nan")


def optimise(run: Any, objective: str, num: int = 1000, seed: int = 0, **places: Any) -> Picture:
    """Latents by a Gaussian process of the objective, beside random ones and a genetic search.

    Each decodes `num` latents and keeps the molecules that are no train molecules. The process
    knows at most 1,000 train molecules; its mean is ascended from their best. The genetic search
    crosses and moves the latents of the best, and sees the objective of what it decodes.

    Arrays: "texts" [N], what the process found, the best first, and "values" [N]. `about` has a
    `Search` of "process", "random" and "genetic", and the train molecules' 99th percentile.

    Source: Gomez-Bombarelli et al. 2018, section 2.3.

    Args:
        run: of molecules, with latents.
        objective: of `OBJECTIVES`.
        num: latents that each of the three decodes.
        seed: of all draws.
        **places: of the data.

    Raises:
        ConfigError: for a run of other data, or an unknown objective.
        DataError: without RDKit, or the data.
    """
    if objective not in OBJECTIVES:
        raise ConfigError(unknown("objective", str(objective), OBJECTIVES))
    _checked(run, latents=True)
    num, random = check_count(num, "num"), np.random.RandomState(check_seed(seed))
    texts, batch = _known(run, KNOWN, **places)
    value = OBJECTIVES[objective]
    units = run.spec.fields[smiles.FIELD].units
    y = value(units.outward(batch[smiles.FIELD]))
    (z,) = run.encode(batch["x"])
    judge = _Judge(run, value, frozenset(smiles.canonical(t) or t for t in texts))
    found = {
        "process": judge.searched(_ascents(z, y, num, random)),
        "random": judge.searched(random.randn(num, z.shape[1]).astype(np.float32)),
        "genetic": _genetic(judge, z, y, num, random),
    }
    best = found["process"]
    arrays = {"texts": np.array(best.texts, str), "values": best.values}
    about = {**found, "percentile": float(np.percentile(y, 99))}
    return Picture(arrays, lambda: sheet(best.texts[:SHOWN]), about=about)


@dataclasses.dataclass(frozen=True, eq=False)
class _Judge:
    """Decodes latents and says what they are worth."""

    run: Any
    value: Objective
    known: frozenset[str]

    def decoded(self, z: np.ndarray) -> tuple[list[str | None], np.ndarray]:
        """Molecules of latents [N, D], and their values, -inf for what is none."""
        texts = smiles.texts_of(self.run.spec.x, self.run.decode((z,)))
        found = [smiles.canonical(text) for text in texts]
        values = np.full(len(z), -np.inf)
        rows = [i for i, text in enumerate(found) if text is not None]
        if rows:
            values[rows] = self.value(smiles.properties([found[i] or "" for i in rows]))
        return found, values

    def searched(self, z: np.ndarray) -> Search:
        """All that is found at latents."""
        return self.collected(*self.decoded(z))

    def collected(self, texts: Sequence[str | None], values: np.ndarray) -> Search:
        """New molecules once, the best first."""
        pairs = zip(texts, values, strict=True)
        new = {t: float(v) for t, v in pairs if t is not None and t not in self.known}
        order = sorted(new, key=lambda text: -new[text])
        return Search(tuple(order), np.array([new[t] for t in order]), len(texts))


def _ascents(z: np.ndarray, y: np.ndarray, num: int, random: Any) -> np.ndarray:
    """Latents [num, D] uphill of the process, from those of the best molecules and around them."""
    from jaxgen.ops import surrogate

    alpha, length = surrogate.fitted(z.astype(np.float64), y)
    start = z[np.argsort(-y)[np.arange(num) % min(len(z), max(num // 4, 1))]]
    start = start + 0.3 * z.std(0) * random.randn(*start.shape)
    radius = float(np.median(np.linalg.norm(z, axis=1)))
    start, known, weights = (jnp.asarray(v, jnp.float32) for v in (start, z, alpha))
    found = surrogate.ascended(start, known, weights, length, ASCENT, radius)
    return np.asarray(found)


def _genetic(judge: _Judge, z: np.ndarray, y: np.ndarray, num: int, random: Any) -> Search:
    """Generations of latents: children take each number of one of two parents, and move a little.

    `num` latents are decoded in all.
    """
    size = max(num // GENERATIONS, 1)
    parents, worths = z, y
    texts: list[str | None] = []
    values: list[np.ndarray] = []
    while len(texts) < num:
        best = np.argsort(-worths)[: max(size // 4, 2)]
        parents, worths = parents[best], worths[best]
        pair = parents[random.randint(len(parents), size=(2, min(size, num - len(texts))))]
        child = np.where(random.rand(*pair[0].shape) < 0.5, pair[0], pair[1])
        child = (child + 0.3 * z.std(0) * random.randn(*child.shape)).astype(np.float32)
        found, worth_of = judge.decoded(child)
        texts, values = texts + found, [*values, worth_of]
        parents, worths = np.concatenate([parents, child]), np.concatenate([worths, worth_of])
    return judge.collected(texts, np.concatenate(values))


def sheet(texts: Sequence[str]) -> np.ndarray:
    """Molecules drawn by RDKit, six in a row, [H, W, 3] uint8; what is none is an empty place."""
    smiles.chemistry()
    from rdkit.Chem import Draw

    cells = np.full((-(-max(len(texts), 1) // COLUMNS) * COLUMNS, SIDE, SIDE, 3), 255, np.uint8)
    for i, text in enumerate(texts):
        if (mol := smiles.molecule(text)) is not None:
            cells[i] = np.asarray(Draw.MolToImage(mol, size=(SIDE, SIDE)).convert("RGB"))
    rows = cells.reshape(-1, COLUMNS, SIDE, SIDE, 3).transpose(0, 2, 1, 3, 4)
    return rows.reshape(-1, COLUMNS * SIDE, 3)


def _checked(run: Any, latents: bool = False) -> None:
    smiles.chemistry()
    if not smiles.are(run.spec):
        raise ConfigError(
            f"{run.directory.path} is of {run.spec.name}, which are no molecules: "
            "configs/molecule_vae.py trains on some"
        )
    if latents and not (isinstance(run.method, Encodes) and isinstance(run.method, Decodes)):
        raise ConfigError(f"{type(run.method).__name__} has no latents of a molecule")


def _known(run: Any, most: int | None, **places: Any) -> tuple[list[str], dict[str, np.ndarray]]:
    """Train molecules, evenly spaced."""
    split = run.dataset(**places).splits["train"]
    batch = split.take(evenly(len(split), most))
    return smiles.texts_of(run.spec.x, batch["x"]), batch


def _read(run: Any, text: str) -> np.ndarray:
    """The tokens of a molecule of one's own, as its canonical text has them.

    Raises:
        ConfigError: for no molecule, or one that the run's characters do not spell.
    """
    found = smiles.canonical(text)
    if found is None:
        raise ConfigError(f"{text[:60]!r} is no SMILES of a molecule")
    try:
        return run.spec.x.tokens(found).astype(run.spec.x.dtype)
    except ValueError as error:
        raise ConfigError(f"{text[:60]!r} is none of the run's molecules: {error}") from None
