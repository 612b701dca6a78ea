"""Lazy turns are one program: nothing is compiled after the first step, whatever is due."""

import collections
import dataclasses
import functools
import threading
import types

import chex
import jax
import numpy as np
import pytest

from jaxgen.config import ConfigError
from jaxgen.methods.adversarial import Adversarial
from jaxgen.methods.stylegan2 import StyleGAN2
from jaxgen.models.gans.gan import Discriminator, Generator
from jaxgen.models.gans.stylegan2 import Discriminator as StyledDiscriminator
from jaxgen.models.gans.stylegan2 import Generator as Styled
from jaxgen.sharding import make_mesh
from jaxgen.train import loop
from jaxgen.train import program as program_module
from jaxgen.train.optim import average, optimizer
from jaxgen.train.program import build_program
from jaxgen.train.step import init_state
from jaxgen.types import DataSpec

SPEC = DataSpec.of("digits", (8, 8, 1), 17)
CYCLE = 16
IMAGES = np.zeros((16, 8, 8, 1), np.uint8)

LAZY = {"r1": {"weight": 1.0, "every": CYCLE}, "r2": {"weight": 1.0, "every": 4}}
METHODS = {
    "gan": Adversarial(Generator(2, (4,)), Discriminator((4,)), SPEC, penalties=LAZY),
    "stylegan2": StyleGAN2(
        Styled(4, 4, layers=1, most=4),
        StyledDiscriminator(most=4),
        SPEC,
        penalties=LAZY,
        augment={"name": "ada", "images": 100},
    ),
}
SLOW = {"stylegan2"}  # to compile


@pytest.mark.parametrize(
    "name", [pytest.param(m, marks=pytest.mark.slow) if m in SLOW else m for m in METHODS]
)
def test_nothing_is_traced_or_compiled_after_the_first_cycle(name):
    """Counted by JAX itself, over one lazy cycle of 16 steps and a second one."""
    method = METHODS[name]
    players = ("generator", "discriminator")
    optimizers = {player: optimizer("adam", 1e-3) for player in players}
    batch = {"x": IMAGES}
    emas = {"generator": average(10.0)}
    program = build_program(method, optimizers, emas, make_mesh(), batch, seed=0)
    state, step = program.init(batch), program.compile()
    seen = []
    jax.monitoring.register_event_duration_secs_listener(lambda event, *_, **__: seen.append(event))
    try:
        weights = []
        for i in range(2 * CYCLE):
            if i == CYCLE:
                seen.clear()
            state, out = step(state, program.put([batch]), program.rng, np.int32(1))
            values = np.asarray(out[0])[0]
            weights.append({k: v[1] for k, v in zip(program.names, values, strict=True)})
        assert not [event for event in seen if "trace" in event or "compile" in event], seen
    finally:
        jax.monitoring.clear_event_listeners()
    lazy = {turn.label: turn.every for turn in method.turns if turn.every > 1}
    assert lazy.items() >= {"r1": CYCLE, "r2": 4}.items()
    for turn, every in lazy.items():
        played = [i for i, w in enumerate(weights) if w[f"{turn}/loss"]]
        assert played == list(range(0, 2 * CYCLE, every))


@pytest.mark.parametrize("room", [1, 3])
def test_everything_is_traced_once(room):
    """The initialisation, and every turn's loss, whether it is lazy or in a loop of steps."""
    traced = collections.Counter()

    class Counted(Adversarial):
        def init(self, rng, batch):
            traced["init"] += 1
            return super().init(rng, batch)

        @property
        def turns(self):
            def counted(turn):
                def loss(*arguments):
                    traced[turn.label] += 1
                    return turn.loss(*arguments)

                return turn._replace(loss=loss)

            return tuple(map(counted, super().turns))

    plain, batch = METHODS["gan"], {"x": IMAGES}
    method = Counted(**{f.name: getattr(plain, f.name) for f in dataclasses.fields(plain)})
    optimizers = dict.fromkeys(("generator", "discriminator"), optimizer("adam", 1e-3))
    program = build_program(method, optimizers, {}, make_mesh(), batch, seed=0, room=room)
    program.init(batch)
    assert traced == {"init": 1, **{turn.label: 1 for turn in plain.turns}}


def test_initialisation_is_not_optimised_and_draws_the_same(monkeypatch):
    """It runs once, and optimising its random draws was most of the wait; values to rounding."""
    kept, real = {}, jax.jit

    def jit(f, **options):
        kept[getattr(f, "func", f).__name__] = options.get("compiler_options")
        return real(f, **options)

    monkeypatch.setattr(program_module.jax, "jit", jit)
    method, adam = METHODS["gan"], optimizer("adam", 1e-3)
    optimizers, batch = dict.fromkeys(("generator", "discriminator"), adam), {"x": IMAGES}
    program = build_program(method, optimizers, {}, make_mesh(), batch, seed=3)
    quick = {"xla_backend_optimization_level": 0}
    if jax.__version__.startswith("0.10."):  # later ones refuse the option
        quick["xla_cpu_use_fusion_emitters"] = False
    assert kept["init_state"] == quick and not kept["run"]
    init = functools.partial(init_state, method=method, optimizers=optimizers, emas={})
    chex.assert_trees_all_close(program.init(batch), real(init)(program.rng, batch), rtol=1e-5)


def test_the_step_compiles_beside_the_initialisation(monkeypatch):
    """Compiling has begun before initialising ends; an error of the latter is the run's."""
    began = threading.Event()
    parts = types.SimpleNamespace(program=types.SimpleNamespace(compile=began.set))

    def start(parts):
        assert began.wait(10)
        raise ConfigError("no first batch")

    monkeypatch.setattr(loop, "start", start)
    with pytest.raises(ConfigError, match="no first batch"):
        loop.train(parts)


def test_the_listener_hears_a_compilation():
    """The counter of the test above counts."""
    seen = []
    jax.monitoring.register_event_duration_secs_listener(lambda event, *_, **__: seen.append(event))
    try:
        jax.jit(lambda x: x * 3.25 + 1)(np.float32(2)).block_until_ready()
        assert [event for event in seen if "compile" in event]
    finally:
        jax.monitoring.clear_event_listeners()
