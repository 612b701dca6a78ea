"""How well a run translates, where the truth is known.

    python benchmarks/translation.py RUN ...

Of runs on `digits_two` and `digits_two_bright`: the share of translated test images that a support
vector machine reads as the digit that was written, trained on real images of the domain they are
translated to; and the distance to the true partner, in shares of the range. Beside them the truth
itself and, as controls, what was not translated at all and the distance to partners of others.

Of runs on `layouts`: how much of the layout the inverse of the renderer finds in generated pictures
(`jaxgen.data.embedded.layouts`), beside that of the truth, of the truth blurred, and of the truth
of other layouts; and, where the network knows styles or features of objects, how often the style of
a reference is read in what is made of it, and which styles are drawn without one.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import jax
import numpy as np

import jaxgen
from jaxgen.config import ConfigError
from jaxgen.data.embedded import digits, layouts

BLUR = 2.0  # deviation in pixels


def of_digits(run: Any) -> dict[str, float]:
    """Both directions of a run on two kinds of digits."""
    from sklearn.svm import SVC

    data = run.dataset()
    scans = digits.load()
    label = {k: s.take(np.arange(len(s)))["label"] for k, s in scans.splits.items()}
    train, test = data.splits["train"], data.splits["test"]
    real = {k: test.take(np.arange(len(test)))[f] for k, f in (("a", "x"), ("b", "b"))}
    levels = {"a": data.spec.x.levels - 1, "b": data.spec.fields["b"].levels - 1}
    # a judge is trained on the scans of its own domain: the first half of them are A
    halves = {"a": (train.a.x, label["train"][: len(train.a)])}
    halves["b"] = (train.b.x, label["train"][len(train.a) :])

    def flat(x: np.ndarray, domain: str) -> np.ndarray:
        return x.reshape(len(x), -1) / levels[domain]

    found = {}
    for to, other in (("a", "b"), ("b", "a")):
        x, y = halves[to]
        judge = SVC(C=10).fit(flat(x, to), y)
        made = run.translate(real[other], to)
        read = {
            "read": flat(made, to),
            "truth": flat(real[to], to),
            "none": flat(real[other], other),
        }
        for name, images in read.items():
            found[f"{name}_{to}"] = float(np.mean(judge.predict(images) == label["test"]))
        truth = flat(real[to], to)
        for name in ("read", "none"):
            found[f"{name}_{to}_absolute"] = float(np.mean(np.abs(read[name] - truth)))
        others = np.roll(truth, 1, axis=0)
        found[f"strangers_{to}_absolute"] = float(np.mean(np.abs(read["read"] - others)))
    return found


def of_layouts(run: Any, num: int = 500) -> dict[str, float]:
    """Of the first `num` test examples."""
    from scipy.ndimage import gaussian_filter

    test = run.dataset().splits["test"].take(np.arange(num))
    given = {name: test[name] for name in run.method.given}
    blurred = gaussian_filter(test["x"].astype(float), (0, BLUR, BLUR, 0))
    made = run.translate(given, "x")
    pictures = {"model": made, "truth": test["x"], "blurred": np.rint(blurred).astype(np.uint8)}
    pictures["shuffled"] = np.roll(test["x"], 1, axis=0)
    found = {}
    for name, x in pictures.items():
        seen, style = layouts.read(x)
        found |= {f"{name}_{k}": v for k, v in layouts.agreement(seen, test["layout"]).items()}
        if name == "model":
            drawn = np.bincount(style, minlength=len(layouts.STYLES)) / num
            found |= dict(zip(layouts.STYLES, drawn.tolist(), strict=True))
    try:
        alike = run.translate({**given, "x": test["x"]}, "x")
    except ConfigError:  # it knows no styles
        return found
    seen, style = layouts.read(alike)
    found["style_of_reference"] = float(np.mean(style == test["label"]))
    found["iou_of_reference"] = layouts.agreement(seen, test["layout"])["iou"]
    return found


def main() -> None:
    """Prints one line of JSON a run."""
    for path in sys.argv[1:]:
        run = jaxgen.load(path)
        measure = of_layouts if run.spec.name == "layouts" else of_digits
        print(json.dumps({"run": path} | {k: round(v, 4) for k, v in measure(run).items()}))


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    main()
