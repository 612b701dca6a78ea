"""Flow matching and rectified flow (Lipman et al. 2023, Liu et al. 2023) with a dense network.

    python -m jaxgen.main --config=configs/flow_matching.py
        digits given the class, as vectors: two CPU cores, under three CPU minutes. 1,500 samples
        (24 steps of Heun's): energy score 3.045 (train images 3.040), Frechet ratio of pixels to
        the test images 0.031 (0.023), 99.7 % read as the class asked for, distance to the nearest
        train image 0.86 of the test images'; test 2.402 bits/dim (s.e. 0.026) in 12 steps of the
        ODE, and in 24
    python -m jaxgen.main --config=configs/flow_matching.py:ring8
    python -m jaxgen.main --config=configs/flow_matching.py:checkerboard
        2.7 CPU minutes; test 3.513 nats by the exact divergence, 0.048 above the entropy
    python -m jaxgen.main --config=configs/flow_matching.py:ring8,edm    the same network by EDM
    python -m jaxgen.main --config=configs/flow_matching.py:PRESET,tiny
        seconds, for tests

Samples are measured by `python benchmarks/denoising.py RUN --steps=24 --samplers=heun`, mean of
seeds 0 and 1, on two shared cores. Guidance of 1.5 reads 100 %, nearer to the train images (0.82).

Sampling knobs: --steps, --sampler, --guidance, --interval, --temperature, --until.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten


def digits(c: ConfigDict) -> None:
    """Half of the times in the middle, where the velocity is hard to tell."""


def points(c: ConfigDict) -> None:
    """Without classes, and with the divergence itself."""
    c.model.update(width=128, waves=64)
    c.method.update(given=(), null=0.0, scale=2.5, exact=True)
    c.method.update(times="logit_normal", logit_mean=-0.9, logit_std=1.4, time_scale=30.0)
    c.optim.model.update(learning_rate=2e-3, decay_steps=6000, final_rate=1e-5)
    c.train.update(steps=6000, batch_size=512, steps_per_dispatch=20, log_every_steps=500)
    c.evaluate.update(every_steps=6000, sample_every_steps=6000, num_samples=4000)
    c.evaluate.update(batch_size=2000, splits=("test",), best="test/nll")


def checkerboard(c: ConfigDict) -> None:
    """Edges need waves of the plane, times near the data, and steps rather than width."""
    points(c)
    c.train.steps = c.optim.model.decay_steps = 10_000
    c.evaluate.update(every_steps=10_000, sample_every_steps=10_000)
    c.method.update(times="mixed", logit_mean=-2.5, logit_std=1.0, time_scale=300.0)
    c.model.update(width=80, period=8.0, octaves=6)


def by_edm(c: ConfigDict) -> None:
    """Points have about unit variance: all is twice that of the paper."""
    c.method = dict(
        name="edm.EDM",
        scale=2.5,
        data_std=1.0,
        log_mean=-0.9,
        log_std=1.4,
        low=0.004,
        high=160.0,
        sampling_steps=30,
        solver_steps=12,
        exact=True,
    )
    c.optim.model.clip_norm = 20.0


PRESETS = {"digits": digits, "ring8": points, "checkerboard": checkerboard}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/flow_matching.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", edm=False, tiny=False)
    c = common(arg.data)
    c.model = dict(
        name="diffusion.dense.Dense",
        width=256,
        layers=3,
        widening=2,
        waves=128,
        period=0.0,
        octaves=4,
        dropout=0.0,
    )
    c.method = dict(
        name="flow_matching.FlowMatching",
        noise="linear",
        times="mixed",
        time_scale=1000.0,
        logit_mean=0.0,
        logit_std=1.0,
        coupling="independent",
        given=("label",),
        null=0.1,
        scale=1.0,
        sampler="heun",
        sampling_steps=24,
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
            decay_steps=7000,
            final_rate=5e-5,
            clip_norm=1.0,
        )
    )
    c.ema = dict(model=dict(half_life_steps=138.0, ramp_up=0.05))
    c.train.update(steps=7000, batch_size=128)
    c.evaluate.update(every_steps=3500, sample_every_steps=3500, splits=("test",), sample=dict())
    preset(arg.data, PRESETS)(c)
    if arg.edm:
        by_edm(c)
    if arg.tiny:
        shorten(c)
        c.model.update(width=16, layers=1, waves=8)
        c.method.update(solver_steps=2, sampling_steps=4)
        c.train.steps_per_dispatch = 1
    return c
