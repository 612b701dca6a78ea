"""Folders of images and captions: what is read, what is drawn, and what is wrong with them."""

import collections
import json
import shutil

import numpy as np
import PIL.Image
import pytest

import jaxgen.data
from jaxgen.data import DataError
from jaxgen.data.augment import training
from jaxgen.data.dataset import differences
from jaxgen.data.loader import train_batches
from jaxgen.fields import Field
from jaxgen.train.derived import DerivedSplit
from jaxgen.words import parted, words_of

SAID = {  # of five images; "owl" is there once
    "birds/0.png": ["A red bird.", "a bird, red", "the red owl"],
    "birds/1.png": ["a blue bird"],
    "birds/2.png": ["A bird\u2019s tail", "a blue bird"],
    "3.png": ["the bird\u2019s red tail"] * 7,
    "4.png": ["a red bird", "the blue bird"],
}


@pytest.fixture
def root(tmp_path, write):
    place = tmp_path / "birds"
    for i, name in enumerate(SAID):
        write(place / name, (6, 8, 3), i)
    lines = [json.dumps({"file": name, "captions": texts}) for name, texts in SAID.items()]
    (place / "captions.jsonl").write_text("\n".join([*lines, "", ""]))
    return place


def load(root, name="captions", **options):
    return jaxgen.data.load(f"{name}:{root}", **options)


def pixels(root):
    """Bytes of an image -> its name."""
    return {np.asarray(PIL.Image.open(root / name)).tobytes(): name for name in SAID}


def plain(text):
    return "".join(c for c in text.replace("\u2019", "'").lower() if c not in ".,")


@pytest.mark.parametrize("in_memory_mb", [0, 512])
def test_images_and_their_first_captions(root, in_memory_mb):
    data = load(root, in_memory_mb=in_memory_mb, least_count=1)
    assert list(data.spec.fields) == ["x", "text"] and data.spec.shape == (6, 8, 3)
    text, seen, names = data.spec.fields["text"], [], pixels(root)
    assert text.words[:2] == ("<pad>", "<unk>") and text.shape == (20,)
    for split in data.splits.values():
        batch = split.take(np.arange(len(split))[::-1])
        for x, tokens in zip(batch["x"], batch["text"], strict=True):
            name = names[x.tobytes()]
            wanted = plain(SAID[name][0]).split()
            found = text.text(tokens).split()
            assert [w if w in text.words else "<unk>" for w in wanted] == found
            seen.append(name)
    assert sorted(seen) == sorted(SAID) and data.held_out and data.source.startswith("captions ")


def test_vocabulary_is_of_the_train_split_and_the_most_frequent_first(root):
    (root / "train").mkdir()
    (root / "test").mkdir()
    lines = {"train": [], "test": []}
    for i, (name, texts) in enumerate(SAID.items()):
        split = "test" if i == 3 else "train"
        shutil.move(root / name, root / split / f"{i}.png")
        lines[split].append(json.dumps({"file_name": f"{i}.png", "text": texts[0]}))
    (root / "captions.jsonl").unlink()
    for split, own in lines.items():
        (root / split / "metadata.jsonl").write_text("\r\n".join(own), "utf-8-sig")
    data = load(root)
    counts = collections.Counter(" ".join(plain(SAID[n][0]) for n in SAID if n != "3.png").split())
    frequent = sorted((w for w in counts if counts[w] > 1), key=lambda w: (-counts[w], w))
    assert data.spec.fields["text"].words == ("<pad>", "<unk>", *frequent)
    tokens = data.splits["test"].take(np.arange(1))["text"][0]
    assert data.spec.fields["text"].text(tokens) == "<unk> <unk> red <unk>"
    assert "75.0% of the test words" in data.report() and not data.held_out


def test_annotations_as_of_coco(root):
    images = [{"id": 10 + i, "file_name": f"./{name}"} for i, name in enumerate(SAID)]
    notes = [
        {"image_id": 10 + i, "id": 7, "caption": text}
        for i, texts in enumerate(SAID.values())
        for text in texts
    ]
    lines = load(root).fingerprint()
    (root / "captions.jsonl").unlink()
    (root / "all.json").write_text(json.dumps({"info": {}, "images": images, "annotations": notes}))
    assert load(root).fingerprint() == lines


@pytest.mark.parametrize("name", ["captions", "captions_reversed"])
def test_draws_are_of_the_seed_and_the_number_of_the_batch(root, name):
    """And the same for any division of the batch; every caption of an image is as likely."""
    data = load(root, name, test_fraction=0.2, words=5, least_count=1, workers=0)
    split, field = data.splits["train"], "text" if name == "captions" else "x"
    batches = train_batches(split, 8, seed=3, threads=0)
    first = [next(batches)[1] for _ in range(4)]
    again = train_batches(split, 8, seed=3, start=2, threads=2)
    for wanted in first[2:]:
        found = next(again)[1]
        assert all((found[k] == wanted[k]).all() for k in wanted)
    halves = [
        next(train_batches(split, 8, seed=3, start=1, threads=0, process_index=i, process_count=2))
        for i in range(2)
    ]
    for key, whole in first[1].items():
        np.testing.assert_array_equal(np.concatenate([h[1][key] for h in halves]), whole)
    drawn = collections.Counter()
    index = np.full(600, 0)
    tokens, starts = split.tokens.rows, split.tokens.starts
    most = int(np.argmax(np.diff(starts)))
    for row in split.draw(index + most, slice(0, 600), 0, 0)[field]:
        drawn[row.tobytes()] += 1
    own = collections.Counter(t.tobytes() for t in tokens[starts[most] : starts[most + 1]])
    assert drawn.keys() == own.keys()
    for row, count in own.items():
        share = count / own.total()
        assert abs(drawn[row] / 600 - share) < 4 * np.sqrt(share * (1 - share) / 600) + 1e-9


def test_captions_of_pictures(root):
    data = load(root, "captions_reversed", size=4, fit="crop", words=4, least_count=1)
    fields = data.spec.fields
    assert list(fields) == ["x", "picture", "captions"] and fields["picture"].shape == (4, 4, 3)
    assert fields["x"].shape == (4,) and fields["captions"].shape == (5, 4)
    split = data.splits["train"]
    for batch in (split.take(np.arange(4) % len(split)), next(train_batches(split, 4, seed=0))[1]):
        assert all(batch[k].shape == (4, *f.shape) for k, f in fields.items())
        assert all(batch[k].dtype == f.dtype for k, f in fields.items())
        np.testing.assert_array_equal(batch["x"], batch["captions"][:, 0])
    for i in range(len(split)):
        own = split.tokens.rows[split.tokens.starts[i] : split.tokens.starts[i + 1]]
        found = split.draw(np.array([i]), slice(0, 1), 1, i)["captions"][0]
        wanted = collections.Counter(map(bytes, own))
        most = -(-5 // len(own))  # visits of each, before any has more
        counts = collections.Counter(map(bytes, found))
        assert all(counts[t] <= most * wanted[t] for t in counts) and counts.keys() <= wanted.keys()
    assert "have fewer than 5 captions: some come again" in data.report()


def test_report_fingerprint_and_zip(root, tmp_path):
    data = load(root, words=3, flip=True)
    report = data.report()
    assert "have more than 3 words, up to 4: cut; data.words keeps more" in report
    assert "text: 3 (T)" in report and "left or right" not in report
    zipped = shutil.make_archive(str(tmp_path / "birds"), "zip", root)
    assert not differences(data.fingerprint(), load(zipped, words=3).fingerprint())
    assert differences(data.fingerprint(), load(root, words=4).fingerprint())
    lines = (root / "captions.jsonl").read_text()
    (root / "captions.jsonl").write_text(lines.replace("owl", "left"))
    other = load(root, words=3, flip=True, least_count=1)
    assert "texts that say left or right are wrong of mirrored pictures" in other.report()
    assert "left or right" not in load(root, words=3, least_count=1).report()
    flipped = training(other).draw(np.arange(2), slice(0, 2), 0, 0)
    assert flipped["text"].shape == (2, 3)
    moved = load(shutil.move(root, tmp_path / "moved"), words=3, least_count=1)
    assert not differences(other.fingerprint(), moved.fingerprint())


def line(**row):
    return json.dumps(row).encode()


GOOD = [line(file=name, captions=texts) for name, texts in SAID.items()]
WRONG = {
    "latin-1": (
        [*GOOD[:2], b'{"file": "3.png", "text": "caf\xe9"}'],
        "line 3, byte 31: 0xe9 is no",
    ),
    "utf-16": ("a".encode("utf-16"), "line 1, byte 1: 0xff is not UTF-8"),
    "not json": ([*GOOD, b"", b'{"file" 3}'], r"line 7: not JSON: Expecting ':' .*\(column 9\)"),
    "deep": ([*GOOD, b"[" * 9999], "line 6: not JSON: nested too deeply"),
    "half a letter": (
        [line(file="3.png", text="\ud83d")],
        "line 1: not JSON of captions: a string",
    ),
    "a number": ([*GOOD, b"3"], "line 6: expected {.file.: ..., .captions.: "),
    "no file": (
        [line(image="3.png", text="a")],
        "line 1: expected one of file, file_name; it has 'im",
    ),
    "two texts": (
        [line(file="3.png", text="a", caption="b")],
        "expected one of captions, caption, ",
    ),
    "no text": ([line(file="3.png", text=3)], "line 1: expected a file's name, and its caption or"),
    "none": ([line(file="3.png", captions=[])], "line 1: no caption of '3.png'"),
    "absent": (
        [*GOOD, line(file="5.png", text="a"), line(file="6.png", text="a")],
        "line 6: no file '5.png' in .*2 such.: add it",
    ),
    "without": (GOOD[:3], r"no caption of 3.png \(2 such images\): add one, or delete"),
    "empty": (
        [*GOOD[:4], line(file="4.png", captions=["a", " ... "])],
        "line 5: an empty caption of '4",
    ),
    "twice": (
        [*GOOD, line(file="birds\\0.png", text="a")],
        r"line 6: 'birds\\\\0.png' is there already, in line 1",
    ),
    "up": ([line(file="../x.png", text="a")], "line 1: '../x.png' is no file below the folder of"),
    "root": ([line(file="/etc/x.png", text="a")], "line 1: '/etc/x.png' is no file below the"),
    "drive": ([line(file="C:\\x.png", text="a")], "is no file below the folder"),
    "rare": (
        [line(file=name, text=f"word{i}") for i, name in enumerate(SAID)],
        "no word is in the train captions 2 times: lower data.least_count",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_lines_is_said_in_one(root, case):
    content, message = WRONG[case]
    content = content if isinstance(content, bytes) else b"\n".join(content)
    (root / "captions.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=message) as raised:
        load(root)
    assert "\n" not in str(raised.value)


def coco(images=(), annotations=()):
    images = [{"id": i, "file_name": name} for i, name in enumerate(SAID)] + list(images)
    every = [{"image_id": i, "caption": "a bird"} for i in range(len(SAID))] + list(annotations)
    return {"images": images, "annotations": every}


ANNOTATED = {
    "unknown id": (
        coco((), [{"image_id": 9, "caption": "a"}]),
        "annotation 6: there is no image of the id 9",
    ),
    "id twice": (coco([{"id": 3, "file_name": "x.png"}]), "image 6: the id 3 is there already"),
    "file twice": (
        coco([{"id": 6, "file_name": "3.png"}], [{"image_id": 6, "caption": "a"}]),
        "image 6: '3.png' is there already, in image 4",
    ),
    "instances": ({"images": [], "categories": []}, 'expected {"images": .* as COCO has it'),
    "no caption": (
        coco((), [{"image_id": 1, "segmentation": []}]),
        'annotation 6: expected {"image_id"',
    ),
    "without": (
        {**coco(), "annotations": coco()["annotations"][:3]},
        r"no caption of 3.png \(2 such",
    ),
    "up": (
        coco([{"id": 6, "file_name": "a/../../x.png"}], [{"image_id": 6, "caption": "a"}]),
        "is no file below",
    ),
}


@pytest.mark.parametrize("case", ANNOTATED)
def test_what_is_wrong_with_annotations_is_said_in_one_line(root, case):
    content, message = ANNOTATED[case]
    (root / "captions.jsonl").unlink()
    (root / "captions.json").write_text(json.dumps(content, indent=1))
    with pytest.raises(DataError, match=message) as raised:
        load(root)
    assert "\n" not in str(raised.value)
    (root / "captions.json").write_text('{\n"images" []}')
    with pytest.raises(DataError, match=r"captions.json: not JSON: Exp.* \(line 2, column 10\)"):
        load(root)


def test_files_that_do_not_go_together(root):
    shutil.copy(root / "captions.jsonl", root / "more.json")
    with pytest.raises(
        DataError, match="two files of captions in one folder, captions.jsonl and mo"
    ):
        load(root)
    shutil.move(root / "more.json", root / "birds" / "own.jsonl")
    (root / "birds" / "own.jsonl").write_bytes(line(file="1.png", text="a"))
    with pytest.raises(
        DataError, match="captions.jsonl: birds/1.png has captions in another file, too"
    ):
        load(root)
    (root / "birds" / "own.jsonl").unlink()
    (root / "birds" / "1.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"birds/1.png"):
        load(root)
    (root / "captions.jsonl").unlink()
    with pytest.raises(DataError, match="has no file of captions: expected one .jsonl file"):
        load(root)


def test_options_are_of_folders_of_captions(root):
    for options, name in (({"words": 3}, "digits"), ({"least_count": 3}, f"folder:{root}")):
        with pytest.raises(DataError, match=f"data.{min(options)} is of a folder of captions"):
            jaxgen.data.load(name, **options)
    with pytest.raises(DataError, match="expected data.words and data.least_count >= 1: 0, 2"):
        load(root, words=0)


def test_words_are_parted_at_spaces_and_marks():
    found = words_of(
        "The bird\u2019s red-and-white TAIL, 'up' (caf\u00e9, cafe\u0301) \u2014 \u0928\u093f 3.5"
    )
    caf = "caf\u00e9"
    assert found == [
        "the",
        "bird's",
        "red",
        "and",
        "white",
        "tail",
        "up",
        caf,
        caf,
        "\u0928\u093f",
        "3",
        "5",
    ]
    assert parted("''a'") == ("'", "'", "a", "'")
    text = Field(
        "tokens", (6,), "int32", vocabulary=6, words=("<pad>", "red", ",", "disc", "<x>", "3.5")
    )
    assert text.text(text.tokens("Red, disc! <x> 3.5")) == "red , disc <x> 3.5"
    many = tuple(f"w{i}" for i in range(500))
    field = Field("tokens", (3,), "int32", vocabulary=500, words=many)
    with pytest.raises(
        ValueError, match=r"unknown word 'w4000': did you mean .*, ... 499 in all\)"
    ):
        field.tokens("w1 w4000")


@pytest.mark.parametrize("name", ["captions", "captions_reversed"])
def test_codes_of_images_go_with_a_drawn_caption(root, name):
    """But not with x, where that is the caption: there it is the first, of which the codes are."""
    split = load(root, name, words=5, least_count=1).splits["train"]
    codes = DerivedSplit(split, {"codes": np.arange(len(split))})
    indices, rows = np.arange(len(split)).repeat(8), slice(2, 30)
    found = codes.draw(indices, rows, 1, 2)
    np.testing.assert_array_equal(found.pop("codes"), indices[rows])
    wanted = split.draw(indices, rows, 1, 2) if name == "captions" else split.take(indices[rows])
    assert found.keys() == wanted.keys() and all((found[k] == wanted[k]).all() for k in found)
    field = "text" if name == "captions" else "captions"
    assert (split.draw(indices, rows, 1, 2)[field] != split.take(indices[rows])[field]).any()
