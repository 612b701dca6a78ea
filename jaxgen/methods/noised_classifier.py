"""A classifier of noised data, for guidance: it sees what a sampler sees on its way."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from jaxgen.config import ConfigError, build, check_options
from jaxgen.methods.denoising import Denoising
from jaxgen.methods.mean_flow import MeanFlow
from jaxgen.methods.player import Player
from jaxgen.methods.vdm import VDM
from jaxgen.names import resolve
from jaxgen.ops.prediction import along
from jaxgen.types import Array, Batch, DataSpec, Given, Metrics, Params, State, Turn, Vars

LEVELS = 1000  # of noise, that training draws from, or as many as a chain has
TIME_SCALE = 1000  # the network is given the share of the way to noise times this


def check_process(section: Mapping[str, Any] | None, where: str = "config.method.process") -> None:
    """Refuses a process of noise that there is not, or options that it does not take.

    Raises:
        ConfigError: naming the first.
    """
    if section is not None:
        options = dict(section)
        target = resolve(options.pop("name", None), "jaxgen.methods")
        known = isinstance(target, type) and issubclass(target, Denoising)
        if not known or issubclass(target, VDM | MeanFlow):
            raise ConfigError(
                f"{where}.name={section.get('name')}: expected a method whose noise is known, as "
                "diffusion.Diffusion, flow_matching.FlowMatching or edm.EDM"
            )
        check_options(target, where.removeprefix("config."), options, given=("model", "spec"))


@dataclasses.dataclass(frozen=True)
class NoisedClassifier:
    """Minimises the cross-entropy of the class of noised data, at all levels of noise.

    Source: Dhariwal & Nichol 2021, Diffusion models beat GANs on image synthesis, section 4.

    Attributes:
        model: network of (z [B, ...], time [B], train) -> logits [B, K]; its last layer's size is
            its own option `classes`. The time is 0 of data to 1000 of noise.
        spec: of the data.
        process: whose noise it is: `name` of a method of diffusion, and its options, those of the
            run that is to be guided.
    """

    model: Any
    spec: DataSpec
    process: Annotated[Mapping[str, Any], check_process]

    def __post_init__(self) -> None:
        """Checks that there are classes."""
        if not self.spec.num_classes:
            raise ConfigError(f"{self.spec.name} has no labels: there is nothing to tell apart")

    @functools.cached_property
    def noising(self) -> Denoising:
        """The process, without a network."""
        options = dict(self.process)
        target = resolve(options.pop("name", None), "jaxgen.methods")
        return build(target, "method.process", model=None, spec=self.spec, **options)

    @property
    def turns(self) -> Sequence[Turn]:
        """One."""
        return (Turn("model", self.loss),)

    @property
    def player(self) -> Player:
        """The network."""
        return Player("model", self.model)

    @property
    def path(self) -> Any:
        """Of the noise."""
        return self.noising.path(State(jnp.int32(0), {}, {}, {}, {}))

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Vars]:
        """Initialises the network on the first batch.

        Raises:
            ConfigError: for a network of another number of classes.
        """
        x = self.noising.scaled(batch["x"])
        time = jnp.zeros(x.shape[0])
        params, variables = self.player.init({"params": rng}, x, time)
        own = jax.eval_shape(lambda: self.model.apply({"params": params, **variables}, x, time))
        if own.shape[-1:] != (self.spec.num_classes,):
            raise ConfigError(
                f"config.model.classes: the network says {own.shape[-1]} numbers, and "
                f"{self.spec.name} has {self.spec.num_classes} classes"
            )
        return {"model": params}, {"model": variables}

    def noised(self, x: Array, rng: Array) -> tuple[Array, Array]:
        """Data at times of the solvers' own spacing, and these [B]."""
        at, noise, fill = jax.random.split(rng, 3)
        count = min(LEVELS, self.noising.most_steps - 1)
        t = self.noising.rung(jax.random.randint(at, (x.shape[0],), 0, count + 1), count)
        x, path = self.noising.dequantized(x, fill), self.path
        eps = jax.random.normal(noise, x.shape, x.dtype)
        return along(path.alpha(t), x) * x + along(path.sigma(t), x) * eps, t

    def time(self, t: Array) -> Array:
        """What the network is given of times."""
        return TIME_SCALE * jnp.asarray(self.noising.shown_time(t), jnp.float32)

    def loss(self, state: State, batch: Batch, rng: Array) -> tuple[Array, tuple[Vars, Metrics]]:
        """Mean nats of the class, with dropout."""
        noise, dropout = jax.random.split(rng)
        z, t = self.noised(batch["x"], noise)
        rngs = {"dropout": dropout}
        logits, state = self.player.train(state, z, self.time(t), train=True, rngs=rngs)
        nats, right = self._read(logits, batch["label"])
        metrics = {"nats": jnp.mean(nats), "accuracy": jnp.mean(right)}
        return metrics["nats"], (state.vars, metrics)

    def evaluate(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """`nats` and `accuracy` [B] at a level of noise each, `clean_accuracy` [B] without."""
        z, t = self.noised(batch["x"], rng)
        nats, right = self._read(self.logits(state, z, t), batch["label"])
        x = self.noising.scaled(batch["x"])
        first = self.noising.rung(0, 1)
        _, clean = self._read(self.logits(state, x, jnp.full(x.shape[0], first)), batch["label"])
        return {"nats": nats, "accuracy": right, "clean_accuracy": clean}

    def logits(self, state: State, z: Array, t: Array) -> Array:
        """[B, K], of noised data and their times, in float32 or wider."""
        t = jnp.broadcast_to(jnp.asarray(t), (z.shape[0],))
        out = self.player.apply(state, z, self.time(t))
        return out.astype(jnp.promote_types(out.dtype, jnp.float32))

    def _read(self, logits: Array, label: Array) -> tuple[Array, Array]:
        """Nats, and whether the class is the likeliest."""
        log_p = jax.nn.log_softmax(logits)
        nats = -jnp.take_along_axis(log_p, label[:, None], axis=-1)[:, 0]
        return nats, (jnp.argmax(logits, axis=-1) == label).astype(jnp.float32)

    def sample(self, state: State, rng: Array, num: int, given: Given = None) -> Array:
        """Raises ConfigError: a classifier draws nothing."""
        raise ConfigError(
            "this is a classifier, which draws nothing: it guides another run, "
            "jaxgen sample RUN --classifier=THIS --scale=1 --class=3"
        )
