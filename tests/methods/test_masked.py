"""Masked generation with a network that knows the truth: its bound, its samplers, its counts."""

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgen.abilities import Enumerates
from jaxgen.config import ConfigError
from jaxgen.contract import check
from jaxgen.methods.masked import Masked, lowest
from jaxgen.models.autoregressive.maskgit import MaskGIT
from jaxgen.types import DataSpec, State

KEY = jax.random.key(0)
VALUES, SIZE = 3, 4
EVERY = np.asarray(list(itertools.product(range(VALUES), repeat=SIZE)))
WEIGHT = np.random.RandomState(1).rand(len(EVERY)) ** 3
P = WEIGHT / WEIGHT.sum()
SPEC = DataSpec.of("squares", (2, 2, 1), VALUES, num_classes=4)
EMPTY = State(jnp.int32(0), {"model": {}}, {"model": {}}, {}, {})


class Truth:
    """A network whose theta are the conditionals of the source P."""

    def apply(self, variables, x, head, cond=None, **options):
        tokens = x.reshape(len(x), 1, SIZE)
        fits = ((tokens == EVERY[None]) | (tokens == VALUES)).all(-1)  # [B, 81]
        values = jnp.asarray(np.eye(VALUES)[EVERY], jnp.float32)
        theta = jnp.einsum("bn,ntk->btk", fits * jnp.asarray(P, jnp.float32)[None], values)
        return jnp.log(theta + 1e-30).reshape(len(x), 2, 2, VALUES)


TRUE = Masked(Truth(), SPEC)


def test_the_bound_of_the_truth_is_the_probability():
    """The expectation over all sets of masked values, summed by hand; and by draws."""
    x = jnp.asarray(EVERY.reshape(-1, 2, 2, 1), jnp.uint8)
    sets = np.asarray(list(itertools.product([False, True], repeat=SIZE)))[1:]
    found = jax.jit(jax.vmap(lambda c: TRUE.of_masked(EMPTY, x, jnp.broadcast_to(c, (81, SIZE)))))
    total = np.zeros(len(EVERY))
    for chosen, log_p in zip(sets, np.asarray(found(sets), np.float64), strict=True):
        k = chosen.sum()
        total += log_p / k / math.comb(SIZE, k)  # of n: E over k of n / k, over sets of k
    np.testing.assert_allclose(total, np.log(P), rtol=1e-4)
    many = dataclasses.replace(TRUE, draws=400)
    drawn = np.asarray(jax.jit(many.log_prob)(EMPTY, x, KEY))
    error = np.abs(drawn - np.log(P))
    assert error.mean() < 0.15 and np.corrcoef(drawn, np.log(P))[0, 1] > 0.99


def shares(**knobs):
    found = jax.jit(lambda: TRUE.sample(EMPTY, KEY, 20_000, **knobs))()
    codes = np.asarray(found).reshape(-1, SIZE) @ VALUES ** np.arange(SIZE)[::-1]
    return np.bincount(codes, minlength=len(P)) / 20_000


def test_one_at_a_time_in_any_order_draws_the_source():
    """And eight rounds of the surest first do not: the control."""
    error = np.abs(shares(order="random", rounds=SIZE) - P).sum()
    floor = np.sqrt(P * (1 - P) / 20_000).sum()
    assert error < 1.3 * floor
    assert np.abs(shares(order="random", rounds=1) - P).sum() > 10 * floor
    assert np.abs(shares(rounds=2, noise=0.0) - P).sum() > 10 * floor


@dataclasses.dataclass(frozen=True)
class Counting:
    """Notes how many values are masked in each call."""

    seen: list = dataclasses.field(default_factory=list)

    def apply(self, variables, x, head, cond=None, **options):
        jax.debug.callback(lambda x: self.seen.append(np.asarray(x)), x, ordered=True)
        return jnp.zeros((*x.shape[:-1], head.width))


@pytest.mark.parametrize("known", [0, 7])
def test_so_many_are_masked_in_each_round(known):
    """floor(n cos), at least one, and what is known stays."""
    network = Counting()
    method = Masked(network, DataSpec.of("squares", (4, 4, 1), VALUES))
    x = np.random.RandomState(0).randint(0, VALUES, (3, 4, 4, 1)).astype(np.uint8)
    there = np.zeros((3, 16), bool)
    there[:, :known] = True
    there = there.reshape(x.shape)
    found = jax.jit(lambda x: method.complete(EMPTY, x, there, KEY, rounds=6))(x)
    jax.effects_barrier()
    masked = [(seen == VALUES).sum((1, 2, 3)) for seen in network.seen]
    left = [16 - known] + [
        max(1, math.floor((16 - known) * math.cos(math.pi / 2 * i / 6))) for i in range(1, 6)
    ]
    np.testing.assert_array_equal(masked, np.repeat(np.array(left)[:, None], 3, 1))
    np.testing.assert_array_equal(np.asarray(found)[there], x[there])
    assert found.max() < VALUES


@pytest.mark.slow  # to compile; by default the tiny preset trains
def test_a_network_of_its_own_learns_and_says_what_it_can_do():
    method = Masked(MaskGIT(1, 16, 2), SPEC, given=("label",), null=0.1, smoothing=0.1)
    check(method)
    assert not isinstance(method, Enumerates)
    assert method.density.kind == "masked-8"
    random = np.random.RandomState(0)
    x = np.broadcast_to(random.randint(0, VALUES, (64, 1, 1, 1)), (64, 2, 2, 1)).astype(np.uint8)
    batch = {"x": x, "label": random.randint(0, 4, 64).astype(np.int32)}
    params, variables = jax.jit(method.init)(KEY, batch)
    state = State(jnp.int32(0), params, variables, {}, {})
    adam = optax.adam(0.02)

    @jax.jit
    def step(params, opt, key):
        loss = lambda p: method.loss(state.replace(params=p), batch, key)[0]  # noqa: E731
        value, slope = jax.value_and_grad(loss)(params)
        updates, opt = adam.update(slope, opt)
        return optax.apply_updates(params, updates), opt, value

    opt, losses = adam.init(params), []
    for i in range(60):
        params, opt, value = step(params, opt, jax.random.fold_in(KEY, i))
        losses.append(float(value))
    assert np.mean(losses[-10:]) < losses[0] - 0.2
    given = {"label": np.zeros(4, np.int32)}
    drawn = jax.jit(lambda p: method.sample(state.replace(params=p), KEY, 4, given, guidance=2.0))
    assert drawn(params).shape == (4, 2, 2, 1)


def test_the_lowest_are_chosen():
    values = jnp.asarray([[3.0, 1.0, 2.0, 1.0]] * 3)
    found = lowest(values, jnp.asarray([[0], [1], [3]]))
    np.testing.assert_array_equal(found[0], [False] * 4)
    np.testing.assert_array_equal(found[1], [False, True, False, False])
    np.testing.assert_array_equal(found[2], [False, True, True, True])


def test_what_has_no_meaning_is_refused():
    with pytest.raises(ConfigError, match="masked values are 'categorical'"):
        Masked(Truth(), SPEC, "logistic_mixture")
    with pytest.raises(ConfigError, match="order='surest', rounds=8: expected one of"):
        TRUE.sample(EMPTY, KEY, 2, order="surest")
    with pytest.raises(ConfigError, match="guidance: this model was not trained without"):
        TRUE.sample(EMPTY, KEY, 2, guidance=2.0)
