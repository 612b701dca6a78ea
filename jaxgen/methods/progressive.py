"""Players that grow with the images: the level is a function of the step, in one compiled program.

Each level is a branch with shapes of its own, and all parameters exist from the start: those of
levels to come get no gradient, and an Adam that has seen none does not move them. Nothing is
compiled when a level begins, and a run that was stopped goes on within a fade as everywhere.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.config import ConfigError
from jaxgen.methods.adversarial import Adversarial
from jaxgen.methods.stylegan2 import StyleGAN2
from jaxgen.ops.growth import Growth, coarse, switched, top_level
from jaxgen.types import Array, Batch, Metrics, State, Turn, Vars


@dataclasses.dataclass(frozen=True)
class Progressive(Adversarial):
    """The game of growing images; see `Adversarial`. Players are as those of `gans.progan`.

    They have an attribute `level` that says at which side they work, take `alpha`, the share of
    that level, and give and take images of the size of the data: those of a level are enlarged, so
    that slopes of penalties are by pixels of the data at all levels, as in the official code.
    Real images are shown with the details of the level, faded in as the players' are. Samples are
    those of the current level.

    Source: Karras et al. 2018, section 2 and appendix A.1; its official code resets Adam whenever
    a fade begins or ends.

    Attributes:
        first: side at step 0, a power of two.
        stable_steps: train steps that a level is trained for before the next fades in.
        fade_steps: train steps of a fade; 0 for none.
        restart: forget the optimisers' memory whenever a fade begins or ends.
    """

    first: int = 4
    stable_steps: int = 1000
    fade_steps: int = 1000
    restart: bool = True

    def __post_init__(self) -> None:
        """Checks the options."""
        super().__post_init__()
        if len(self.spec.shape) != 3:
            raise ConfigError(f"{self.spec.name} has no images: expected data [H, W, C]")
        sides = [2**i for i in range(2, top_level(self.spec.shape[:2]) + 1)]
        if self.first not in sides:
            raise ConfigError(f"method.first={self.first}, expected one of {sides}")
        if self.stable_steps < 0 or self.fade_steps < 0:
            raise ConfigError("config.method: stable_steps and fade_steps are 0 or more")
        if self.orthogonal:
            raise ConfigError("method.orthogonal: it would move layers that are not trained yet")

    @property
    def growth(self) -> Growth:
        """The schedule."""
        levels = int(math.log2(self.first)), top_level(self.spec.shape[:2])
        return Growth(*levels, self.stable_steps, self.fade_steps)

    @property
    def turns(self) -> Sequence[Turn]:
        """Those of the game, each with a branch for each level."""
        return [
            turn._replace(loss=functools.partial(self._at_step, index=i))
            for i, turn in enumerate(super().turns)
        ]

    def restarts(self, step: Array) -> Array:
        """Whether optimisers begin anew before a train step."""
        return self.growth.changes(step) & self.restart

    def _at_step(
        self, state: State, batch: Batch, rng: Array, index: int
    ) -> tuple[Array, tuple[Vars, Metrics]]:
        """The loss of a turn of the game, at the level of the step."""
        player = super().turns[index].player
        level, alpha = self.growth.at(state.step)

        def branch(level: int) -> Callable[..., Any]:
            loss = super(Progressive, self._at(level)).turns[index].loss

            def run(params: Any, state: State, batch: Batch, rng: Array, alpha: Array) -> Any:
                state = state.replace(params=state.params | {player: params})
                shown = {**batch, "x": coarse(batch["x"], level, alpha)}
                value, (variables, metrics) = loss(state, shown, rng)
                return value, (variables, metrics | {"side": jnp.float32(2**level)})

            return run

        branches = [branch(i) for i in self._levels]
        rest = (state, batch, rng, alpha)
        return switched(level - self._levels[0], branches, state.params[player], *rest)

    @property
    def _levels(self) -> range:
        return range(self.growth.first, self.growth.last + 1)

    def _at(self, level: int) -> Progressive:
        """The same game of players at one level."""
        players = {k: getattr(self, k).clone(level=level) for k in ("generator", "discriminator")}
        return dataclasses.replace(self, **players)

    def _moved(
        self, player: str, state: State, variables: Vars, args: Any, rngs: Any, **options: Any
    ) -> tuple[Array, Vars]:
        if options.get("method") != "map":
            options["alpha"] = self.growth.at(state.step)[1]
        return super()._moved(player, state, variables, args, rngs, **options)

    def _image(self, state: State, rng: Array, z: Array, cond: Any) -> Array:
        variables = {"params": state.params["generator"], **state.vars["generator"]}
        size = (len(z), *self.spec.shape)

        def run(generator: Any, alpha: Array) -> Array:
            return generator.apply(variables, z, size, cond, alpha=alpha, rngs={"noise": rng})

        return self._of_level(state, run)

    def _of_level(self, state: State, run: Callable[[Any, Array], Array]) -> Array:
        """`run(generator, alpha)` of the generator at the level of the step."""
        level, alpha = self.growth.at(state.step)
        if self.generator.level is not None:
            return run(self.generator, alpha)
        branches = [functools.partial(run, self.generator.clone(level=i)) for i in self._levels]
        return jax.lax.switch(level - self._levels[0], branches, alpha)


@dataclasses.dataclass(frozen=True)
class ProgressiveStyles(Progressive, StyleGAN2):
    """The growing game with styles: mixed ones, truncation, projection; see both bases.

    Layers whose level has not begun have styles that nothing reads.

    Source: Karras et al. 2019, sections 2, 3.1 and appendices B and C.

    Attributes:
        path_weight: of the path-length penalty, which the first StyleGAN did not have.
    """

    path_weight: float = 0.0

    @property
    def turns(self) -> Sequence[Turn]:
        """The discriminator first: the official order."""
        return sorted(super().turns, key=lambda turn: turn.player == "generator")

    def _image(self, state: State, rng: Array, z: Array, cond: Any) -> Array:
        return StyleGAN2._image(self, state, rng, z, cond)

    def _synthesized(
        self, state: State, variables: Vars, styles: Array, rng: Array, noise: str = "random"
    ) -> Array:
        own = {"params": state.params["generator"], **variables["generator"]}
        size = (len(styles), *self.spec.shape)

        def run(generator: Any, alpha: Array) -> Array:
            num = generator.apply({}, size, method="num_styles")
            args, rngs = (styles[:, :num], size, noise), {"noise": rng}
            return generator.apply(own, *args, alpha=alpha, rngs=rngs, method="synthesize")

        return self._of_level(state, run)
