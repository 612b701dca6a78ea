"""BigGAN (Brock et al. 2019), BigGAN-deep, and SAGAN (Zhang et al. 2019).

    python -m jaxgen.main --config=configs/biggan.py
        digits, 8x8, with classes: two CPU cores, a few minutes
    python -m jaxgen.main --config=configs/biggan.py:sagan_digits
        SAGAN on digits, attention in both players
    python -m jaxgen.main --config=configs/biggan.py:cifar10
        the official script's CIFAR-10: 4.3 M and 4.2 M parameters
    python -m jaxgen.main --config=configs/biggan.py:imagenet128
        the official script's ImageNet at 128x128: 70.4 M and 88.0 M parameters
    python -m jaxgen.main --config=configs/biggan.py:imagenet128_deep
        BigGAN-deep: 50.2 M and 34.6 M parameters
    python -m jaxgen.main --config=configs/biggan.py:sagan128
        SAGAN: 42.1 M and 39.5 M parameters
    python -m jaxgen.main --config=configs/biggan.py:PRESET,tiny
        seconds, for tests

Published, ImageNet at 128x128: FID 8.7 and inception score 98.8 without truncation (paper, table
2); the official PyTorch code: FID 9.77 after 15 days on 8 V100. jaxgen has not been trained on it;
small batches (256 and less) are known to collapse. `jaxgen sample RUN --truncation=0.5
--standing=16 --class=3`: standing statistics at that truncation. Our own measurements are in
docs/results.md.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten, two_players


def digits(c: ConfigDict) -> None:
    """One halving, 32 channels."""
    c.model.generator.update(
        latent=32, width=32, multipliers=(2, 1), shared=8, hierarchical=True, attention=8
    )
    c.model.discriminator.update(width=32, multipliers=(1, 2), attention=0)
    c.train.update(steps=3000)


def cifar10(c: ConfigDict) -> None:
    """Channels of 256 everywhere, four moves of the discriminator a step."""
    c.data.name = "cifar10"
    four = (4, 4, 4, 4)
    c.model.generator.update(
        latent=128, width=64, multipliers=four, shared=0, hierarchical=False, attention=0
    )
    c.model.discriminator.update(width=64, multipliers=four, attention=0, still=2)
    c.method.update(critic_steps=4, orthogonal=0.0)
    rates(c, 2e-4, 2e-4, 0.999, 1e-8)
    c.train.update(steps=100_000, batch_size=50)
    long(c)


def imagenet128(c: ConfigDict) -> None:
    """Batches of 2048, in microbatches."""
    c.data.update(name="imagenet2012", size=(128, 128), fit="crop")
    rates(c, 1e-4, 4e-4, 0.999, 1e-6)
    c.train.update(steps=150_000, batch_size=2048, accum=8)
    long(c)


def imagenet128_deep(c: ConfigDict) -> None:
    """As imagenet128, another network."""
    imagenet128(c)
    c.model = dict(
        generator=dict(name="gans.biggan_deep.Generator"),
        discriminator=dict(name="gans.biggan_deep.Discriminator"),
    )


def sagan128(c: ConfigDict) -> None:
    """A million steps of 256."""
    c.data.update(name="imagenet2012", size=(128, 128), fit="crop")
    c.model.generator.update(latent=128, width=64, shared=0, hierarchical=False, attention=32)
    c.model.discriminator.update(width=64, attention=32)
    c.method.orthogonal = 0.0
    rates(c, 1e-4, 4e-4, 0.9, 1e-8)
    c.train.update(steps=1_000_000, batch_size=256)
    long(c)


def sagan_digits(c: ConfigDict) -> None:
    """As digits, with the generator, the rates and the attention of SAGAN."""
    digits(c)
    c.model.generator.update(shared=0, hierarchical=False)
    c.model.discriminator.attention = 4
    c.method.orthogonal = 0.0
    rates(c, 1e-4, 4e-4, 0.9, 1e-8)


def rates(c: ConfigDict, generator: float, discriminator: float, b2: float, eps: float) -> None:
    """Of both Adams."""
    for player, rate in (("generator", generator), ("discriminator", discriminator)):
        c.optim[player].update(learning_rate=rate, b2=b2, eps=eps)


def long(c: ConfigDict) -> None:
    """Averages with a decay of 0.9999, rare evaluations."""
    c.ema.generator.half_life_steps = 6931.0
    c.train.update(save_every_steps=2500, save_every_minutes=20.0)
    c.evaluate.update(every_steps=2500, sample_every_steps=2500)


PRESETS = {
    "digits": digits,
    "cifar10": cifar10,
    "imagenet128": imagenet128,
    "imagenet128_deep": imagenet128_deep,
    "sagan128": sagan128,
    "sagan_digits": sagan_digits,
}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/biggan.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", tiny=False)
    c = common("digits")
    c.model = dict(
        generator=dict(
            name="gans.biggan.Generator",
            dtype="float32",
            latent=120,
            width=96,
            multipliers=(16, 16, 8, 4, 2, 1),
            shared=128,
            hierarchical=True,
            attention=64,
        ),
        discriminator=dict(
            name="gans.biggan.Discriminator",
            dtype="float32",
            width=96,
            multipliers=(1, 2, 4, 8, 16, 16),
            attention=64,
            still=1,
        ),
    )
    c.method = dict(
        name="adversarial.Adversarial",
        game="hinge",
        critic_steps=1,
        given=("label",),
        orthogonal=1e-4,
        augment=dict(),
    )
    two_players(c, learning_rate=2e-4, b1=0.0, b2=0.999, eps=1e-6)
    c.train.update(batch_size=64)
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c)
        c.train.accum = 1
        for player in (c.model.generator, c.model.discriminator):
            player.width = 8
    return c
