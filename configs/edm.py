"""EDM (Karras et al. 2022): preconditioned denoising at all noise levels, few steps of Heun's.

    python -m jaxgen.main --config=configs/edm.py
        digits, 8x8, 17 grey levels: two CPU cores
    python -m jaxgen.main --config=configs/edm.py:digits_classes
        given the class, a tenth of the examples without: `jaxgen sample RUN --guidance=2`; two
        shared CPU cores, 5 CPU minutes, test 1.877 bits/dim (s.e. 0.014) of the probability flow,
        digits that one can read
    python -m jaxgen.main --config=configs/edm.py:mnist --config.data.manual_dir=DIR
        MNIST from idx files in DIR, given the class
    python -m jaxgen.main --config=configs/edm.py:cifar10               also cifar10_classes
        the paper's CIFAR-10, DDPM++: 55,733,891 parameters, 200 million images; for GPUs
    python -m jaxgen.main --config=configs/edm.py:cifar10_ncsnpp
        NCSN++ instead
    python -m jaxgen.main --config=configs/edm.py:imagenet64
        ADM's network, 2.5 billion images
    python -m jaxgen.main --config=configs/edm.py:PRESET,tiny
        seconds, for tests

Published: CIFAR-10 FID 1.97, given the class 1.79 (35 evaluations of the network), ImageNet 64x64
1.36 (511; official README). On CIFAR-10 the network is told how an image was augmented
(`method.augment`, appendix F.2).

Sampling knobs: --steps, --sampler, --guidance, --interval, --temperature, --until. The bits/dim are
those of the probability flow, of integers with even noise between the levels.
"""

from ml_collections import ConfigDict, config_dict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten

MILLION = 1_000_000


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
    c.evaluate.update(every_steps=4000, sample_every_steps=2000, max_examples=500)


def paper(c: ConfigDict, images: int, batch_size: int, learning_rate: float, ema: float) -> None:
    """Counted in images, as the paper does: a ramp of 10 million, the average's half-life."""
    c.optim.model = dict(
        name="adam", learning_rate=learning_rate, warmup_steps=10 * MILLION // batch_size
    )
    c.ema.model = dict(half_life_steps=ema / batch_size, ramp_up=0.05)
    c.train.update(steps=images // batch_size, batch_size=batch_size, save_every_steps=5000)
    c.method.update(dequantize=False, solver_steps=0)
    c.evaluate.update(every_steps=10_000, sample_every_steps=10_000, max_examples=2000)
    c.evaluate.best = "test/denoising"


def cifar10(c: ConfigDict) -> None:
    """DDPM++."""
    c.data.name = "cifar10"
    c.model.update(width=128, multipliers=(2, 2, 2), blocks=4, attention=(16,), dropout=0.13)
    c.model.augment, c.method.augment = 9, 0.12
    paper(c, 200 * MILLION, 512, 1e-3, 0.5 * MILLION)


def cifar10_classes(c: ConfigDict) -> None:
    """With the class, always."""
    cifar10(c)
    c.method.given = ("label",)


def cifar10_ncsnpp(c: ConfigDict) -> None:
    """NCSN++."""
    cifar10(c)
    c.model.kind = "ncsnpp"


def imagenet64(c: ConfigDict) -> None:
    """ADM's network, with the class."""
    c.data.update(name="imagenet2012", size=(64, 64), fit="crop", flip=True)
    c.model = dict(
        name="diffusion.edm.DhariwalUNet",
        width=192,
        multipliers=(1, 2, 3, 4),
        blocks=3,
        attention=(32, 16, 8),
        head_width=64,
        dropout=0.1,
        augment=0,
        outputs=1,
        remat=True,
        dtype="bfloat16",
    )
    c.method.update(given=("label",), sampling_steps=256)
    paper(c, 2500 * MILLION, 4096, 1e-4, 50 * MILLION)


PRESETS = {
    "digits": digits,
    "digits_classes": digits_classes,
    "mnist": mnist,
    "cifar10": cifar10,
    "cifar10_classes": cifar10_classes,
    "cifar10_ncsnpp": cifar10_ncsnpp,
    "imagenet64": imagenet64,
}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/edm.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", tiny=False)
    c = common("digits")
    c.model = dict(
        name="diffusion.edm.SongUNet",
        kind="ddpmpp",
        width=32,
        multipliers=(1, 2),
        blocks=1,
        attention=(4,),
        dropout=0.1,
        augment=0,
        outputs=1,
        remat=False,
        dtype=config_dict.placeholder(str),
    )
    c.method = dict(
        name="edm.EDM",
        data_std=0.5,
        log_mean=-1.2,
        log_std=1.2,
        low=0.002,
        high=80.0,
        rho=7.0,
        dequantize=True,
        augment=0.0,
        solver_steps=12,
        exact=False,
        given=(),
        null=0.0,
        sampler="heun",
        sampling_steps=18,
    )
    c.optim = dict(
        model=dict(
            name="adam",
            learning_rate=2e-3,
            b2=0.99,
            warmup_steps=50,
            schedule="cosine",
            decay_steps=1200,
            final_rate=1e-4,
            clip_norm=100.0,
        )
    )
    c.ema = dict(model=dict(half_life_steps=138.0, ramp_up=0.05))
    c.train.update(steps=1200, batch_size=64)
    c.evaluate.update(every_steps=1200, sample_every_steps=1200, splits=("test",))
    c.evaluate.sample = dict()
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c)
        c.model.update(width=8, multipliers=(1,), blocks=1, attention=(), remat=False)
        c.method.update(sampling_steps=3, solver_steps=min(c.method.solver_steps, 2))
    return c
