"""Bits per dimension and nats of the test split, with the kind of bound."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxgen.abilities import Density
from jaxgen.config import ConfigError
from jaxgen.evaluate.comparison import Comparison, able, model
from jaxgen.evaluate.measurement import Measurement, NotAvailable, Number, fingerprint, of_stderr
from jaxgen.evaluate.split import EVALUATION_SEED

_BOUND = "upper bound of the negative log-likelihood"
NUMBERS = {
    "bpd": Number(
        "Bits per dimension",
        "test likelihood; its kind of bound is in the fingerprint",
        "likelihood",
        unit="bits/dim",
    ),
    "nll": Number("Negative log-likelihood", "of the test data", "likelihood", unit="nats"),
    "nelbo": Number("Negative ELBO", _BOUND, "likelihood", unit="nats"),
    "iw_bpd": Number(
        "Importance-weighted bits per dimension",
        "tighter upper bound",
        "likelihood",
        unit="bits/dim",
    ),
    "code_nll": Number(
        "Negative log-likelihood of codes", "of the codes alone", "likelihood", unit="nats"
    ),
    "uniform_bpd": Number(
        "Bits per dimension, codes alike",
        "upper bound: bits of the pixels given codes, and of codes drawn evenly",
        "likelihood",
        unit="bits/dim",
    ),
    "uniform_nll": Number(
        "Negative log-likelihood, codes alike",
        "upper bound: of pixels given codes, and of codes drawn evenly",
        "likelihood",
        unit="nats",
    ),
    "iw_nll": Number("Importance-weighted NLL", f"tighter {_BOUND}", "likelihood", unit="nats"),
}
NEEDS = (model, able(Density, "likelihood (no log_prob)"))


def measure(c: Comparison) -> list[Measurement]:
    """What the method's `likelihoods` names, of the test split, with 1.96 standard errors."""
    method: Any = c.subject.method
    if c.subject.per_example is None:
        raise NotAvailable("training evaluates the likelihood itself: see config.evaluate")
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
        value = of_stderr(float(values.mean()), error)
        found.append(c.measured(name, value, fingerprint=print_of, settings={}))  # no sampling
    return found
