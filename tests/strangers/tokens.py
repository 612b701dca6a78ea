"""Tokens as x: an autoregressive network of its own, with its objective, data and config."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.abilities import DensityOf
from jaxgen.config import common
from jaxgen.data.dataset import ArraySplit, Dataset
from jaxgen.fields import DataSpec, Field
from jaxgen.types import Turn

LENGTH, VOCABULARY = 6, 5
SPEC = DataSpec("words", {"x": Field("tokens", (LENGTH,), "int32", vocabulary=VOCABULARY)})


def load(data_dir, manual_dir, seed):
    """A random walk on the tokens, which a model can learn."""
    random = np.random.RandomState(0)
    start, steps = random.randint(VOCABULARY, size=(400, 1)), random.randint(2, size=(400, LENGTH))
    x = ((start + steps.cumsum(1)) % VOCABULARY).astype(np.int32)
    splits = {"train": ArraySplit({"x": x[:300]}), "test": ArraySplit({"x": x[300:]})}
    return Dataset(SPEC, splits, "a random walk")


class Causal(nn.Module):
    """Logits of every token from those before it, by masked dense layers over positions."""

    width: int = 8

    @nn.compact
    def __call__(self, x):
        """[B, T] -> [B, T, vocabulary]."""
        h = nn.Embed(VOCABULARY + 1, self.width)(jnp.pad(x[:, :-1] + 1, ((0, 0), (1, 0))))
        mask = jnp.tril(jnp.ones((LENGTH, LENGTH)))
        mix = self.param("mix", nn.initializers.normal(0.3), (LENGTH, LENGTH))
        h = jnp.einsum("ts,bsc->btc", mix * mask, h)
        return nn.Dense(VOCABULARY)(jax.nn.gelu(h))


@dataclasses.dataclass(frozen=True)
class NextToken:
    """Maximum likelihood of each token given those before it."""

    model: Any
    spec: DataSpec

    @property
    def turns(self):
        return (Turn("model", self.loss),)

    @property
    def density(self):
        return DensityOf("exact", "mass", self.spec.dims)

    @property
    def likelihoods(self):
        return {"nll": self.density}

    def init(self, rng, batch):
        return {"model": self.model.init(rng, batch["x"])["params"]}, {}

    def log_prob(self, state, x, rng):
        logits = self.model.apply({"params": state.params["model"]}, x)
        one = jax.nn.log_softmax(logits) * jax.nn.one_hot(x, VOCABULARY)
        return one.sum((1, 2))

    def loss(self, state, batch, rng):
        nll = -self.log_prob(state, batch["x"], rng).mean()
        return nll, (state.vars, {"nll": nll})

    def evaluate(self, state, batch, rng):
        return {"nll": -self.log_prob(state, batch["x"], rng)}

    def sample(self, state, rng, num, temperature: float = 1.0):
        x = jnp.zeros((num, LENGTH), jnp.int32)
        for t in range(LENGTH):
            logits = self.model.apply({"params": state.params["model"]}, x)[:, t]
            key = jax.random.fold_in(rng, t)
            x = x.at[:, t].set(jax.random.categorical(key, logits / temperature))
        return x


def get_config(arg=""):
    c = common("strangers.tokens:load")
    c.model = dict(name="strangers.tokens:Causal", width=8)
    c.method = dict(name="strangers.tokens:NextToken")
    c.optim = dict(model=dict(name="adam", learning_rate=1e-2))
    c.train.update(steps=20, batch_size=16, log_every_steps=5, save_every_steps=10)
    c.evaluate.update(every_steps=10, sample_every_steps=20, num_samples=8, best="test/nll")
    c.evaluate.sample = dict(temperature=1.0)
    return c
