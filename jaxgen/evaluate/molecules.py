"""What texts of molecules are worth: valid, unique, novel; and characters that follow by chance."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from jaxgen.data.smiles import canonical

END = "\0"  # of a text


@dataclasses.dataclass(frozen=True)
class Worth:
    """Of texts, all shares in [0, 1].

    Attributes:
        valid: of the texts, that are molecules.
        unique: of the valid ones, without those that were there before.
        novel: of the unique ones, that are no train molecules.
        molecules: the unique ones, canonical, in their order.
    """

    valid: float
    unique: float
    novel: float
    molecules: tuple[str, ...]

    @property
    def shares(self) -> dict[str, float]:
        """The three by their names."""
        return {"valid": self.valid, "unique": self.unique, "novel": self.novel}


def worth(texts: Sequence[str], train: Collection[str]) -> Worth:
    """Judges texts by RDKit.

    Source: Polykovskiy et al. 2020, Molecular Sets (MOSES), section 5.

    Args:
        texts: SMILES, or what is none.
        train: canonical SMILES of the train molecules.
    """
    known = set(train)
    found = [c for c in map(canonical, texts) if c is not None]
    once = tuple(dict.fromkeys(found))
    return Worth(
        valid=len(found) / max(len(texts), 1),
        unique=len(once) / max(len(found), 1),
        novel=sum(c not in known for c in once) / max(len(once), 1),
        molecules=once,
    )


class Grams:
    """Characters by the share that each has after the n - 1 before it, as counted in texts.

    The floor of models of texts: it needs no network.
    """

    def __init__(self, texts: Sequence[str], order: int):
        """Counts.

        Args:
            texts: to count in.
            order: n.
        """
        counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for text in texts:
            for i, c in enumerate(text + END):
                counts[text[max(i - order + 1, 0) : i]][c] += 1
        self.order, self.counts = order, counts

    def sample(self, num: int, length: int, seed: int = 0) -> list[str]:
        """Texts, cut at so many characters."""
        random = np.random.RandomState(seed)
        tables: Mapping[str, tuple[list[str], np.ndarray]] = {
            k: (list(c), np.cumsum([*c.values()])) for k, c in self.counts.items()
        }
        found = []
        for _ in range(num):
            text = ""
            while len(text) < length:
                letters, sums = tables[text[max(len(text) - self.order + 1, 0) :]]
                c = letters[int(np.searchsorted(sums, random.randint(sums[-1]), "right"))]
                if c == END:
                    break
                text += c
            found.append(text)
        return found
