"""How varied the captions of a picture are, and how far two distributions of sentences are apart.

Source: Shetty et al. 2017, Speaking the same language, section 5.2, as the official code counts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

import numpy as np

Sentence = Sequence[str]  # its words
ORDERS = (1, 2, 3, 4)  # of BLEU-4


def grams(sentence: Sentence, n: int) -> Counter[tuple[str, ...]]:
    """How often each sequence of n words is in a sentence."""
    return Counter(tuple(sentence[i : i + n]) for i in range(len(sentence) - n + 1))


def distinct(sets: Sequence[Sequence[Sentence]], n: int) -> float:
    """Div-n: different n-grams of a set of captions over its words, mean over the sets."""
    found = []
    for captions in sets:
        words = sum(map(len, captions))
        every = set().union(*(grams(c, n) for c in captions))
        found.append(len(every) / max(words, 1))
    return float(np.mean(found))


def mutual_bleu(sets: Sequence[Sequence[Sentence]]) -> float:
    """mBLEU-4: each caption of a set against the others, mean over captions, then over sets."""
    return float(
        np.mean(
            [
                np.mean(
                    [bleu(c, [*captions[:i], *captions[i + 1 :]]) for i, c in enumerate(captions)]
                )
                for captions in sets
            ]
        )
    )


def bleu(sentence: Sentence, references: Sequence[Sentence]) -> float:
    """BLEU-4 of one sentence, not smoothed: 0 without a common sequence of four words.

    Source: Papineni et al. 2002, BLEU, section 2.3; the reference of the nearest length counts for
    the brevity penalty, the shorter of two as near.
    """
    logs = []
    for n in ORDERS:
        own = grams(sentence, n)
        most: Counter[tuple[str, ...]] = Counter()
        for reference in references:
            most |= grams(reference, n)
        common = sum((own & most).values())
        if not common:
            return 0.0
        logs.append(math.log(common / sum(own.values())))
    nearest = min((abs(len(r) - len(sentence)), len(r)) for r in references)[1]
    brevity = min(0.0, 1 - nearest / len(sentence))
    return math.exp(brevity + sum(logs) / len(logs))


def total_variation(found: Sequence[Hashable], truth: Mapping[Hashable, float]) -> float:
    """Half the sum of absolute differences between shares of what was found and probabilities."""
    shares = Counter(found)
    keys = shares.keys() | truth.keys()
    return 0.5 * sum(abs(shares[k] / len(found) - truth.get(k, 0.0)) for k in keys)
