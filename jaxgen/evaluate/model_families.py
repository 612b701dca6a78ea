"""Metrics of what a model can do beyond sampling: likelihood, paths of latents, classes, speed."""

from __future__ import annotations

import dataclasses
import pathlib
import tempfile
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.abilities import Decodes, Density, Encodes, Latents, Styles, given
from jaxgen.config import ConfigError
from jaxgen.data.dataset import ArraySplit, Dataset
from jaxgen.data.loader import evenly
from jaxgen.evaluate.comparison import Comparison
from jaxgen.evaluate.extractors import Distances, accuracy_of
from jaxgen.evaluate.extractors.classifier import trained
from jaxgen.evaluate.families import FAMILIES as OF_IMAGES
from jaxgen.evaluate.measurement import (
    Interval,
    Measurement,
    NotAvailable,
    fingerprint,
    of_share,
    of_stderr,
)
from jaxgen.evaluate.path_length import EPSILON, linear, path_length, spherical
from jaxgen.evaluate.speed import CALLS, speed
from jaxgen.evaluate.split import EVALUATION_SEED
from jaxgen.types import Array, PyTree

SECONDS = 20.0  # that the timed calls may take
FEWEST_CALLS = 3
PAIRS_AT_A_TIME = 50


def likelihood_family(c: Comparison) -> list[Measurement]:
    """Bits/dim and nats of the test split, with the kind of bound and 1.96 standard errors."""
    method = _method(c)
    if not isinstance(method, Density) or c.subject.per_example is None:
        raise NotAvailable(f"{type(method).__name__} has no likelihood (no log_prob)")
    columns = c.subject.per_example("test")
    found = []
    for name, of in method.likelihoods.items():
        if name not in columns:
            raise ConfigError(
                f"{type(method).__name__}.likelihoods names {name}, and evaluate gives "
                f"{', '.join(columns)}"
            )
        values = np.asarray(columns[name], np.float64)
        error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else np.nan
        parts = {"num_real": len(values), "noise_seed": EVALUATION_SEED}
        print_of = fingerprint(c.print_of_data("test"), of.fingerprint(), parts)
        unit = "bits/dim" if name.endswith("bpd") else "nats"
        fields: dict[str, Any] = dict(unit=unit, better="lower", fingerprint=print_of)
        found.append(
            c.measured(name, "likelihood", of_stderr(float(values.mean()), error), **fields)
        )
    return [dataclasses.replace(m, settings={}) for m in found]  # knobs are of sampling alone


@dataclasses.dataclass(frozen=True)
class Space:
    """Of latents, between two of which there is a path; see `path_length`.

    Attributes:
        latents: (rng, num) -> latents; of a conditional model (rng, num, label).
        decode: latents -> images that are not rounded; of a conditional model (latents, label).
        path: between two latents.
        classes: (rng, num) -> [num]; None for a model without classes.
    """

    latents: Callable[..., PyTree]
    decode: Callable[..., Array]
    path: Callable[..., PyTree]
    classes: Callable[[Array, int], Array] | None = None


def path_family(c: Comparison) -> list[Measurement]:
    """Perceptual path length in z, in w where there are styles, else between codes of examples.

    The distance is the extractor's own, where it has one, else the squared distance of pixels
    in [0, 1]. A pair of latents of a conditional model has one class, which is drawn evenly; a
    pair of codes is of two test examples of one class.
    """
    method = _method(c)
    if not isinstance(method, Decodes):
        raise NotAvailable(f"{type(method).__name__} has no decode")
    if more := [name for name in given(method) if name != "label"]:
        raise NotAvailable(f"paths are of images of one class, this model is given {more[0]}")
    own = c.extractor.distance_of_levels if isinstance(c.extractor, Distances) else None
    label, print_of_own = (c.label, c.extractor.fingerprint) if own else ("pixels", {})
    found = []
    for name, space in _spaces(c, method).items():
        length = path_length(
            space.decode,
            space.latents,
            own or _squared(c.subject.spec.levels),
            jax.random.key(c.seed),
            path=space.path,
            classes=space.classes,
            num=c.pairs,
            batch=PAIRS_AT_A_TIME,
        ).length
        parts = {"space": name, "path": space.path.__name__, "epsilon": EPSILON, "sampling": "end"}
        if space.classes:
            parts["classes"] = "one a pair"
        parts["model"] = _model(c)  # lengths in different latent spaces are not ranked
        print_of = fingerprint(
            c.print_of_data(c.split), print_of_own, parts, distance=label, num_generated=c.pairs
        )
        fields: dict[str, Any] = dict(better="lower", fingerprint=print_of)
        if name == "codes":
            fields["notes"] = ("between codes of test examples: latent spaces differ by model",)
        found.append(c.measured(f"ppl_{name}-{label}", "diversity", length, **fields))
    return [dataclasses.replace(m, settings={}) for m in found]


def _spaces(c: Comparison, method: Decodes) -> dict[str, Space]:
    state: Any = c.subject.state

    def decode(z: PyTree, *label: Array) -> Array:
        return method.decode(state, z, rounded=False, **_given(label))

    if not isinstance(method, Latents):
        return {"codes": _codes(c, decode)}

    def classes(rng: Array, num: int) -> Array:
        return jax.random.randint(rng, (num,), 0, c.subject.spec.num_classes)

    drawn = classes if "label" in given(method) else None
    spaces = {"z": Space(lambda rng, num, *_: method.latents(rng, num), decode, spherical, drawn)}
    if isinstance(method, Styles):

        def styles(rng: Array, num: int, *label: Array) -> Array:
            return method.styles_of(state, method.latents(rng, num), **_given(label))

        def render(w: Array, *_: Array) -> Array:
            return method.render(state, w, rounded=False)

        spaces["w"] = Space(styles, render, linear, drawn)
    return spaces


def _codes(c: Comparison, decode: Callable[..., Array]) -> Space:
    """Draws among the codes of test examples, in place of a prior."""
    method, state = _method(c), c.subject.state
    if not isinstance(method, Encodes):
        raise NotAvailable(f"{type(method).__name__} has neither latents nor encode")
    split = c.dataset.splits["test"]
    batch = split.take(evenly(len(split), 500))
    own = {name: batch[name] for name in given(method)}
    with_own = {"given": own} if own else {}
    codes = jax.jit(method.encode)(state, batch["x"], jax.random.key(c.seed), **with_own)
    count = len(batch["x"])

    def latents(rng: Array, num: int, *label: Array) -> PyTree:
        if label:
            of_class = label[0][:, None] == jnp.asarray(own["label"])[None]
            rows = jax.random.categorical(rng, jnp.where(of_class, 0.0, -jnp.inf))
        else:
            rows = jax.random.randint(rng, (num,), 0, count)
        return jax.tree.map(lambda leaf: leaf[rows].astype(jnp.float32), codes)

    def classes(rng: Array, num: int) -> Array:
        return jnp.asarray(own["label"])[jax.random.randint(rng, (num,), 0, count)]

    return Space(latents, decode, spherical, classes if "label" in own else None)


def _given(label: tuple[Array, ...]) -> dict[str, Any]:
    """A class, if there is one, as a method is given it."""
    return {"given": {"label": label[0]}} if label else {}


def _model(c: Comparison) -> str:
    """What tells latent spaces apart; checkpoints of one model share it."""
    params = () if c.subject.state is None else c.subject.state.params
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    return f"{type(c.subject.method).__name__}, {count:,} parameters"


def _squared(levels: int | None) -> Any:
    scale = 1.0 if levels is None else 1.0 / (levels - 1)

    @jax.jit
    def distance(x: Array, y: Array) -> Array:
        return jnp.sum(jnp.square((x - y) * scale).reshape(len(x), -1), axis=1)

    return distance


def classes_family(c: Comparison) -> list[Measurement]:
    """Of a conditional model: whether its classes are what they are called.

    `class_accuracy` is the share of images that the extractor reads as the class that was asked
    for. `cas` is the accuracy on real test images of a classifier that was trained on generated
    ones alone (Ravuri & Vinyals 2019, Classification accuracy score, section 3).
    """
    if c.subject.labelled is None:
        raise NotAvailable("classes are of conditional models, this one takes no class")
    images = np.concatenate(list(c.subject.labelled))
    label = (np.arange(len(images)) % c.subject.spec.num_classes).astype(np.int32)
    found = []
    logits = c.extractor(images[:1]).get("logits")
    if logits is not None:
        read = c.extractor(images)["logits"].argmax(1) == label
        share = of_share(float(read.mean()), len(read))
        context = c.context(of_real=accuracy_of(c.extractor))
        print_of = fingerprint(c.print_of_data("train"), c.extractor.fingerprint)
        print_of["num_generated"] = len(images)
        fields: dict[str, Any] = dict(better="higher", fingerprint=print_of, context=context)
        found.append(c.measured(f"class_accuracy-{c.label}", "fidelity", share, **fields))
    return [*found, *_trained_on(c, images, label)]


def _trained_on(c: Comparison, images: np.ndarray, label: np.ndarray) -> list[Measurement]:
    spec = c.subject.spec
    if spec.levels is None or spec.x.kind != "image":
        return []
    named = dataclasses.replace(spec, name=f"generated {spec.name}")
    splits = {"train": ArraySplit({"x": images, "label": label}), "test": c.dataset.splits["test"]}
    with tempfile.TemporaryDirectory() as folder:
        made = Dataset(named, splits, source="generated", binarized=c.dataset.binarized)
        accuracy = trained(made, str(pathlib.Path(folder)), say=None).accuracy
    count = len(c.dataset.splits["test"])
    parts = {"num_generated": len(images), "num_real": count, "classifier": "embedded"}
    return [
        c.measured(
            "cas",
            "diversity",
            of_share(accuracy, count),
            better="higher",
            fingerprint=fingerprint(c.print_of_data("test"), parts),
            context=c.context(of_real=accuracy_of(c.extractor)),
        )
    ]


def speed_family(c: Comparison) -> list[Measurement]:
    """Images a second, without the time of compiling, and what training noted of cost."""
    if c.subject.sample is None:
        raise NotAvailable("only a run samples")
    jax.block_until_ready(c.subject.sample(0))
    once = speed(c.subject.sample, c.subject.sample_size, calls=1, warm_ups=1)
    calls = int(np.clip(SECONDS / once.median_seconds, FEWEST_CALLS, CALLS))
    timed = speed(c.subject.sample, c.subject.sample_size, calls, warm_ups=2)
    device = {"device": jax.devices()[0].device_kind, "devices": jax.device_count()}
    context = c.context(
        median_seconds=timed.median_seconds, p95_seconds=timed.p95_seconds, calls=timed.calls
    )
    rate = c.measured(
        f"{c.subject.spec.unit}_per_second",
        "cost",
        Interval(timed.images_per_second),
        unit=f"{c.subject.spec.unit}/s",
        better="higher",
        fingerprint=fingerprint(device, batch=timed.batch, shape=str(c.subject.spec.shape)),
        context=context,
        notes=("compilation excluded",),
    )
    found = [rate]
    costs = c.subject.costs() if c.subject.costs else {}
    for name, (value, unit, print_of) in costs.items():
        if value is None:
            continue
        fields: dict[str, Any] = dict(unit=unit, better="lower", fingerprint=print_of)
        made = c.measured(name, "cost", Interval(value), **fields)
        found.append(dataclasses.replace(made, settings={}))
    return found


def _method(c: Comparison) -> Any:
    if c.subject.method is None:
        raise NotAvailable("images alone have no model: it is of runs")
    return c.subject.method


FAMILIES = OF_IMAGES | {
    "likelihood": likelihood_family,
    "ppl": path_family,
    "classes": classes_family,
    "speed": speed_family,
}
