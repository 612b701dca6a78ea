"""Every command that README and docs show runs, on tiny runs, or says what it needs.

What it needs stands in parentheses behind the command, or in the comment of its line, as "needs
network"; a page may say it for its benchmarks together, as "benchmarks of this page need time".
Trainings are those of the tiny preset; numbers of examples and draws are at most 100.
"""

import pathlib
import re
import runpy
import shlex
import shutil

import numpy as np
import PIL.Image
import pytest
from command import ROOT
from parsers import VERBS
from test_documentation import NAMES, PAGES, PLACES, STARTS, _without_blocks

from jaxgen import cli

NEEDS = re.compile(r"needs? (?:a |several )?(network|GPU|data|time|machines|\w+ runs?)\b")
OF_PAGE = re.compile(r"benchmarks of this page need ([^.]+)\.")
STANDS_IN = (
    "vae",
    "flow",
    "conditional",
    "gan",
    "npe",
    "stylegan2",
    "grid25",
    "factors",
    "context",
    "diffusion",
)
MOST = 100  # of what is drawn, for this test
COUNTS = ("--num", "--importance_samples", "--frames")


def shown(text):
    """(words, what it needs or None) of every command of a page, in order."""
    text = text.replace("\\\n", " ")
    of_page = OF_PAGE.search(" ".join(text.split()))
    for line, said in [*_of_blocks(text), *_inline(text)]:
        need = NEEDS.search(" ".join(said.split()))
        for part in re.split(r"&&|;", line):
            part = re.sub(r"^\s*(?:[A-Z_]+=\S+ )*", "", " ".join(part.split()))
            if part.startswith(STARTS) and not PLACES.search(part):
                words = shlex.split(part)
                benchmark = part.startswith("python benchmarks/")
                yield words, need[1] if need else of_page[1] if benchmark and of_page else None


def _of_blocks(text):
    for pair in re.findall(r"```sh\n(.*?)```|(?:^|\n\n)((?:    .*\n)+)", text, re.S):
        for line in "".join(pair).splitlines():
            command, _, comment = line.partition(" #")
            yield command.strip(), comment


def _inline(text):
    return re.findall(r"`([^`]+)`(?:\s*\(([^)]*)\))?", _without_blocks(text))


def is_mention(words):
    """The name of a command, whose arguments are missing, or of which "..." is left out."""
    if any("..." in word or re.fullmatch("--config=[A-Z]+", word) for word in words):
        return True
    if words[0] == "python" or len(words) > 2 or words[1] not in VERBS:
        return words[:2] == ["python", "-m"] and len(words) == 3
    verb = VERBS[words[1]]
    return words[1] == "train" or any(
        a.required and a.nargs != "*" and not a.option_strings for a in verb._actions
    )


def smaller(words):
    """With numbers of at most `MOST`."""
    out = []
    for word in words:
        name, equals, value = word.partition("=")
        many = name in COUNTS and value.isdigit() and int(value) > MOST
        out.append(f"{name}={MOST}" if many else word)
    return out


def training(words):
    """Flags of the tiny training that stands for one."""
    words = words[3:] if words[0] == "python" else words[2:]
    if words and not words[0].startswith("-"):
        words = [f"--config={words[0]}", *words[1:]]
    name, _, preset = words[0].partition("=")[2].partition(":")
    name = pathlib.Path(name).stem
    preset = ",".join(dict.fromkeys([*filter(None, preset.split(",")), "tiny"]))
    runpy.run_path(str(ROOT / "configs" / f"{name}.py"))["get_config"](preset)
    rest = [w for w in words[1:] if not w.startswith("--config.train.steps")]
    if any(w.startswith("--config.train.steps") for w in words):
        rest.append("--config.train.steps=30")  # more than before, as there
    return [f"--config={ROOT}/configs/{name}.py:{preset}", *rest]


@pytest.fixture(scope="module")
def stand_ins(zoo, starter, data_root, tmp_path_factory):
    """Name -> a tiny run, of which a command takes the first that it can."""
    folder = tmp_path_factory.mktemp("runs")
    random = np.random.RandomState(0)
    x, context = random.randn(2, 400, 2).astype(np.float32)
    np.savez(folder / "pairs.npz", x=x, context=context)
    argv = {
        "conditional": ("--config=configs/biggan.py:digits,tiny",),
        "npe": ("--config=configs/npe.py:tiny",),
        "stylegan2": ("--config=configs/stylegan2.py:digits,tiny",),
        "grid25": ("--config=configs/gan.py:tiny", "--config.data.name=grid25"),
        "factors": ("--config=configs/beta_vae.py:tiny",),
        "diffusion": ("--config=configs/flow_matching.py:tiny",),
        "context": (
            "--config=configs/spline.py:tiny",
            f"--config.data.name={folder / 'pairs.npz'}",
        ),
    }
    found = {}
    for name in STANDS_IN:
        if name in argv:
            found[name] = starter.run(*argv[name], f"--workdir={folder / name}").workdir
        else:
            found[name] = zoo.copy(name, folder / name).workdir
    with pytest.MonkeyPatch.context() as patch:  # for pages that compare
        patch.setenv("JAXGEN_DATA_DIR", str(data_root))
        patch.setattr("jaxgen.platform.set_defaults", lambda: None)
        for name in ("vae", "flow"):
            cli.main(["eval", str(found[name]), "--metrics=speed"])
    return found


@pytest.fixture
def place(tmp_path, data_root, monkeypatch, write_images):
    """A folder with the files that pages speak of."""
    monkeypatch.setenv("JAXGEN_DATA_DIR", str(data_root))
    monkeypatch.setattr("jaxgen.platform.set_defaults", lambda: None)
    monkeypatch.chdir(tmp_path)
    random = np.random.RandomState(0)
    write_images(tmp_path / "photos", 40, (64, 64))
    write_images(tmp_path / "FOLDER", 40)
    for name in ("my.png", "photo.png"):
        PIL.Image.fromarray(random.randint(256, size=(20, 20)).astype(np.uint8)).save(name)
    np.savez("mine.npz", x=random.randint(17, size=(300, 8, 8, 1)).astype(np.uint8))
    np.savez("pairs.npz", x=random.randn(400, 2), context=random.randn(400, 2))
    rows = random.randn(400, 3)
    header = "rooms,price,year"
    np.savetxt("houses.csv", rows, delimiter=",", header=header, comments="")
    (tmp_path / "my_package.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def attempt(words, capsys):
    """None if the command ends well, else its error."""
    capsys.readouterr()
    try:
        cli.main(words)
    except SystemExit as end:
        return None if not end.code else capsys.readouterr().err
    return None


def on_stand_ins(words, stand_ins, capsys):
    """None if the command ends well on one of the runs, else the errors."""
    if "RUN" not in words:
        return attempt(words, capsys)
    errors = {}
    for name, run in stand_ins.items():
        tried = [str(run) if word == "RUN" else word for word in words]
        if words.count("RUN") > 1 and words[0] == "compare":  # of two that were measured
            tried[1:3] = [str(stand_ins[two]) for two in ("vae", "flow")]
        errors[name] = attempt(tried, capsys)
        if errors[name] is None:
            return None
    return "".join(f"\n  {name}: {' '.join(error.split())[:150]}" for name, error in errors.items())


def test_what_pages_need_is_read():
    text = "`jaxgen data mnist` (needs network), `jaxgen runs`\n(lists), `jaxgen doctor`\n"
    text += "```sh\njaxgen train glow   # needs time\njaxgen models # all\n```\n"
    found = list(shown(text))
    assert found == [
        (["jaxgen", "train", "glow"], "time"),
        (["jaxgen", "models"], None),
        (["jaxgen", "data", "mnist"], "network"),
        (["jaxgen", "runs"], None),
        (["jaxgen", "doctor"], None),
    ]
    assert is_mention(["jaxgen", "eval"]) and not is_mention(["jaxgen", "runs"])
    assert smaller(["--num=1000", "--num=10"]) == ["--num=100", "--num=10"]


@pytest.mark.parametrize("page", NAMES)
def test_benchmarks_say_what_they_need(page):
    """They take minutes to hours: none runs here."""
    for words, need in shown((ROOT / page).read_text()):
        assert need or words[:1] != ["python"] or words[1] == "-m", words


PAGES_OF_COMMANDS = [n for n, p in zip(NAMES, PAGES, strict=True) if any(shown(p.read_text()))]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES_OF_COMMANDS)
def test_commands_run(page, place, stand_ins, starter, capsys):
    seen, failed = set(), {}
    for words, need in shown((ROOT / page).read_text()):
        line = shlex.join(words)
        if need or line in seen or is_mention(words):
            continue
        seen.add(line)
        for name in re.findall(r"\bruns/glow-digits\b", line):  # of another page
            if not (place / name).exists():
                shutil.copytree(stand_ins["flow"], place / name)
        if words[0] == "python" or words[1] == "train":
            flags = training(words)
            devices = 2 if any("mesh" in flag for flag in flags) else 1
            job = starter.start(*flags, cwd=place, devices=devices).wait()
            error = job.err if job.code else None
        else:
            error = on_stand_ins(smaller(words[1:]), stand_ins, capsys)
        if error:
            failed[line] = error
    assert not failed, "\n".join(f"{line}: {error}" for line, error in failed.items())
