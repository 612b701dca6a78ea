"""Images given a text: a text is a field of tokens, the network embeds it itself."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from jaxgen.abilities import DensityOf
from jaxgen.config import common
from jaxgen.data.dataset import ArraySplit, Dataset
from jaxgen.fields import DataSpec, Field
from jaxgen.types import Turn

LENGTH, VOCABULARY, SHAPE = 3, 4, (4, 4, 1)
WORDS = ("dark", "dim", "light", "bright")  # the first adds nothing, and pads
SPEC = DataSpec(
    "captioned",
    {
        "x": Field("image", SHAPE),
        "text": Field("tokens", (LENGTH,), "int32", vocabulary=VOCABULARY, words=WORDS),
    },
)


def load(data_dir, manual_dir, seed):
    """Noise whose brightness is what the text adds up to."""
    random = np.random.RandomState(0)
    text = random.randint(VOCABULARY, size=(400, LENGTH)).astype(np.int32)
    noise = random.randn(400, *SHAPE)
    x = (text.sum(1)[:, None, None, None] + 0.1 * noise).astype(np.float32)
    parts = {"train": slice(0, 300), "test": slice(300, 400)}
    splits = {k: ArraySplit({"x": x[s], "text": text[s]}) for k, s in parts.items()}
    return Dataset(SPEC, splits, "noise with captions")


class Mean(nn.Module):
    """The mean of an image from its text, [B, T] -> [B, H, W, C]."""

    @nn.compact
    def __call__(self, text):
        h = nn.Embed(VOCABULARY, 4)(text).sum(1)
        return nn.Dense(int(np.prod(SHAPE)))(h).reshape(len(text), *SHAPE)


@dataclasses.dataclass(frozen=True)
class Regression:
    """A Gaussian of unit deviation around the mean that the text gives."""

    model: Any
    spec: DataSpec

    @property
    def turns(self):
        return (Turn("model", self.loss),)

    @property
    def given(self):
        return ("text",)

    @property
    def density(self):
        return DensityOf("exact", "density", self.spec.dims, given=("text",), per="1")

    @property
    def likelihoods(self):
        return {"nll": self.density}

    def init(self, rng, batch):
        return {"model": self.model.init(rng, batch["text"])["params"]}, {}

    def log_prob(self, state, x, rng, given):
        mean = self.model.apply({"params": state.params["model"]}, given["text"])
        return jax.scipy.stats.norm.logpdf(x - mean).sum((1, 2, 3))

    def evaluate(self, state, batch, rng):
        return {"nll": -self.log_prob(state, batch["x"], rng, batch)}

    def loss(self, state, batch, rng):
        nll = self.evaluate(state, batch, rng)["nll"].mean()
        return nll, (state.vars, {"nll": nll})

    def sample(self, state, rng, num, given):
        mean = self.model.apply({"params": state.params["model"]}, given["text"])
        return mean + jax.random.normal(rng, mean.shape)


def get_config(arg=""):
    c = common("strangers.captions:load")
    c.model = dict(name="strangers.captions:Mean")
    c.method = dict(name="strangers.captions:Regression")
    c.optim = dict(model=dict(name="adam", learning_rate=3e-2))
    c.train.update(steps=40, batch_size=64, log_every_steps=5, save_every_steps=20)
    c.evaluate.update(every_steps=20, sample_every_steps=40, num_samples=4, best="test/nll")
    c.evaluate.sample = dict()
    return c
