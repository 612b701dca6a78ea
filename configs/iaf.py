"""Inverse autoregressive flow (Kingma et al. 2016) on points with a known density, in nats.

    python -m jaxgen.main --config=configs/iaf.py
        by likelihood, two moons: two CPU cores, minutes; also ring8 checkerboard grid25 spirals
    python -m jaxgen.main --config=configs/iaf.py:u4
        by reverse KL, to an energy of Rezende & Mohamed 2015, without data; also u1 u2 u3
    python -m jaxgen.main --config=configs/iaf.py:PRESET,tiny
        seconds, for tests

Expected of the likelihood: the entropy of the data, printed before training; of the reverse KL:
`test/kl` 0.03 to 0.30 here. Samples take one pass, the likelihood two, the number of dimensions,
which is why the paper fits the flow to a posterior instead.
The published numbers (3.11 bits/dim on CIFAR-10, table 2) are of an autoencoder with this flow
inside, not of the flow.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset


def points(c: ConfigDict) -> None:
    """Several steps per dispatch, since a step takes milliseconds."""


def energy(c: ConfigDict) -> None:
    """Both passes of a step are cheap here: many steps per dispatch."""
    c.method = dict(name="reverse_kl.ReverseKL", base="normal", anneal_steps=2000)
    c.optim.model.update(learning_rate=5e-3, decay_steps=5000)
    c.train.update(steps=5000, batch_size=256, steps_per_dispatch=100, log_every_steps=500)
    c.evaluate.best = "test/kl"


PRESETS = {
    **dict.fromkeys(("moons", "ring8", "checkerboard", "grid25", "spirals"), points),
    **dict.fromkeys(("u1", "u2", "u3", "u4"), energy),
}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/iaf.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="moons", tiny=False)
    c = common(arg.data)
    c.model = dict(name="flows.iaf.IAF", depth=8, hidden=(64, 64), memory="store")
    c.method = dict(name="likelihood.Likelihood", given=())
    c.optim = dict(
        model=dict(
            name="adam",
            learning_rate=2e-3,
            warmup_steps=100,
            schedule="cosine",
            decay_steps=4000,
            clip_norm=5.0,
        )
    )
    c.ema = dict(model=dict(half_life_steps=50.0, ramp_up=0.05))
    c.train.update(batch_size=512, steps_per_dispatch=20, log_every_steps=200)
    c.evaluate.update(
        every_steps=1000,
        batch_size=2000,
        splits=("test",),
        best="test/nll",
        sample_every_steps=1000,
        num_samples=4000,
    )
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        c.model.update(depth=2, hidden=(16,))
        c.train.update(steps=20, batch_size=16, log_every_steps=5, save_every_steps=10)
        c.train.steps_per_dispatch = 4
        c.evaluate.update(every_steps=10, sample_every_steps=20, num_samples=64, max_examples=512)
    return c
