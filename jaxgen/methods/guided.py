"""Classifier guidance: samples of one run, moved to where a classifier sees their class."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.config import ConfigError
from jaxgen.methods.denoising import Denoising
from jaxgen.methods.givens import Givens
from jaxgen.methods.handing import handing
from jaxgen.methods.latent_prior import LatentPrior
from jaxgen.methods.mean_flow import MeanFlow
from jaxgen.methods.noised_classifier import NoisedClassifier
from jaxgen.methods.vdm import VDM
from jaxgen.ops.prediction import Estimate, along
from jaxgen.types import Array, Batch, DataSpec, Given, Metrics, Params, State, Turn, Vars

CHECKED = 10  # times at which the noise of both must be the same
LEAST_ALPHA, NEAR = 1e-6, 0.999  # where a path ends in noise alone, and a time before


@dataclasses.dataclass(frozen=True)
class Guided:
    """A method of diffusion whose samples a noise-aware classifier guides.

    What the model says of the noise becomes eps - scale sigma grad log p(class | z, t): of a scale
    of 1 the score is that of the data given the class, if both are right. Of latent diffusion these
    are latents, and the classifier one of the same latents.

    Source: Dhariwal & Nichol 2021, Diffusion models beat GANs on image synthesis, algorithm 2,
    here for every sampler.

    Attributes:
        inner: what is guided.
        classifier: a frozen stage with a `NoisedClassifier`, or a `LatentPrior` of one.
    """

    inner: Any
    classifier: Any

    def __post_init__(self) -> None:
        """Checks that both are of the same data and the same noise.

        Raises:
            ConfigError: saying what differs.
        """
        judge, denoiser = self.judge, self.denoiser
        if not isinstance(judge, NoisedClassifier):
            raise ConfigError(
                f"classifier: {type(judge).__name__} is no classifier of noised data: "
                "configs/adm_classifier.py trains one"
            )
        if not isinstance(denoiser, Denoising) or isinstance(denoiser, VDM | MeanFlow):
            raise ConfigError(
                f"classifier: {type(denoiser).__name__} has no noise that a classifier was "
                "trained on"
            )
        ours, theirs = denoiser.spec, judge.spec
        if (ours.name, ours.shape) != (theirs.name, theirs.shape):
            raise ConfigError(
                f"classifier: it was trained on {theirs.name}, {theirs.shape}, and the model on "
                f"{ours.name}, {ours.shape}"
            )
        if ours.x != theirs.x or _stage(self.inner) != _stage(self.classifier.method):
            raise ConfigError(
                f"classifier: its {theirs.name} are not the model's: train it with the same "
                "config.frozen.first"
            )
        if not _alike(denoiser, judge):
            raise ConfigError(
                "classifier: its noise is not the model's: train it with config.method.process as "
                "the config.method of the model has it"
            )

    @functools.cached_property
    def denoiser(self) -> Any:
        """The method that draws what is guided: latents, or data."""
        return _within(self.inner)

    @functools.cached_property
    def judge(self) -> Any:
        """The method of the classifier."""
        return _within(self.classifier.method)

    @property
    def spec(self) -> DataSpec:
        """Of the data."""
        return self.inner.spec

    @property
    def given(self) -> tuple[str, ...]:
        """What the model is given, and the class."""
        return tuple(dict.fromkeys((*self.inner.given, "label")))

    @property
    def most_steps(self) -> int:
        """Of the model."""
        return self.denoiser.most_steps

    @property
    def turns(self) -> Sequence[Turn]:
        """Those of the model."""
        return self.inner.turns

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Vars]:
        """As the model's."""
        return self.inner.init(rng, batch)

    def evaluate(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """As the model's, which no classifier changes."""
        return self.inner.evaluate(state, batch, rng)

    @handing(lambda self: [self.inner.sample])
    def sample(
        self,
        state: State,
        rng: Array,
        num: int,
        given: Given = None,
        scale: float = 1.0,
        **knobs: Any,
    ) -> Array:
        """Samples that the classifier guides.

        Args:
            state: of the model, which holds the classifier.
            rng: a key.
            num: number of samples.
            given: field -> values of all samples, or [num, ...]; classes that are not given are
                drawn evenly.
            scale: of the guidance; of 0 the samples are those of the model bit by bit.
            knobs: of the model's `sample`.
        """
        fields = dict(given or {})
        classes = Givens(self.spec, ("label",)).of_call(
            {k: v for k, v in fields.items() if k == "label"}, num, jax.random.fold_in(rng, 3)
        )
        assert classes is not None
        label = jnp.argmax(classes, axis=-1)
        denoiser, judge, theirs = self.denoiser, self.judge, self.classifier.state(state)
        if "label" in denoiser.given:
            fields["label"] = label
        own = {k: v for k, v in fields.items() if k in denoiser.given}
        path = denoiser.path(state)

        def steer(found: Estimate, z: Array, t: Array) -> Estimate:
            # all noise says nothing of a class, and what it says there of the data is a limit
            near = jnp.where(path.alpha(t) < LEAST_ALPHA, NEAR, t)
            alpha, sigma = along(path.alpha(near), z), along(path.sigma(near), z)

            def log_p(z: Array) -> Array:
                log_p = jax.nn.log_softmax(judge.logits(theirs, z, near))
                return jnp.sum(jnp.take_along_axis(log_p, label[:, None], axis=-1))

            moved = scale * sigma * jax.grad(log_p)(z)
            x = found.x + sigma / alpha * moved
            eps = found.eps - along(path.alpha(t), z) / alpha * moved
            x = jnp.where(scale == 0, found.x, x)
            return Estimate(x, jnp.where(scale == 0, found.eps, eps), found.between)

        z = denoiser.drawn(state, rng, num, own or None, steer, **knobs)
        return self.inner.outward(state, z) if isinstance(self.inner, LatentPrior) else z


def _within(method: Any) -> Any:
    """What a prior of latents is of these; another method as it is."""
    return method.inner if isinstance(method, LatentPrior) else method


def _stage(method: Any) -> str | None:
    """Digest of the stage whose latents are modelled."""
    return method.first.digest if isinstance(method, LatentPrior) else None


def _alike(inner: Denoising, judge: NoisedClassifier) -> bool:
    """Whether the noise of both is the same, all along."""
    if type(inner) is not type(judge.noising) or inner.most_steps != judge.noising.most_steps:
        return False
    here, there = (m.path(State(jnp.int32(0), {}, {}, {}, {})) for m in (inner, judge.noising))
    for i in range(CHECKED + 1):
        t, s = inner.rung(i, CHECKED), judge.noising.rung(i, CHECKED)
        pairs = ((t, s), (here.alpha(t), there.alpha(s)), (here.sigma(t), there.sigma(s)))
        if not all(np.allclose(a, b, rtol=1e-5) for a, b in pairs):
            return False
    return True
