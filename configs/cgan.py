"""The conditional GAN (Mirza & Osindero 2014).

    python -m jaxgen.main --config=configs/cgan.py
        digits, 8x8, with R1; jaxgen sample RUN --class=3
    python -m jaxgen.main --config=configs/cgan.py:mnist --config.data.manual_dir=DIR
        the paper's network on MNIST, with R1; not timed
    python -m jaxgen.main --config=configs/cgan.py:paper --config.data.manual_dir=DIR
        the same without the penalty, by momentum as in the paper
    python -m jaxgen.main --config=configs/cgan.py:PRESET,tiny
        seconds, for tests

Widths, dropout and batches of 100 are the paper's (section 4.1). There momentum rises from 0.5 to
0.7, the rate falls from 0.1 to 1e-6 by a factor of 1.00004, z is in the unit hypercube, and
training ends at the best likelihood of a Parzen window; here the momentum is 0.7, the rate falls
linearly, z is in [-1, 1], and the steps are given. Convolutional conditional players:
configs/dcgan.py:mnist_class, configs/sngan.py:mnist_class. No preset has been trained to its end.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten, two_players


def digits(c: ConfigDict) -> None:
    """A quarter of the paper's units, nothing left out."""
    c.model.generator.update(latent=32, of_latent=64, of_class=64, joint=256, dropout=0.0)
    c.model.discriminator.update(of_example=64, of_class=32, joint=64, dropout=0.0)
    c.method.penalties = dict(r1=dict(weight=1.0))
    c.train.update(steps=6000)
    adams(c, 3e-4)


def mnist(c: ConfigDict) -> None:
    """The paper's widths, nothing left out."""
    c.data.name = "mnist"
    c.model.generator.dropout = c.model.discriminator.dropout = 0.0
    c.method.penalties = dict(r1=dict(weight=1.0, every=4))
    c.train.update(steps=20_000)
    c.evaluate.update(every_steps=4000, sample_every_steps=4000)
    adams(c, 2e-4)


def paper(c: ConfigDict) -> None:
    """The game alone; half of the hidden units are left out."""
    c.data.name = "mnist"
    c.train.update(steps=100_000, batch_size=100)
    c.evaluate.update(every_steps=5000, sample_every_steps=5000)
    sgd = dict(name="sgd", learning_rate=0.1, momentum=0.7, schedule="linear", decay_steps=100_000)
    c.optim = dict(generator=dict(sgd), discriminator=dict(sgd))


def adams(c: ConfigDict, rate: float) -> None:
    """Of both players."""
    adam = dict(name="adam", learning_rate=rate, b1=0.0, b2=0.99)
    c.optim = dict(generator=dict(adam), discriminator=dict(adam))


PRESETS = {"digits": digits, "mnist": mnist, "paper": paper}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/cgan.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", tiny=False)
    c = common("digits")
    c.model = dict(
        generator=dict(
            name="gans.cgan.Generator",
            latent=100,
            of_latent=200,
            of_class=1000,
            joint=1200,
            dropout=0.5,
        ),
        discriminator=dict(
            name="gans.cgan.Discriminator", of_example=240, of_class=50, joint=240, dropout=0.5
        ),
    )
    c.method = dict(
        name="adversarial.Adversarial",
        game="non_saturating",
        penalties=dict(),
        given=("label",),
        prior="uniform",
    )
    two_players(c)
    c.train.update(batch_size=64)
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c)
        c.model.generator.update(latent=4, of_latent=4, of_class=4, joint=8)
        c.model.discriminator.update(of_example=4, of_class=4, joint=4)
    return c
