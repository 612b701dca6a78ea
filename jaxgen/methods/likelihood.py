"""Maximum likelihood for any bijector: the one place where a flow's bits/dim are counted."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.abilities import DensityOf
from jaxgen.bijectors.affine import Affine
from jaxgen.bijectors.base import Bijector, Chain
from jaxgen.bijectors.preprocess import Logit, UniformDequantize, VariationalDequantize
from jaxgen.config import ConfigError
from jaxgen.methods.givens import Givens, chosen
from jaxgen.methods.player import Player
from jaxgen.ops.augment.shift import random_shift
from jaxgen.ops.densities import BASES, LN2, nats_to_bits_per_dim, tree_log_prob, tree_sample
from jaxgen.types import Array, Batch, DataSpec, Given, Metrics, Params, State, Turn, Vars

PREPROCESS = ("center", "logit", "none")


@dataclasses.dataclass(frozen=True)
class Likelihood:
    """Minimises -log p(x) = -log p(z) - logdet, with z the bijector's image of the data.

    Integer data are first dequantised; all that happens to them on the way is a bijector whose
    log-determinant is counted, so bits/dim need no constant. Continuous data are modelled in the
    units of the batches and reported in nats per unit of their own.

    Attributes:
        model: the bijector, data -> latent.
        spec: of the data.
        n_bits: keep that many bits of 8-bit data; None keeps all grey levels. Numbers with
            different n_bits are not comparable.
        preprocess: of dequantised data in [0, 1): "center" subtracts 1/2, "logit" maps to the
            real line, "none" does nothing.
        alpha: of the logit.
        base: density of the latents: "normal", "logistic" or "uniform".
        given: fields of a batch that the model is given, as ("label",). The context always is,
            where the data have one.
        class_weight: of the cross-entropy, in bits, of a classifier inside the model, which the
            loss adds to bits/dim (Glow's official code takes 0.01).
        shift: move training images by up to this fraction of their sides, see `random_shift`;
            never in `evaluate`.
        health: look at the inverse and at the scales in every evaluation. Where the inverse
            takes a pass per element, this is most of its time.
        dequantizer: flow of the dequantisation noise given the image, see
            `VariationalDequantize`; None takes uniform noise. A config names it beside the model:
            `c.model = dict(model=dict(name=...), dequantizer=dict(name=...))`.
        importance_samples: K draws of the dequantisation noise in `evaluate`.
    """

    model: Bijector
    spec: DataSpec
    n_bits: int | None = None
    preprocess: str = "center"
    alpha: float = 0.05
    base: str = "normal"
    given: tuple[str, ...] = ()
    class_weight: float = 0.0
    shift: float = 0.0
    health: bool = False
    dequantizer: Bijector | None = None
    importance_samples: int = 1

    def __post_init__(self) -> None:
        """Checks the options against each other and against the data."""
        object.__setattr__(self, "given", chosen(self.given, self.spec))
        if self.preprocess not in PREPROCESS:
            raise ValueError(f"preprocess={self.preprocess!r}, expected one of {PREPROCESS}")
        if self.base not in BASES:
            raise ValueError(f"base={self.base!r}, expected one of {sorted(BASES)}")
        if self.n_bits is not None and self.spec.levels != 256:
            raise ValueError(
                f"n_bits={self.n_bits} needs 8-bit data, but {self.spec.name} has "
                f"{self.spec.levels} grey levels: leave method.n_bits at None"
            )
        if self.n_bits is not None and not 1 <= self.n_bits <= 8:
            raise ValueError(f"n_bits={self.n_bits}, expected 1 to 8")
        if self.class_weight and not self.spec.num_classes:
            raise ValueError(
                f"class_weight={self.class_weight}, but {self.spec.name} has no labels"
            )
        if self.shift and len(self.spec.shape) != 3:
            raise ValueError(f"shift={self.shift}, but {self.spec.name} has no images")
        if self.importance_samples < 1:
            raise ValueError(f"importance_samples={self.importance_samples}, expected 1 or more")
        if self.levels is None and (self.importance_samples > 1 or self.dequantizer is not None):
            raise ValueError(f"{self.spec.name} is continuous: there is no dequantisation noise")

    @property
    def turns(self) -> Sequence[Turn]:
        """One: the model moves down its own negative log-likelihood."""
        return (Turn("model", self.loss),)

    @property
    def levels(self) -> int | None:
        """Grey levels that are modelled; None for continuous data."""
        return 2**self.n_bits if self.n_bits else self.spec.levels

    @property
    def givens(self) -> Givens:
        """What the model is given."""
        return Givens(self.spec, self.given)

    @property
    def density(self) -> DensityOf:
        """Of continuous data the density is exact; of integers the noise makes it a bound."""
        if self.levels is None:
            about = DensityOf(self.model.kind, "density", self.spec.dims, per=self.model.per)
        else:
            noise = "udq" if self.dequantizer is None else "vdq"
            kind = noise if self.model.kind == "exact" else f"{noise}-{self.model.kind}"
            about = DensityOf(kind, "mass", self.spec.dims, levels=self.levels)
        return dataclasses.replace(about, given=self.givens.columns)

    @property
    def likelihoods(self) -> Mapping[str, DensityOf]:
        """Of the columns of `evaluate`."""
        one, draws = self.density, self.importance_samples
        if self.levels is None:
            return {"nll": one}
        if draws == 1:
            return {"bpd": one}
        return {"bpd": one, "iw_bpd": dataclasses.replace(one, kind=f"{one.kind}-iw-{draws}")}

    @property
    def pre(self) -> Bijector:
        """What the data pass before the model; parameters are in its dequantiser alone."""
        if self.levels is None:
            return Chain(())
        dequantize = UniformDequantize(self.levels)
        if self.dequantizer is not None:
            dequantize = VariationalDequantize(self.levels, self.dequantizer)
        return Chain((dequantize, *self._steps))

    @property
    def _steps(self) -> tuple[Bijector, ...]:
        """Of data in [0, 1)."""
        steps = {"center": (Affine(shift=-0.5),), "logit": (Logit(self.alpha),), "none": ()}
        return steps[self.preprocess]

    @property
    def network(self) -> Bijector:
        """What has parameters: the model, or all that integer data pass."""
        every = any(name != "label" for name in self.given)  # published class-conditional ones
        model = self.model.conditioned() if every else self.model  # leave an element without
        return model if self.dequantizer is None else Chain((self.pre, model))

    @property
    def player(self) -> Player:
        """The model."""
        return Player("model", self.network)

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Vars]:
        """Initialises the model on the first batch.

        Raises:
            ConfigError: for a model that would ignore what it is given.
        """
        noise, own = jax.random.split(rng)
        x, _ = self._pre(batch["x"], noise)
        rngs = {"params": own, "dequantize": noise}
        params, variables = self.player.init(rngs, x, self.givens.of_batch(batch))
        if self.given:
            without = jax.eval_shape(self.player.init, rngs, x)
            if jax.tree.map(jnp.shape, without) == jax.tree.map(jnp.shape, (params, variables)):
                raise ConfigError(
                    f"{type(self.model).__name__} takes no condition, and it is given "
                    f"{', '.join(self.givens.columns)}: configs/spline.py and configs/maf.py do"
                )
        return {"model": params}, {"model": variables}

    def loss(self, state: State, batch: Batch, rng: Array) -> tuple[Array, tuple[Vars, Metrics]]:
        """Mean bits/dim (nats/dim for continuous data), with dropout and statistics that move."""
        noise, dropout, move = jax.random.split(rng, 3)
        if self.shift:
            batch = {**batch, "x": random_shift(move, batch["x"], self.shift)}
        x, before = self._pre(batch["x"], noise)
        rngs = {"dropout": dropout, "dequantize": noise}
        cond = self.givens.of_batch(batch)
        (z, logdet), state, noted = self.player.noting(state, ("logits",), x, cond, rngs=rngs)
        log_prob = tree_log_prob(self.base, z) + logdet + before
        values = self._values(log_prob)
        metrics = {k: jnp.mean(v) for k, v in values.items()}
        square = sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(z))
        metrics["latent_rms"] = jnp.sqrt(square / batch["x"].size)
        loss = metrics["bpd"] if "bpd" in metrics else -jnp.mean(log_prob) / self.spec.dims
        if self.class_weight:
            bits, metrics["accuracy"] = self._classify(noted, batch["label"])
            loss += self.class_weight * bits
        return loss, (state.vars, metrics)

    def evaluate(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """`bpd` [B] of integer data, `nll` [B] in nats of continuous data; no dropout.

        `bpd` is an upper bound in expectation. With `importance_samples` K > 1 it is the mean
        over K draws of the dequantisation noise, and `iw_bpd` is the bound of their average
        density, which falls with K to the bits/dim of the integers. The draws are made one after
        the other, in the memory of one.

        With `health`, also `reconstruction_error` [B], the largest |x - inverse(forward(x))| of
        an example in what the model is given, which the likelihood does not reveal; and
        `smallest_log_scale` [B], of the example's elements over all couplings, of each level
        where there are several; of a continuous flow `solver_steps` [B].

        Source: Burda et al. 2016, Importance weighted autoencoders, equation 8; Ho et al. 2019,
        Flow++, section 4.1.
        """
        cond = self.givens.of_batch(batch)
        log_prob, health = self._examine(state, batch["x"], cond, rng)
        if self.importance_samples == 1:
            return self._values(log_prob) | health
        draw = functools.partial(self._log_prob, state, batch["x"], cond)
        numbers = jnp.arange(self.importance_samples)
        log_probs = jax.lax.map(lambda k: draw(jax.random.fold_in(rng, k)), numbers)
        average = jax.nn.logsumexp(log_probs, axis=0) - jnp.log(self.importance_samples)
        values = self._values(jnp.mean(log_probs, 0))
        return values | {"iw_bpd": self._values(average)["bpd"]} | health

    def log_prob(self, state: State, x: Array, rng: Array, given: Given = None) -> Array:
        """[B], in nats: a lower bound in expectation for integer data, exact for continuous."""
        return self._log_prob(state, x, self.givens.of_call(given, x.shape[0]), rng)

    def encode(self, state: State, x: Array, rng: Array, given: Given = None) -> Any:
        """Data to latents: the noises of all levels, finest first."""
        cond = self.givens.of_call(given, x.shape[0])
        x, _ = self._pre(x, rng)
        return self.player.apply(state, x, cond, rngs={"dequantize": rng})[0]

    def decode(self, state: State, z: Any, given: Given = None, rounded: bool = True) -> Array:
        """Latents to data, in the units of the data.

        Args:
            state: of the model.
            z: latents.
            given: field -> [B, ...], of what the model is given.
            rounded: to grey levels; False leaves the middle of the noise that dequantises.

        Raises:
            ConfigError: for what is not rounded, behind a learnt dequantisation.
        """
        cond = self.givens.of_call(given, jax.tree.leaves(z)[0].shape[0])
        return self._decode(state, z, cond, rounded)

    @property
    def base_density(self) -> str:
        """See `abilities.Bijective`."""
        return self.base

    def to_base(self, state: State, x: Array) -> Array:
        """See `abilities.Bijective`."""
        x, _ = Chain(self._steps).apply({}, x / self._plain_levels)
        z, _ = self.player.apply(state, x)
        return jnp.concatenate([leaf.reshape(len(x), -1) for leaf in jax.tree.leaves(z)], axis=1)

    def from_base(self, state: State, z: Array) -> Array:
        """See `abilities.Bijective`."""
        levels = self._plain_levels
        leaves, tree = jax.tree.flatten(self._latent_shapes(state, len(z)))
        ends = np.cumsum([math.prod(leaf.shape[1:]) for leaf in leaves])
        parts = jnp.split(z, ends[:-1], axis=1)
        shaped = [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
        x, _ = self.player.apply(state, tree.unflatten(shaped), method="inverse")
        return Chain(self._steps).apply({}, x, method="inverse")[0] * levels

    @property
    def _plain_levels(self) -> int:
        """Grey levels; raises ConfigError where the model is no map of all of them alone."""
        who = type(self.model).__name__
        if self.levels is None or self.levels != self.spec.levels:
            raise ConfigError(f"{who} does not model the grey levels of {self.spec.name}")
        if self.dequantizer is not None or self.model.kind != "exact":
            raise ConfigError(f"{who} with a learnt dequantisation, or by an ODE, is no exact map")
        return self.levels

    def _decode(self, state: State, z: Any, cond: Any, rounded: bool = True) -> Array:
        x, _ = self.player.apply(state, z, cond, method="inverse")
        levels = self.spec.levels
        if not rounded and self.levels is not None and levels is not None:
            if self.dequantizer is not None:
                raise ConfigError("a learnt dequantisation gives rounded data alone")
            x, _ = Chain(self._steps).apply({}, x, method="inverse")
            return (x * self.levels - 0.5) * (levels / self.levels)
        if self.dequantizer is None:
            x, _ = self.pre.apply({}, x, method="inverse")
        if self.n_bits is not None:
            x = (x.astype(jnp.int32) * 256 // self.levels).astype(jnp.uint8)
        return x

    def sample(
        self,
        state: State,
        rng: Array,
        num: int,
        given: Given = None,
        temperature: float = 1.0,
    ) -> Array:
        """Draws latents, multiplies every level's by `temperature`, and decodes.

        Args:
            state: of the model.
            rng: a key.
            num: number of samples.
            given: field -> values of all samples, or [num, ...]; classes that are not given are
                drawn evenly.
            temperature: 0 is deterministic; the paper's pictures use 0.7.
        """
        noise, classes = jax.random.split(rng)
        cond = self.givens.of_call(given, num, classes)
        shapes = self._latent_shapes(state, num)
        z = tree_sample(self.base, noise, shapes, temperature)
        return self._decode(state, z, cond)

    def _latent_shapes(self, state: State, num: int) -> Any:
        x = jax.ShapeDtypeStruct((num, *self.spec.shape), jnp.result_type(float))
        apply = functools.partial(self.player.apply, state, rngs={"dequantize": jax.random.key(0)})
        return jax.eval_shape(apply, x, self.givens.shape(num))[0]

    def _pre(self, x: Array, rng: Array) -> tuple[Array, Array]:
        """What the model is given, and the log-determinant on the way there."""
        if self.n_bits is not None:
            x = jnp.asarray(x) // 2 ** (8 - self.n_bits)
        if self.dequantizer is not None:
            return x, jnp.float32(0.0)  # `network` does the rest
        pre: Any = self.pre
        x, before = pre.apply({}, x, rngs={"dequantize": rng})
        return x, before - self.spec.x.log_volume

    def _log_prob(self, state: State, x: Array, cond: Any, rng: Array) -> Array:
        x, before = self._pre(x, rng)
        z, logdet = self.player.apply(state, x, cond, rngs={"dequantize": rng})
        return tree_log_prob(self.base, z) + logdet + before

    def _examine(
        self, state: State, x: Array, cond: Any, rng: Array
    ) -> tuple[Array, dict[str, Array]]:
        """log p [B], and the health figures [B]."""
        if not self.health:
            return self._log_prob(state, x, cond, rng), {}
        x, before = self._pre(x, rng)
        rngs = {"dequantize": rng}
        (z, logdet), noted = self.player.apply(state, x, cond, rngs=rngs, mutable=["health"])
        back, _ = self.player.apply(state, z, cond, method="inverse")
        wide = jnp.promote_types(back.dtype, jnp.float32)
        error = jnp.abs(x.astype(wide) - back.astype(wide)).reshape(x.shape[0], -1)
        figures = {"reconstruction_error": jnp.max(error, axis=1)}
        for path, value in jax.tree_util.tree_leaves_with_path(noted):
            place, value = jax.tree_util.keystr(path), value.reshape(-1, x.shape[0])
            if "solver_steps" in place:
                figures["solver_steps"] = figures.get("solver_steps", 0.0) + jnp.sum(value, axis=0)
                continue
            level = re.search(r"levels_(\d+)", place)
            name = "smallest_log_scale" + (f"_{int(level[1]) + 1}" if level else "")
            value = jnp.min(value, axis=0)
            figures[name] = jnp.minimum(figures.get(name, value), value)
        return tree_log_prob(self.base, z) + logdet + before, figures

    def _classify(self, noted: Any, label: Array) -> tuple[Array, Array]:
        """Mean cross-entropy in bits, and accuracy, of the logits that the model noted."""
        logits = jax.tree.leaves(noted)
        if len(logits) != 1:
            raise ConfigError(
                f"method.class_weight={self.class_weight} needs a model with one classifier: "
                "set config.model.classes, where the model has it"
            )
        log_p = jax.nn.log_softmax(logits[0])
        picked = jnp.take_along_axis(log_p, label[:, None], axis=1)
        right = jnp.argmax(log_p, axis=1) == label
        return -jnp.mean(picked) / LN2, jnp.mean(right.astype(jnp.float32))

    def _values(self, log_prob: Array) -> Metrics:
        if self.levels is None:
            return {"nll": -log_prob}
        return {"bpd": nats_to_bits_per_dim(-log_prob, self.spec.dims)}
