"""R3GAN (Huang et al. 2024): a relativistic game with R1 and R2, and residual networks.

    python -m jaxgen.main --config=configs/r3gan.py
        digits, 8x8; not timed
    python -m jaxgen.main --config=configs/r3gan.py:mnist --config.data.manual_dir=DIR
        MNIST from idx files in DIR; not timed
    python -m jaxgen.main --config=configs/r3gan.py:mnist_class --config.data.manual_dir=DIR
        the same with the class: jaxgen sample RUN --class=3
    python -m jaxgen.main --config=configs/r3gan.py:cifar10
        the official networks, 20.8 M and 21.3 M parameters with the class: for GPUs
    python -m jaxgen.main --config=configs/r3gan.py:PRESET,tiny
        seconds, for tests

The official CIFAR-10 run moves the penalties' weight (0.05 to 0.005), Adam's b2 (0.9 to 0.99), the
half-life of the average and the augmentation along a cosine over its first 20 million images; here
they are at their final values from the start, the rates alone fall (2e-4 to 5e-5), and nothing is
augmented. On points: configs/gan.py:r3. jaxgen has not been trained on CIFAR-10. Our own
measurements are in docs/results.md.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten, two_players


def digits(c: ConfigDict) -> None:
    """One halving, 64 channels in 8 groups."""
    networks(c, (64, 32), 8, 1)
    c.model.generator.latent = 32
    c.model.generator.embedding = 32
    gamma(c, 0.3)
    c.train.update(steps=3000)


def mnist(c: ConfigDict) -> None:
    """Two halvings, 64 channels at most."""
    networks(c, (64, 48, 32), 8, 1)
    c.data.name = "mnist"
    gamma(c, 1.0)
    c.train.update(steps=4000)
    c.evaluate.update(every_steps=1000, sample_every_steps=1000)


def mnist_class(c: ConfigDict) -> None:
    """As mnist."""
    mnist(c)
    c.method.given = ("label",)


def cifar10(c: ConfigDict) -> None:
    """Batches of 512, with the class, half a life of the average in 5 million images."""
    c.data.name = "cifar10"
    networks(c, (768, 768, 768, 768), 96, 2)
    c.model.generator.embedding = 64
    c.model.discriminator.embedding = 768
    c.method.given = ("label",)
    gamma(c, 0.005)
    decay = 20_000_000 // 512
    for player in c.optim.values():
        player.update(learning_rate=2e-4, b2=0.99, schedule="cosine", decay_steps=decay)
        player.final_rate = 5e-5
    c.ema.generator.half_life_steps = 5_000_000 / 512
    c.train.update(steps=200_000, batch_size=512, save_every_steps=2500)
    c.evaluate.update(every_steps=2500, sample_every_steps=2500)


def networks(c: ConfigDict, widths: tuple[int, ...], cardinality: int, blocks: int) -> None:
    """Both players alike, the discriminator's stages the other way round."""
    groups, each = (cardinality,) * len(widths), (blocks,) * len(widths)
    c.model.generator.update(widths=widths, cardinalities=groups, blocks=each)
    c.model.discriminator.update(widths=widths[::-1], cardinalities=groups, blocks=each)


def gamma(c: ConfigDict, weight: float) -> None:
    """Of both penalties, at every step."""
    c.method.penalties = dict(r1=dict(weight=weight), r2=dict(weight=weight))


PRESETS = {
    "digits": digits,
    "mnist": mnist,
    "mnist_class": mnist_class,
    "cifar10": cifar10,
}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/r3gan.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", tiny=False)
    c = common("digits")
    c.model = dict(
        generator=dict(name="gans.r3gan.Generator", latent=64, embedding=64),
        discriminator=dict(name="gans.r3gan.Discriminator", embedding=64),
    )
    c.method = dict(
        name="adversarial.Adversarial",
        game="relativistic",
        penalties=dict(),
        given=(),
        augment=dict(),
    )
    two_players(c, learning_rate=5e-4, b1=0.0, b2=0.99)
    c.train.update(batch_size=64)
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c, latent=4, embedding=4)
        networks(c, (4,) * len(c.model.generator.widths), 2, 1)
    return c
