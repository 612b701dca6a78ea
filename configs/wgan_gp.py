"""WGAN with gradient penalty (Gulrajani et al. 2017); WGAN with clipped weights as its control.

    python -m jaxgen.main --config=configs/wgan_gp.py
        digits, 8x8: two CPU cores, three minutes
    python -m jaxgen.main --config=configs/wgan_gp.py:mnist --config.data.manual_dir=DIR
        MNIST from idx files in DIR: two CPU cores, under 20 minutes
    python -m jaxgen.main --config=configs/wgan_gp.py:clipped
        digits with clipped weights and RMSprop (Arjovsky et al. 2017, algorithm 1)
    python -m jaxgen.main --config=configs/wgan_gp.py:lipschitz
        digits with the largest slope instead (Zhou et al. 2019, LGAN), logistic losses;
        :lipschitz_exp with exp(x) and :lipschitz_sqrt with x + sqrt(x^2 + 1) of the logits
    python -m jaxgen.main --config=configs/wgan_gp.py:cifar10
        the residual networks of the paper's CIFAR-10: for one GPU
    python -m jaxgen.main --config=configs/wgan_gp.py:celeba64
        CelebA at 64x64, the networks of DCGAN: for one GPU
    python -m jaxgen.main --config=configs/wgan_gp.py:PRESET,tiny
        seconds, for tests

Published, CIFAR-10: inception score 7.86 (paper, table 3), FID 29.3 (mimicry's reproduction);
jaxgen has not been trained on it. On points: configs/gan.py:wgan_gp. Critics have no batch
normalisation: the penalty is of single examples. Clipping brings all parameters of the critic
to the bound after each of its moves, where the official code does so before.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten, two_players


def digits(c: ConfigDict) -> None:
    """Three moves of the critic a step."""
    c.model.generator.update(latent=32, width=32)
    c.model.discriminator.width = 32
    c.method.critic_steps = 3
    c.train.update(steps=3000)
    for player in c.optim.values():
        player.learning_rate = 3e-4


def mnist(c: ConfigDict) -> None:
    """A quarter of DCGAN's channels."""
    digits(c)
    c.data.name = "mnist"
    c.model.generator.latent = 64
    c.train.update(steps=5000)
    c.evaluate.update(every_steps=1000, sample_every_steps=1000)


def clipped(c: ConfigDict) -> None:
    """Five moves, a bound of 0.01."""
    digits(c)
    c.method.update(penalties=dict(), critic_steps=5)
    for player in ("generator", "discriminator"):
        c.optim[player] = dict(name="rmsprop", learning_rate=5e-5, decay=0.99, eps_in_sqrt=False)
    c.optim.discriminator.bound = 0.01


def lipschitz(c: ConfigDict) -> None:
    """Any game: the discriminator's slope alone is bounded."""
    digits(c)
    c.method.game = "non_saturating"
    c.method.penalties = dict(largest_slope=dict(weight=1.0))


def lipschitz_exp(c: ConfigDict) -> None:
    """As lipschitz."""
    lipschitz(c)
    c.method.game = "exponential"


def lipschitz_sqrt(c: ConfigDict) -> None:
    """As lipschitz."""
    lipschitz(c)
    c.method.game = "square_root"


def cifar10(c: ConfigDict) -> None:
    """100,000 steps, rates linear to zero."""
    c.data.name = "cifar10"
    c.model = dict(
        generator=dict(name="gans.sngan.Generator", latent=128, width=128),
        discriminator=dict(name="gans.sngan.Discriminator", width=128, spectral=False, mean=True),
    )
    c.train.update(steps=100_000, save_every_steps=5000)
    c.evaluate.update(every_steps=5000, sample_every_steps=5000)
    for player in c.optim.values():
        player.update(learning_rate=2e-4, schedule="linear", decay_steps=100_000)


def celeba64(c: ConfigDict) -> None:
    """Rates and length of the official `gan_64x64.py`, whose critic has layer normalisation."""
    c.data.update(name="celeb_a", size=(64, 64), fit="crop")
    c.train.update(steps=200_000, save_every_steps=5000)
    c.evaluate.update(every_steps=5000, sample_every_steps=5000)


PRESETS = {
    "digits": digits,
    "mnist": mnist,
    "clipped": clipped,
    "lipschitz": lipschitz,
    "lipschitz_exp": lipschitz_exp,
    "lipschitz_sqrt": lipschitz_sqrt,
    "cifar10": cifar10,
    "celeba64": celeba64,
}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/wgan_gp.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", tiny=False)
    c = common("digits")
    c.model = dict(
        generator=dict(name="gans.dcgan.Generator", latent=100, width=128),
        discriminator=dict(name="gans.dcgan.Discriminator", width=64, norm=False),
    )
    c.method = dict(name="adversarial.Adversarial", game="wasserstein", critic_steps=5)
    c.method.penalties = dict(gradient_penalty=dict(weight=10.0))
    two_players(c, learning_rate=1e-4, b1=0.0, b2=0.9)
    c.train.update(batch_size=64)
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c, latent=4, width=4)
    return c
