"""The classification accuracy score: of real test images, by a classifier of generated ones.

Source: Ravuri & Vinyals 2019, Classification accuracy score for conditional generative models,
section 3.
"""

from __future__ import annotations

import dataclasses
import pathlib
import tempfile

from jaxgen.data.dataset import ArraySplit, Dataset
from jaxgen.evaluate.comparison import Comparison, conditional, model
from jaxgen.evaluate.extractors import accuracy_of
from jaxgen.evaluate.extractors.classifier import trained
from jaxgen.evaluate.measurement import Measurement, NotAvailable, Number, fingerprint, of_share

NUMBERS = {
    "cas": Number(
        "Classification accuracy score",
        "of real data, by a classifier trained on samples",
        "diversity",
        "higher",
        most=1,
    ),
}
NEEDS = (model, conditional)


def measure(c: Comparison) -> list[Measurement]:
    """Trains the embedded classifier on generated images alone, tests it on the test split."""
    spec = c.subject.spec
    if spec.levels is None or spec.x.kind != "image":
        raise NotAvailable(f"{spec.name} has no images of grey levels")
    images, label = c.labelled
    named = dataclasses.replace(spec, name=f"generated {spec.name}")
    splits = {"train": ArraySplit({"x": images, "label": label}), "test": c.dataset.splits["test"]}
    with tempfile.TemporaryDirectory() as folder:
        made = Dataset(named, splits, source="generated", binarized=c.dataset.binarized)
        accuracy = trained(made, str(pathlib.Path(folder)), say=None).accuracy
    count = len(c.dataset.splits["test"])
    parts = {"num_generated": len(images), "num_real": count, "classifier": "embedded"}
    context = c.context(of_real=accuracy_of(c.extractor))
    print_of = fingerprint(c.print_of_data("test"), parts)
    return [c.measured("cas", of_share(accuracy, count), fingerprint=print_of, context=context)]
