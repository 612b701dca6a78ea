"""iDDPM and ADM (Nichol & Dhariwal 2021; Dhariwal & Nichol 2021): learnt variances, larger U-Nets.

    python -m jaxgen.main --config=configs/adm.py
        digits, 8x8, 17 grey levels: two CPU cores, 5.4 CPU minutes, test 3.175 bits/dim, a bound;
        samples are measured in docs/results.md
    python -m jaxgen.main --config=configs/adm.py:mnist --config.data.manual_dir=DIR
        MNIST from idx files in DIR, given the class
    python -m jaxgen.main --config=configs/adm.py:iddpm_cifar10         also iddpm_imagenet64
        iDDPM's CIFAR-10: 52,546,438 parameters; ImageNet 64x64: 121,063,942
    python -m jaxgen.main --config=configs/adm.py:imagenet64
        also imagenet128, imagenet256, imagenet512: 295,904,454, 421,529,606, 553,838,086 and
        558,997,638 parameters; for many GPUs
    python -m jaxgen.main --config=configs/adm.py:PRESET,tiny
        seconds, for tests

Published: iDDPM CIFAR-10 2.94 bits/dim (paper); ADM with guidance FID 2.07, 2.97, 4.59 and 7.72 on
ImageNet 64x64, 128x128, 256x256 and 512x512 (official README). Sizes and schedules are those of the
official commands; steps, batches and rates of ADM were not checked against the paper. iDDPM scales
time to 0 .. 1000, and here the network is given 0 .. 3999.

Sampling knobs: --steps, --sampler, --eta, --guidance, --interval, --temperature, --until.
"""

from ml_collections import ConfigDict, config_dict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten


def digits(c: ConfigDict) -> None:
    """A small U-Net of two levels."""


def mnist(c: ConfigDict) -> None:
    """28x28, 14x14, 7x7, with the class."""
    c.data.name = "mnist"
    c.method.update(given=("label",), null=0.1)
    c.model.update(multipliers=(1, 2, 2), attention=(7,))
    c.train.update(steps=4000, batch_size=64, save_every_minutes=10.0)
    c.optim.model.decay_steps = 4000
    c.evaluate.update(every_steps=2000, sample_every_steps=2000, max_examples=2000)


def paper(c: ConfigDict, steps: int, batch_size: int, learning_rate: float) -> None:
    """A constant rate, and averages of 0.9999."""
    c.optim.model = dict(name="adamw", learning_rate=learning_rate, weight_decay=0.0)
    c.ema.model = dict(half_life_steps=6931.0)
    c.train.update(steps=steps, batch_size=batch_size, save_every_steps=10_000)
    c.method.update(sampler="ancestral", sampling_steps=250)
    c.evaluate.update(every_steps=20_000, sample_every_steps=20_000, max_examples=2000)


def iddpm(c: ConfigDict, steps: int) -> None:
    """4,000 steps of the cosine schedule; four heads, convolutions that resample."""
    c.model.update(width=128, blocks=3, attention=(16, 8), heads=4, head_width=None, updown=False)
    c.method.timesteps = 4000
    paper(c, steps, 128, 1e-4)


def iddpm_cifar10(c: ConfigDict) -> None:
    """500,000 steps, dropout 0.3."""
    c.data.update(name="cifar10", flip=True)
    c.model.update(multipliers=(1, 2, 2, 2), dropout=0.3)
    iddpm(c, 500_000)


def iddpm_imagenet64(c: ConfigDict) -> None:
    """1.5 million steps."""
    c.data.name = "downsampled_imagenet/64x64"
    c.model.update(multipliers=(1, 2, 3, 4), dropout=0.0)
    iddpm(c, 1_500_000)


def imagenet64(c: ConfigDict) -> None:
    """The cosine schedule, dropout."""
    c.data.update(name="imagenet2012", size=(64, 64), fit="crop", flip=True)
    c.model.update(width=192, multipliers=(1, 2, 3, 4), blocks=3, attention=(32, 16, 8))
    c.model.update(head_width=64, dropout=0.1, remat=True)
    c.method.update(timesteps=1000, given=("label",))
    paper(c, 540_000, 2048, 3e-4)


def large(c: ConfigDict, side: int, steps: int, **sizes: tuple[float, ...]) -> None:
    """The linear schedule, batches of 256, and the order of attention of the published weights."""
    imagenet64(c)
    c.data.size = (side, side)
    c.model.update(width=256, blocks=2, dropout=0.0, order="legacy", **sizes)
    c.method.betas = "linear"
    paper(c, steps, 256, 1e-4)
    c.evaluate.num_samples = 16


def imagenet128(c: ConfigDict) -> None:
    """Four heads."""
    large(c, 128, 4_360_000, multipliers=(1, 1, 2, 3, 4))
    c.model.update(heads=4, head_width=None)


def imagenet256(c: ConfigDict) -> None:
    """Six levels."""
    large(c, 256, 1_980_000, multipliers=(1, 1, 2, 2, 4, 4))


def imagenet512(c: ConfigDict) -> None:
    """Seven levels, of which the first is narrow."""
    large(c, 512, 1_940_000, multipliers=(0.5, 1, 1, 2, 2, 4, 4))


PRESETS = {
    "digits": digits,
    "mnist": mnist,
    "iddpm_cifar10": iddpm_cifar10,
    "iddpm_imagenet64": iddpm_imagenet64,
    "imagenet64": imagenet64,
    "imagenet128": imagenet128,
    "imagenet256": imagenet256,
    "imagenet512": imagenet512,
}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/adm.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", tiny=False)
    c = common("digits")
    c.model = dict(
        name="diffusion.adm.ADM",
        width=32,
        multipliers=(1, 2),
        blocks=1,
        attention=(4,),
        head_width=32,
        heads=4,
        order="qkv",
        scale_shift=True,
        updown=True,
        dropout=0.1,
        outputs=2,
        remat=False,
        dtype=config_dict.placeholder(str),
    )
    c.method = dict(
        name="diffusion.Diffusion",
        betas="cosine",
        timesteps=1000,
        prediction="eps",
        objective="hybrid",
        variance="learned",
        times="uniform",
        clip=True,
        spacing="ends",
        draws=1,
        exact=False,
        given=(),
        null=0.0,
        sampler="ddim",
        sampling_steps=50,
    )
    c.optim = dict(
        model=dict(
            name="adam",
            learning_rate=2e-3,
            b2=0.99,
            warmup_steps=50,
            schedule="cosine",
            decay_steps=1500,
            final_rate=1e-4,
            clip_norm=1.0,
        )
    )
    c.ema = dict(model=dict(half_life_steps=138.0, ramp_up=0.05))
    c.train.update(steps=1500, batch_size=64)
    c.evaluate.update(every_steps=1500, sample_every_steps=1500, splits=("test",), draws=8)
    c.evaluate.sample = dict()
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c)
        c.model.update(width=8, multipliers=(1,), blocks=1, attention=(), remat=False)
        c.model.update(head_width=None, heads=2)
        c.method.update(timesteps=100, sampling_steps=4)
        c.evaluate.draws = 1
    return c
