"""Whether samples of a conditional model are of the class that was asked for."""

from __future__ import annotations

from jaxgen.evaluate.comparison import Comparison, conditional, model
from jaxgen.evaluate.extractors import accuracy_of
from jaxgen.evaluate.measurement import Measurement, NotAvailable, Number, fingerprint, of_share

NUMBERS = {
    "class_accuracy": Number(
        "Class accuracy", "share of samples read as the class asked for", better="higher", most=1
    ),
}
NEEDS = (model, conditional)


def measure(c: Comparison) -> list[Measurement]:
    """The share of samples that the extractor reads as the class that was asked for."""
    images, label = c.labelled
    if "logits" not in c.extractor(images[:1]):
        raise NotAvailable(f"the extractor {c.extractor.name} classifies nothing")
    right = c.extractor(images)["logits"].argmax(1) == label
    names = c.dataset.classes or tuple(map(str, range(c.subject.spec.num_classes)))
    shares = {f"of {name}": float(right[label == k].mean()) for k, name in enumerate(names)}
    print_of = fingerprint(c.print_of_data("train"), c.extractor.fingerprint)
    return [
        c.measured(
            f"class_accuracy-{c.label}",
            of_share(float(right.mean()), len(right)),
            context=c.context(of_real=accuracy_of(c.extractor), **shares),
            fingerprint=fingerprint(print_of, num_generated=len(images)),
        )
    ]
