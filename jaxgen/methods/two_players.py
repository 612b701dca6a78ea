"""What a config says of a game of a generator and a discriminator, and the parts it is made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from jaxgen.config import ConfigError, unknown
from jaxgen.methods.critic import Critic, Views
from jaxgen.methods.givens import Givens, chosen
from jaxgen.methods.player import Player
from jaxgen.methods.regularizers import History, LeCam, Orthogonality, Penalty, Regularizer
from jaxgen.methods.source import PRIORS, Source
from jaxgen.ops.augment import check_augmentation
from jaxgen.ops.games import GAMES, Game
from jaxgen.ops.penalties import check_penalties
from jaxgen.ops.ranges import symmetric, to_levels
from jaxgen.schedules import Scheduled, extremes
from jaxgen.types import Array, Batch, DataSpec


@dataclasses.dataclass(frozen=True)
class TwoPlayers:
    """Options of a game of two, checked, and its parts.

    Attributes:
        generator: network, as `source.Source` has it.
        discriminator: network, as `critic.Critic` has it.
        spec: of the data.
        game: one of `ops.games.GAMES`.
        penalties: name in `ops.penalties.PENALTIES` -> its options, and `weight`, and `every`: a
            lazy penalty is a move of its own on every so many steps, and counts so many times
            (Karras et al. 2020, StyleGAN2, appendix B).
        critic_steps: moves of the discriminator a step, each on fresh examples.
        fresh: the generator's move is beside real examples of its own, and not those of the first
            move of the discriminator: for games that compare them.
        real_target: range of the labels of real examples, (1, 1) for none smoothed.
        instance_noise: deviation of noise on all that the discriminator sees.
        instance_noise_steps: train steps in which it falls to zero, linearly; 0 keeps it.
        packing: examples seen at a time, side by side in channels (Lin et al. 2018, PacGAN).
        lecam: weight of the regulariser of Tseng et al. 2021, equation 4.
        history: weight of the squared distance of a player's parameters from their mean over all
            steps (Salimans et al. 2016, section 3.3).
        orthogonal: weight of `ops.penalties.orthogonality` of the generator's kernels.
        augment: `name` in `ops.augment.AUGMENTATIONS` and its options: what the discriminator
            sees is augmented, and the generator's gradient flows through it.
        blur: deviation in pixels of a filter over images that the discriminator sees (Karras et al.
            2021, Alias-free, appendix F.3); 0 for none.
        prior: of z, "normal" or "uniform" in [-1, 1].
        given: fields of a batch that both players are given, as ("label",). The context always is,
            where the data have one.
    """

    generator: Any
    discriminator: Any
    spec: DataSpec
    game: str = "non_saturating"
    penalties: Annotated[Mapping[str, Any], check_penalties] = dataclasses.field(
        default_factory=dict
    )
    critic_steps: int = 1
    fresh: bool = False
    real_target: tuple[Scheduled, Scheduled] = (1.0, 1.0)
    instance_noise: Scheduled = 0.0
    instance_noise_steps: int = 0
    packing: int = 1
    lecam: Scheduled = 0.0
    history: Scheduled = 0.0
    orthogonal: Scheduled = 0.0
    augment: Annotated[Mapping[str, Any], check_augmentation] = dataclasses.field(
        default_factory=dict
    )
    blur: Scheduled = 0.0
    prior: str = "normal"
    given: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Checks the options."""
        object.__setattr__(self, "given", chosen(self.given, self.spec))
        if self.game not in GAMES:
            raise ConfigError(unknown("game in config.method", self.game, GAMES))
        if self.prior not in PRIORS:
            raise ConfigError(f"method.prior={self.prior!r}, expected 'normal' or 'uniform'")
        check_penalties(self.penalties)
        check_augmentation(self.augment)
        if min(extremes(self.blur)) < 0 or (self.blur and self.spec.x.kind != "image"):
            raise ConfigError(f"method.blur={self.blur}: expected pixels, 0 or more, of images")
        if min(self.critic_steps, self.packing) < 1:
            raise ConfigError("config.method: critic_steps and packing are 1 or more")
        if self.given and self.packing > 1:
            raise ConfigError(f"config.method: packed examples have no common {self.given[0]}")
        low, high = (extremes(target) for target in self.real_target)
        if not 0 < min(low) <= max(high) <= 1:
            raise ConfigError(f"method.real_target={self.real_target}, expected (low, high]")
        if min(low) < 1 and not self.rules.targets:
            raise ConfigError(f"method.real_target: the game {self.game!r} has no labels")

    @property
    def rules(self) -> Game:
        """Of the game."""
        return GAMES[self.game]

    @property
    def givens(self) -> Givens:
        """What both players are given."""
        return Givens(self.spec, self.given)

    @property
    def source(self) -> Source:
        """Of samples: the generator."""
        return Source(Player("generator", self.generator), self.spec.shape, self.prior)

    @property
    def critic(self) -> Critic:
        """The discriminator, and what it is shown."""
        noise = self.instance_noise, self.instance_noise_steps
        views = Views(self.augment, *noise, self.packing, blur=self.blur)
        return Critic(Player("discriminator", self.discriminator), views)

    @property
    def regularizers(self) -> Mapping[str, Sequence[Regularizer]]:
        """Player -> further terms of its loss."""
        terms: dict[str, list[Regularizer]] = {"discriminator": [], "generator": []}
        for name, section in self.penalties.items():
            options = {k: v for k, v in section.items() if k not in ("weight", "every")}
            one = Penalty(name, section["weight"], section.get("every", 1), options)
            terms["discriminator"].append(one)
        if self.lecam:
            terms["discriminator"].append(LeCam(self.lecam))
        if self.orthogonal:
            terms["generator"].append(Orthogonality(self.orthogonal))
        for player, own in terms.items():
            if self.history:
                own.append(History(self.history, player))
        return terms

    def condition(self, batch: Batch) -> Array | None:
        """What both players are given with a batch, see `nn.condition`; None for nothing."""
        return self.givens.of_batch(batch)

    def scaled(self, x: Array) -> Array:
        """Data to the range of the networks: images in [-1, 1], points as they are."""
        return symmetric(x, self.spec.levels)

    def unscaled(self, x: Array) -> Array:
        """Samples to the units of the data."""
        return to_levels(x, self.spec.levels)
