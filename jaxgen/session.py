"""One run from config to summary: joins data, method, trainer and run directory."""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import jax

from jaxgen import __version__
from jaxgen.claim import RESTART, claim, sealed, steps
from jaxgen.config import ConfigError, build, flatten
from jaxgen.data import load
from jaxgen.data.dataset import Dataset
from jaxgen.data.load import absolute, load_as, own
from jaxgen.data.loader import train_batches
from jaxgen.evaluate.split import EVALUATION_SEED, Estimate
from jaxgen.machine import idle_accelerator, versions
from jaxgen.rundir import RunDir, read_json, write_json
from jaxgen.sharding import make_mesh
from jaxgen.train import frozen
from jaxgen.train.assemble import assemble, state_target
from jaxgen.train.checkpoint import Checkpoints
from jaxgen.train.derived import derived
from jaxgen.train.derived import described as given_by
from jaxgen.train.integrity import state_digest
from jaxgen.train.log import Compiling, say, silent
from jaxgen.train.loop import Options, Parts, train
from jaxgen.train.memory import check_batches
from jaxgen.train.misfit import explained
from jaxgen.train.observe import Observer
from jaxgen.train.program import Program, build_program, peak_bytes
from jaxgen.train.sections import check
from jaxgen.train.stop import StopSignal
from jaxgen.types import DataSpec


def execute(
    config: Mapping[str, Any],
    path: str,
    command: str,
    ours: Callable[[], None] = lambda: None,
    ends: bool = True,
) -> dict[str, Any]:
    """Trains a config to the end in its run directory, resuming what is there.

    Args:
        config: resolved.
        path: of the run directory.
        command: that started this, for the manifest.
        ours: raises when the directory is no longer this process's to write: see `lock`.
        ends: see `StopSignal`.

    Returns:
        The summary, as in `summary.json`; on processes other than the first too.
    """
    main = jax.process_index() == 0
    speak = say if main else silent
    _greet(speak)
    check(config, allow=None)  # the user's own
    run = claim(path, config, speak)
    config = {**config, "data": placed(config["data"])} | frozen.placed(config)
    dataset = opened(run, config["data"], speak)
    speak(dataset.report())
    data = dataset.fingerprint()
    where = described(dataset, data)
    stages = frozen.install(run, config, state_target, speak)
    dataset = derived(dataset, stages, config, frozen.gives(run), speak)
    program, options = prepare(config, dataset, stages)
    _say_counts(program, speak)
    held = frozen.described(stages, given_by(dataset.spec, config))
    manifest = recorded(run, config, where, command, held) if main else {}
    observer = build(_observer(program, dataset), "evaluate", **config["evaluate"])
    observer.prepare()

    def saved(step: int) -> None:
        write_json(run.manifest, manifest | {"saved": step})

    fixed = {
        "about": {"config": as_json(config), "data": where},
        "say": speak,
        "saved": saved if main else None,
        "frozen": program.frozen,
    }
    checkpoints = build(_checkpoints(run, fixed), "checkpoint", **config["checkpoint"])
    parts = Parts(
        run=run,
        seed=config["seed"],
        program=program,
        options=options,
        dataset=dataset,
        observer=observer,
        checkpoints=checkpoints,
        stop=StopSignal(ends),
        ours=ours,
        say=speak,
        main=main,
    )
    with contextlib.closing(checkpoints), contextlib.closing(parts.stop):
        state, estimates = train(parts)
    summary = summarise(config, int(state.step), estimates, data, observer)
    summary["state_digest"] = state_digest(state)
    if main:
        write_json(run.summary, summary)
    speak(f"finished: {run.path}")
    return summary


def _greet(speak: Callable[[str], None]) -> None:
    speak(describe_devices())
    if (warning := idle_accelerator()) is not None:
        speak(warning)


def _say_counts(program: Program, speak: Callable[[str], None]) -> None:
    for player, count in program.parameter_counts().items():
        speak(f"{player}: {count:,} parameters")


def placed(section: Mapping[str, Any]) -> dict[str, Any]:
    """The config section `data` with absolute paths, which hold wherever a run is opened from."""
    found = dict(section)
    for key in ("manual_dir", "data_dir"):
        if found.get(key):
            found[key] = os.path.abspath(os.path.expanduser(found[key]))
    if "name" in found:
        found["name"] = absolute(str(found["name"]))
    return found


def opened(run: RunDir, section: Mapping[str, Any], speak: Any = say) -> Dataset:
    """The data of a run, new or old.

    Raises:
        ConfigError: when they are not those that the run began with, or cannot be had; when
            nothing tells which these were.
    """
    if run.manifest.exists():
        known = read_json(run.manifest).get("data") or {}
        if "fingerprint" not in known:
            raise ConfigError(f"{run.manifest}: data.fingerprint is missing; {RESTART}")
    elif about := sealed(run):
        speak(f"{run.manifest} is missing: what the data are was taken from the newest checkpoint")
        known = about["data"]
    elif steps(run):
        raise ConfigError(
            f"{run.manifest} is missing: nothing tells which data the run began with; put it "
            f"back, or {RESTART}"
        )
    else:
        return _loaded(section)
    try:
        return build(load_as(known), "data", **section)
    except ConfigError as error:
        raise ConfigError(f"{run.path}: {error}") from error


def _loaded(section: Mapping[str, Any]) -> Dataset:
    """The data of a config, which is the user's own."""
    named = {k: own(v) if k == "name" else v for k, v in section.items()}
    return build(load, "data", **named)


def prepare(
    config: Mapping[str, Any], dataset: Dataset, stages: frozen.Stages = MappingProxyType({})
) -> tuple[Program, Options]:
    """The traced program of a config."""
    options = build(Options, "train", **config["train"])
    mesh = build(make_mesh, "mesh", **config["mesh"])
    method, optimizers, emas = assemble(config, dataset.spec, None, stages)  # the user's own
    processes = jax.process_count()
    if options.batch_size % mesh.size:
        raise ConfigError(
            f"config.train.batch_size={options.batch_size} is not a multiple of the "
            f"{mesh.size} devices"
        )
    most = max(turn.times for turn in method.turns)
    _check_batches(options, most, dataset.spec)
    batches = train_batches(
        dataset.splits["train"],
        options.batch_size * most,
        seed=config["seed"],
        process_index=jax.process_index(),
        process_count=processes,
        threads=0,
    )
    batch = next(batches)[1]
    batches.close()
    try:
        program = build_program(
            method,
            optimizers,
            emas,
            mesh,
            batch,
            seed=config["seed"],
            accum=options.accum,
            room=options.steps_per_dispatch,
            stages=stages,
        )
    except Exception as error:  # raised while tracing
        if (misfit := explained(error, config, dataset.spec, allow=None)) is None:
            raise
        raise misfit from error
    return program, options


def _check_batches(options: Options, moves: int, spec: DataSpec) -> None:
    """Refuses batches that cannot fit, before one is read."""
    shown = f"config.train.batch_size={options.batch_size}"
    if options.steps_per_dispatch > 1:
        shown += f" and steps_per_dispatch={options.steps_per_dispatch}"
    held = options.batch_size * moves * options.steps_per_dispatch // jax.process_count()
    check_batches(spec, held, shown, "take fewer at a time")


def _observer(program: Program, dataset: Dataset) -> Any:
    def evaluate(**options: Any) -> Observer:
        return Observer(program.method, program.mesh, program.target, dataset, **options)

    return evaluate


def _checkpoints(run: RunDir, fixed: Mapping[str, Any]) -> Any:
    def checkpoint(*, keep_last: int = 2, keep_best: bool = True) -> Checkpoints:
        return Checkpoints(run.checkpoints, keep_last=keep_last, keep_best=keep_best, **fixed)

    return checkpoint


def dry_run(config: Mapping[str, Any], path: str, full: bool = False) -> None:
    """Prints what a config would do: data, parameters, memory, steps. Writes nothing.

    Args:
        config: resolved.
        path: of the run directory.
        full: print every field of the config, too, first.
    """
    if full:
        say(json.dumps(config, indent=1))
    say(describe_devices())
    check(config, allow=None)
    dataset = _loaded(config["data"])
    say(dataset.report())
    stages = frozen.peek(config, state_target)
    dataset = derived(dataset, stages, config, {}, say)
    program, options = prepare(config, dataset, stages)
    _say_counts(program, say)
    with Compiling("the train step"):
        compiled = program.compile()
    memory = peak_bytes(compiled)
    if memory is not None:
        say(f"memory of a step: {memory / 2**20:,.1f} MiB on each device (estimate of XLA)")
    examples = len(dataset.splits["train"])
    epochs = options.steps * options.batch_size / examples
    say(
        f"{options.steps:,} steps of {options.batch_size} examples, {epochs:,.1f} epochs; "
        f"would write to {path}"
    )


def describe_devices() -> str:
    """The first line: what this runs on."""
    devices = jax.devices()
    kind = devices[0].device_kind
    return (
        f"jaxgen {__version__} on {len(devices)} x {devices[0].platform} ({kind}), "
        f"jax {jax.__version__}, python {platform.python_version()}"
    )


def as_json(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config as a file has it: tuples are lists.

    Raises:
        ConfigError: for a value that JSON does not have.
    """
    try:
        return json.loads(json.dumps(config, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the config cannot be stored: {error}") from error


def described(dataset: Dataset, fingerprint: dict[str, Any]) -> dict[str, Any]:
    """What manifest and checkpoints say of the data."""
    return {"spec": dataset.spec.as_json(), "fingerprint": fingerprint}


def recorded(
    run: RunDir,
    config: Mapping[str, Any],
    data: dict[str, Any],
    command: str,
    held: Mapping[str, Any],
) -> dict[str, Any]:
    """Writes config and manifest, and returns the latter; a resumption is added to it.

    Args:
        run: its directory.
        config: resolved.
        data: see `described`.
        command: that started this.
        held: what is to be said of frozen stages.

    Raises:
        WriteError: when they cannot be written.
    """
    event = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": command,
        "argv": sys.argv,
        "versions": versions(),
        "devices": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "processes": jax.process_count(),
        "git_commit": _git_commit(),
    }
    if run.manifest.exists():
        manifest = read_json(run.manifest)
        manifest["resumed"] = [*manifest.get("resumed", []), event | _changes(run, config)]
        manifest["saved"] = max(steps(run), default=manifest.get("saved"))
    else:
        # the step of the newest checkpoint: without it, nobody knows that there was one
        manifest = event | {"seed": config["seed"], "data": data, "saved": None}
        manifest |= {"frozen": held} if held else {}
    write_json(run.config, as_json(config))
    write_json(run.manifest, manifest)
    return manifest


def _changes(run: RunDir, config: Mapping[str, Any]) -> dict[str, Any]:
    """What config.json says until now and no longer, for it is written anew."""
    old, new = (flatten(read_json(run.config)) if run.config.exists() else {}), flatten(config)
    changed = {k: old.get(k) for k in sorted(old.keys() | new.keys()) if old.get(k) != new.get(k)}
    return {"config_before": changed} if old and changed else {}


def _git_commit() -> str | None:
    command = ["git", "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def summarise(
    config: Mapping[str, Any],
    step: int,
    estimates: Mapping[str, Estimate],
    data: dict[str, Any],
    observer: Observer,
) -> dict[str, Any]:
    """`split/metric` -> value, and under "fingerprints" what each value depends on."""
    values, prints = {}, {}
    for key, estimate in estimates.items():
        split, _, metric = key.partition("/")
        finite = math.isfinite(estimate.mean)
        values[key] = estimate.mean if finite else str(estimate.mean)
        prints[key] = {
            "stderr": estimate.stderr if math.isfinite(estimate.stderr) else None,
            "count": estimate.count,
            "split": split,
            "data": data["name"],
            "data_sha256": data["splits"][split]["sha256"],
            "levels": data["levels"],
            "method": dict(config["method"]),
            "averaged_params": observer.averages,
            "noise_seed": EVALUATION_SEED,
            "batch_size": observer.batch_size,
            "step": step,
            "seed": config["seed"],
            "versions": versions(),
            "device": jax.devices()[0].device_kind,
        }
        if observer.draws > 1:
            prints[key]["draws"] = observer.draws
        if metric in observer.likelihoods:
            prints[key] |= observer.likelihoods[metric].fingerprint()
    return {"step": step, **values, "fingerprints": prints}
