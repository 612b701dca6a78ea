"""StyleGAN, the first (Karras et al. 2019): styles, noise, and images that grow.

    python -m jaxgen.main --config=configs/stylegan.py
        digits, 4x4 then 8x8: two CPU cores, three to four minutes
    python -m jaxgen.main --config=configs/stylegan.py:mnist --config.data.manual_dir=DIR
        MNIST from idx files in DIR, 4x4 to 32x32, cut to 28x28: 22 CPU minutes
    python -m jaxgen.main --config=configs/stylegan.py:ffhq256 --config.data.name=FOLDER
        a folder of images at 256x256
    python -m jaxgen.main --config=configs/stylegan.py:ffhq1024 --config.data.name=FOLDER
        a folder of images at 1024x1024: 26,219,627 and 23,087,249 parameters
    python -m jaxgen.main --config=configs/stylegan.py:PRESET,tiny
        seconds, for tests

Published: FFHQ at 1024x1024, FID 4.4159, 25 million images in 6 days and 14 hours on 8 V100
(official README). There batches are larger at low resolutions (256 images at 8x8, 128 at 16x16, 64
at 32x32); here a batch is of 32 throughout, and phases are of as many images as there. jaxgen has
not been trained on it and has no mixed precision yet. Our own measurements are
in docs/results.md.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten, two_players


def digits(c: ConfigDict) -> None:
    """64 channels; a third of the steps before 8x8 is alone."""
    small(c, weight=0.3)
    c.method.update(stable_steps=500, fade_steps=500)
    c.train.update(steps=3000)


def mnist(c: ConfigDict) -> None:
    """64 channels at most, 16 at 32x32."""
    small(c, weight=1.0)
    c.data.name = "mnist"
    c.method.update(stable_steps=600, fade_steps=600)
    c.train.update(steps=5000)
    c.evaluate.update(every_steps=1000, sample_every_steps=1000)


def ffhq256(c: ConfigDict) -> None:
    """25 million images."""
    c.data.update(name="ffhq", size=(256, 256), fit="crop", flip=True)
    recipe(c)


def ffhq1024(c: ConfigDict) -> None:
    """25 million images."""
    c.data.update(name="ffhq", size=(1024, 1024), fit="crop", flip=True)
    recipe(c)


def small(c: ConfigDict, weight: float) -> None:
    """For a CPU, which sees few images; the weight is that of R1.

    With mixed styles, and at the official rate, most modes of digits are missing after 96,000
    images.
    """
    c.model.generator.update(latent=64, style=64, layers=4, most=64, base=512)
    c.model.discriminator.update(most=64, base=512)
    c.method.penalties.r1.weight = weight
    c.train.batch_size = 32
    c.method.mixing = 0.0
    adams(c, learning_rate=0.01)
    c.ema.generator.half_life_steps = 100.0


def recipe(c: ConfigDict) -> None:
    """The official settings: 600,000 images a phase, from 8x8 on, rates by resolution."""
    batch = 32
    phase = 600_000 // batch
    c.method.update(first=8, stable_steps=phase, fade_steps=phase)
    rates = {128: 0.0015, 256: 0.002, 512: 0.003, 1024: 0.003}
    begins = {8 * 2**i: (2 * i - 1) * phase + 1 for i in range(1, 8)}  # of the fade to a side
    adams(
        c,
        learning_rate=0.001,
        schedule="steps",
        rates=tuple((begins[side], rate) for side, rate in rates.items()),
    )
    c.train.update(steps=25_000_000 // batch, batch_size=batch, save_every_steps=5000)
    c.train.update(save_every_minutes=20.0)
    c.evaluate.update(every_steps=5000, sample_every_steps=5000)
    c.ema.generator.half_life_steps = 10_000 / batch


def adams(c: ConfigDict, **options: object) -> None:
    """One for each player."""
    for player in ("generator", "discriminator"):
        c.optim[player] = dict(name="adam", b1=0.0, b2=0.99, eps=1e-8, **options)


PRESETS = {"digits": digits, "mnist": mnist, "ffhq256": ffhq256, "ffhq1024": ffhq1024}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/stylegan.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", tiny=False)
    c = common("digits")
    c.model = dict(
        generator=dict(
            name="gans.stylegan.Generator", latent=512, style=512, layers=8, base=16_384, most=512
        ),
        discriminator=dict(
            name="gans.progan.Discriminator", base=16_384, most=512, group=4, blur=True
        ),
    )
    c.method = dict(
        name="progressive.ProgressiveStyles",
        game="non_saturating",
        penalties=dict(r1=dict(weight=10.0)),
        given=(),
        mixing=0.9,
        first=4,
        stable_steps=500,
        fade_steps=500,
        restart=True,
    )
    two_players(c, half_life_steps=300.0)
    c.ema.generator.ramp_up = 0.0
    c.evaluate.sample = dict(truncation=1.0)
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c, latent=4, style=4, layers=1, most=4, group=4)
        c.method.update(stable_steps=4, fade_steps=4, mixing=0.9)  # so that tests see them mixed
    return c
