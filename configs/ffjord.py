"""FFJORD (Grathwohl et al. 2019): a continuous flow trained by likelihood; nats, bits for images.

    python -m jaxgen.main --config=configs/ffjord.py
        eight Gaussians on a ring: two CPU cores, 15 CPU minutes, test 2.835 nats (entropy 2.832);
        also moons checkerboard grid25 spirals
    python -m jaxgen.main --config=configs/ffjord.py:digits
        digits, 8x8, as vectors, with a divergence that is estimated
    python -m jaxgen.main --config=configs/ffjord.py:power --config.data.name=FILE.npz
        a table of numbers, batches and rate of the official code; also gas hepmass miniboone
        bsds300
    python -m jaxgen.main --config=configs/ffjord.py:PRESET,tiny
        seconds, for tests

Published, test log-likelihood in nats (paper, table 2): POWER 0.46, GAS 8.59, HEPMASS -14.92,
MINIBOONE -10.43, BSDS300 157.40; MNIST 0.99 and CIFAR-10 3.40 bits/dim, with convolutions, which
there are not here. A step of training solves an ODE forwards and back, whose steps grow in number
as the flow bends: `test/solver_steps` says how many, six evaluations each; 19 of ring8. Nobody has
trained the other presets to a result.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten


def points(c: ConfigDict) -> None:
    """A small network, and a tolerance of a thousandth."""


def digits(c: ConfigDict) -> None:
    """The divergence by one random direction."""
    c.model.update(width=192, layers=2, exact=False)
    c.method.preprocess = "center"
    c.evaluate.update(batch_size=256, best="test/bpd", num_samples=64)


def table(c: ConfigDict) -> None:
    """Of up to 63 columns."""
    c.data.name = f"{c.data.name}.npz"
    c.model.update(width=128, layers=3, rtol=1e-6, atol=1e-8)
    c.train.update(batch_size=1000, steps=300_000, log_every_steps=200)
    c.optim.model.update(learning_rate=1e-3, decay_steps=300_000)
    c.evaluate.update(every_steps=10_000, sample_every_steps=10_000)


PRESETS = {
    **dict.fromkeys(("ring8", "moons", "checkerboard", "grid25", "spirals"), points),
    **dict.fromkeys(("power", "gas", "hepmass", "miniboone", "bsds300"), table),
    "digits": digits,
}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/ffjord.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="ring8", tiny=False)
    c = common(arg.data)
    c.model = dict(
        name="flows.ffjord.FFJORD",
        width=64,
        layers=2,
        widening=1,
        waves=32,
        period=8.0,
        octaves=2,
        time_scale=30.0,
        exact=True,
        rtol=1e-3,
        atol=1e-3,
        max_steps=256,
    )
    c.method = dict(
        name="likelihood.Likelihood", preprocess="none", alpha=0.05, given=(), health=True
    )
    c.optim = dict(
        model=dict(
            name="adam",
            learning_rate=5e-3,
            warmup_steps=50,
            schedule="cosine",
            decay_steps=2000,
            final_rate=5e-5,
            clip_norm=5.0,
        )
    )
    c.ema = dict(model=dict(half_life_steps=50.0, ramp_up=0.05))
    c.train.update(steps=2000, batch_size=256)
    c.evaluate.update(every_steps=1000, batch_size=2000, splits=("test",), best="test/nll")
    c.evaluate.update(sample_every_steps=2000, num_samples=2000)
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c)
        c.model.update(width=8, layers=1, waves=4, rtol=0.1, atol=0.1)
    return c
