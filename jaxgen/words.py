"""Words of a text that people wrote."""

from __future__ import annotations

import functools
import unicodedata


def words_of(text: str) -> list[str]:
    """Its words in lower case, without marks."""
    return [part for piece in text.split() for part in parted(piece) if not is_mark(part)]


@functools.lru_cache(maxsize=2**16)
def parted(piece: str) -> tuple[str, ...]:
    """Words and marks of a text without spaces, in lower case and Unicode's form NFKC.

    A word is of letters, digits and what is written upon them, and of apostrophes within; every
    other character is a mark.

    Example:
        >>> parted("Bird\u2019s,"), parted("blue-gray")
        (("bird's", ','), ('blue', '-', 'gray'))
    """
    text = unicodedata.normalize("NFKC", piece.replace("\u2019", "'")).lower()
    found: list[str] = []
    within = False
    for i, c in enumerate(text):
        inner = c == "'" and within and i + 1 < len(text) and not is_mark(text[i + 1])
        letter = inner or not is_mark(c)
        if letter and within:
            found[-1] += c
        elif not c.isspace():
            found.append(c)
        within = letter
    return tuple(found)


def is_mark(part: str) -> bool:
    """Whether one of `parted` is no word."""
    return unicodedata.category(part[0])[0] not in "LMN"
