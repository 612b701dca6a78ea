"""A volume [D, H, W, C]: a linear autoencoder of its own, which encodes, decodes and restores."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.config import common
from jaxgen.data.dataset import ArraySplit, Dataset
from jaxgen.fields import DataSpec, Field
from jaxgen.types import Turn

SHAPE = (4, 6, 5, 1)
SPEC = DataSpec(
    "blobs",
    {
        "x": Field("volume", SHAPE, "uint8", levels=256),
        "layout": Field("layout", SHAPE[1:3], "int32", classes=2),
    },
)


def load(data_dir, manual_dir, seed):
    """Balls somewhere in the volume, and where they are seen from the front."""
    random = np.random.RandomState(0)
    grid = np.stack(np.meshgrid(*map(np.arange, SHAPE[:3]), indexing="ij"), -1)
    centre = random.rand(300, 1, 1, 1, 3) * np.array(SHAPE[:3])
    near = np.exp(-np.square(grid[None] - centre).sum(-1, keepdims=True) / 4)
    x = np.rint(255 * near).astype(np.uint8)
    layout = (x.max((1, 4)) > 127).astype(np.int32)
    parts = {"train": slice(0, 250), "test": slice(250, 300)}
    splits = {k: ArraySplit({"x": x[s], "layout": layout[s]}) for k, s in parts.items()}
    return Dataset(SPEC, splits, "random balls")


class Linear(nn.Module):
    """To `latent` numbers and back."""

    latent: int = 4

    def setup(self):
        self.inward, self.outward = nn.Dense(self.latent), nn.Dense(int(np.prod(SHAPE)))

    def __call__(self, x):
        return self.decode(self.encode(x))

    def encode(self, x):
        return self.inward(x.reshape(len(x), -1))

    def decode(self, z):
        return self.outward(z).reshape(len(z), *SHAPE)


@dataclasses.dataclass(frozen=True)
class Squared:
    """Squared error of the voxels, in [0, 1]."""

    model: Any
    spec: DataSpec

    @property
    def turns(self):
        return (Turn("model", self.loss),)

    def init(self, rng, batch):
        return {"model": self.model.init(rng, batch["x"] / 255)["params"]}, {}

    def _apply(self, state, x, method):
        return self.model.apply({"params": state.params["model"]}, x, method=method)

    def evaluate(self, state, batch, rng):
        x = batch["x"] / 255
        found = self._apply(state, self._apply(state, x, "encode"), "decode")
        return {"error": jnp.square(found - x).mean((1, 2, 3, 4))}

    def loss(self, state, batch, rng):
        error = self.evaluate(state, batch, rng)["error"].mean()
        return error, (state.vars, {"error": error})

    def encode(self, state, x, rng):
        return self._apply(state, x / 255, "encode")

    def decode(self, state, z, rounded: bool = True):
        x = 255 * self._apply(state, z, "decode").clip(0, 1)
        return jnp.rint(x).astype(jnp.uint8) if rounded else x

    def reconstruct(self, state, x, rng):
        return self.decode(state, self.encode(state, x, rng))

    def sample(self, state, rng, num):
        return self.decode(state, jax.random.normal(rng, (num, self.model.latent)))


def get_config(arg=""):
    c = common("strangers.volume:load")
    c.model = dict(name="strangers.volume:Linear", latent=4)
    c.method = dict(name="strangers.volume:Squared")
    c.optim = dict(model=dict(name="adam", learning_rate=1e-2))
    c.train.update(steps=20, batch_size=16, log_every_steps=5, save_every_steps=10)
    c.evaluate.update(every_steps=10, sample_every_steps=20, num_samples=3, best="test/error")
    c.evaluate.sample = dict()
    return c
