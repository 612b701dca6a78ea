"""Metrics of samples while a model trains, as often as a budget of time allows."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import Mesh

from jaxgen.abilities import given, levels_of
from jaxgen.config import ConfigError
from jaxgen.data import Dataset
from jaxgen.evaluate.comparison import Comparison, Subject
from jaxgen.evaluate.extractors import Extractor, extractor
from jaxgen.evaluate.givens import rows_of
from jaxgen.evaluate.metrics import check_published, chosen, measure
from jaxgen.evaluate.sampling import Sampler, Samples
from jaxgen.types import Method, State

MOST = 10_000  # real examples


class Watch:
    """Samples of a state against the train split, from the same latents every time."""

    def __init__(
        self,
        method: Method,
        mesh: Mesh,
        dataset: Dataset,
        *,
        metrics: str | Sequence[str],
        num: int,
        name: str,
        budget: float,
    ):
        """Checks the options.

        Args:
            method: that samples.
            mesh: where.
            dataset: the real data.
            metrics: names, see `metrics.chosen`; "all" is of those of images.
            num: samples.
            name: of the extractor; empty takes pixels.
            budget: share of the time since now that measuring may take.

        Raises:
            ConfigError: for unknown metrics, or unfit numbers.
        """
        if num < 1 or not 0 < budget <= 1:
            raise ConfigError(
                f"config.evaluate: metrics_num={num}, expected 1 or more, and "
                f"metrics_budget={budget}, expected a share above 0, at most 1"
            )
        self.names = chosen(metrics, of_images=True)
        check_published(metrics, name)
        self._method, self._dataset, self._num = method, dataset, num
        rows = rows_of(method, dataset.spec, dataset.splits["train"], num)
        self._sampler, self._given = Sampler(method, dataset.spec, mesh), rows
        self._name, self._budget = name or "pixels", budget
        self._began, self._spent = time.monotonic(), 0.0
        self._known: Comparison | None = None

    @functools.cached_property
    def extractor(self) -> Extractor:
        """Made, or trained, when first asked for."""
        return extractor(self._name, self._dataset.spec, dataset=self._dataset)

    def prepare(self) -> None:
        """Makes the extractor, so that what is missing is missed before the training."""
        _ = self.extractor

    def affordable(self) -> bool:
        """Whether the budget allows another measurement; the same on all processes."""
        allowed = self._spent <= self._budget * (time.monotonic() - self._began)
        if jax.process_count() > 1:
            from jax.experimental import multihost_utils

            allowed = bool(multihost_utils.broadcast_one_to_all(np.asarray(allowed)))
        return allowed

    def _drawn(self, state: State, **more: np.ndarray) -> Samples:
        return self._sampler.samples(state, self._num, given=self._given | more)

    def measure(self, state: State) -> dict[str, float]:
        """Name -> value of what could be measured; {} when the budget is used up."""
        if not self.affordable():
            return {}
        start = time.monotonic()
        method, spec, labelled = self._method, self._dataset.spec, None
        if "label" in given(method):
            label = np.arange(self._num, dtype=np.int32) % spec.num_classes
            labelled = self._drawn(state, label=label)
        subject = Subject(
            spec,
            levels_of(method, spec),
            [self._drawn(state)],
            method=method,
            state=state.averaged(),
            labelled=labelled,
        )
        comparison = Comparison(subject, self._dataset, self.extractor, max_examples=MOST)
        if self._known:
            comparison.adopt(self._known)
        self._known = comparison
        found, _ = measure(comparison, self.names, lenient=True)
        self._spent += time.monotonic() - start
        rows = (m.as_json() for m in found)
        return {row["name"]: row["value"] for row in rows if row["value"] is not None}
