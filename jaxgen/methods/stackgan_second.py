"""StackGAN's second stage: pictures anew, from those of a frozen first stage and the text."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.config import ConfigError
from jaxgen.methods.stackgan import StackGAN
from jaxgen.types import Array, Batch, Params, State, Vars


@dataclasses.dataclass(frozen=True)
class SecondStage(StackGAN):
    """A generator corrects the pictures of a first stage, which is trained and stays as it is.

    The first stage is a run of its own, held by `config.frozen`, and not a phase of this one: it
    can be judged and sampled before the second begins, serves several of them, and neither its
    discriminator nor its optimisers are carried along, none of which moves any more. It reads the
    texts, too; its pictures are made by its running statistics.

    Source: Zhang et al. 2017, StackGAN, section 3.4, equations 5 and 6. As in the official code
    both players read the text itself, and the divergence is a mean over dimensions.

    Attributes:
        first: the frozen stage, of `StackGAN`, see `train.frozen`. It has the matcher, if there is
            one; here none is trained.
    """

    first: Any = dataclasses.field(kw_only=True)

    def __post_init__(self) -> None:
        """Checks that the stages fit."""
        super().__post_init__()
        if self.matcher is not None or self.colour:
            raise ConfigError(
                "config.method: a second stage has no matcher of its own, and no colour, which "
                "compares the sizes of one generator"
            )
        below = self.first.method
        who = f"config.frozen.first: {type(below).__name__}"
        if not isinstance(below, StackGAN):
            raise ConfigError(f"{who} makes no pictures of texts: configs/stackgan.py:first does")
        if below.given != self.given:
            raise ConfigError(
                f"{who} is given {', '.join(below.given)}, and config.method.given is "
                f"{', '.join(self.given)}"
            )
        for name in self.given:
            if below.spec.fields[name] != self.spec.fields[name]:
                raise ConfigError(
                    f"{who} was trained on {below.spec.name}, whose field {name} is another: take "
                    "the same data, data.words and data.least_count"
                )
        small, large = below.spec.x, self.spec.x
        if (small.shape[2], small.levels) != (large.shape[2], large.levels):
            raise ConfigError(
                f"{who} makes images of {small.shape[2]} channels and {small.levels} levels, and "
                f"{self.spec.name} has {large.shape[2]} and {large.levels}"
            )

    @property
    def stages(self) -> int:
        """Pictures of the first stage, and one."""
        return self.first.method.stages + 1

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Vars]:
        """Initialises both players, by shapes alone."""
        keys = jax.random.split(rng, 4)
        cond, num = self.givens.of_batch(batch), len(batch["x"])
        stage = self.first.state()
        shapes = jax.eval_shape(lambda: self.first.method.code(stage, cond))
        text = jnp.zeros(shapes.shape, shapes.dtype)
        low = jnp.zeros((num, *self.first.spec.shape))
        streams = {"params": keys[0], "noise": keys[1]}
        size = self.size(num)
        out, *own = self.painter.init_with_output(streams, low, size, text, method="painted")
        judge = self.judge.init(keys[2], out.images, text)
        made = {"generator": tuple(own), "discriminator": judge}
        return {k: v[0] for k, v in made.items()}, {k: v[1] for k, v in made.items()}

    def code(self, state: State, cond: Array | None) -> Array:
        """What the first stage is given of rows."""
        return self.first.method.code(self.first.state(state), cond)

    def told(self, out: Any, text: Array) -> Array:
        """The text itself."""
        return text

    def _below(self, state: State, rng: Array, text: Array, temperature: Any) -> tuple[Array, ...]:
        """Pictures of the first stage, the last one of its full size."""
        below = self.first.method.painted(self.first.state(state), rng, text, temperature)
        return jax.lax.stop_gradient(below.images)

    def painted(self, state: State, rng: Array, text: Array, temperature: Any) -> Any:
        """Pictures of both stages, as in evaluation."""
        first, noise = jax.random.split(rng)
        below = self._below(state, first, text, temperature)
        size = self.size(len(text))
        rngs = {"noise": noise}
        out = self.painter.apply(state, below[-1], size, text, rngs=rngs, method="painted")
        return out._replace(images=(*below, *out.images))

    def trained(self, state: State, rng: Array, text: Array) -> tuple[Any, State]:
        """That of the second in training, and the state with what moved."""
        first, noise = jax.random.split(rng)
        low, size = self._below(state, first, text, 1.0)[-1], self.size(len(text))
        return self.painter.train(state, low, size, text, rngs={"noise": noise}, method="painted")
