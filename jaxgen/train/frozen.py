"""Frozen stages: trained models that a run holds and does not train.

`config.frozen.first = "RUN@best"` copies that run's model once into the new run's own directory,
`frozen/first/`, which is a run directory of its own: the new run is whole without the old one. Its
parameters come into the state as `vars["frozen"]["first"]` at every start, with their digest
verified, and are in no checkpoint. The method gets the stage under its name, as it gets networks.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from jaxgen import sharding
from jaxgen.claim import steps
from jaxgen.config import ConfigError, check_sections
from jaxgen.files import atomic_folder, set_aside
from jaxgen.names import Allowed
from jaxgen.rundir import RunDir, open_existing, read_json
from jaxgen.stored import check_sizes
from jaxgen.train.integrity import score_of, state_digest
from jaxgen.train.restored import restored
from jaxgen.train.weights_file import target_of
from jaxgen.types import FROZEN, DataSpec, Field, Method, PyTree, State


class Describe(Protocol):
    """`assemble.state_target`, which itself needs the stages."""

    def __call__(
        self,
        config: Mapping[str, Any],
        spec: DataSpec,
        mesh: Mesh,
        allow: Allowed,
        stages: Mapping[str, Any],
    ) -> tuple[Method, State]:
        """The method, and what its state looks like."""
        ...


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What a config says of a stage.

    Attributes:
        run: absolute path of the run directory that it comes from.
        step: of the checkpoint: a number, "best", or None for the newest.
        field: of the batch, that the stage's latents become; "" for none.
    """

    run: str
    step: int | str | None
    field: str

    @classmethod
    def of(cls, name: str, section: Any) -> Wanted:
        """From "RUN", "RUN@STEP", or {"run": one of these, "field": "z"}.

        Raises:
            ConfigError: for anything else.
        """
        options = {"run": section} if isinstance(section, str) else section
        fits = isinstance(options, Mapping) and options.keys() <= {"run", "field"}
        texts = fits and all(isinstance(v, str) for v in options.values())
        if not texts or not options.get("run") or not name.isidentifier():
            raise ConfigError(
                f"config.frozen.{name}={section!r}, expected a name and 'RUN', 'RUN@STEP' or "
                "'RUN@best', or these as run, and field"
            )
        run, at, step = options["run"].rpartition("@")
        if not at or os.sep in step:
            run, step = options["run"], ""
        if step not in ("", "best") and not (step.isascii() and step.isdigit()):
            raise ConfigError(f"config.frozen.{name}: step {step!r}, expected a number or 'best'")
        chosen = int(step) if step.isdigit() else step or None
        return cls(os.path.abspath(os.path.expanduser(run)), chosen, options.get("field", ""))

    def as_json(self) -> dict[str, Any]:
        """As a config has it."""
        at = "" if self.step is None else f"@{self.step}"
        return {"run": f"{self.run}{at}"} | ({"field": self.field} if self.field else {})


@dataclasses.dataclass(frozen=True, eq=False)
class Stage:
    """A trained model that is held.

    Attributes:
        name: as the config calls it.
        method: what it was trained with.
        spec: of its data.
        arrays: {"params", "vars"} of NumPy: averaged where the run had averages.
        digest: of `arrays` and of the config's sections model and method.
        step: of the checkpoint.
        source: the run that it came from.
    """

    name: str
    method: Method
    spec: DataSpec
    arrays: PyTree
    digest: str
    step: int
    source: str

    def state(self, state: State | None = None) -> State:
        """The stage's own state: out of that of the run which holds it, or as it was copied."""
        arrays = self.arrays if state is None else state.vars[FROZEN][self.name]
        step = jnp.asarray(self.step, jnp.int32)
        return State(step=step, params=arrays["params"], vars=arrays["vars"], opt={}, ema={})


Stages = Mapping[str, Stage]


def variables(stages: Stages, mesh: Mesh | None = None) -> PyTree:
    """`vars["frozen"]`: of NumPy, or on all devices of a mesh; {} without stages."""
    arrays = {name: stage.arrays for name, stage in stages.items()}
    return jax.device_put(arrays, sharding.replicated(mesh)) if mesh and arrays else arrays


def with_shapes(state: State, stages: Stages) -> State:
    """The shapes of a state, with those of its stages."""
    if not stages:
        return state
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), variables(stages))
    return state.replace(vars=state.vars | {FROZEN: shapes})


def read(run: RunDir, name: str, step: int | None, describe: Describe, allow: Allowed) -> Stage:
    """The stage in a run directory.

    Args:
        run: its directory.
        name: as the config calls it.
        step: of the checkpoint; None takes the newest.
        describe: see `Describe`.
        allow: see `names.resolve`.

    Raises:
        ConfigError: for a run that cannot be built.
        CheckpointError: without a whole checkpoint.
    """
    config, spec = read_json(run.config), spec_of(run)
    check_sections(config)
    check_sizes(config["model"])
    held = within(run, config, describe, allow)
    method, target = describe(config, spec, sharding.make_mesh(), allow, held)
    target = target_of(target) if run.weights.exists() else target
    at, state, _ = restored(run, target, step, functools.partial(variables, held))
    state = state.averaged()
    arrays = jax.tree.map(np.asarray, {"params": dict(state.params), "vars": dict(state.vars)})
    digest = hashlib.sha256(state_digest(arrays).encode())
    for section in ("model", "method"):  # the same arrays mean something else in another network
        digest.update(json.dumps(config[section], sort_keys=True).encode())
    return Stage(name, method, spec, arrays, digest.hexdigest(), at, str(run.path))


def within(run: RunDir, config: Mapping[str, Any], describe: Describe, allow: Allowed) -> Stages:
    """The stages that a run directory holds, as its config names them.

    Raises:
        ConfigError: where one is missing, or is not the one that the run began with.
    """
    found = {}
    known = recorded(run)
    for name, section in (config.get("frozen") or {}).items():
        wanted = Wanted.of(name, section)
        place = RunDir(run.path / FROZEN / name)
        if not place.config.exists():
            raise ConfigError(
                f"{place.path} is missing: put the copy of {wanted.as_json()['run']} back"
            )
        stage = read(place, name, None, describe, allow)
        was = known.get(name, {}).get("digest", stage.digest)
        if was != stage.digest:
            raise ConfigError(
                f"{place.path} is not the stage that the run began with: its digest is "
                f"{stage.digest[:12]}, expected {was[:12]}; put the copy back"
            )
        found[name] = dataclasses.replace(stage, source=wanted.as_json()["run"])
    return found


def recorded(run: RunDir) -> Mapping[str, Any]:
    """What the manifest of a run says of its stages; {} of a run without."""
    return (read_json(run.manifest).get(FROZEN) or {}) if run.manifest.exists() else {}


def gives(run: RunDir) -> dict[str, Mapping[str, Any]]:
    """stage -> {field: its JSON}, of the stages of a run that give one."""
    return {name: about["gives"] for name, about in recorded(run).items() if "gives" in about}


def spec_of(run: RunDir) -> DataSpec:
    """The spec of a run's data with the fields that its stages give."""
    spec, given = run.spec(), gives(run).values()
    more = {k: Field.from_json(v) for fields in given for k, v in fields.items()}
    return dataclasses.replace(spec, fields={**spec.fields, **more})


def install(
    run: RunDir, config: Mapping[str, Any], describe: Describe, say: Callable[[str], None]
) -> Stages:
    """The stages of one's own run, copied into it by the first who asks.

    Raises:
        ConfigError: for a run that is not there, or another one than the run began with.
        WriteError: where it cannot be written.
    """
    section = config.get("frozen") or {}
    known = {name: about["run"] for name, about in recorded(run).items()}
    now = {name: Wanted.of(name, entry).as_json()["run"] for name, entry in section.items()}
    if run.manifest.exists() and known != now:
        raise ConfigError(
            f"config.frozen: {run.path} was begun with {known or 'none'}, now it is "
            f"{now or 'none'}: give another --workdir"
        )
    begun = run.manifest.exists() or bool(steps(run))
    for name, entry in section.items():
        wanted = Wanted.of(name, entry)
        place = run.path / FROZEN / name
        if jax.process_index() == 0 and not (begun and place.exists()):
            if place.exists():  # of a start that came no further
                set_aside(place, f"before-{name}")
            _copy(open_existing(wanted.run), wanted, place)
            say(f"frozen stage {name}: copied from {wanted.run} into {place}")
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices("frozen stages")
    return within(run, config, describe, None)


def _copy(source: RunDir, wanted: Wanted, place: pathlib.Path) -> None:
    """A run directory of one checkpoint, which appears whole."""
    step = chosen_step(source, wanted)
    with atomic_folder(place) as work:
        for file in (source.config, source.manifest):
            shutil.copyfile(file, work / file.name)
        for folder in (source.checkpoints / str(step), source.path / FROZEN):
            if folder.exists():
                shutil.copytree(folder, work / folder.relative_to(source.path))


def chosen_step(source: RunDir, wanted: Wanted) -> int:
    """Of the checkpoint that is wanted; nothing of it is read."""
    there = steps(source)
    if wanted.step == "best":
        scores = {s: score_of(source.checkpoints / str(s), s, print) for s in there}
        known = {s: v for s, v in scores.items() if v is not None and not np.isnan(v)}
        there = [min(known, key=known.__getitem__)] if known else []
    elif wanted.step is not None:
        there = [s for s in there if s == wanted.step]
    if not there:
        at = "with a score" if wanted.step == "best" else f"of step {wanted.step}"
        which = "whole" if wanted.step is None else at
        raise ConfigError(f"{source.path} has no checkpoint {which}; it has {steps(source)}")
    return there[-1]


def peek(config: Mapping[str, Any], describe: Describe) -> Stages:
    """The stages of a config where they are now; nothing is copied."""
    found = {}
    for name, entry in (config.get("frozen") or {}).items():
        wanted = Wanted.of(name, entry)
        source = open_existing(wanted.run)
        found[name] = read(source, name, chosen_step(source, wanted), describe, None)
    return found


def placed(config: Mapping[str, Any]) -> dict[str, Any]:
    """The section, if there is one, with absolute paths."""
    section = config.get("frozen") or {}
    every = {name: Wanted.of(name, entry).as_json() for name, entry in section.items()}
    return {"frozen": every} if every else {}


def described(stages: Stages, gives: Mapping[str, Any]) -> dict[str, Any]:
    """What the manifest says of them, and of the fields that they give."""
    return {
        name: {"run": stage.source, "step": stage.step, "digest": stage.digest}
        | ({"gives": gives[name]} if name in gives else {})
        for name, stage in stages.items()
    }
