"""Images with captions: a folder or .zip of both, for pictures of texts or texts of pictures."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxgen.data import caption_files
from jaxgen.data.dataset import DataError, Dataset, Split
from jaxgen.data.folder import FolderSplit, read
from jaxgen.data.trees import FolderTree, Part, Tree, ZipTree, printable
from jaxgen.fields import DataSpec, Field

LENGTH = 20  # words of a caption that are kept, where nothing else is asked for
LEAST_COUNT = 2  # times that a word is in the train captions, to be one of the vocabulary
SEVERAL = 5  # captions of a picture in the field `captions`
CAPTIONS = 6  # tells the seed of the choice of captions from those of other things that a run draws
PAD, UNKNOWN = "<pad>", "<unk>"
Texts = Sequence[Sequence[Sequence[str]]]  # words of each caption of each image


@dataclasses.dataclass(frozen=True)
class Tokens:
    """Captions of all images of a split.

    Attributes:
        rows: int32 [M, T].
        starts: int64 [N + 1], of the captions of each image among them.
    """

    rows: np.ndarray
    starts: np.ndarray

    def of(self, indices: np.ndarray, random: np.random.RandomState | None) -> np.ndarray:
        """`SEVERAL` captions of images [B], int32 [B, SEVERAL, T].

        Without `random` the first ones, and with it some in an order, all equally likely; of an
        image that has fewer, some come again.
        """
        counts = np.diff(self.starts)
        most = int(counts.max())
        keys = (
            np.arange(most)[None] if random is None else random.random_sample((len(indices), most))
        )
        own = counts[indices][:, None]
        order = np.argsort(np.where(np.arange(most) < own, keys, np.inf), axis=1, kind="stable")
        chosen = np.take_along_axis(order, np.arange(SEVERAL)[None] % own, axis=1)
        return self.rows[self.starts[indices][:, None] + chosen]


@dataclasses.dataclass(frozen=True, eq=False)
class CaptionedSplit(Split):
    """Images and captions of each: in training one is drawn at every visit, else it is the first.

    Attributes:
        pictures: whose "x" are the images.
        tokens: captions.
        of_pictures: x is a caption, `picture` is the image and `captions` are `SEVERAL` of it, x
            the first of them; else x is the image and `text` a caption.
        about: for the report.
    """

    pictures: Split
    tokens: Tokens
    of_pictures: bool
    about: str

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def place(self) -> str:
        """Of the images."""
        return self.pictures.place

    @property
    def decodes(self) -> bool:
        """See `Split`."""
        return self.pictures.decodes

    @property
    def redraws(self) -> bool:
        """See `Split`."""
        return self.of_pictures

    def take(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """See `Split.take`."""
        indices = np.asarray(indices)
        return self._batch(indices, self.tokens.of(indices, None))

    def draw(
        self, indices: np.ndarray, rows: slice, seed: int, index: int
    ) -> dict[str, np.ndarray]:
        """See `Split.draw`. Drawn for the whole batch, then cut: no division changes anything."""
        random = np.random.RandomState([seed, CAPTIONS, index % 2**32])
        return self._batch(indices[rows], self.tokens.of(indices, random)[rows])

    def _batch(self, indices: np.ndarray, captions: np.ndarray) -> dict[str, np.ndarray]:
        picture = self.pictures.take(indices)["x"]
        if self.of_pictures:
            return {"x": captions[:, 0], "picture": picture, "captions": captions}
        return {"x": picture, "text": captions[:, 0]}

    def sha256(self) -> str:
        """Hash of that of the images, and of every caption's tokens."""
        digest = hashlib.sha256(self.pictures.sha256().encode())
        for array in (self.tokens.rows, self.tokens.starts):
            digest.update(f"{array.shape};".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def describe(self, spec: DataSpec) -> list[str]:
        """How many captions and words there are."""
        return [f"  captions: {self.about}"]


def load(
    root: pathlib.Path,
    *,
    in_memory_mb: float,
    of_pictures: bool = False,
    words: int | None = None,
    least_count: int | None = None,
    **options: Any,
) -> Dataset:
    """Images and their captions in a folder or .zip.

    Captions are in one .jsonl or .json file that names images relative to its folder, or in one for
    each of `train/`, `test/`; see `caption_files`. Splits are those of a folder of images. The
    words are those of the train captions, in small letters, without marks, the most frequent first;
    rarer ones are `<unk>`. Sub-folders are no classes.

    Args:
        root: the folder or .zip.
        in_memory_mb: up to that many megabytes of decoded images are kept in memory.
        of_pictures: x is a caption, `picture` its image and `captions` several of it; else x is
            the image and `text` a caption.
        words: of a caption that are kept; None for `LENGTH`.
        least_count: times that a word is in the train captions; None for `LEAST_COUNT`.
        **options: of `folder.read`.

    Raises:
        DataError: for an image without a caption, a caption without an image, no words, or a bad
            file.
    """
    words = LENGTH if words is None else words
    least_count = LEAST_COUNT if least_count is None else least_count
    if min(words, least_count) < 1:
        raise DataError(f"expected data.words and data.least_count >= 1: {words}, {least_count}")
    tree: Tree = FolderTree(root) if root.is_dir() else ZipTree(root)
    said, files = _said(tree)
    part = Part(tree, {file: file for file in tree.files if file not in files})
    name = root.resolve().name if root.is_dir() else root.stem
    pictures = read(part, name, in_memory_mb=0, labelled=False, **options)
    texts = _of_splits(tree, said, pictures.splits)
    vocabulary = _vocabulary(texts["train"], least_count, root)
    text = Field("tokens", (words,), "int32", vocabulary=len(vocabulary), words=vocabulary)
    count, x = sum(map(len, pictures.splits.values())), pictures.spec.x
    if count * x.dims * np.dtype(x.dtype).itemsize <= in_memory_mb * 1e6:
        held: dict[str, Split] = {
            key: split.decoded()
            for key, split in pictures.splits.items()
            if isinstance(split, FolderSplit)
        }
        pictures = dataclasses.replace(pictures, splits=held)
    tokens = {key: _tokens(own, vocabulary, words) for key, own in texts.items()}
    about = _about(texts, vocabulary)
    splits: dict[str, Split] = {
        key: CaptionedSplit(split, tokens[key], of_pictures, about)
        for key, split in pictures.splits.items()
    }
    notes = (*pictures.notes, *_notes(texts, words, of_pictures))
    spec = DataSpec(name, _fields(x, text, of_pictures))
    source = f"captions {root}"
    return dataclasses.replace(pictures, spec=spec, splits=splits, source=source, notes=notes)


def _said(tree: Tree) -> tuple[dict[str, list[list[str]]], list[str]]:
    """Words of the captions of every image, and the files that have them."""
    files = caption_files.find(tree)
    found: dict[str, list[list[str]]] = {}
    for file in files:
        own = caption_files.read(tree, file)
        if twice := next((path for path in own if path in found), None):
            raise DataError(
                f"{tree.where(file)}: {printable(twice)} has captions in another file, too: keep "
                "those of one"
            )
        found |= own
    return found, files


def _of_splits(
    tree: Tree, said: Mapping[str, list[list[str]]], splits: Mapping[str, Split]
) -> dict[str, Texts]:
    """Words of the captions by split, in the order of its images."""
    files = {key: split.files for key, split in splits.items() if isinstance(split, FolderSplit)}
    without = [file for part in files.values() for file in part if file not in said]
    if without:
        raise DataError(
            f"{tree.root}: no caption of {printable(without[0])} ({len(without):,} such images): "
            "add one, or delete the image"
        )
    return {key: [said[file] for file in part] for key, part in files.items()}


def _vocabulary(texts: Texts, least_count: int, root: pathlib.Path) -> tuple[str, ...]:
    """What pads, what is not known, and the words, the most frequent first."""
    counts = collections.Counter(word for own in texts for words in own for word in words)
    kept = sorted(
        (word for word, n in counts.items() if n >= least_count), key=lambda w: (-counts[w], w)
    )
    if not kept:
        raise DataError(
            f"{root}: no word is in the train captions {least_count} times: lower data.least_count"
        )
    return (PAD, UNKNOWN, *kept)


def _tokens(texts: Texts, vocabulary: Sequence[str], length: int) -> Tokens:
    number = {word: i for i, word in enumerate(vocabulary)}
    every = [words[:length] for own in texts for words in own]
    rows = np.zeros((len(every), length), np.int32)
    for row, words in zip(rows, every, strict=True):
        row[: len(words)] = [number.get(word, 1) for word in words]
    return Tokens(rows, np.cumsum([0, *map(len, texts)], dtype=np.int64))


def _fields(x: Field, text: Field, of_pictures: bool) -> dict[str, Field]:
    if not of_pictures:
        return {"x": x, "text": text}
    several = Field("layout", (SEVERAL, *text.shape), "int32", classes=text.vocabulary)
    return {"x": text, "picture": x, "captions": several}


def _about(texts: Mapping[str, Texts], vocabulary: Sequence[str]) -> str:
    counts = [len(own) for own in texts["train"]]
    known = set(vocabulary)
    shares = {
        key: np.mean([word not in known for own in part for words in own for word in words])
        for key, part in texts.items()
    }
    unknown = ", ".join(f"{share:.1%} of the {key} words" for key, share in shares.items())
    each = f"{min(counts)} to {max(counts)}" if min(counts) < max(counts) else f"{counts[0]}"
    return (
        f"{sum(counts):,} of {len(counts):,} train images, {each} of each; {len(vocabulary) - 2:,} "
        f"words, and {UNKNOWN} for {unknown}"
    )


def _notes(texts: Mapping[str, Texts], length: int, of_pictures: bool) -> list[str]:
    """On captions that are cut, and those that come again."""
    lengths = np.array([len(words) for part in texts.values() for own in part for words in own])
    found = []
    if cut := int((lengths > length).sum()):
        found.append(
            f"{cut:,} of {len(lengths):,} captions have more than {length} words, up to "
            f"{lengths.max()}: cut; data.words keeps more"
        )
    few = sum(len(own) < SEVERAL for part in texts.values() for own in part)
    if few and of_pictures:
        found.append(f"{few:,} images have fewer than {SEVERAL} captions: some come again")
    return found
