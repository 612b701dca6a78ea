"""Weight decay by path and by step: against optax with a mask made by hand, and in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgen.config import ConfigError
from jaxgen.schedules import value
from jaxgen.train.optim import optimizer
from jaxgen.train.step import init_state, train_step
from jaxgen.types import Turn

PARAMS = {
    "block_0": {"kernel": jnp.array([[1.0, -2.0]]), "bias": jnp.array([0.5])},
    "norm": {"scale": jnp.array([1.5]), "bias": jnp.array([-0.5])},
}
MASK = {"block_0": {"kernel": True, "bias": False}, "norm": {"scale": False, "bias": False}}
FALLING = {"name": "linear", "start": 0.4, "end": 0.0, "steps": 4}


def moved(transform, steps=4, **given):
    """Params after moves of unit rate down the gradients sin(3 p)."""
    params, state = PARAMS, transform.init(PARAMS)
    transform = optax.with_extra_args_support(transform)
    for n in range(steps):
        grads = jax.tree.map(lambda p: jnp.sin(3 * p), params)
        updates, state = transform.update(grads, state, params, step=jnp.int32(n))
        params = jax.tree.map(lambda p, u: p + 0.1 * u, params, updates)
    return params


def same(found, expected):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6), found, expected)


@pytest.mark.parametrize("patterns", [("*bias", "*scale"), ("norm/*", "*/bias")])
@pytest.mark.parametrize("name", ["adamw", "lion"])
def test_masks_by_path(name, patterns):
    ours = optimizer(name, 0.1, weight_decay=0.3, no_decay=patterns).transform
    theirs = getattr(optax, name)(1.0, weight_decay=0.3, mask=MASK)
    everything = getattr(optax, name)(1.0, weight_decay=0.3)
    same(moved(ours), moved(theirs))
    assert not np.allclose(moved(ours)["norm"]["scale"], moved(everything)["norm"]["scale"])


def test_a_mask_of_l2():
    ours = optimizer("sgd", 0.1, l2=0.3, no_decay=("*bias", "*scale")).transform
    theirs = optax.chain(optax.add_decayed_weights(0.3, MASK), optax.sgd(1.0))
    same(moved(ours), moved(theirs))


def test_a_mask_of_a_schedule():
    """A constant schedule with a mask is optax's number with that mask."""
    for options in ({"name": "adamw", "weight_decay": 0.3}, {"name": "sgd", "l2": 0.3}):
        own = options | {"learning_rate": 0.1, "no_decay": ("*bias", "*scale")}
        (key,) = options.keys() - {"name"}
        moving = own | {key: {"name": "constant", "start": 0.3}}
        same(moved(optimizer(**moving).transform), moved(optimizer(**own).transform))


def test_weight_decay_follows_the_step():
    """AdamW (Loshchilov & Hutter 2019, algorithm 2), with lambda a function of the step."""
    ours = moved(optimizer("adamw", 0.1, weight_decay=FALLING, skip_norm=1e6).transform)
    for module, leaves in PARAMS.items():
        for name, start in leaves.items():
            p, m, v = np.asarray(start, np.float64), 0.0, 0.0
            for t in range(1, 5):
                g = np.sin(3 * p)
                m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
                adam = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
                p = p - 0.1 * (adam + 0.4 * (1 - (t - 1) / 4) * p)
            np.testing.assert_allclose(ours[module][name], p, rtol=1e-5, atol=1e-5)


def test_the_step_and_not_the_moves():
    """Three moves a step shrink by the same factor; the next step's by its own."""

    class Still:
        turns = (Turn("a", lambda state, batch, rng: (0.0 * state.params["a"][0], ({}, {})), 1, 3),)

        def init(self, rng, batch):
            return {"a": jnp.ones(2)}, {}

    optimizers = {"a": optimizer("sgd", 0.5, l2=FALLING)}
    keywords = {"method": Still(), "optimizers": optimizers, "emas": {}}
    batch = {"x": jnp.zeros((3, 1))}
    state, expected = init_state(jax.random.key(0), batch, **keywords), 1.0
    for step in range(3):
        state, _ = jax.jit(lambda s: train_step(s, batch, jax.random.key(0), **keywords))(state)
        expected *= (1 - 0.5 * float(value(FALLING, jnp.int32(step)))) ** 3
        np.testing.assert_allclose(state.params["a"], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"name": "adamw", "no_decay": ("*bais",)},
            r"config\.optim\.no_decay: '\*bais' fits none of the parameters block_0/bias",
        ),
        ({"name": "adam", "no_decay": ("*bias",)}, "no_decay needs l2, or weight_decay, which"),
        ({"name": "adam", "weight_decay": FALLING}, "option of config.optim 'weight_decay'"),
        ({"name": "adamw", "weight_decay": {"name": "liner"}}, "did you mean 'linear'"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        optimizer(learning_rate=0.1, **options).transform.init(PARAMS)
