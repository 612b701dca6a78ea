"""README and docs say what exists: commands, options, presets, fields, files and pictures."""

import pathlib
import re
import runpy
import shlex
import tomllib

import pytest
from command import ROOT

from jaxgen import cli
from jaxgen.config import ConfigError, flatten
from jaxgen.tools.parser import parse

PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
STARTS = ("jaxgen ", "python -m jaxgen.main ", "python benchmarks/", ".venv/bin/jaxgen ")
PLACES = re.compile(r"\b(NAME|CONFIG|PRESET|OPTIONS|VERB|METRIC|PAPER|FAMILY)\b|[{]")  # for others


def commands(text):
    """Every command of ours in a page, as words: of blocks, and of single lines of code."""
    text = text.replace("\\\n", " ")
    blocks = re.findall(r"```sh\n(.*?)```|(?:^|\n\n)((?:    .*\n)+)", text, re.S)
    lines = [line.strip() for pair in blocks for block in pair for line in block.splitlines()]
    lines += [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", _without_blocks(text))]
    for line in lines:
        for part in re.split(r"&&|;", re.sub(r"\s#.*", "", line)):
            part = re.sub(r"^\s*(?:[A-Z_]+=\S+ )*", "", part)
            if part.startswith(STARTS) and not PLACES.search(part):
                yield [word for word in shlex.split(part) if "..." not in word]


def _without_blocks(text):
    return re.sub(r"```.*?```", "", text, flags=re.S)


def check_training(words):
    """The preset is there, and so is every field that is set."""
    named = [w.partition("=")[2] for w in words if w.startswith("--config=")]
    if not named and words and not words[0].startswith("-"):
        named = [words[0]]
    if not named or named[0].isupper():
        return
    name, _, arg = named[0].partition(":")
    module = runpy.run_path(str(ROOT / "configs" / f"{pathlib.Path(name).stem}.py"))
    config = module["get_config"](arg)
    fields = set(flatten(config.to_dict()))
    for word in words:
        if found := re.match(r"--config\.([\w.]+)(?:=|$)", word):
            key = found[1]
            inside = any(field.startswith(f"{key}.") for field in fields)
            assert key in fields or inside, f"{word}: no such field of {named[0]}"


@pytest.mark.parametrize("page", NAMES)
def test_commands_are_those_that_there_are(page):
    for words in commands((ROOT / page).read_text()):
        if words[0] == "python" and words[1] != "-m":
            assert (ROOT / words[1]).exists(), words
        elif words[0] == "python":
            check_training(words[3:])
        elif words[1:2] == ["train"]:
            check_training(words[2:])
        elif len(words) == 2:  # the verb alone
            assert words[1] in cli.parser().verbs or words[1] in cli.parser().options
        else:
            parse(cli.parser(), words[1:])


def test_enough_commands_are_found():
    """The test above reads what people read."""
    found = [words for page in PAGES for words in commands(page.read_text())]
    assert len(found) > 100
    assert ["jaxgen", "eval", "RUN", "--metrics=fd,pr"] in found
    with pytest.raises(ConfigError, match="did you mean --out"):
        parse(cli.parser(), shlex.split("compare RUN --outt=page.html"))
    with pytest.raises(AssertionError, match="no such field"):
        check_training(shlex.split("glow --config.model.depht=3"))


@pytest.mark.parametrize("page", NAMES)
def test_pictures_and_files_are_there(page):
    text = _without_blocks((ROOT / page).read_text())
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert ((ROOT / page).parent / target).exists(), target
    for path in re.findall(r"`((?:configs|jaxgen|tests|benchmarks|launch)/[\w/.-]+\.\w+)`", text):
        assert PLACES.search(path) or (ROOT / path).exists(), path


def test_every_page_is_in_the_contents():
    nav = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]

    def pages(entries):
        for entry in entries:
            for target in entry.values():
                yield from [target] if isinstance(target, str) else pages(target)

    docs = ROOT / "docs"
    assert sorted(pages(nav)) == sorted(str(p.relative_to(docs)) for p in docs.rglob("*.md"))


def test_every_config_is_in_the_table_of_models():
    text = (ROOT / "docs/models.md").read_text()
    absent = [p.stem for p in (ROOT / "configs").glob("*.py") if f"configs/{p.name}`" not in text]
    assert not absent
