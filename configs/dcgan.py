"""DCGAN (Radford et al. 2016), plain and conditional, with the penalty that steadies it.

    python -m jaxgen.main --config=configs/dcgan.py
        digits, 8x8: two CPU cores, two minutes
    python -m jaxgen.main --config=configs/dcgan.py:mnist --config.data.manual_dir=DIR
        MNIST from idx files in DIR: two CPU cores, under 20 minutes
    python -m jaxgen.main --config=configs/dcgan.py:mnist_class --config.data.manual_dir=DIR
        the same with the class (Mirza & Osindero 2014): jaxgen sample RUN --class=3
    python -m jaxgen.main --config=configs/dcgan.py:cifar10
        CIFAR-10 at 32x32, the paper's optimiser, no penalty: for one GPU
    python -m jaxgen.main --config=configs/dcgan.py:celeba64
        CelebA at 64x64, the paper's network and batch; or --config.data.name=FOLDER
    python -m jaxgen.main --config=configs/dcgan.py:PRESET,tiny
        seconds, for tests

The paper's Adam, 2e-4 and 0.5, and one move of each player a step. Published, CIFAR-10: FID 28.95
(mimicry's reproduction), 48.3 (StudioGAN's); jaxgen has not been trained on it. Our own
measurements are in docs/results.md.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten, two_players


def digits(c: ConfigDict) -> None:
    """A penalty of small weight: 1,500 scans are soon known by heart."""
    c.model.generator.update(latent=32, width=32)
    c.model.discriminator.update(width=32, norm=False)
    c.method.penalties = dict(r1=dict(weight=0.3))
    c.train.update(steps=3000)


def mnist(c: ConfigDict) -> None:
    """A quarter of the paper's channels."""
    c.data.name = "mnist"
    c.model.generator.update(latent=64, width=32)
    c.model.discriminator.update(width=32, norm=False)
    c.method.penalties = dict(r1=dict(weight=1.0, every=4))
    c.train.update(steps=10_000)
    c.evaluate.update(every_steps=2000, sample_every_steps=1000)


def mnist_class(c: ConfigDict) -> None:
    """As mnist."""
    mnist(c)
    c.method.given = ("label",)


def cifar10(c: ConfigDict) -> None:
    """The discriminator with batch normalisation, as published."""
    c.data.name = "cifar10"
    c.train.update(steps=100_000, batch_size=128, save_every_steps=5000)
    c.evaluate.update(every_steps=5000, sample_every_steps=5000)


def celeba64(c: ConfigDict) -> None:
    """As the paper's faces."""
    cifar10(c)
    c.data.update(name="celeb_a", size=(64, 64), fit="crop")


PRESETS = {
    "digits": digits,
    "mnist": mnist,
    "mnist_class": mnist_class,
    "cifar10": cifar10,
    "celeba64": celeba64,
}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/dcgan.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", tiny=False)
    c = common("digits")
    c.model = dict(
        generator=dict(name="gans.dcgan.Generator", dtype="float32", latent=100, width=128),
        discriminator=dict(name="gans.dcgan.Discriminator", dtype="float32", width=64, norm=True),
    )
    c.method = dict(
        name="adversarial.Adversarial",
        game="non_saturating",
        penalties=dict(),
        given=(),
        augment=dict(),
    )
    two_players(c, learning_rate=2e-4, b1=0.5, b2=0.999)
    c.train.update(batch_size=64)
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c, latent=4, width=4)
    return c
