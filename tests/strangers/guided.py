"""A sampler that a frozen classifier guides; the classifier is a run of its own, `:classifier`.

Source of the idea: Dhariwal & Nichol 2021, section 4, here of one Gaussian a pixel.
"""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgen.config import common
from jaxgen.types import DataSpec, Turn


class Scores(nn.Module):
    """Logits of classes, [B, K]."""

    classes: int = 10

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.classes)(x.reshape(len(x), -1))


class Moments(nn.Module):
    """A mean and a log-deviation of every pixel."""

    @nn.compact
    def __call__(self, shape):
        mean = self.param("mean", nn.initializers.constant(0.5), shape)
        return mean, self.param("log_std", nn.initializers.constant(-1.0), shape)


@dataclasses.dataclass(frozen=True)
class Classifier:
    """Cross entropy; its samples are of no use, and are noise."""

    model: Any
    spec: DataSpec

    @property
    def turns(self):
        return (Turn("model", self.loss),)

    def init(self, rng, batch):
        return {"model": self.model.init(rng, batch["x"] / 16)["params"]}, {}

    def logits(self, state, x):
        """Of x in [0, 1]."""
        return self.model.apply({"params": state.params["model"]}, x)

    def evaluate(self, state, batch, rng):
        chosen = jax.nn.one_hot(batch["label"], self.spec.num_classes)
        logits = self.logits(state, batch["x"] / 16)
        return {"cross_entropy": -(jax.nn.log_softmax(logits) * chosen).sum(1)}

    def loss(self, state, batch, rng):
        loss = self.evaluate(state, batch, rng)["cross_entropy"].mean()
        return loss, (state.vars, {"cross_entropy": loss})

    def sample(self, state, rng, num):
        return jax.random.randint(rng, (num, *self.spec.shape), 0, 17).astype(jnp.uint8)


@dataclasses.dataclass(frozen=True)
class Guided:
    """A Gaussian a pixel, whose samples climb the classifier's log-probability of their class."""

    model: Any
    classifier: Any
    spec: DataSpec

    @property
    def turns(self):
        return (Turn("model", self.loss),)

    @property
    def given(self):
        return ("label",)

    def init(self, rng, batch):
        return {"model": self.model.init(rng, self.spec.shape)["params"]}, {}

    def _moments(self, state):
        mean, log_std = self.model.apply({"params": state.params["model"]}, self.spec.shape)
        return mean[None], log_std[None]

    def evaluate(self, state, batch, rng):
        mean, log_std = self._moments(state)
        z = (batch["x"] / 16 - mean) * jnp.exp(-log_std)
        return {"nats": (0.5 * z**2 + log_std).sum((1, 2, 3))}

    def loss(self, state, batch, rng):
        loss = self.evaluate(state, batch, rng)["nats"].mean()
        return loss, (state.vars, {"nats": loss})

    def sample(self, state, rng, num, given=None, scale: float = 1.0):
        label = jnp.zeros(num, jnp.int32) if given is None else given["label"]
        held = self.classifier.state(state)

        def log_p(x):
            logits = self.classifier.method.logits(held, x)
            chosen = jax.nn.one_hot(label, self.spec.num_classes)
            return (jax.nn.log_softmax(logits) * chosen).sum()

        mean, log_std = self._moments(state)
        x = mean + jnp.exp(log_std) * jax.random.normal(rng, (num, *self.spec.shape))
        for _ in range(5):
            x = x + scale * jax.grad(log_p)(x)
        return jnp.rint(16 * x.clip(0, 1)).astype(jnp.uint8)


def get_config(arg=""):
    c = common("digits")
    c.optim = dict(model=dict(name="adam", learning_rate=3e-2))
    c.train.update(steps=20, batch_size=64, log_every_steps=5, save_every_steps=10)
    c.evaluate.update(every_steps=10, sample_every_steps=20, num_samples=4)
    c.evaluate.sample = dict()
    if arg == "classifier":
        c.model = dict(name="strangers.guided:Scores")
        c.method = dict(name="strangers.guided:Classifier")
        c.evaluate.best = "test/cross_entropy"
        return c
    c.frozen = dict(classifier="")
    c.model = dict(name="strangers.guided:Moments")
    c.method = dict(name="strangers.guided:Guided")
    c.evaluate.best = "test/nats"
    return c
