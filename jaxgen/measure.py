"""`jaxgen eval PATH --metrics=...`: measures a run, or images of any other tool, and keeps it.

What is written into `evaluation/` of the run (or of `--workdir`): `measurements.json`, the arrays
that `jaxgen compare` shows, and `generated/` with the images themselves, which may be deleted.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxgen.abilities import Infers, Weighted, given, levels_of
from jaxgen.config import ConfigError, build, flatten
from jaxgen.data import load
from jaxgen.data.dataset import Dataset
from jaxgen.evaluate import gallery, measurement
from jaxgen.evaluate.comparison import DRAWS, Comparison, Cost, Subject, Trained
from jaxgen.evaluate.extractors import extractor
from jaxgen.evaluate.givens import rows_of, split_given
from jaxgen.evaluate.metrics import check_published, chosen, measure
from jaxgen.evaluate.sampling import Kept, Sampler, Samples, check_finite, kept
from jaxgen.evaluate.sets import open_set
from jaxgen.evaluate.validation import check_seed, is_whole
from jaxgen.machine import versions
from jaxgen.rows import read as read_rows
from jaxgen.rundir import read_json
from jaxgen.train.integrity import state_digest
from jaxgen.train.program import peak_bytes
from jaxgen.types import DataSpec

MOST = 10_000  # generated images, and real ones, by default
SETS = 3  # independent ones, by default, for the intervals


@dataclasses.dataclass(frozen=True)
class Request:
    """What is to be measured.

    Attributes:
        metrics: names, comma-separated or a sequence, or "all": see `metrics.chosen`.
        num: images of each set; None takes as many as the reference has, at most 10,000.
        seed: of the latents; sets of one seed are independent of each other.
        sets: independent ones; None takes 3 up to 10,000 images and 1 above.
        reference: split that images are compared with, or "all" of the data; None takes the
            train split, for images of other tools all data that came without a test split.
        max_examples: of the reference; None takes at most 10,000.
        extractor: of features; None takes the classifier of labelled images, else pixels.
        weights: file of the extractor's weights, where it needs one.
        batch: images that a device draws at once, in whole chunks; None takes one chunk.
        knobs: of the method's `sample`, or for images of other tools of `jaxgen.data.load`.
        importance_samples: draws of the likelihood.
        observations: of the test split, whose posteriors are calibrated; None takes at most 500.
        draws: from each posterior; None takes 99.
        page: write interpolations, reconstructions and likelihoods of training examples, too.
        data: where the data of the run are now, a folder or file.
        manual_dir: of files fetched by hand.
        data_dir: where prepared data and classifiers are.
        command: to be noted.
    """

    metrics: str | Sequence[str]
    num: int | None = None
    seed: int = 0
    sets: int | None = None
    reference: str | None = None
    max_examples: int | None = None
    extractor: str | None = None
    weights: str | None = None
    batch: int | None = None
    knobs: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    importance_samples: int | None = None
    observations: int | None = None
    draws: int | None = None
    page: bool = False
    data: str | None = None
    manual_dir: str | None = None
    data_dir: str | None = None
    command: str = ""

    def __post_init__(self) -> None:
        """Checks the numbers and the names."""
        for name in ("num", "sets", "max_examples", "batch", "observations", "draws"):
            value = getattr(self, name)
            if value is not None and not (is_whole(value) and value >= 1):
                raise ConfigError(f"--{name}={value}, expected 1 or more")
        check_seed(self.seed, "--seed")
        chosen(self.metrics)
        check_published(self.metrics, self.extractor)

    @property
    def places(self) -> dict[str, str]:
        """Where the data are, as far as that was said."""
        found = {"data": self.data, "manual_dir": self.manual_dir, "data_dir": self.data_dir}
        return {k: v for k, v in found.items() if v is not None}


def measure_run(
    run: Trained, request: Request, say: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """Measures a run and adds the numbers to its `evaluation/measurements.json`.

    Args:
        run: loaded.
        request: what to measure.
        say: is told how far it is.

    Returns:
        "source", "measurements" (this time's), "not_available" and "file".

    Raises:
        ConfigError: for a request that does not fit the run, or images that are not finite.
    """
    check_finite(run.state, run.step)
    dataset, request = _referenced(run.dataset(**request.places), request)
    most = _count(dataset, request)
    num = request.num or min(MOST, request.max_examples or MOST, most)
    folder = run.directory.path / "evaluation"
    sets, labelled = _sets(run, dataset, request, num, say)
    samples = sets[0].samples
    subject = Subject(
        spec=run.spec,
        levels=levels_of(run.method, run.spec),
        sets=sets,
        settings=dict(request.knobs) | dict(run.guide),
        context=_context(run, request),
        method=run.method,
        state=run.state.averaged(),
        sample=_timed(samples),
        sample_size=samples.at_once * samples.sampler.size,
        per_example=_per_example(run, request),
        labelled=labelled,
        costs=lambda: _costs(run, samples),
    )
    if request.importance_samples and isinstance(run.method, Weighted):
        method = dataclasses.replace(run.method, importance_samples=request.importance_samples)
        subject = dataclasses.replace(subject, method=method)
    comparison = _comparison(subject, dataset, request)
    found, missing = measure(comparison, request.metrics, say)
    if say:
        say(compared(comparison))
    source = _source_of_run(run, request, dataset)
    path = measurement.save(folder, source, found)
    if request.knobs or not isinstance(run.method, Infers):  # draws are given an observation
        few = sets[0].head(gallery.most(run.spec))
        gallery.write_sets(folder, comparison, few, request.page)
    gallery.write_arrays_of(folder, comparison)
    if request.page:
        gallery.write_latents(folder, run, dataset)
        gallery.write_likelihoods(folder, run, dataset, request.places)
    return _answer(source, found, missing, path)


def _sets(
    run: Trained,
    dataset: Dataset,
    request: Request,
    num: int,
    say: Callable[[str], None] | None,
) -> tuple[list[Kept], Kept | None]:
    """Independent sets of samples, and one of all classes in turn where they can be asked for."""
    sampler = Sampler(run.method, run.spec, run.mesh)
    fixed = split_given(run.spec, request.knobs)[0]
    rows = rows_of(run.method, run.spec, dataset.splits[request.reference], num)
    rows = {name: value for name, value in rows.items() if name not in fixed}
    averaged = run.state.averaged()
    digest = state_digest({"params": averaged.params, "vars": averaged.vars})
    about = {"step": run.step, "state": digest}

    def drawn(of_set: int = 0, **more: np.ndarray) -> Kept:
        found = sampler.samples(
            run.state,
            num,
            request.seed,
            request.knobs,
            of_set=of_set,
            given=rows | more,
            batch=request.batch,
        )
        return kept(found, run.directory.path / "evaluation" / "generated", about, say)

    sets = [drawn(i) for i in range(request.sets or (SETS if num <= MOST else 1))]
    if "label" not in given(run.method) or "label" in fixed:
        return sets, None
    return sets, drawn(label=np.arange(num, dtype=np.int32) % run.spec.num_classes)


def measure_images(
    path: str, data: str, workdir: str, request: Request, say: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """Measures a folder of images, a .npz or a .npy file against a data set.

    Args:
        path: of the images.
        data: name of the data set.
        workdir: where `evaluation/` is written.
        request: what to measure; its knobs are options of `jaxgen.data.load`.
        say: is told how far it is.

    Returns:
        See `measure_run`.

    Raises:
        ConfigError: for images that the data set's are not like, or metrics of models.
        DataError: for data or image files that cannot be read.
    """
    where = pathlib.Path(path).expanduser()
    dataset = build(load, "data", name=data, **dict(request.knobs), **request.places)
    dataset, request = _referenced(dataset, request, whole=dataset.held_out)
    images = open_set(where, dataset.spec, request.num)
    request = dataclasses.replace(request, knobs={})
    if request.max_examples is None:
        request = dataclasses.replace(request, max_examples=MOST)
    subject = Subject(
        spec=dataset.spec,
        levels=dataset.spec.levels,
        sets=[images],
        context=_machine(),
        notes=images.notes,
    )
    comparison = _comparison(subject, dataset, request)
    found, missing = measure(comparison, request.metrics, say)
    if say:
        say(compared(comparison))
    source = _source(where.resolve().stem, images.kind, where, request, dataset)
    folder = pathlib.Path(workdir).expanduser() / "evaluation"
    file = measurement.save(folder, source, found)
    gallery.write_sets(folder, comparison, next(iter(images)), request.page)
    return _answer(source, found, missing, file)


def default_extractor(spec: DataSpec) -> str:
    """The name of the extractor that needs no download."""
    return "classifier" if spec.num_classes and spec.levels and spec.x.kind == "image" else "pixels"


def _comparison(subject: Subject, dataset: Dataset, request: Request) -> Comparison:
    own = dataclasses.replace(dataset, splits={k: dataset.splits[k] for k in ("train", "test")})
    places = {k: v for k, v in request.places.items() if k != "data"} | {"dataset": own}
    if request.weights is not None:
        places["weights"] = request.weights
    name = request.extractor or default_extractor(dataset.spec)
    made = functools.partial(extractor, name, dataset.spec, **places)
    return Comparison(
        subject,
        dataset,
        made() if request.extractor else made,  # one that was named is missed at once
        split=request.reference,
        max_examples=min(request.max_examples or MOST, _count(dataset, request)),
        seed=request.seed,
        observations=request.observations,
        draws=request.draws or DRAWS,
    )


def _referenced(dataset: Dataset, request: Request, whole: bool = False) -> tuple[Dataset, Request]:
    """With the reference that was meant, which may be "all"."""
    reference = request.reference or ("all" if whole else "train")
    dataset = dataset.with_all() if reference == "all" else dataset
    return dataset, dataclasses.replace(request, reference=reference)


def _count(dataset: Dataset, request: Request) -> int:
    if request.reference not in dataset.splits:
        splits = ", ".join(dataset.splits)
        raise ConfigError(f"--reference={request.reference}, expected one of {splits}, all")
    return len(dataset.splits[request.reference])


def _timed(samples: Samples) -> Callable[[int], Any]:
    """Calls of all devices, of other latents each."""
    step = samples.at_once
    return lambda call: samples.on_devices(range(call * step, (call + 1) * step))


def _per_example(run: Trained, request: Request) -> Callable[[str], Mapping[str, np.ndarray]]:
    options: dict[str, Any] = dict(request.places) | {"max_examples": request.max_examples}
    if request.importance_samples:
        options["importance_samples"] = request.importance_samples
    return lambda split: run.per_example(split, **options)


def _costs(run: Trained, samples: Samples) -> dict[str, Cost]:
    """Seconds of a train step, parameters, and memory of sampling."""
    manifest, options = read_json(run.directory.manifest), run.config["train"]
    examples = options["batch_size"] * max(turn.times for turn in run.method.turns)
    key = f"{run.spec.unit}_per_second"
    rates = [row[key] for row in read_rows(run.directory.metrics) if row.get(key)]
    where = {"device": str(manifest.get("devices")), "batch": options["batch_size"]}
    found: dict[str, Cost] = {}
    if rates:
        found["step_seconds"] = (examples / float(np.median(rates)), where)
    for player, params in run.state.params.items():
        total = sum(leaf.size for leaf in jax.tree.leaves(params))
        found[f"parameters_{player}"] = (total, {"player": player})
    found["parameters"] = (sum(v for v, _ in found.values() if isinstance(v, int)), {})
    of = {"of": "sampling, estimate of XLA, each device"}
    of["batch"] = samples.chunks * samples.sampler.size
    if (peak := peak_bytes(samples.compiled())) is not None:
        found["peak_bytes"] = (peak, of)
    return found


def _context(run: Trained, request: Request) -> dict[str, Any]:
    averaged = ", ".join(sorted(run.averages.values())) or "none"
    about = {"step": run.step, "seed": request.seed, "averaged_params": averaged}
    return _machine() | about


def _machine() -> dict[str, Any]:
    found = {f"version_{k}": v for k, v in versions().items() if k in ("jax", "numpy", "jaxgen")}
    return found | {"device": f"{jax.device_count()} x {jax.devices()[0].device_kind}"}


def _source_of_run(run: Trained, request: Request, dataset: Dataset) -> dict[str, Any]:
    name = named(run.config["model"])
    path = run.directory.path
    counts = {k: sum(leaf.size for leaf in jax.tree.leaves(v)) for k, v in run.state.params.items()}
    return _source(path.name, "run", path, request, dataset) | {
        "family": name.partition(".")[0] if "." in name else "",
        "model": name,
        "method": run.config["method"]["name"],
        "config": flatten(run.config),
        "trained_by": read_json(run.directory.manifest).get("command"),
        "step": run.step,
        "parameters": counts,
    }


def named(model: Mapping[str, Any]) -> str:
    """Of a config's section `model`: its name, or those of all networks in it."""
    if "name" in model:
        return str(model["name"])
    parts = [v for v in model.values() if isinstance(v, Mapping) and "name" in v]
    return ", ".join(str(part["name"]) for part in parts)


def _source(
    name: str, kind: str, path: pathlib.Path, request: Request, dataset: Dataset
) -> dict[str, Any]:
    print_of = dataset.fingerprint()
    splits = {f"sha256_{k}": v["sha256"] for k, v in print_of["splits"].items()}
    data = {k: print_of[k] for k in ("name", "shape", "levels")}
    return {
        "name": name,
        "kind": kind,
        "path": os.fspath(path),
        "family": "",
        "model": "",
        "method": "",
        "config": {},
        "command": request.command,
        "step": None,
        "parameters": {},
        "data": data | {"sha256": splits["sha256_train"]} | splits,
        "versions": versions(),
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def compared(comparison: Comparison) -> str:
    """What was compared with what."""
    data, subject = comparison.dataset, comparison.subject
    whole, most = len(data.splits[comparison.split]), comparison.max_examples
    used = whole if most is None else min(most, whole)
    sets = f"{len(subject.sets)} sets of " if len(subject.sets) > 1 else ""
    some = f" of {whole:,}" if used < whole else ""
    split = "all examples" if comparison.split == "all" else f"{comparison.split} examples"
    return (
        f"compared {sets}{subject.num:,} {subject.spec.unit} with {used:,}{some} {split} of "
        f"{data.spec.name}"
    )


def _answer(source: Any, found: Any, missing: dict[str, str], path: pathlib.Path) -> dict[str, Any]:
    rows = [m.as_json() for m in found]
    out = {"source": source, "measurements": rows, "not_available": missing, "file": str(path)}
    return out
