"""ProGAN (Karras et al. 2018): images that grow while the networks train.

    python -m jaxgen.main --config=configs/progan.py
        digits, 4x4 then 8x8: two CPU cores, three to four minutes
    python -m jaxgen.main --config=configs/progan.py:mnist --config.data.manual_dir=DIR
        MNIST from idx files in DIR, 4x4 to 32x32, cut to 28x28: about 20 CPU minutes
    python -m jaxgen.main --config=configs/progan.py:cifar10
        the official settings of section 6.5
    python -m jaxgen.main --config=configs/progan.py:celebahq --config.data.name=FOLDER
        a folder of images at 1024x1024: 23,079,115 and 23,087,249 parameters
    python -m jaxgen.main --config=configs/progan.py:PRESET,tiny
        seconds, for tests

The official recipe for CelebA-HQ takes smaller batches at high resolutions (14 images at 256x256, 6
at 512x512, 3 at 1024x1024); here a batch is of 16 throughout, and phases are of as many images as
there. It takes two weeks on a V100 (official README). jaxgen has not been trained on it, has no
mixed precision yet and no auxiliary classifier. Our own measurements are in
docs/results.md.
"""

import math

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten, two_players


def digits(c: ConfigDict) -> None:
    """64 channels; a third of the steps before 8x8 is alone."""
    small(c)
    c.method.update(stable_steps=500, fade_steps=500)
    c.train.update(steps=3000)


def mnist(c: ConfigDict) -> None:
    """64 channels at most, 16 at 32x32."""
    small(c)
    c.data.name = "mnist"
    c.method.update(stable_steps=600, fade_steps=600)
    c.train.update(steps=5000)
    c.evaluate.update(every_steps=1000, sample_every_steps=1000)


def cifar10(c: ConfigDict) -> None:
    """20 million images, 400,000 a phase; the slope's target is 750."""
    c.data.name = "cifar10"
    c.model.generator.update(latent=128, base=8192, most=128)
    c.model.discriminator.update(base=8192, most=128)
    c.method.penalties.gradient_penalty = dict(weight=10.0 / 750.0**2, target=750.0)
    recipe(c, phase=400_000, images=20_000_000, warm_up=0)


def celebahq(c: ConfigDict) -> None:
    """19 million images, 800,000 a phase."""
    c.data.update(name="celebahq", size=(1024, 1024), fit="crop", flip=True)
    recipe(c, phase=800_000, images=19_000_000, warm_up=40_000)


def small(c: ConfigDict) -> None:
    """For a CPU."""
    c.model.generator.update(latent=64, most=64, base=512)
    c.model.discriminator.update(most=64, base=512, group=4)
    c.train.batch_size = 32
    adams(c, 0.002)
    c.ema.generator.half_life_steps = 300.0


def recipe(c: ConfigDict, phase: int, images: int, warm_up: int) -> None:
    """What official settings are made of, in images."""
    batch = 16
    c.method.update(stable_steps=phase // batch, fade_steps=phase // batch)
    adams(c, 0.001, warm_up // batch)
    c.train.update(steps=images // batch, batch_size=batch, save_every_steps=5000)
    c.train.update(save_every_minutes=20.0)
    c.evaluate.update(every_steps=5000, sample_every_steps=5000)
    c.ema.generator.half_life_steps = math.log(0.5) / math.log(0.999)


def adams(c: ConfigDict, rate: float, warm_up: int = 0) -> None:
    """One for each player."""
    for player in ("generator", "discriminator"):
        c.optim[player] = dict(
            name="adam", learning_rate=rate, warmup_steps=warm_up, b1=0.0, b2=0.99, eps=1e-8
        )


PRESETS = {"digits": digits, "mnist": mnist, "cifar10": cifar10, "celebahq": celebahq}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/progan.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", tiny=False)
    c = common("digits")
    c.model = dict(
        generator=dict(name="gans.progan.Generator", latent=512, base=16_384, most=512),
        discriminator=dict(name="gans.progan.Discriminator", base=16_384, most=512, group=16),
    )
    c.method = dict(
        name="progressive.Progressive",
        game="wasserstein",
        penalties=dict(gradient_penalty=dict(weight=10.0), drift=dict(weight=0.001)),
        given=(),
        first=4,
        stable_steps=500,
        fade_steps=500,
        restart=True,
    )
    two_players(c, half_life_steps=300.0)
    c.ema.generator.ramp_up = 0.0
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c, latent=4, most=4, group=4)
        c.method.update(stable_steps=4, fade_steps=4)
    return c
