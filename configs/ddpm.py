"""DDPM (Ho et al. 2020): noise is removed step by step by a U-Net; its bound in bits/dim.

    python -m jaxgen.main --config=configs/ddpm.py
        digits, 8x8, 17 grey levels: two CPU cores
    python -m jaxgen.main --config=configs/ddpm.py:digits_classes
        given the class, a tenth of the examples without: `jaxgen sample RUN --guidance=2`; two
        shared CPU cores, 4.4 CPU minutes, digits that one can read; the bound at 8 of the 1,000
        steps of each example is 3.1 bits/dim (s.e. 0.4)
    python -m jaxgen.main --config=configs/ddpm.py:mnist --config.data.manual_dir=DIR
        MNIST from idx files in DIR, given the class
    python -m jaxgen.main --config=configs/ddpm.py:cifar10
        the paper's CIFAR-10: 35,746,307 parameters, 800,000 steps; for GPUs or TPUs
    python -m jaxgen.main --config=configs/ddpm.py:celebahq256
        the paper's CelebA-HQ 256x256: 113,673,219 parameters, 500,000 steps
    python -m jaxgen.main --config=configs/ddpm.py:PRESET,tiny
        seconds, for tests

Sampling knobs: --steps, --sampler, --eta, --guidance, --interval, --temperature, --until. The
papers draw with --sampler=ancestral --steps=1000.
"""

from ml_collections import ConfigDict, config_dict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten


def digits(c: ConfigDict) -> None:
    """A small U-Net of two levels."""


def digits_classes(c: ConfigDict) -> None:
    """With the class."""
    c.method.update(given=("label",), null=0.1)


def mnist(c: ConfigDict) -> None:
    """28x28, 14x14, 7x7."""
    digits_classes(c)
    c.data.name = "mnist"
    c.model.update(multipliers=(1, 2, 2), attention=(7,))
    c.train.update(steps=4000, batch_size=64, save_every_minutes=10.0)
    c.optim.model.decay_steps = 4000
    c.evaluate.update(every_steps=2000, sample_every_steps=2000, max_examples=2000)


def paper(c: ConfigDict, steps: int, batch_size: int, learning_rate: float) -> None:
    """The optimiser and the sampler of the paper; clipping there is of each device's gradient."""
    c.optim.model = dict(name="adam", learning_rate=learning_rate, warmup_steps=5000, clip_norm=1.0)
    c.ema.model = dict(half_life_steps=6931.0)
    c.train.update(steps=steps, batch_size=batch_size, save_every_steps=10_000)
    c.method.update(sampler="ancestral", sampling_steps=1000)
    c.evaluate.update(every_steps=20_000, sample_every_steps=20_000, max_examples=2000)


def cifar10(c: ConfigDict) -> None:
    """800,000 steps of 128."""
    c.data.update(name="cifar10", flip=True)
    c.model.update(width=128, multipliers=(1, 2, 2, 2), blocks=2, attention=(16,))
    paper(c, 800_000, 128, 2e-4)


def celebahq256(c: ConfigDict) -> None:
    """Without dropout."""
    c.data.update(name="celeb_a_hq/256", flip=True)
    c.model.update(width=128, multipliers=(1, 1, 2, 2, 4, 4), blocks=2, attention=(16,))
    c.model.update(dropout=0.0, remat=True)
    paper(c, 500_000, 64, 2e-5)
    c.evaluate.num_samples = 16


PRESETS = {
    "digits": digits,
    "digits_classes": digits_classes,
    "mnist": mnist,
    "cifar10": cifar10,
    "celebahq256": celebahq256,
}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/ddpm.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", tiny=False)
    c = common("digits")
    c.model = dict(
        name="diffusion.ddpm.DDPM",
        width=32,
        multipliers=(1, 2),
        blocks=1,
        attention=(4,),
        heads=1,
        dropout=0.1,
        outputs=1,
        remat=False,
        dtype=config_dict.placeholder(str),
    )
    c.method = dict(
        name="diffusion.Diffusion",
        betas="linear",
        timesteps=1000,
        prediction="eps",
        objective="simple",
        variance="large",
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
        c.method.update(timesteps=100, sampling_steps=4)
        c.evaluate.draws = 1
    return c
