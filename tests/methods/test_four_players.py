"""A game of four players, two that translate and two that judge, made of the parts of games.

Nothing of it is shipped: it is what a new game has to write, and inherits from none of jaxgen's.
"""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.methods.critic import Critic, Views
from jaxgen.methods.memory import recalled, remembering
from jaxgen.methods.player import Player
from jaxgen.methods.regularizers import History, LeCam, Move, Penalty, regularized
from jaxgen.models.gans.patchgan import MultiScale
from jaxgen.ops.games import GAMES, mean_loss
from jaxgen.train.optim import build_averages, build_optimizers
from jaxgen.train.step import init_state, train_step
from jaxgen.types import Turn

KEY = jax.random.key(0)
SIDE = 12
RULES = GAMES["least_squares"]
OTHER = {"y": "x", "x": "y"}
MAKER = {"y": "there", "x": "back"}  # domain -> the player that makes examples of it
PLAYERS = ("there", "back", "critic_y", "critic_x")


class Painter(nn.Module):
    """Images to images of the other domain, a pixel at a time."""

    @nn.compact
    def __call__(self, x):
        h = jnp.tanh(nn.Dense(8)(x))
        return x + nn.Dense(x.shape[-1], kernel_init=nn.initializers.zeros)(h)


@dataclasses.dataclass(frozen=True)
class Cycle:
    """Zhu et al. 2017, CycleGAN, equations 1 and 2, with least squares, between fields x and y."""

    weight: float = 10.0
    noise: float = 0.0
    every: int = 4
    augmented: bool = False

    def painter(self, domain):
        return Player(MAKER[domain], Painter())

    def critic(self, domain):
        network = MultiScale(2, 4, 1, "none")
        policy = {"name": "diffaugment", "policy": "translation"} if self.augmented else {}
        views = Views(policy, self.noise, memory=f"augment_{domain}")
        return Critic(Player(f"critic_{domain}", network), views)

    def regularizers(self, domain):
        return (
            Penalty("r1", 0.01, self.every),
            LeCam(0.01, f"lecam_{domain}"),
            History(1e-3, f"critic_{domain}"),
        )

    @property
    def turns(self):
        makers = [Turn(MAKER[d], functools.partial(self.maker_loss, d)) for d in ("y", "x")]
        judges = [Turn(f"critic_{d}", functools.partial(self.critic_loss, d)) for d in ("y", "x")]
        lazy = [
            Turn(
                f"critic_{d}",
                functools.partial(self.lazy_loss, d, term),
                term.every,
                name=f"r1_{d}",
            )
            for d in ("y", "x")
            for term in self.regularizers(d)
            if term.every > 1
        ]
        return (*makers, *judges, *lazy)

    def init(self, rng, batch):
        params, variables, memory = {}, {}, {}
        for i, domain in enumerate(("y", "x")):
            keys = jax.random.split(jax.random.fold_in(rng, i))
            painter, critic = self.painter(domain), self.critic(domain)
            own = painter.init(keys[0], batch[OTHER[domain]])
            params[painter.name], variables[painter.name] = own
            logits, *own = critic.init(keys[1], batch[domain], None)
            params[critic.player.name], variables[critic.player.name] = own
            memory |= critic.views.start()
            for term in self.regularizers(domain):
                memory = term.start(memory, params[critic.player.name], logits)
        return params, remembering(variables, memory)

    def maker_loss(self, domain, state, batch, rng):
        """What the player pays that makes examples of a domain."""
        fake, state = self.painter(domain).train(state, batch[OTHER[domain]])
        logits, state = self.critic(domain)(state, fake, None, rng)
        paid = mean_loss(RULES.generator, None, logits)
        cycles = 0.0
        for first, second in (("y", "x"), ("x", "y")):
            there, _ = self.painter(first).train(state, batch[second])
            back, _ = self.painter(second).train(state, there)
            cycles += jnp.mean(jnp.abs(back - batch[second]))
        return paid + self.weight * cycles, (state.vars, {"game": paid, "cycle": cycles})

    def critic_loss(self, domain, state, batch, rng):
        critic, real = self.critic(domain), batch[domain]
        fake, state = self.painter(domain).train(state, batch[OTHER[domain]])
        fake = jax.lax.stop_gradient(fake)
        first, second = jax.random.split(rng)
        real_logits, state = critic(state, real, None, first)
        fake_logits, state = critic(state, fake, None, second)
        paid = mean_loss(RULES.discriminator, real_logits, fake_logits)
        function = critic.function(state, None, first)
        params = state.params[critic.player.name]
        move = Move(params, function, real, fake, real_logits, fake_logits)
        terms, memory = self.regularizers(domain), recalled(state)
        paid, memory, shown = regularized(paid, terms, move, memory, rng, state.step)
        memory, more = critic.views.moved(memory, real_logits, state.step)
        return paid, (remembering(state.vars, memory), shown | more)

    def lazy_loss(self, domain, term, state, batch, rng):
        critic = self.critic(domain)
        move = Move(None, critic.function(state, None, rng), batch[domain], batch[domain])
        value, _ = term(move, recalled(state), rng)
        return term.every * term.weight * value, (state.vars, {"penalty": value})


def made(x):
    """Half the contrast, brighter."""
    return 0.5 * x + 0.3


def images(seed, num):
    """x: bright upper halves; y: `made` of others of them."""
    level = np.random.RandomState(seed).uniform(0.3, 1.0, (2, num, 1, 1, 1)).astype(np.float32)
    upper = np.where(np.arange(SIDE).reshape(1, 1, SIDE, 1, 1) < SIDE // 2, level, -level)
    both = np.broadcast_to(upper, (2, num, SIDE, SIDE, 1))
    return {"x": jnp.asarray(both[0]), "y": jnp.asarray(made(both[1]))}


BATCH = images(0, 8)


def started(method, name="adam", rate=0.01):
    options = {"name": name, "learning_rate": rate}
    options |= {"b1": 0.5, "b2": 0.9, "lazy": True} if name == "adam" else {}
    optimizers = build_optimizers({player: options for player in PLAYERS}, method)
    emas = build_averages({"there": {"half_life_steps": 10.0}}, method)
    keywords = {"method": method, "optimizers": optimizers, "emas": emas}
    state = jax.jit(functools.partial(init_state, **keywords))(KEY, BATCH)
    return state, jax.jit(functools.partial(train_step, **keywords))


@pytest.fixture(scope="module")
def trained():
    """(states before each of 8 steps and after, metrics of each, the step)."""
    state, step = started(Cycle(augmented=True))
    states, metrics = [state], []
    for _ in range(8):
        state, out = step(state, BATCH, KEY)
        states.append(state)
        metrics.append(out)
    return states, metrics, step


@pytest.mark.slow
def test_every_player_moves_and_remembers_its_own(trained):
    states, metrics, _ = trained
    first, last = states[0], states[-1]
    assert set(last.params) == set(last.opt) == set(PLAYERS) and set(last.ema) == {"there"}
    for player in PLAYERS:
        pairs = zip(*(jax.tree.leaves(s.params[player]) for s in (first, last)), strict=True)
        assert any((a != b).any() for a, b in pairs), player
    memory = last.vars["game"]
    assert set(memory) == {"augment_x", "augment_y", "lecam_x", "lecam_y", "history"}
    assert {k: int(v["moves"]) for k, v in memory["history"].items()} == {
        "critic_x": 8,
        "critic_y": 8,
    }
    assert len(memory["lecam_y"]["real"]) == 2  # scales
    assert not np.array_equal(memory["lecam_x"]["real"], memory["lecam_y"]["real"])
    due = [int(out["r1_y/loss"][1]) for out in metrics]
    assert due == [1, 0, 0, 0, 1, 0, 0, 0]
    assert not any(out[f"{turn.label}/nonfinite"] for out in metrics for turn in Cycle().turns)


def test_a_state_that_was_kept_goes_on_bit_by_bit(trained):
    states, _, step = trained
    state = jax.tree.map(jnp.asarray, jax.device_get(states[3]))
    for _ in range(3, 8):
        state, _ = step(state, BATCH, KEY)
    jax.tree.map(np.testing.assert_array_equal, state, states[8])


def test_what_the_players_pay():
    """By the paper's equations in NumPy, of maps that the networks give: without noise.

    History adds nothing: the mean of a first move is of that move alone.
    """
    method = Cycle()
    state, _ = started(method)
    shifted = jax.tree.map(lambda p: p + 0.1, state.params)
    state = state.replace(params=shifted)

    paint, judge = (jax.jit(m.apply) for m in (Painter(), method.critic("y").player.module))

    def judged(domain, x):
        maps = judge({"params": state.params[f"critic_{domain}"]}, x)
        return [np.asarray(m, np.float64) for m in maps]

    there, back = (functools.partial(paint, {"params": state.params[p]}) for p in ("there", "back"))

    @jax.jit
    def losses(state):
        paid = method.maker_loss, method.critic_loss
        return {d: [loss(d, state, BATCH, KEY)[0] for loss in paid] for d in ("y", "x")}

    found = losses(state)
    x, y = BATCH["x"], BATCH["y"]
    cycle = np.mean(np.abs(back(there(x)) - x)) + np.mean(np.abs(there(back(y)) - y))
    for domain, generated, real in (("y", there(x), y), ("x", back(y), x)):
        fake = judged(domain, generated)
        expected = np.mean([0.5 * np.mean((m - 1) ** 2) for m in fake]) + 10 * cycle
        np.testing.assert_allclose(found[domain][0], expected, rtol=1e-4)
        pairs = zip(judged(domain, real), fake, strict=True)
        expected = np.mean([0.5 * np.mean((r - 1) ** 2) + 0.5 * np.mean(f**2) for r, f in pairs])
        terms = 0.01 * np.mean([np.mean(r**2) for r in judged(domain, real)])  # from means of zero
        terms += 0.01 * np.mean([np.mean(f**2) for f in fake])
        np.testing.assert_allclose(found[domain][1], expected + terms, rtol=1e-4)


@pytest.mark.slow
def test_only_its_own_player_follows_a_turn():
    """Under SGD one step moves each by the slopes of its own losses, one after the other."""
    method = Cycle(noise=0.1, every=1)
    state, step = started(method, "sgd", 0.1)
    after, _ = step(state, BATCH, KEY)
    key = jax.random.fold_in(KEY, 0)
    for i, turn in enumerate(method.turns):
        own = jax.random.fold_in(jax.random.fold_in(key, i), 0)

        def loss(params, state=state, turn=turn, own=own):
            return turn.loss(state.replace(params=state.params | {turn.player: params}), BATCH, own)

        slope, (variables, _) = jax.jit(jax.grad(loss, has_aux=True))(state.params[turn.player])
        moved = jax.tree.map(lambda p, g: p - 0.1 * g, state.params[turn.player], slope)
        state = state.replace(params=state.params | {turn.player: moved}, vars=variables)
    for a, b in zip(jax.tree.leaves(state.params), jax.tree.leaves(after.params), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_views_of_two_critics_remember_apart():
    views = [Views({"name": "ada"}, memory=name) for name in ("first", "second")]
    memory = views[0].start() | views[1].start()
    for one, logits in zip(views, (jnp.ones((4, 3, 3)), -jnp.ones((5, 3, 3))), strict=True):
        memory, _ = one.moved(memory, logits, jnp.int32(1))
    assert [float(memory[k]["signs"]) for k in ("first", "second")] == [4, -5]


@pytest.mark.slow
def test_domains_are_translated_without_pairs():
    """There and back, of the same picture, from the identity."""
    state, step = started(Cycle(weight=2.0), rate=3e-3)
    x = images(9, 64)["x"]

    def errors(state):
        there = Player("there", Painter()).apply(state.averaged(), x)
        back = Player("back", Painter()).apply(state, made(x))
        return [float(jnp.mean(jnp.abs(e))) for e in (there - made(x), back - x)]

    before = errors(state)
    for i in range(800):
        state, _ = step(state, images(100 + i, 16), KEY)
    after = errors(state)
    assert min(before) > 0.3 and max(after) < 0.15, (before, after)
