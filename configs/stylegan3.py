"""StyleGAN3 (Karras et al. 2021): no aliases, so that details move with what they are part of.

    python -m jaxgen.main --config=configs/stylegan3.py
        faces_like at 32x32, moved by up to 8 pixels: configuration T for two CPU cores
    python -m jaxgen.main --config=configs/stylegan3.py:faces_narrow
        half of its channels, fewer steps: 24 CPU minutes
    python -m jaxgen.main --config=configs/stylegan3.py:rotations
        the first in configuration R
    python -m jaxgen.main --config=configs/stylegan3.py:ffhq1024 --config.data.name=FOLDER
        the official T of FFHQ at 1024x1024: 22,313,167 parameters; for GPUs
    python -m jaxgen.main --config=configs/stylegan3.py:ffhq1024_rotations --config.data.name=FOLDER
        the official R, 15,093,151
    python -m jaxgen.main --config=configs/stylegan3.py:ffhq256 --config.data.name=FOLDER
        T of FFHQ-U at 256x256, 23,320,443; :ffhq256_rotations is R, 15,779,565
    python -m jaxgen.main --config=configs/stylegan3.py:PRESET,tiny
        seconds, for tests

    jaxgen eval RUN --metrics=equivariance

Published, FFHQ-U at 256x256 (official README): FID 4.62 and EQ-T 63.0 of T, 4.50 and 66.7 of R.
jaxgen has been trained on none of the official sets.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten, two_players


def faces(c: ConfigDict) -> None:
    """64 channels at most, eight layers.

    With margins of 4 pixels in place of 10 borders enter: shifts are followed to 33 dB, not 80.
    """
    c.data.update(size=(32, 32), fit="crop", shift=8)
    c.model.generator.update(latent=64, style=64, layers=8, base=1024, most=64)
    c.model.discriminator.update(base=512, most=64)
    c.train.update(steps=4000, batch_size=16)
    gamma(c, 0.3)
    adams(c, 0.005, 0.004)
    c.ema.generator.half_life_steps = 150.0


def faces_narrow(c: ConfigDict) -> None:
    """32 channels at most."""
    faces(c)
    for player in (c.model.generator, c.model.discriminator):
        player.update(base=512, most=32)
    c.train.steps = 1200


def rotations(c: ConfigDict) -> None:
    """Twice the channels, kernels of one pixel, radial filters, a blur that fades."""
    faces(c)
    c.model.generator.update(rotations=True, base=2048, most=128)
    blurred(c, 1000)


def ffhq1024(c: ConfigDict) -> None:
    """25 million images in batches of 32."""
    c.data.update(name="ffhq", size=(1024, 1024), fit="crop", flip=True)
    official(c, 32, 32.8)


def ffhq1024_rotations(c: ConfigDict) -> None:
    """The same."""
    ffhq1024(c)
    c.model.generator.update(rotations=True, base=65_536, most=1024)
    blurred(c, 6250)


def ffhq256(c: ConfigDict) -> None:
    """25 million images in batches of 64; half the channels in high bands."""
    c.data.update(name="ffhqu", size=(256, 256), fit="crop", flip=True)
    c.model.generator.base = c.model.discriminator.base = 16_384
    official(c, 64, 1.0)


def ffhq256_rotations(c: ConfigDict) -> None:
    """The same."""
    ffhq256(c)
    c.model.generator.update(rotations=True, base=32_768, most=1024)
    blurred(c, 6250)


def official(c: ConfigDict, batch: int, weight: float) -> None:
    """What the official runs share; the weight of R1 is their gamma."""
    c.model.generator.clamp = c.model.discriminator.clamp = 256.0
    gamma(c, weight)
    adams(c, 0.0025, 0.002)
    c.train.update(steps=25_000_000 // batch, batch_size=batch, save_every_steps=5000)
    c.evaluate.update(every_steps=5000, sample_every_steps=5000)
    c.ema.generator.half_life_steps = 10_000 / 32
    c.ema.generator.ramp_up = 0.05


def blurred(c: ConfigDict, steps: int) -> None:
    """Ten pixels at first, none after so many steps."""
    c.method.blur = dict(name="linear", start=10.0, end=0.0, steps=steps)


def gamma(c: ConfigDict, weight: float) -> None:
    """Of R1, every 16 steps."""
    c.method.penalties = dict(r1=dict(weight=weight, every=16))


def adams(c: ConfigDict, generator: float, discriminator: float) -> None:
    """With the constants of lazy turns, where a player has any."""
    rates = dict(generator=generator, discriminator=discriminator)
    for player, rate in rates.items():
        adam = dict(name="adam", learning_rate=rate, b1=0.0, b2=0.99, eps=1e-8, lazy=True)
        c.optim[player] = adam


PRESETS = {
    "faces": faces,
    "faces_narrow": faces_narrow,
    "rotations": rotations,
    "ffhq1024": ffhq1024,
    "ffhq1024_rotations": ffhq1024_rotations,
    "ffhq256": ffhq256,
    "ffhq256_rotations": ffhq256_rotations,
}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/stylegan3.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="faces", tiny=False)
    c = common("faces_like")
    c.model = dict(
        generator=dict(
            name="gans.stylegan3.Generator",
            dtype="float32",
            latent=512,
            style=512,
            mapping_layers=2,
            base=32_768,
            most=512,
            layers=14,
            critical=2,
            margin=10,
            rotations=False,
        ),
        discriminator=dict(
            name="gans.stylegan2.Discriminator", dtype="float32", base=32_768, most=512, group=4
        ),
    )
    c.method = dict(
        name="stylegan3.StyleGAN3",
        game="non_saturating",
        penalties=dict(),
        given=(),
        augment=dict(),
    )
    two_players(c, half_life_steps=300.0)
    c.ema.generator.ramp_up = 0.0
    c.evaluate.sample = dict(truncation=1.0)
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c, latent=4, style=4, most=4, layers=4, margin=2)
    return c
