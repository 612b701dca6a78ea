"""The embedded extractor: a small classifier of a data set, trained on its train split.

It needs no download, and what it measures is no FID: its numbers carry the data set, the network
and the hash of the weights, as fcd-digits8-cnn64@ab12cd34. Training is deterministic on one kind
of device with one number of cores, not across them, so the weights are kept in a file and used
again: compare only what one file has measured.

Precedent: the code of Bińkowski et al. 2018 (mbinkowski/MMD-GAN, `--model lenet`), and the Frechet
classifier distance of TensorFlow-GAN.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import pathlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgen.config import ConfigError
from jaxgen.data import Dataset, Split, load
from jaxgen.data.limits import load_npz
from jaxgen.data.prepare import data_root, prepare_once
from jaxgen.evaluate.extractors import Extractor, checked, in_tiles
from jaxgen.files import set_aside
from jaxgen.nn.classifier import Classifier
from jaxgen.ops.ranges import symmetric
from jaxgen.progress import track
from jaxgen.stored import parse
from jaxgen.types import DataSpec, PyTree

THRESHOLDS = {"digits": 0.97, "mnist": 0.985, "fashion_mnist": 0.9}  # of test accuracy
SEED = 0
BATCH = 100
EPOCHS, FEWEST_STEPS = 5, 400
CHUNK = 20  # steps of one dispatch: what is on the device at once
RATE, DECAY = 2e-3, 1e-2  # of AdamW; the rate falls to zero along half a cosine
RECIPE = {"version": 1, "seed": SEED, "batch": BATCH, "epochs": EPOCHS, "fewest": FEWEST_STEPS}
RECIPE |= {"rate": RATE, "decay": DECAY}


NAMED = True  # by the data that it learns from


def make(rest: str, spec: DataSpec, places: Mapping[str, Any]) -> Extractor:
    """See `extractors.extractor`; `rest` names the data, by default those of `spec`."""
    options = {k: v for k, v in places.items() if k not in ("weights", "heads", "dataset")}
    dataset = places.get("dataset")
    if dataset is None or rest not in ("", dataset.spec.name):
        dataset = load(rest or spec.name, **options)
    found = trained(dataset, options.get("data_dir"))
    if (spec.shape, spec.levels) != (dataset.spec.shape, dataset.spec.levels):
        raise ConfigError(
            f"extractor {found.name}: expected {_described(dataset.spec)}, got those of "
            f"{spec.name}: {_described(spec)}"
        )
    return found


def _described(spec: DataSpec) -> str:
    return f"{spec.unit} of {'x'.join(map(str, spec.shape))} with {spec.levels} grey levels"


@dataclasses.dataclass(frozen=True, eq=False)
class ClassifierFeatures:
    """The trained classifier as an extractor.

    Attributes:
        name: "classifier:digits".
        spec: of the images.
        params: of the network.
        sha256: of the params.
        accuracy: share of the test split that it classifies rightly.
        path: of the file of the weights.
    """

    name: str
    spec: DataSpec
    params: PyTree
    sha256: str
    accuracy: float
    path: pathlib.Path

    @property
    def label(self) -> str:
        """As "digits8-cnn64@ab12cd34": data and height, network and features, hash of weights."""
        plain = "".join(c if c.isalnum() else "_" for c in self.spec.name)
        size = width(self.spec)
        return f"{plain}{self.spec.shape[0]}-cnn{size}@{self.sha256[:8]}"

    @property
    def fingerprint(self) -> dict[str, Any]:
        """See `Extractor`."""
        return {
            "extractor": self.name,
            "weights_sha256": self.sha256,
            "resize": "none",
            "quantisation": f"{self.spec.levels} levels",
            "tap": "last hidden",
        }

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """See `Extractor`: features [B, 64] of images up to 16 pixels a side, else [B, 128]."""
        levels = checked(images, self.spec)
        return in_tiles(self._of, levels)

    def of_real_levels(self, x: np.ndarray) -> np.ndarray:
        """Features [B, D] of images whose grey levels need not be whole; others are cut off."""
        assert self.spec.levels is not None  # `trained` takes no other data
        inside = np.clip(np.asarray(x, np.float32), 0, self.spec.levels - 1)
        return in_tiles(self._of, inside)["features"]

    def _of(self, tile: np.ndarray) -> dict[str, Any]:
        return _apply(self.spec, self.params, tile)


def width(spec: DataSpec) -> int:
    """Number of features."""
    return 64 if max(spec.shape[:2]) <= 16 else 128


def trained(
    dataset: Dataset, data_dir: str | None = None, say: Callable[[str], None] | None = None
) -> ClassifierFeatures:
    """The classifier of a data set, from its file if there is one; else it is trained, and kept.

    Args:
        dataset: labelled images of grey levels.
        data_dir: under which the file is kept, in `classifiers/`; by default as `jaxgen.data`
            has it, $JAXGEN_DATA_DIR or ~/.cache/jaxgen/tfds.
        say: is told of training and of a damaged file; by default standard error.

    Raises:
        ConfigError: for data without labels or grey levels, and when the classifier does not
            reach what is asked of it (97 % on digits, 98.5 % on MNIST, 90 % on Fashion-MNIST).
        DataError: when the directory cannot be written.
    """
    spec = dataset.spec
    if not spec.num_classes or not spec.levels or spec.x.kind != "image":
        raise ConfigError(
            f"a classifier of {spec.name} needs labelled images of grey levels; "
            "use --extractor=pixels"
        )
    say = say or functools.partial(print, file=sys.stderr, flush=True)
    identity = json.dumps([RECIPE, dataset.fingerprint()], sort_keys=True)
    key = hashlib.sha256(identity.encode()).hexdigest()[:12]
    plain = "".join(c if c.isalnum() else "_" for c in spec.name)
    target = data_root(data_dir) / "classifiers" / f"{plain}{spec.shape[0]}-{key}"
    fill = functools.partial(_fill, dataset, say)
    for attempt in range(2):
        for note in prepare_once(target, fill):
            say(note)
        path = target / "weights.npz"
        try:
            params, about = _read(path)
            break
        except ConfigError as error:
            if attempt:
                raise
            aside = set_aside(target, f"{target.name}.damaged")
            say(f"{error}; set aside as {aside}, and trained anew")
    changed = dataset.binarized or dataset.resampled
    least = 0.0 if changed else THRESHOLDS.get(spec.name, 0.0)
    if about["accuracy"] < least:
        raise ConfigError(
            f"the classifier of {spec.name} reaches {about['accuracy']:.1%} of the test split, "
            f"expected {least:.1%}: its features are not used; use --extractor=pixels"
        )
    name = f"classifier:{spec.name}"
    return ClassifierFeatures(name, spec, params, about["sha256"], about["accuracy"], path)


def accuracy(logits: np.ndarray, label: np.ndarray) -> float:
    """Share of logits [B, K] that are largest at the label [B]."""
    return float((np.argmax(logits, 1) == label).mean())


def _network(spec: DataSpec) -> Classifier:
    return Classifier(spec.num_classes, width(spec))


@functools.partial(jax.jit, static_argnums=0)
def _apply(spec: DataSpec, params: PyTree, levels: Any) -> dict[str, Any]:
    features, logits = _network(spec).apply({"params": params}, symmetric(levels, spec.levels))
    return {"features": features, "logits": logits}


def _fill(dataset: Dataset, say: Callable[[str], None], work: pathlib.Path) -> None:
    """Trains, and writes the file into `work`."""
    spec, train, test = dataset.spec, dataset.splits["train"], dataset.splits["test"]
    steps = _steps(len(train))
    say(f"training a classifier of {spec.name}, {steps} steps; this is done once")
    params = jax.tree.map(np.asarray, _train(spec, train, steps))
    right = 0.0
    for first in range(0, len(test), 4096):
        batch = test.take(np.arange(first, min(first + 4096, len(test)), dtype=np.int64))
        out = in_tiles(functools.partial(_apply, spec, params), batch["x"])
        right += accuracy(out["logits"], batch["label"]) * len(batch["label"])
    about = {
        "sha256": sha256(params),
        "accuracy": right / len(test),
        "steps": steps,
        "recipe": RECIPE,
        "data": dataset.fingerprint(),
        "jax": jax.__version__,
        "device": jax.devices()[0].device_kind,
    }
    say(f"classifier of {spec.name}: {about['accuracy']:.2%} of {len(test):,} test images right")
    arrays: Any = flax.traverse_util.flatten_dict(params, sep="/")
    np.savez(work / "weights.npz", about=json.dumps(about), **arrays)


def _steps(count: int) -> int:
    """Of training: whole dispatches."""
    return -(-max(EPOCHS * count // BATCH, FEWEST_STEPS) // CHUNK) * CHUNK


def _train(spec: DataSpec, split: Split, steps: int) -> PyTree:
    """Params after `steps`; every epoch visits every image once, in a seeded order."""
    order = np.concatenate(
        [
            np.random.RandomState([SEED, epoch]).permutation(len(split))
            for epoch in range(-(-steps * BATCH // len(split)))
        ]
    )
    tx = optax.adamw(optax.cosine_decay_schedule(RATE, steps), weight_decay=DECAY)
    blank = jnp.zeros((1, *spec.shape))
    params = jax.jit(_network(spec).init)(jax.random.key(SEED), blank)["params"]

    def loss(params: PyTree, x: Any, label: Any) -> Any:
        found: Any = _network(spec).apply({"params": params}, symmetric(x, spec.levels))
        _, logits = found
        return optax.softmax_cross_entropy_with_integer_labels(logits, label).mean()

    def step(carry: Any, batch: Any) -> Any:
        params, state = carry
        updates, state = tx.update(jax.grad(loss)(params, *batch), state, params)
        return (optax.apply_updates(params, updates), state), None

    run = jax.jit(lambda carry, batches: jax.lax.scan(step, carry, batches)[0], donate_argnums=0)
    carry = params, tx.init(params)
    starts = range(0, steps * BATCH, CHUNK * BATCH)
    for first in track(starts, "training a classifier", steps, "steps", lambda _: CHUNK):
        batch = split.take(order[first : first + CHUNK * BATCH].astype(np.int64))
        x = batch["x"].reshape(CHUNK, BATCH, *spec.shape)
        carry = run(carry, (x, batch["label"].reshape(CHUNK, BATCH)))
    return carry[0]


def sha256(params: Mapping[str, Any]) -> str:
    """Hash of the names, types, shapes and bytes of params."""
    digest = hashlib.sha256()
    for name, array in sorted(flax.traverse_util.flatten_dict(params, sep="/").items()):
        digest.update(f"{name} {array.dtype.str} {array.shape};".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _read(path: pathlib.Path) -> tuple[PyTree, dict[str, Any]]:
    """Params and what is noted beside them.

    Raises:
        ConfigError: for a file that is damaged or was changed.
    """
    try:
        arrays = load_npz(path)
        about = parse(str(arrays.pop("about")))
        params = flax.traverse_util.unflatten_dict(arrays, sep="/")
        whole = sha256(params) == about["sha256"]
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{path} is damaged ({str(error).splitlines()[0]})") from error
    if not whole:
        raise ConfigError(f"{path} is damaged (its weights are not those of its hash)")
    return params, about
