"""Python mirrors the verbs one to one: each names the function that it calls."""

import importlib
import inspect
import json
import pkgutil
import re

import fake_runs
import numpy as np
import PIL.Image
import pytest
from command import ROOT
from parsers import VERBS

import jaxgen
from jaxgen import verbs
from jaxgen.data.limits import load_npz

MODULES = [
    importlib.import_module(f"jaxgen.verbs.{m.name}") for m in pkgutil.iter_modules(verbs.__path__)
]
# options that say where to read and write, which `jaxgen.load` and `Picture.save` take
ELSEWHERE = {"out", "force", "step", "average", "allow", "data", "manual_dir", "json", "help"}
OTHERWISE = {"run": ("self",), "file": ("path",), "config": ("name",), "study": ("name",)}


def mirrors(module):
    found = module.PYTHON
    return (found,) if isinstance(found, str) else found


def resolved(path):
    """The object of a dotted path."""
    parts = path.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            found = getattr(found, part)
        return found
    raise AssertionError(path)


def verb_of(module):
    """The name that it gives itself."""
    commands = {name: parser.get_default("command") for name, parser in VERBS.items()}
    (name,) = (n for n, f in commands.items() if f and f.__module__ == module.__name__)
    return name


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.__name__.rpartition(".")[2])
def test_every_verb_has_its_mirror(module):
    name = verb_of(module)
    functions = [resolved(path) for path in mirrors(module)]
    assert all(callable(f) and inspect.getdoc(f) for f in functions), name
    row = re.search(
        rf"^\| `jaxgen {name}` \| (.*) \|$", (ROOT / "docs/python.md").read_text(), re.M
    )
    for path in mirrors(module):
        assert path.rpartition(".")[2] in row[1], f"{path} is not in docs/python.md"
    taken = {}
    for function in functions:
        taken |= inspect.signature(function).parameters
    if "options" in taken or not taken:  # those of a config section, or none at all
        return
    for action in VERBS[name]._actions:
        if action.dest not in ELSEWHERE and not any(action.dest in p for p in mirrors(module)):
            wanted = {action.dest, *OTHERWISE.get(action.dest, ())}
            assert wanted & taken.keys(), f"{name}: nothing takes {action.dest}"


def test_commands_are_attributes_of_the_package():
    assert {*jaxgen.COMMANDS, *jaxgen.PACKAGES} <= {*dir(jaxgen)}
    for name in jaxgen.COMMANDS:
        assert getattr(jaxgen, name).__name__ == name and name in VERBS
    with pytest.raises(AttributeError, match="no attribute 'interpolat'"):
        _ = jaxgen.interpolat


@pytest.fixture(scope="module")
def loaded(zoo, data_root, tmp_path_factory):
    run = zoo.copy("vae", tmp_path_factory.mktemp("mirrors") / "vae-digits").workdir
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXGEN_DATA_DIR", str(data_root))
        yield jaxgen.load(run)


@pytest.mark.parametrize(
    ("verb", "method", "options"),
    [
        ("reconstruct", "reconstructions", {"num": 4}),
        ("interpolate", "interpolate", {"steps": 3, "path": "spherical"}),
        ("sweep", "sweep", {"dims": 2, "steps": 3, "span": 2.0}),
        ("walk", "walk", {"num": 4, "frames": 3}),
        ("evolve", "evolve", {}),
    ],
)
def test_views_are_those_of_the_command(loaded, tmp_path, jaxgen_command, verb, method, options):
    picture = getattr(loaded, method)(**options)
    words = [f"--{k}={v}" for k, v in options.items()]
    jaxgen_command(verb, loaded.directory.path, *words, f"--out={tmp_path / 'x.npz'}")
    jaxgen_command(verb, loaded.directory.path, *words, f"--out={tmp_path / 'x.png'}")
    written = load_npz(tmp_path / "x.npz")
    assert set(written) == set(picture.arrays)
    for name, value in picture.arrays.items():
        np.testing.assert_array_equal(written[name], value)
    with PIL.Image.open(tmp_path / "x.png") as image:
        np.testing.assert_array_equal(np.asarray(image), picture.image)


def test_own_pictures_as_files_and_as_arrays(loaded, tmp_path):
    x = loaded.dataset().splits["test"].take(np.arange(4))["x"]
    np.savez(tmp_path / "x.npz", x=x)
    found = loaded.interpolate(x, steps=3).arrays["x"]
    assert found.shape == (2, 3, 8, 8, 1)
    for given in (tmp_path / "x.npz", [str(tmp_path / "x.npz")]):
        np.testing.assert_array_equal(loaded.interpolate(given, steps=3).arrays["x"], found)
    with pytest.raises(ValueError, match="3 pictures, expected pairs"):
        loaded.interpolate(x[:3])
    with pytest.raises(ValueError, match=r"pictures: shape \(4, 7, 8, 1\), expected examples"):
        loaded.reconstructions(x[:, :7])
    with pytest.raises(ValueError, match="steps=0: expected"):
        loaded.interpolate(steps=0)
    with pytest.raises(ValueError, match="is not conditional"):
        loaded.walk(label=3)


def test_runs_are_listed_shown_pruned_and_compared(loaded, tmp_path, jaxgen_command):
    path = loaded.directory.path
    listed = json.loads(jaxgen_command("runs", path.parent, "--json").out)
    (found,) = jaxgen.runs(path.parent)
    assert listed[0]["step"] == found.step == 20 and found.path == path
    shown = jaxgen_command("show", path).out.splitlines()
    assert [tuple(line.split(maxsplit=1)) for line in shown][1] == jaxgen.show(path)[1]
    (path / "evaluation/generated").mkdir(parents=True)
    ((freed, _),) = jaxgen.prune(path)
    assert freed.is_dir()
    jaxgen.prune(path, yes=True)
    assert not freed.exists() and jaxgen.prune(path) == []
    runs = [str(tmp_path / name) for name in ("a", "b")]
    for run in runs:
        fake_runs.run(run)
    (first, second) = jaxgen.compare(runs, tmp_path / "x.html")
    assert (first.name, second.name) == ("a", "b")
    jaxgen_command("compare", *runs, f"--out={tmp_path / 'y.html'}")
    pages = [
        re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "", (tmp_path / f).read_text())
        for f in ("x.html", "y.html")
    ]
    assert pages[0] == pages[1]
