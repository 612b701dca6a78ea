"""Training from Python: `jaxgen.fit`, the trainer of the command line on what is in memory."""

from __future__ import annotations

import contextlib
import copy
import io
import os
import pathlib
import signal
from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from jaxgen import mistakes, names
from jaxgen.claim import owned
from jaxgen.config import ConfigError, check_sections, common
from jaxgen.data import Dataset, from_arrays, kept
from jaxgen.files import free_name
from jaxgen.rundir import RunDir
from jaxgen.shipped import located

ARRAYS = ("columns", "context", "label", "standardize", "test_fraction", "seed")  # of config.data


def trained(
    method: Any,
    data: Any,
    *,
    steps: int | None,
    batch_size: int | None,
    seed: int | None,
    workdir: str | os.PathLike[str] | None,
    quiet: bool,
    changes: Mapping[str, Any],
) -> Any:
    """The run; see `jaxgen.fit`."""
    if not isinstance(changes.get("data", {}), Mapping):
        raise ConfigError("data are the second argument: jaxgen.fit(method, data)")
    config, name = _config(method)
    train = {"steps": steps, "batch_size": batch_size}
    _change(config, {"train": {k: v for k, v in train.items() if v is not None}})
    _change(config, {} if seed is None else {"seed": seed})
    _change(config, changes)
    check_sections(config)
    if isinstance(data, str | os.PathLike):
        config["data"]["name"], data = os.fspath(data), None
    elif data is None and names.is_method(type(method)):
        raise ConfigError("data: a method has none of its own; give arrays, or a name as 'digits'")
    from jaxgen.train.sections import check

    check(config if data is None else _named(config, kept.FILE), allow=None)
    arrays, about = None, str(config["data"]["name"])
    if data is not None:
        section = config["data"]
        dataset = from_arrays(data, **{k: section[k] for k in ARRAYS if k in section})
        arrays, about = kept.as_arrays(data), dataset.spec.name
        _check_spec(method, dataset)
    path = _workdir(workdir, f"{name}-{pathlib.Path(about).name}")
    if arrays is not None:
        config = _named(config, str(path / kept.FILE))
    with contextlib.redirect_stdout(io.StringIO()) if quiet else contextlib.nullcontext():
        _execute(config, path, arrays)
    from jaxgen.run import Run

    return Run(path, allow=_modules(config))


def _named(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The config with data of that name."""
    return {**config, "data": {**config["data"], "name": name}}


def _config(method: Any) -> tuple[dict[str, Any], str]:
    """A config of one's own, as plain dictionaries, and what it is called."""
    if isinstance(method, str | os.PathLike):
        path, _, preset = located(os.fspath(method)).partition(":")
        return mistakes.load(path, preset).to_dict(), pathlib.Path(path).stem
    if names.is_method(type(method)):
        config = _of_method(method)
    elif isinstance(method, Mapping | ConfigDict):
        found = method.to_dict() if isinstance(method, ConfigDict) else method
        config = copy.deepcopy(dict(found))
        check_sections(config)
    else:
        raise ConfigError(
            f"method={str(method)[:80]!r}: expected the name of a preset, as 'glow' or "
            "'vae:mnist', a config with all its sections, or a method of jaxgen.methods"
        )
    section = config["model"] if "name" in config["model"] else config["method"]
    return config, str(section.get("name")).rpartition(".")[2].rpartition(":")[2].lower()


def _of_method(method: Any) -> dict[str, Any]:
    """The defaults of every config, around what a method is made of."""
    from jaxgen.contract import check

    check(method)
    config = common("").to_dict()
    players = dict.fromkeys(turn.player for turn in method.turns)
    config |= names.sections_of(method)
    config["optim"] = {p: {"name": "adam", "learning_rate": 1e-3} for p in players}
    config["evaluate"] |= {"best": "", "sample": {}}
    return config


def _change(section: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Puts values into sections; what no section has, whoever takes the section refuses."""
    for name, value in changes.items():
        *outer, last = name.split(".")
        inner = section
        for key in outer:
            inner = inner.setdefault(key, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"{name}={value!r}: config.{'.'.join(outer)} has no fields")
        if isinstance(value, Mapping):
            part = inner.setdefault(last, {})
            if not isinstance(part, dict):
                part = inner[last] = {}
            _change(part, value)
        else:
            real = isinstance(inner.get(last), float) and type(value) is int
            inner[last] = float(value) if real else value


def _check_spec(method: Any, dataset: Dataset) -> None:
    """Refuses a method that was made for other data."""
    if not names.is_method(type(method)):
        return
    made, given = (
        {k: (f.kind, f.shape, f.dtype, f.values) for k, f in spec.fields.items()}
        for spec in (method.spec, dataset.spec)
    )
    if made != given:
        raise ConfigError(
            f"the method was made for data of fields {made}, those given have {given}: make it "
            "with the spec of jaxgen.data.from_arrays(data)"
        )


def _workdir(workdir: str | os.PathLike[str] | None, name: str) -> pathlib.Path:
    """The run directory; a new one in `runs/` where none is named."""
    if workdir is not None:
        return pathlib.Path(workdir).expanduser().absolute()
    return free_name(pathlib.Path("runs", name).absolute())


def _modules(config: Mapping[str, Any]) -> list[str]:
    """Modules outside of jaxgen that a config names, which is the user's own."""
    sections = [config["method"], config["data"], config["model"], *config["model"].values()]
    named = [str(s["name"]) for s in sections if isinstance(s, Mapping) and "name" in s]
    return [n.partition(":")[0] for n in named if names.DOTTED.fullmatch(n) and ":" in n]


def _execute(config: dict[str, Any], path: pathlib.Path, arrays: Any) -> None:
    from jaxgen.processes import several
    from jaxgen.session import execute
    from jaxgen.train.log import quiet
    from jaxgen.train.stop import Stopped

    if several():
        raise ConfigError("jaxgen.fit is of one process; see docs/howto/devices.md for several")
    try:
        with quiet(), owned(path, config) as lock, _data(RunDir(path), arrays):
            execute(config, str(path), "jaxgen.fit", lock.check, ends=False)
    except Stopped as stopped:
        print(f"{stopped}. Go on with jaxgen.fit(..., workdir={str(path)!r})", flush=True)
        if stopped.exit_code != 128 + signal.SIGINT:
            raise SystemExit(stopped.exit_code) from None
        raise KeyboardInterrupt(str(stopped)) from None


@contextlib.contextmanager
def _data(run: RunDir, arrays: Mapping[str, Any] | None) -> Iterator[None]:
    """Keeps the arrays in the run directory; not where no run comes of it."""
    new = arrays is not None and kept.keep(run.path, arrays)
    try:
        yield
    finally:
        if new and not run.config.exists():
            (run.path / kept.FILE).unlink(missing_ok=True)
