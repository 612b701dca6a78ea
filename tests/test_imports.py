"""The layers of docs and design, enforced from the syntax tree."""

import ast
import functools
import graphlib
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1] / "jaxgen"
FILES = sorted(ROOT.rglob("*.py"))

# jaxgen.NAME or jaxgen/NAME/ -> its layer; a module imports from its own layer and those below
LAYERS = {
    "fields": 0,
    "words": 0,
    "progress": 0,
    "types": 0,
    "abilities": 0,
    "contract": 0,
    "config": 0,
    "recipes": 0,
    "errors": 0,
    "values": 0,
    "schedules": 0,
    "machine": 0,
    "sharding": 0,
    "fetch": 0,
    "files": 0,
    "lock": 0,
    "signals": 0,
    "rows": 0,
    "claim": 0,
    "names": 0,
    "shipped": 0,
    "stored": 0,
    "rundir": 0,
    "platform": 0,
    "processes": 0,
    "ops": 1,
    "data": 1,
    "nn": 2,
    "bijectors": 2,
    "methods": 3,
    "models": 3,
    "pictures": 1,
    "weights": 3,
    "evaluate": 4,
    "train": 4,
    "calls": 5,
    "coding": 5,
    "measure": 5,
    "views": 5,
    "run": 5,
    "report": 5,
    "explorer": 5,
    "boundary": 5,
    "fitting": 5,
    "session": 5,
    "main": 5,
    "mistakes": 5,
    "cli": 5,
    "tools": 5,
    "verbs": 5,
}
STRANGERS = {"models": "methods", "methods": "models"}  # joined by a config, never by an import
LINEN = {"nn", "bijectors", "models"}
HEAVY = {"tensorflow", "tensorflow_datasets", "orbax", "grain", "matplotlib", "av", "uvicorn"}
FAMILIES = set(
    "flow flows glow nvp vae vaes elbo gan gans critic generator discriminator adversarial "
    "diffusion ddpm autoregressive pixel codebook prior encoder decoder".split()
)
WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
MOST_LINES, MOST_FUNCTION_LINES = 400, 60  # docstrings of functions not counted


@functools.cache
def tree(path):
    return ast.parse(path.read_text())


def imports(path, top_level=False):
    """Dotted names of the modules that a file imports, anywhere or at its top level only."""
    nodes = tree(path).body if top_level else ast.walk(tree(path))
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield node.module
            if node.module == "jaxgen" or node.module in ("flax", "jax"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def unit(path):
    """The package or top-level module that a file belongs to; "" for jaxgen/__init__.py."""
    first = path.relative_to(ROOT).parts[0]
    return first.removesuffix(".py").replace("__init__", "")


def named(path):
    return str(path.relative_to(ROOT))


def test_every_file_has_a_layer():
    assert {unit(path) for path in FILES} - {""} == set(LAYERS)


def wrong_imports(path):
    """What a file imports and may not."""
    here = unit(path)
    for name in imports(path):
        package, _, rest = name.partition(".")
        other = rest.partition(".")[0]
        if package == "jaxgen" and other in LAYERS and here:
            if LAYERS[other] > LAYERS[here] or STRANGERS.get(here) == other:
                yield f"{named(path)} imports {name}"


def test_imports_point_down():
    assert [line for path in FILES for line in wrong_imports(path)] == []


def test_no_circle_among_packages():
    above = {name: set() for name in LAYERS}
    for path in FILES:
        for name in imports(path):
            package, _, rest = name.partition(".")
            other = rest.partition(".")[0]
            if package == "jaxgen" and other in LAYERS and unit(path) not in ("", other):
                above[unit(path)].add(other)
    list(graphlib.TopologicalSorter(above).static_order())  # raises with the circle


def module(path):
    """The dotted name of a file."""
    return ".".join(("jaxgen", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(
        ".__init__"
    )


def test_no_circle_among_files():
    """Not of imports inside of functions either; but for the door of the package, which has only
    such."""
    known = {module(path): path for path in FILES} | {"jaxgen": None}
    above = {name: set() for name in known}
    for name, path in known.items():
        if path is None:
            continue
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ImportFrom):
                found = {f"{node.module}.{alias.name}" for alias in node.names}
                above[name] |= {n if n in known else node.module for n in found} & known.keys()
            elif isinstance(node, ast.Import):
                above[name] |= {alias.name for alias in node.names} & known.keys()
        above[name].discard(name)
    list(graphlib.TopologicalSorter(above).static_order())  # raises with the circle


def test_linen_stays_in_the_networks():
    found = {p: {name for name in imports(p) if name.startswith("flax")} for p in FILES}
    linen = {p for p, names in found.items() if any(n.startswith("flax.linen") for n in names)}
    assert [named(p) for p in linen if unit(p) not in LINEN] == []
    assert found[ROOT / "types.py"] == {"flax.struct"}


def test_heavy_imports_wait_until_they_are_needed():
    at_once = {p: {n.partition(".")[0] for n in imports(p, top_level=True)} for p in FILES}
    assert {named(p): names & HEAVY for p, names in at_once.items() if names & HEAVY} == {}
    data = {named(p): imports(p, top_level=True) for p in FILES if unit(p) == "data"}
    slow = ("scipy.signal", "scipy.stats")  # half a second, of every command
    assert [p for p, names in data.items() if any(n.startswith(slow) for n in names)] == []


def words(path):
    """Of all identifiers."""
    for node in ast.walk(tree(path)):
        for field in ("id", "attr", "name", "arg", "module"):
            if isinstance(value := getattr(node, field, None), str):
                yield from (word.lower() for word in WORDS.findall(value))


def test_the_trainer_knows_no_family():
    trainer = [p for p in FILES if unit(p) in ("fields", "types", "train", "session")]
    found = {named(p): FAMILIES & set(words(p)) for p in trainer}
    assert {name: known for name, known in found.items() if known} == {}


def long_parts(path):
    """A file, and its functions without their docstrings, that are too long."""
    if (lines := len(path.read_text().splitlines())) >= MOST_LINES:
        yield f"{named(path)}: {lines} lines"
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef):
            doc = node.body[0] if ast.get_docstring(node) else None
            length = node.end_lineno - node.lineno + 1
            length -= doc.end_lineno - doc.lineno + 1 if doc else 0
            if length >= MOST_FUNCTION_LINES:
                yield f"{named(path)}: {node.name} has {length} lines"


def test_files_and_functions_are_short():
    assert [line for path in FILES for line in long_parts(path)] == []


def private(name):
    return name.startswith("_") and not name.startswith("__") and name != "_replace"


def of_class(node, kind):
    """Private names of a class: those that it defines, or those that its methods read of self."""
    if kind == "defined":
        return {n.name for n in node.body if isinstance(n, ast.FunctionDef) and private(n.name)}
    return {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute) and private(n.attr)}


def test_methods_hide_what_they_hide():
    """No private function of a method is called or replaced in the file of another."""
    classes = {}
    for path in sorted((ROOT / "methods").glob("*.py")):
        found = [node for node in tree(path).body if isinstance(node, ast.ClassDef)]
        classes |= {node.name: (path, node) for node in found}
    offenders = []
    for name, (path, node) in classes.items():
        bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
        here, above = of_class(node, "defined"), list(filter(classes.get, bases))
        for other in above:  # grows: bases of bases
            where, base = classes[other]
            above += [b.id for b in base.bases if isinstance(b, ast.Name) and b.id in classes]
            theirs = of_class(base, "defined")
            if where != path and (taken := theirs & (here | of_class(node, "read"))):
                offenders.append((name, other, sorted(taken)))
    assert not offenders
