"""Translation between two domains without pairs: what goes there and back is to stay itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.config import ConfigError, unknown
from jaxgen.methods.givens import Givens
from jaxgen.methods.memory import recalled, remembering
from jaxgen.methods.player import Player
from jaxgen.ops.games import GAMES, accuracies, mean_loss
from jaxgen.ops.image_pool import exchanged
from jaxgen.ops.ranges import symmetric, to_levels
from jaxgen.ops.scores import sample_scores
from jaxgen.schedules import Scheduled, value
from jaxgen.types import Array, Batch, DataSpec, Given, Metrics, Params, State, Turn, Vars
from jaxgen.values import Natural

FIELDS = {"a": "x", "b": "b"}  # domain -> its field
OTHER = {"a": "b", "b": "a"}
RULES = GAMES["least_squares"]


@dataclasses.dataclass(frozen=True)
class CycleGAN:
    """Two generators and two discriminators, one of each for each domain.

    Both generators make one move of one optimiser, then both discriminators: the joint form of the
    PyTorch code. The code of the paper moves the four in turn, and each generator by the cycle that
    begins with it. Least squares; the discriminators' loss is halved. They move after the
    generators, and see what those make by then, through a pool of images that is kept in
    `vars["game"]`.

    Samples are images of A, translated from examples of B that the method is given.

    Source: Zhu et al. 2017, Unpaired image-to-image translation using cycle-consistent adversarial
    networks, equations 1 to 3, sections 4 and 5.2.

    Attributes:
        generator: network, `(x [B, H, W, C], to, channels) -> [B, H, W, channels]` in [-1, 1].
        discriminator: network, `(x, of) -> logits`.
        spec: of the data, images `x` of A and `b` of B.
        cycle_weight: of |F(G(a)) - a| and |G(F(b)) - b|.
        identity_weight: of |G(b) - b| and |F(a) - a|, as a share of `cycle_weight`.
        pool: images of each domain that are kept; 0 shows the newest alone.
    """

    generator: Any
    discriminator: Any
    spec: DataSpec
    cycle_weight: Scheduled = 10.0
    identity_weight: Scheduled = 0.5
    pool: Natural = 50

    def __post_init__(self) -> None:
        """Checks the options."""
        kinds = {name: f.kind for name, f in self.spec.fields.items()}
        if {kinds.get(name) for name in FIELDS.values()} != {"image"}:
            raise ConfigError(
                f"{self.spec.name} has the fields {', '.join(kinds)}: expected images x and b of "
                "two domains, as those of --config.data.name=domains:FOLDER"
            )
        if self.identity_weight and self._channels("a") != self._channels("b"):
            raise ConfigError(
                "config.method.identity_weight: domains of other numbers of channels have no "
                "identity: 0"
            )

    @property
    def given(self) -> tuple[str, ...]:
        """What samples are translated from."""
        return ("b",)

    @property
    def translations(self) -> Mapping[str, tuple[str, str]]:
        """To each of both domains."""
        return {to: (FIELDS[OTHER[to]], FIELDS[to]) for to in FIELDS}

    @property
    def turns(self) -> Sequence[Turn]:
        """Both generators, both discriminators."""
        return (
            Turn("generator", self.generator_loss),
            Turn("discriminator", self.discriminator_loss),
        )

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Vars]:
        """Initialises all four, and empty pools."""
        domains = self._domains(batch)
        players = {"generator": self._generator, "discriminator": self._discriminator}
        params: Params = {name: {} for name in players}
        variables: Vars = {name: {} for name in players}
        for i, (domain, x) in enumerate(domains.items()):
            keys = jax.random.split(jax.random.fold_in(rng, i))
            to = OTHER[domain]
            made = {
                "generator": self._generator.init(keys[0], x, to, self._channels(to)),
                "discriminator": self._discriminator.init(keys[1], x, domain),
            }
            for name, (own, moved) in made.items():
                params[name] |= own
                for collection, tree in moved.items():
                    variables[name].setdefault(collection, {}).update(tree)
        pools = {f"pool_{k}": jnp.zeros((self.pool, *x.shape[1:])) for k, x in domains.items()}
        return params, remembering(variables, {**pools, "pooled": jnp.int32(0)})

    def generator_loss(
        self, state: State, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[Vars, Metrics]]:
        """What both generators pay together."""
        domains, metrics = self._domains(batch), {}
        total = jnp.float32(0)
        cycle = value(self.cycle_weight, state.step)
        identity = cycle * value(self.identity_weight, state.step)
        for domain, x in domains.items():
            to = OTHER[domain]
            fake, state = self._made(state, x, to)
            logits, state = self._discriminator.train(state, fake, to)
            back, state = self._made(state, fake, domain)
            # least squares have a half that the paper's do not
            game, off = 2 * mean_loss(RULES.generator, None, logits), jnp.mean(jnp.abs(back - x))
            total += game + cycle * off
            metrics |= {f"game_{to}": game, f"cycle_{domain}": off}
            if self.identity_weight:
                same, state = self._made(state, x, domain)
                off = jnp.mean(jnp.abs(same - x))
                total += identity * off
                metrics[f"identity_{domain}"] = off
        return total, (state.vars, metrics)

    def discriminator_loss(
        self, state: State, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[Vars, Metrics]]:
        """Half of the squares of both, of images that went through the pools."""
        domains, memory = self._domains(batch), dict(recalled(state))
        total, metrics, pooled = jnp.float32(0), {}, memory["pooled"]
        for i, (domain, x) in enumerate(domains.items()):
            fake, _ = self._made(state, domains[OTHER[domain]], domain)
            fake, key = jax.lax.stop_gradient(fake), jax.random.fold_in(rng, i)
            pool, count, fake = exchanged(memory[f"pool_{domain}"], pooled, fake, key)
            memory |= {f"pool_{domain}": pool, "pooled": count}
            real_logits, state = self._discriminator.train(state, x, domain)
            fake_logits, state = self._discriminator.train(state, fake, domain)
            total += mean_loss(RULES.discriminator, real_logits, fake_logits)
            found = accuracies(RULES, real_logits, fake_logits)
            metrics |= {f"{name}_{domain}": share for name, share in found.items()}
        return total, (remembering(state.vars, memory), metrics)

    def evaluate(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """Per example, [B] each, in the network's range.

        `a_energy_score` and the like are of translations to A beside A, see `ops.scores`, and
        `energy_score` the mean of both domains; `cycle_a` is |F(G(a)) - a|; `absolute_a` the
        distance of the translation of b to the x of the same example, which says something only
        where test examples are pairs.
        """
        domains, values = self._domains(batch), {}
        for domain, x in domains.items():
            there, _ = self._made(state, x, OTHER[domain])
            back, _ = self._made(state, there, domain)
            made, _ = self._made(state, domains[OTHER[domain]], domain)
            scores = sample_scores(x.reshape(x.shape[0], -1), made.reshape(x.shape[0], -1))
            values |= {f"{domain}_{name}": score for name, score in scores.items()}
            axes = tuple(range(1, x.ndim))
            values[f"cycle_{domain}"] = jnp.mean(jnp.abs(back - x), axis=axes)
            values[f"absolute_{domain}"] = jnp.mean(jnp.abs(made - x), axis=axes)
        both = values["a_energy_score"], values["b_energy_score"]
        return values | {"energy_score": 0.5 * (both[0] + both[1])}

    def sample(self, state: State, rng: Array, num: int, given: Given = None) -> Array:
        """Translations to A of images of B, in the units of A.

        Args:
            state: of all players.
            rng: a key; nothing is drawn.
            num: number of samples.
            given: {"b": [num, H, W, C]}, in the units of B.
        """
        b = Givens(self.spec, self.given).of_call(given, num)
        assert b is not None, "given b"
        return self._unscaled(self._made(state, b, "a")[0], "a")

    def translate(self, state: State, batch: Batch, rng: Array, to: str) -> Array:
        """Images of one domain to the other, of the same size.

        Args:
            state: of all players.
            batch: with the field that `translations` names, in its units, of any size that the
                network takes.
            rng: a key; nothing is drawn.
            to: "a" or "b".
        """
        if to not in FIELDS:
            raise ConfigError(unknown("translation", to, FIELDS))
        source = FIELDS[OTHER[to]]
        x = symmetric(batch[source], self.spec.fields[source].levels)
        return self._unscaled(self._made(state, x, to)[0], to)

    @property
    def _generator(self) -> Player:
        return Player("generator", self.generator)

    @property
    def _discriminator(self) -> Player:
        return Player("discriminator", self.discriminator)

    def _made(self, state: State, x: Array, to: str) -> tuple[Array, State]:
        return self._generator.train(state, x, to, self._channels(to))

    def _channels(self, domain: str) -> int:
        return self.spec.fields[FIELDS[domain]].shape[-1]

    def _domains(self, batch: Batch) -> dict[str, Array]:
        """Domain -> its images, in [-1, 1] where they are of grey levels."""
        fields = self.spec.fields
        return {k: symmetric(batch[f], fields[f].levels) for k, f in FIELDS.items()}

    def _unscaled(self, x: Array, domain: str) -> Array:
        return to_levels(x, self.spec.fields[FIELDS[domain]].levels)
