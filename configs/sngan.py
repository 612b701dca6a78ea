"""SNGAN (Miyato et al. 2018) and its projection of the class (Miyato & Koyama 2018).

    python -m jaxgen.main --config=configs/sngan.py
        digits, 8x8: two CPU cores, three minutes
    python -m jaxgen.main --config=configs/sngan.py:mnist --config.data.manual_dir=DIR
        MNIST from idx files in DIR: two CPU cores, under 20 minutes
    python -m jaxgen.main --config=configs/sngan.py:mnist_class --config.data.manual_dir=DIR
        the same with the class: jaxgen sample RUN --class=3
    python -m jaxgen.main --config=configs/sngan.py:cifar10
        the paper's CIFAR-10; :cifar10_class with the class: for one GPU
    python -m jaxgen.main --config=configs/sngan.py:PRESET,tiny
        seconds, for tests

Published, CIFAR-10: inception score 8.22 and FID 21.7 (paper, table 2); with the class 8.62 and
17.5 (Miyato & Koyama, table 4); reproductions differ widely with the protocol. jaxgen has not been
trained on it. Our own measurements are in docs/results.md. Here both players see batches of the
same size; the official code shows the generator's loss twice as many samples.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten, two_players


def digits(c: ConfigDict) -> None:
    """Few channels, one move of the discriminator a step."""
    c.model.generator.update(latent=32, width=32)
    c.model.discriminator.update(width=32)
    c.method.critic_steps = 1
    c.train.update(steps=3000)
    rates(c, 3000)


def mnist(c: ConfigDict) -> None:
    """The plain networks (paper, table 3) with few channels, setting D of Adam, one move a step."""
    c.data.name = "mnist"
    c.model.generator = dict(name="gans.dcgan.Generator", latent=64, width=32)
    c.model.discriminator = dict(name="gans.sngan.PlainDiscriminator", width=24)
    c.method.critic_steps = 1
    c.train.update(steps=6000)
    c.evaluate.update(every_steps=1000, sample_every_steps=1000)
    for player in c.optim.values():
        player.b1, player.b2 = 0.5, 0.999
    rates(c, 6000)


def mnist_class(c: ConfigDict) -> None:
    """As mnist."""
    mnist(c)
    c.method.given = ("label",)


def cifar10(c: ConfigDict) -> None:
    """50,000 steps of five moves."""
    c.data.name = "cifar10"
    c.train.update(steps=50_000, save_every_steps=5000)
    c.evaluate.update(every_steps=5000, sample_every_steps=5000)
    rates(c, 50_000)


def cifar10_class(c: ConfigDict) -> None:
    """As cifar10."""
    cifar10(c)
    c.method.given = ("label",)


def rates(c: ConfigDict, steps: int) -> None:
    """Linear to zero."""
    for player in c.optim.values():
        player.update(schedule="linear", decay_steps=steps)


PRESETS = {
    "digits": digits,
    "mnist": mnist,
    "mnist_class": mnist_class,
    "cifar10": cifar10,
    "cifar10_class": cifar10_class,
}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/sngan.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", tiny=False)
    c = common("digits")
    c.model = dict(
        generator=dict(name="gans.sngan.Generator", dtype="float32", latent=128, width=256),
        discriminator=dict(name="gans.sngan.Discriminator", dtype="float32", width=128, still=2),
    )
    c.method = dict(name="adversarial.Adversarial", game="hinge", critic_steps=5, given=())
    two_players(c, learning_rate=2e-4, b1=0.0, b2=0.9)
    c.train.update(batch_size=64)
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c, latent=4, width=4)
        for player in c.optim.values():
            player.decay_steps = 20
    return c
