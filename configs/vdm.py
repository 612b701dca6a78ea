"""VDM (Kingma et al. 2021): a bound in continuous time, for bits/dim rather than for pictures.

    python -m jaxgen.main --config=configs/vdm.py
        digits, 8x8, 17 grey levels: two shared CPU cores, 4.5 CPU minutes, test 1.894 bits/dim
        (s.e. 0.019; 2.099 and 1.938 after a third and two thirds of the steps), digits of which
        some can be read
    python -m jaxgen.main --config=configs/vdm.py:mnist --config.data.manual_dir=DIR
        MNIST from idx files in DIR
    python -m jaxgen.main --config=configs/vdm.py:cifar10
        the paper's CIFAR-10 without augmentation: 30,577,667 parameters of the network, 10 million
        steps; for TPUs
    python -m jaxgen.main --config=configs/vdm.py:PRESET,tiny
        seconds, for tests

Published: CIFAR-10 2.65 bits/dim (paper), 2.637 of the released weights. Of L levels, the
least gamma is 2 ln(1 / (3 (L - 1))): -13.3 of the 256 of the paper, -7.74 of the 17 of digits.

Sampling knobs: --steps, --sampler, --eta, --temperature, --until.
"""

from ml_collections import ConfigDict, config_dict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten


def digits(c: ConfigDict) -> None:
    """Four blocks in all, coarser Fourier features."""


def mnist(c: ConfigDict) -> None:
    """256 levels."""
    c.data.name = "mnist"
    c.model.update(width=48, blocks=3, fourier=(6, 7))
    c.method.low = -13.3
    c.train.update(steps=3000, batch_size=32, save_every_minutes=10.0)
    c.optim.model.decay_steps = 3000
    c.evaluate.update(every_steps=1500, sample_every_steps=3000, max_examples=2000)


def cifar10(c: ConfigDict) -> None:
    """32 blocks; weights that are no biases decay."""
    c.data.update(name="cifar10")
    c.model.update(width=128, blocks=32, fourier=(6, 7), dropout=0.1, remat=True)
    c.method.update(low=-13.3, sampling_steps=1000)
    c.optim.model = dict(
        name="adamw",
        learning_rate=2e-4,
        b2=0.99,
        weight_decay=0.01,
        no_decay=("*bias", "*start", "*width"),
        warmup_steps=100,
    )
    c.ema.model = dict(half_life_steps=6931.0)
    c.train.update(steps=10_000_000, batch_size=128, save_every_steps=10_000)
    c.evaluate.update(every_steps=10_000, sample_every_steps=100_000)


PRESETS = {"digits": digits, "mnist": mnist, "cifar10": cifar10}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/vdm.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", tiny=False)
    c = common("digits")
    c.model = dict(
        name="diffusion.vdm.VDM",
        width=40,
        blocks=2,
        attend=False,
        fourier=(1, 2, 3),
        dropout=0.1,
        outputs=1,
        remat=False,
        dtype=config_dict.placeholder(str),
    )
    c.method = dict(
        name="vdm.VDM",
        low=-7.74,
        high=5.0,
        timesteps=0,
        times="antithetic",
        draws=8,
        given=(),
        null=0.0,
        sampler="ancestral",
        sampling_steps=100,
    )
    c.optim = dict(
        model=dict(
            name="adamw",
            learning_rate=2e-3,
            b2=0.99,
            weight_decay=0.01,
            no_decay=("*bias", "*start", "*width"),
            warmup_steps=50,
            schedule="cosine",
            decay_steps=1200,
            final_rate=1e-4,
            clip_norm=1.0,
        )
    )
    c.ema = dict(model=dict(half_life_steps=138.0, ramp_up=0.05))
    c.train.update(steps=1200, batch_size=64)
    c.evaluate.update(every_steps=400, sample_every_steps=1200, splits=("test",))
    c.evaluate.sample = dict()
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c)
        c.model.update(width=8, blocks=1, fourier=(1,), remat=False)
        c.method.update(sampling_steps=4, draws=1)
    return c
