"""Convolutional DRAW (Gregor et al. 2016) of binary images, in nats.

    python -m jaxgen.main --config=configs/conv_draw.py
        digits, 8x8, binarised at the middle: two CPU cores, 3 minutes
    python -m jaxgen.main --config=configs/conv_draw.py:mnist --config.data.manual_dir=DIR
        MNIST from idx files in DIR, binarised anew at every visit: for one GPU
    python -m jaxgen.main --config=configs/conv_draw.py:cifar10
        CIFAR-10, a mixture of logistics: for one GPU
    python -m jaxgen.main --config=configs/conv_draw.py:PRESET,tiny
        seconds, for tests

Published: at most 3.58 bits/dim on CIFAR-10 and 91.00 nats on OMNIGLOT (paper, tables 1 and 2),
with several stochastic layers a step, where these recipes have one. Sizes of the paper's networks
are not published in full; these are ours.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten


def digits(c: ConfigDict) -> None:
    """Four steps."""
    c.data.binarize = "threshold"
    c.model.update(steps=4, latent=2, width=24, kernel=3)
    c.method.warmup_steps = 500


def mnist(c: ConfigDict) -> None:
    """167 epochs."""
    c.data.update(name="mnist", binarize="dynamic")
    c.train.update(steps=100_000, batch_size=100, save_every_steps=5000)
    c.optim.model.update(decay_steps=100_000)
    c.evaluate.update(every_steps=5000, sample_every_steps=5000, splits=("test",))


def cifar10(c: ConfigDict) -> None:
    """Wider, and 16 steps."""
    mnist(c)
    c.data.update(name="cifar10", binarize="none")
    c.model.update(steps=16, latent=12, width=160)
    c.method.observation = "logistic_mixture"
    c.evaluate.update(best="test/bpd", max_examples=2000)


PRESETS = {"digits": digits, "mnist": mnist, "cifar10": cifar10}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/conv_draw.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", tiny=False)
    c = common(arg.data)
    c.model = dict(name="vaes.conv_draw.ConvDRAW", steps=10, latent=10, width=128, kernel=5)
    c.method = dict(name="elbo.ELBO", observation="bernoulli", warmup_steps=0, given=())
    c.optim = dict(
        model=dict(
            name="adam", learning_rate=1e-3, schedule="cosine", decay_steps=2000, clip_norm=10.0
        )
    )
    c.train.update(steps=2000)
    c.evaluate.update(best="test/nelbo", sample=dict(temperature=1.0, mean=True))
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c)
        c.model.update(steps=2, latent=2, width=4, kernel=3)
    return c
