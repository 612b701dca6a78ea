"""`jaxgen card RUN`: what a run is, in Markdown. What nobody has recorded is said to be unknown."""

from __future__ import annotations

import json
import os
import pathlib
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax

from jaxgen.abilities import Density
from jaxgen.config import ConfigError
from jaxgen.evaluate.measurement import of_stderr
from jaxgen.files import write
from jaxgen.rundir import read_json
from jaxgen.tools.outputs import unwritable
from jaxgen.train.integrity import state_digest
from jaxgen.train.weights_file import held

CARD = "README.md"
SPECIAL = re.compile(r"([\\`*_{}\[\]()#!~])")


def card(run: Any, out: str | os.PathLike[str] | None = None) -> pathlib.Path:
    """Writes it and returns its path.

    Args:
        run: loaded.
        out: a `.md` file; None takes `README.md` in the run.

    Raises:
        ConfigError: for a place that cannot be written.
        WriteError: see `files.atomic`.
    """
    path = pathlib.Path(out).expanduser() if out else run.directory.path / CARD
    if why := unwritable(path):
        raise ConfigError(f"{path} cannot be written ({why}): name another place with --out=FILE")
    write(path, text(run, path.parent))
    return path


def text(run: Any, folder: pathlib.Path | None = None) -> str:
    """The card.

    Args:
        run: loaded.
        folder: where it will lie, from which its picture is found; None says in the run.
    """
    sections = {
        "Papers": _papers(run),
        "Data": _data(run),
        "Results": _results(run),
        "Limits": _limits(run),
        "Use": _use(run),
        "Made by": _made(run),
    }
    parts = [f"# {plain(run.directory.path.name)}", *_summary(run), *_picture(run, folder)]
    for title, lines in sections.items():
        parts += [f"## {title}", "\n".join(lines)]
    config = json.dumps(run.config, indent=1, sort_keys=True)
    parts += ["## Config", f"```json\n{config}\n```"]
    return "\n\n".join(parts) + "\n"


def plain(value: Any) -> str:
    """A value as text of one line that Markdown takes as it is."""
    found = SPECIAL.sub(r"\\\1", " ".join(str(value).split()))
    return found.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def code(value: Any) -> str:
    """A value as code of one line."""
    return "`" + " ".join(str(value).split()).replace("`", "'") + "`"


def table(names: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Lines of a table of cells that are Markdown."""
    names = list(names)
    lines = [names, ["---"] * len(names), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines]


def _classes(run: Any) -> Iterator[tuple[str, type]]:
    """What a config calls a part -> its class."""
    own = vars(run.method).items()
    networks = run.config["model"]
    for name in ["model"] if "name" in networks else list(networks):
        found = next((v for k, v in own if k == name), None)
        if found is not None:
            yield name, type(found)
    yield "method", type(run.method)


def _said(kind: type) -> str:
    """The docstring of the file of a class."""
    return sys.modules[kind.__module__].__doc__ or ""


def _summary(run: Any) -> list[str]:
    """What it is."""
    rows = []
    for name, kind in _classes(run):
        said = _said(kind).partition("\n")[0]
        own = kind.__module__.removeprefix("jaxgen.")
        rows.append([name, code(f"{own}.{kind.__qualname__}"), plain(said) or "says nothing"])
    counts = {k: sum(x.size for x in jax.tree.leaves(v)) for k, v in run.state.params.items()}
    told = ", ".join(f"{plain(k)} {v:,}" for k, v in counts.items())
    averages = ", ".join(f"{plain(v)} for {plain(k)}" for k, v in run.averages.items()) or "none"
    return [
        "\n".join(table(("part", "class", "what it is"), rows)),
        f"Step {run.step:,}. Parameters: {told}. Averaged parameters: {averages}.",
    ]


def _picture(run: Any, folder: pathlib.Path | None) -> list[str]:
    """Of samples that the run drew while it trained."""
    found = sorted(run.directory.samples.glob("step_*.png"))
    if not found:
        return ["The run has drawn no picture of samples."]
    place = f"samples/{found[-1].name}"
    if folder is not None and folder != run.directory.path:
        place = pathlib.Path(os.path.relpath(found[-1], folder)).as_posix()
    step = int(found[-1].stem.removeprefix("step_"))
    return [f"![samples]({place.replace(' ', '%20')})", f"Samples, not chosen, of step {step:,}."]


def _papers(run: Any) -> list[str]:
    """What the code says of its sources."""
    lines = []
    for name, kind in _classes(run):
        sources = [p for p in _said(kind).split("\n\n") if p.startswith("Source")]
        lines += [f"- {name}: {plain(p.partition(':')[2])}" for p in sources]
    return lines or ["The code of its parts names none."]


def _data(run: Any) -> list[str]:
    """What is known of what it was trained on."""
    known = read_json(run.directory.manifest).get("data") or {}
    splits = (known.get("fingerprint") or {}).get("splits") or {}
    x = run.spec.x
    lines = [f"{plain(run.spec.name)}: {x.kind} {list(x.shape)}, {x.dtype}{_values(x)}.", ""]
    if splits:
        rows = [
            [plain(k), str(v.get("count", "unknown")), code(v.get("sha256", "unknown"))]
            for k, v in splits.items()
        ]
        lines += table(("split", "examples", "sha256"), rows)
    else:
        lines += ["Its examples have not been recorded."]
    return [*lines, "", "Licence: unknown. Who publishes the data says what may be done with them."]


def _values(x: Any) -> str:
    if x.values is not None:
        return f", integers from 0 to {x.values - 1}"
    return f", from {x.range[0]:g} to {x.range[1]:g}" if x.range else ""


def _results(run: Any) -> list[str]:
    """Metrics with 95 % intervals and what they depend on."""
    rows = [*_evaluated(run), *_measured(run)]
    if not rows:
        return ["Nothing has been measured."]
    note = "Numbers compare where all that they depend on is equal."
    return [*table(("metric", "value", "95 % interval", "depends on"), rows), "", note]


def _evaluated(run: Any) -> Iterator[list[str]]:
    """Of the end of the training."""
    if not run.directory.summary.exists():
        return
    summary = read_json(run.directory.summary)
    prints = summary.get("fingerprints") or {}
    for name, value in summary.items():
        about = prints.get(name)
        if not isinstance(about, Mapping):
            continue
        low = high = None
        if isinstance(value, float | int) and isinstance(about.get("stderr"), float | int):
            found = of_stderr(value, about["stderr"])
            low, high = found.low, found.high
        shown = {k: v for k, v in about.items() if k not in ("stderr", "method", "versions")}
        yield [plain(name), _number(value), _interval(low, high), _depends(shown)]


def _measured(run: Any) -> Iterator[list[str]]:
    """By `jaxgen eval --metrics`."""
    path = run.directory.path / "evaluation" / "measurements.json"
    if path.exists():
        for one in read_json(path)["measurements"]:
            about = {**(one.get("settings") or {}), **(one.get("fingerprint") or {})}
            about["step"] = (one.get("context") or {}).get("step", "unknown")
            interval = _interval(one.get("low"), one.get("high"))
            yield [plain(one.get("name")), _number(one.get("value")), interval, _depends(about)]


def _number(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float | int) else plain(value)


def _interval(low: Any, high: Any) -> str:
    known = isinstance(low, float | int) and isinstance(high, float | int)
    return f"{low:.5g} to {high:.5g}" if known else "unknown"


def _depends(about: Mapping[str, Any]) -> str:
    return plain(", ".join(f"{k} {v}" for k, v in about.items()))


def _limits(run: Any) -> list[str]:
    """What follows from what is known, and what has not been looked at."""
    lines = [f"- It knows {plain(run.spec.name)} and nothing else: what it makes is of that kind."]
    if isinstance(run.method, Density):
        of = run.method.density
        what = [f"{k} {v}" for k, v in of.fingerprint().items() if v not in (None, "")]
        lines += [f"- Its log-probabilities are {plain(', '.join(what))}."]
    else:
        lines += ["- It says nothing of how probable an example is."]
    path = run.directory.path / "evaluation" / "measurements.json"
    found = read_json(path)["measurements"] if path.exists() else []
    if not any(one.get("group") == "copying" for one in found):
        lines += ["- Whether samples copy training examples: not measured."]
    return [*lines, "- What the data leave out, and what that does to samples: not measured."]


def _use(run: Any) -> list[str]:
    """Commands, in a folder of the run's name."""
    name = re.sub(r"[^\w.-]", "_", run.directory.path.name)
    trained = "It cannot be trained further: the optimiser's state is not in it."
    lines = ["```sh", f"jaxgen sample {name}", f"jaxgen eval {name}", "```"]
    lines += ["", f'In Python `jaxgen.load("{name}").sample(64, seed=0)`.']
    return [*lines, "", trained] if run.directory.weights.exists() else lines


def _made(run: Any) -> list[str]:
    """Who made it of what: commands, versions, hashes, machines."""
    manifest = read_json(run.directory.manifest)
    versions = manifest.get("versions") or {}
    facts = {
        "command": code(manifest["command"]) if manifest.get("command") else "unknown",
        "begun": plain(manifest.get("time", "unknown")),
        "resumed": f"{len(manifest.get('resumed') or [])} times",
        "seed": plain(manifest.get("seed", "unknown")),
        "hardware": plain(manifest.get("devices", "unknown")),
        "processes": plain(manifest.get("processes", "unknown")),
        "energy and CO2": "not measured",
        "versions": plain(", ".join(f"{k} {v}" for k, v in versions.items())) or "unknown",
        "git commit": code(manifest.get("git_commit") or "unknown"),
        "digest of the weights": code(state_digest(held(run.state.averaged()))),
    }
    for name, about in (manifest.get("frozen") or {}).items():
        facts[f"frozen stage {plain(name)}"] = code(about.get("digest", "unknown"))
    return table(("what", "is"), ([k, v] for k, v in facts.items()))
