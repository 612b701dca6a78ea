"""CoGAN (Liu & Tuzel 2016): pairs of images of two domains, from images that are no pairs.

    python -m jaxgen.main --config=configs/cogan.py
        digits, 8x8, and their outlines; not timed
    python -m jaxgen.main --config=configs/cogan.py:digits_negatives
        digits and their negatives
    python -m jaxgen.main --config=configs/cogan.py:mnist --config.data.manual_dir=DIR
        the official network on MNIST and its outlines; :mnist_negatives with negatives
    python -m jaxgen.main --config=configs/cogan.py:PRESET,tiny
        seconds, for tests

Grids show pairs side by side; `jaxgen sample RUN --domain=second` one domain alone. `agreement` in
the evaluation is the paper's: the share of pixels in which the second image is what its domain
makes of the first; `agreement_of_strangers` is that of images of different pairs. Of `mnist`,
network, weight decay, rates, batches (64 of each domain) and steps are those of the official
PyTorch code; z is uniform in [-1, 1] as in the official Caffe code, which trains 50,000 steps of
128 of each domain with dropout. Neither has been checked against the paper's text. No preset has
been trained to its end.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten, two_players


def digits(c: ConfigDict) -> None:
    """Two shared layers; a penalty, as 1,500 scans are soon known by heart."""
    c.model.generator.update(latent=32, widths=(128, 64))
    c.model.discriminator.update(widths=(32, 64, 128), kernel=3)
    c.method.penalties = dict(r1=dict(weight=0.3))
    c.train.update(steps=4000)


def digits_negatives(c: ConfigDict) -> None:
    """As digits."""
    digits(c)
    c.method.domain = "negatives"


def mnist(c: ConfigDict) -> None:
    """5,000 steps of 64 images of each domain."""
    c.data.name = "mnist"
    c.train.update(steps=5000)
    c.evaluate.update(every_steps=1000, sample_every_steps=1000)


def mnist_negatives(c: ConfigDict) -> None:
    """As mnist."""
    mnist(c)
    c.method.domain = "negatives"


PRESETS = {
    "digits": digits,
    "digits_negatives": digits_negatives,
    "mnist": mnist,
    "mnist_negatives": mnist_negatives,
}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/cogan.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", tiny=False)
    c = common("digits")
    c.model = dict(
        generator=dict(name="gans.cogan.Generator", latent=100, widths=(1024, 512, 256, 128)),
        discriminator=dict(name="gans.cogan.Discriminator", widths=(20, 50, 500), kernel=5),
    )
    c.method = dict(
        name="coupled.Coupled",
        game="non_saturating",
        penalties=dict(),
        domain="edges",
        prior="uniform",
    )
    two_players(c, learning_rate=2e-4, b1=0.5, b2=0.999, l2=5e-4)
    c.train.update(batch_size=128)
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c)
        c.model.generator.update(latent=4, widths=(4, 4))
        c.model.discriminator.update(widths=(4, 4, 4), kernel=3)
    return c
