"""Players that grow with the images: the level is a function of the step, in one compiled program.

Each level is a branch with shapes of its own, and all parameters exist from the start: those of
levels to come get no gradient, and an Adam that has seen none does not move them. Nothing is
compiled when a level begins, and a run that was stopped goes on within a fade as everywhere.

Growth wraps a method: at a level, that is the method itself, with networks of that level and data
as the level shows them.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from jaxgen.config import ConfigError
from jaxgen.methods.adversarial import Adversarial
from jaxgen.methods.stylegan2 import StyleGAN2
from jaxgen.methods.two_players import TwoPlayers
from jaxgen.ops.growth import Growth, coarse, switched, top_level
from jaxgen.schedules import Scheduled
from jaxgen.types import Array, Batch, Metrics, Params, State, Turn, Vars

PLAYERS = ("generator", "discriminator")
FADED = ("__call__", "synthesize")  # methods of networks whose result depends on alpha


class Faded(NamedTuple):
    """A network of a level as methods see networks.

    Attributes:
        module: with `level` set.
        alpha: share of the level; the rest is of the one below.
    """

    module: Any
    alpha: Array

    @property
    def latent(self) -> int:
        """Width of z."""
        return self.module.latent

    def apply(self, variables: Any, *args: Any, method: str = "__call__", **options: Any) -> Any:
        """As of the module, at `alpha`."""
        if method in FADED:
            options["alpha"] = self.alpha
        return self.module.apply(variables, *args, method=method, **options)


def at_level(function: Callable[..., Any]) -> Any:
    """A method of the wrapped class, `(self, state, ...)`, as one of growing players.

    It is called of the method at the level of `state.step`; what it gives has the shape of the data
    at all levels.
    """

    @functools.wraps(function)
    def run(self: Progressive, state: State, *args: Any, **options: Any) -> Any:
        def branch(level: int) -> Callable[..., Any]:
            return lambda state, alpha: function(self.at(level, alpha), state, *args, **options)

        level, alpha = self.growth.at(state.step)
        branches = [branch(i) for i in self.growth.levels]
        return jax.lax.switch(level - self.growth.first, branches, state, alpha)

    return run


@dataclasses.dataclass(frozen=True)
class Progressive(TwoPlayers):
    """A game of growing images: `Adversarial` at each level. Players are as those of `gans.progan`.

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

    wrapped: ClassVar[type] = Adversarial

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
    def whole(self) -> Any:
        """The method with networks of all levels."""
        names = [field.name for field in dataclasses.fields(self.wrapped)]
        return self.wrapped(**{name: getattr(self, name) for name in names})

    def at(self, level: int, alpha: Array) -> Any:
        """The method with networks at a level, of which `alpha` is shown."""
        players = {k: Faded(getattr(self, k).clone(level=level), alpha) for k in PLAYERS}
        return dataclasses.replace(self.whole, **players)

    @property
    def turns(self) -> Sequence[Turn]:
        """Those of the method, each with a branch for each level."""
        return [
            turn._replace(loss=functools.partial(self.grown_loss, i))
            for i, turn in enumerate(self.whole.turns)
        ]

    def grown_loss(
        self, index: int, state: State, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[Vars, Metrics]]:
        """The loss of the method's turn of that index, at the level of the step."""
        player = self.whole.turns[index].player
        level, alpha = self.growth.at(state.step)

        def branch(level: int) -> Callable[..., Any]:
            def run(params: Any, state: State, batch: Batch, rng: Array, alpha: Array) -> Any:
                state = state.replace(params=state.params | {player: params})
                shown = {**batch, "x": coarse(batch["x"], level, alpha)}
                loss = self.at(level, alpha).turns[index].loss
                value, (variables, metrics) = loss(state, shown, rng)
                return value, (variables, metrics | {"side": jnp.float32(2**level)})

            return run

        branches = [branch(i) for i in self.growth.levels]
        rest = (state, batch, rng, alpha)
        return switched(level - self.growth.first, branches, state.params[player], *rest)

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Vars]:
        """Parameters of all levels, and what the method starts with."""
        return self.whole.init(rng, batch)

    def restarts(self, step: Array) -> Array:
        """Whether optimisers begin anew before a train step."""
        return self.growth.changes(step) & self.restart

    def alarms(self, values: Mapping[str, float]) -> dict[str, str]:
        """Those of the method."""
        return self.whole.alarms(values)

    def latents(self, rng: Array, num: int) -> Array:
        """Draws of z, [num, latent]."""
        return self.whole.latents(rng, num)

    evaluate = at_level(Adversarial.evaluate)
    sample = at_level(Adversarial.sample)
    decode = at_level(Adversarial.decode)


@dataclasses.dataclass(frozen=True)
class ProgressiveStyles(Progressive):
    """The growing game with styles: `StyleGAN2` at every level; see there and `Progressive`.

    The discriminator moves first, as in the official code. A level has the styles of its own
    layers.

    Source: Karras et al. 2019, sections 2, 3.1 and appendices B and C.

    Attributes:
        mixing: as of `StyleGAN2`.
        path_weight: of the path-length penalty, which the first StyleGAN did not have.
        path_every: as of `StyleGAN2`.
        path_shrink: as of `StyleGAN2`.
    """

    mixing: float = 0.9
    path_weight: Scheduled = 0.0
    path_every: int = 4
    path_shrink: int = 2

    wrapped: ClassVar[type] = StyleGAN2

    @property
    def turns(self) -> Sequence[Turn]:
        """Those of growing players, the discriminator's first."""
        return sorted(super().turns, key=lambda turn: turn.player == "generator")

    evaluate = at_level(StyleGAN2.evaluate)
    sample = at_level(StyleGAN2.sample)
    decode = at_level(StyleGAN2.decode)
    styles_of = at_level(StyleGAN2.styles_of)
    render = at_level(StyleGAN2.render)
    middle = at_level(StyleGAN2.middle)
    mix = at_level(StyleGAN2.mix)
    project = at_level(StyleGAN2.project)
