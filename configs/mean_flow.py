"""MeanFlow (Geng et al. 2025): samples in one step, of a dense network with two times.

    python -m jaxgen.main --config=configs/mean_flow.py
        digits given the class, as vectors: two CPU cores, two CPU minutes. Of 1,500 samples in one
        step the Frechet ratio of pixels to the test images is 0.058 (in two steps 0.035, of the
        train images 0.023), and 99.7 % are read as the class asked for
    python -m jaxgen.main --config=configs/mean_flow.py:PRESET,tiny
        seconds, for tests

Measured by `python benchmarks/denoising.py RUN --steps=1,2`, seeds 0 and 1, on two shared cores.
With --config.method.time_scale=1000, as flow matching has it, the ratio of one step is 0.17: the
target holds the derivative by time of what the network is told.

Sampling knobs: --steps, --guidance, --interval, --temperature, --until.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten


def digits(c: ConfigDict) -> None:
    """Half of the examples learn the velocity itself; the paper takes three quarters."""


PRESETS = {"digits": digits}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/mean_flow.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", tiny=False)
    c = common(arg.data)
    c.model = dict(
        name="diffusion.dense.Dense",
        width=256,
        layers=3,
        widening=2,
        waves=128,
        dropout=0.0,
        times=2,
    )
    c.method = dict(
        name="mean_flow.MeanFlow",
        times="logit_normal",
        time_scale=30.0,
        logit_mean=-0.4,
        logit_std=1.0,
        equal=0.5,
        given=("label",),
        null=0.1,
        sampling_steps=1,
        solver_steps=12,
        exact=False,
    )
    c.optim = dict(
        model=dict(
            name="adam",
            learning_rate=1e-3,
            b2=0.99,
            warmup_steps=50,
            schedule="cosine",
            decay_steps=4000,
            final_rate=5e-5,
            clip_norm=1.0,
        )
    )
    c.ema = dict(model=dict(half_life_steps=138.0, ramp_up=0.05))
    c.train.update(steps=4000, batch_size=128)
    c.evaluate.update(every_steps=4000, sample_every_steps=2000, splits=("test",), sample=dict())
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c)
        c.model.update(width=16, layers=1, waves=8)
        c.method.update(solver_steps=2)
    return c
