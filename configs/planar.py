"""Planar flow (Rezende & Mohamed 2015) fitted to an energy in the plane, without data.

    python -m jaxgen.main --config=configs/planar.py              U4 of the paper's Table 1
    python -m jaxgen.main --config=configs/planar.py:u1           also u2 u3
    python -m jaxgen.main --config=configs/planar.py:PRESET,paper the paper's optimiser and length
    python -m jaxgen.main --config=configs/planar.py:PRESET,tiny  seconds, for tests

Expected: `test/kl`, the reverse KL divergence in nats, which the paper shows as pictures only
(Figure 3, K = 2, 8, 32). Ours, in half a minute on two CPU cores: 0.027 (u4), 0.022 (u3),
0.003 (u1) and 0.002 (u2) with seed 0; of four seeds of u3 one ends above 0.1, where a part of the
target is missing and `test/nll` says so. Radial steps by --config.model.kind=radial.
The paper trains for 500,000 steps of RMSProp at a rate of 1e-5, which we have not waited for.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset


def energy(c: ConfigDict) -> None:
    """Under a minute on two CPU cores; many steps per dispatch, since a step takes 1 ms."""


PRESETS = {"u1": energy, "u2": energy, "u3": energy, "u4": energy}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/planar.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="u4", paper=False, tiny=False)
    c = common(arg.data)
    c.model = dict(name="flows.planar.PlanarFlow", depth=32, kind="planar", memory="store")
    c.method = dict(name="reverse_kl.ReverseKL", base="normal", anneal_steps=10_000)
    c.optim = dict(
        model=dict(
            name="adam",
            learning_rate=5e-3,
            warmup_steps=0,
            schedule="cosine",
            decay_steps=20_000,
            clip_norm=5.0,
        )
    )
    c.train.update(
        steps=20000,
        batch_size=256,
        steps_per_dispatch=100,
        log_every_steps=2000,
        save_every_steps=5000,
    )
    c.evaluate.update(
        every_steps=5000,
        batch_size=2000,
        splits=("test",),
        best="test/kl",
        sample_every_steps=5000,
        num_samples=4000,
    )
    preset(arg.data, PRESETS)(c)
    if arg.paper:
        c.optim.model.update(name="rmsprop", learning_rate=1e-5, schedule="constant", clip_norm=0.0)
        c.optim.model.momentum = 0.9
        c.train.update(steps=500_000, batch_size=100)
    if arg.tiny:
        c.model.depth = 2
        c.train.update(steps=20, batch_size=16, log_every_steps=5, save_every_steps=10)
        c.train.steps_per_dispatch = 4
        c.evaluate.update(every_steps=10, sample_every_steps=20, num_samples=64, max_examples=512)
    return c
