"""StyleGAN2 (Karras et al. 2020).

    python -m jaxgen.main --config=configs/stylegan2.py
        digits, 8x8: two CPU cores, a few minutes
    python -m jaxgen.main --config=configs/stylegan2.py:mnist --config.data.manual_dir=DIR
        MNIST from idx files in DIR, made at 32x32 and cut: under 20 CPU minutes
    python -m jaxgen.main --config=configs/stylegan2.py:faces
        faces_like at 32x32, moved by up to 8 pixels, beside configs/stylegan3.py:faces_narrow
    python -m jaxgen.main --config=configs/stylegan2.py:cifar10
        the official "cifar" settings, without augmentation
    python -m jaxgen.main --config=configs/stylegan2.py:ffhq256 --config.data.name=FOLDER
        a folder of images at 256x256: the official "paper256"
    python -m jaxgen.main --config=configs/stylegan2.py:ffhq1024 --config.data.name=FOLDER
        a folder of images at 1024x1024: configuration F, 30,370,060 and 29,012,513 parameters
    python -m jaxgen.main --config=configs/stylegan2.py:PRESET,ada
        with adaptive augmentation (Karras et al. 2020, "Limited Data")
    python -m jaxgen.main --config=configs/stylegan2.py:PRESET,tiny
        seconds, for tests

Published: FFHQ at 1024x1024, FID 2.84 (paper, table 1); 25 million images take 9 days and 18
hours on 8 V100 (official README). jaxgen has not been trained on it. Convolutions compute in
bfloat16 with --config.model.generator.dtype=bfloat16, and the discriminator's alike. Our own
measurements are in docs/results.md.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten, two_players


def digits(c: ConfigDict) -> None:
    """64 channels at most."""
    small(c, half_life=100.0)
    gamma(c, 1.0)
    c.train.update(steps=4000)


def mnist(c: ConfigDict) -> None:
    """64 channels at most, 16 at 32x32."""
    small(c, half_life=150.0)
    c.data.name = "mnist"
    gamma(c, 3.0)
    c.train.update(steps=4500)
    c.evaluate.update(every_steps=1000, sample_every_steps=1000)


def faces(c: ConfigDict) -> None:
    """32 channels at most; rates, batches and steps are those of StyleGAN3 there."""
    small(c, half_life=150.0)
    c.data.update(name="faces_like", size=(32, 32), fit="crop", shift=8)
    for player in (c.model.generator, c.model.discriminator):
        player.update(base=512, most=32)
    gamma(c, 0.3)
    adams(c, 0.005)
    c.train.update(steps=2000, batch_size=16)


def cifar10(c: ConfigDict) -> None:
    """100 million images; classes, two layers of mapping, no path length, no mixing."""
    c.data.name = "cifar10"
    c.model.generator.update(base=16_384, layers=2)
    c.model.discriminator.update(base=16_384, group=32, residual=False)
    c.method.update(given=("label",), path_weight=0.0, mixing=0.0)
    recipe(c, batch=64, rate=0.0025, weight=0.01, images=100_000_000, half_life=500_000)
    c.ema.generator.ramp_up = 0.05


def ffhq256(c: ConfigDict) -> None:
    """25 million images."""
    c.data.update(name="ffhq", size=(256, 256), fit="crop", flip=True)
    for player in (c.model.generator, c.model.discriminator):
        player.base = 16_384
    c.model.discriminator.group = 8
    recipe(c, batch=64, rate=0.0025, weight=1.0, images=25_000_000, half_life=20_000)


def ffhq1024(c: ConfigDict) -> None:
    """25 million images."""
    c.data.update(name="ffhq", size=(1024, 1024), fit="crop", flip=True)
    recipe(c, batch=32, rate=0.002, weight=10.0, images=25_000_000, half_life=10_000)


def small(c: ConfigDict, half_life: float) -> None:
    """For a CPU, which sees few images: rates five times as high, and as "cifar10" no path length.

    With both turns that hold w back, and at the official rate, most modes of digits are missing
    after 50,000 images.
    """
    c.model.generator.update(latent=64, style=64, layers=2, most=64, base=512)
    c.model.discriminator.update(most=64, base=512)
    c.method.update(path_weight=0.0, mixing=0.0)
    c.train.batch_size = 32
    adams(c, 0.01)
    c.ema.generator.half_life_steps = half_life


def gamma(c: ConfigDict, weight: float) -> None:
    """Of R1, every 16 steps."""
    c.method.penalties = dict(r1=dict(weight=weight, every=16))


def recipe(
    c: ConfigDict, batch: int, rate: float, weight: float, images: int, half_life: int
) -> None:
    """What official settings are made of; half-life of the average in images."""
    gamma(c, weight)
    adams(c, rate)
    c.train.update(steps=images // batch, batch_size=batch, save_every_steps=5000)
    c.train.update(save_every_minutes=20.0)
    c.evaluate.update(every_steps=5000, sample_every_steps=5000)
    c.ema.generator.half_life_steps = half_life / batch


def adams(c: ConfigDict, rate: float) -> None:
    """With the constants of lazy turns, where a player has any: see `train.optim.optimizer`."""
    for player in ("generator", "discriminator"):
        c.optim[player] = dict(
            name="adam", learning_rate=rate, b1=0.0, b2=0.99, eps=1e-8, lazy=True
        )


PRESETS = {
    "digits": digits,
    "mnist": mnist,
    "faces": faces,
    "cifar10": cifar10,
    "ffhq256": ffhq256,
    "ffhq1024": ffhq1024,
}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/stylegan2.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", ada=False, tiny=False)
    c = common("digits")
    c.model = dict(
        generator=dict(
            name="gans.stylegan2.Generator",
            dtype="float32",
            latent=512,
            style=512,
            layers=8,
            base=32_768,
            most=512,
        ),
        discriminator=dict(
            name="gans.stylegan2.Discriminator",
            dtype="float32",
            base=32_768,
            most=512,
            group=4,
            layers=8,
        ),
    )
    c.method = dict(
        name="stylegan2.StyleGAN2",
        game="non_saturating",
        penalties=dict(),
        given=(),
        mixing=0.9,
        path_weight=2.0,
        path_every=4,
        augment=dict(),
    )
    two_players(c, half_life_steps=300.0)
    c.ema.generator.ramp_up = 0.0
    c.evaluate.sample = dict(truncation=1.0)
    preset(arg.data, PRESETS)(c)
    if arg.ada:
        c.method.augment = dict(name="ada")
    if arg.tiny:
        c.method.update(path_weight=2.0, mixing=0.9)  # so that tests see every turn
        adams(c, 0.002)
        shorten(c, latent=4, style=4, layers=1, most=4, group=4)
    return c
