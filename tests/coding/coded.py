"""Small models of small images, as a coder sees them."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.methods.autoregressive import Autoregressive
from jaxgen.methods.elbo import ELBO
from jaxgen.methods.likelihood import Likelihood
from jaxgen.models.autoregressive.transformer import Transformer
from jaxgen.models.flows.nice import NICE
from jaxgen.models.flows.realnvp import RealNVP
from jaxgen.models.vaes.conv_draw import ConvDRAW
from jaxgen.models.vaes.nvae import NVAE
from jaxgen.models.vaes.vae import VAE
from jaxgen.models.vaes.vdvae import VDVAE
from jaxgen.types import DataSpec, State

KEY = jax.random.key(0)


@dataclasses.dataclass
class Place:
    path: str = "runs/x"


@dataclasses.dataclass
class Loaded:
    """What a coder needs of a run."""

    method: Any
    state: State
    config: dict
    step: int = 7
    directory: Place = dataclasses.field(default_factory=Place)

    @property
    def spec(self):
        return self.method.spec


def spec_of(shape=(4, 4, 1), levels=5):
    return DataSpec.of("squares", shape, levels, num_classes=3)


def loaded(method, seed=0, noise=0.3, **words):
    """A run of a method with parameters that are not those of the start."""
    spec = method.spec
    x = np.zeros((2, *spec.shape), np.uint8)
    batch = {"x": x, "label": np.zeros(2, np.int32)}
    params, variables = jax.jit(method.init)(jax.random.key(seed), batch)
    leaves, tree = jax.tree.flatten(params)
    keys = [jax.random.fold_in(KEY, i) for i in range(len(leaves))]
    moved = [p + noise * jax.random.normal(k, p.shape) for k, p in zip(keys, leaves, strict=True)]
    config = {"model": {"name": type(method.model).__name__}, "method": words}
    return Loaded(method, State(jnp.int32(0), tree.unflatten(moved), variables, {}, {}), config)


def transformer(observation, shape=(3, 3, 1), levels=5, seed=0, given=()):
    spec = spec_of(shape, levels)
    method = Autoregressive(Transformer(1, 16, 2), spec, observation, mixtures=2, given=given)
    return loaded(method, seed, 0.5, observation=observation)


@functools.cache
def latents(name, seed=0, shape=(4, 4, 1), levels=5, observation="logistic_mixture"):
    """A run of a model with latents."""
    model = {
        "vae": VAE(latent=3, hidden=(8,)),
        "conv_draw": ConvDRAW(steps=2, latent=2, width=4, kernel=3),
        "vdvae": VDVAE(((4, 2), (2, 1)), ((2, 1), (4, 2)), width=8, latent=2),
        "nvae": NVAE(channels=4, groups=(1, 2), latent=2, blocks=0, group_cells=1),
    }[name]
    return loaded(ELBO(model, spec_of(shape, levels), observation, mixtures=2), seed)


@functools.cache
def flow(name="realnvp", seed=0, shape=(4, 4, 1), **options):
    """A run of a flow."""
    model = {
        "realnvp": RealNVP(scales=1, width=4, blocks=1, norm=False),
        "nice": NICE(couplings=2, hidden=1, width=8),
    }[name]
    return loaded(Likelihood(model, spec_of(shape), **options), seed, 0.1)


def draws(run, num, seed=0):
    """Of the model itself, so that they are worth few bits."""
    draw = jax.jit(lambda state, key: run.method.sample(state, key, num))
    return np.asarray(draw(run.state, jax.random.key(seed)))


def unlike(run, num=3):
    """Black, white and noise."""
    levels = run.spec.levels
    x = np.random.RandomState(1).randint(0, levels, (num, *run.spec.shape)).astype(np.uint8)
    x[0], x[1] = 0, levels - 1
    return x
