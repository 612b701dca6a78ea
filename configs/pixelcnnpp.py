"""PixelCNN++ (Salimans et al. 2017): exact bits/dim, mixtures of logistics.

    python -m jaxgen.main --config=configs/pixelcnnpp.py
        digits, 8x8, 17 grey levels: two CPU cores, under 7 CPU minutes, test 1.718 bits/dim (s.e.
        0.014)
    python -m jaxgen.main --config=configs/pixelcnnpp.py:digits_classes
        given the class
    python -m jaxgen.main --config=configs/pixelcnnpp.py:mnist --config.data.manual_dir=DIR
        MNIST from idx files in DIR, with its 256 grey levels, three resolutions
    python -m jaxgen.main --config=configs/pixelcnnpp.py:mnist_binary --config.data.manual_dir=DIR
        MNIST binarised anew at every visit, with a Bernoulli for each pixel: an epoch in batches of
        16, test 81.56 nats (s.e. 0.20), exact; half-way 82.61
    python -m jaxgen.main --config=configs/pixelcnnpp.py:cifar10
        the official run: 5 blocks of 160 at each of three resolutions
    python -m jaxgen.main --config=configs/pixelcnnpp.py:PRESET,tiny
        seconds, for tests

Published: CIFAR-10 2.92 bits/dim, in about five days on 8 Maxwell Titan X; 3.0 in about ten hours
(the official README). The recipe of `cifar10` is that of the official code: 5,000 epochs of
batches of 128, the rate times 0.999995 at every step, Adam whose small number stands inside of the
root, averages of 0.9995. Its gradients are of the sum over the batch in nats, ours of the mean in
bits/dim, 128 * 3072 * log(2) times smaller, by whose square `eps_root` is.

Sampling knob: --temperature, of the scales of the logistics.
"""

import math

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten


def digits(c: ConfigDict) -> None:
    """At 1,500 examples a small network, and much dropout."""


def digits_classes(c: ConfigDict) -> None:
    """With the class."""
    c.method.given = ("label",)


def mnist(c: ConfigDict) -> None:
    """Two epochs."""
    c.data.name = "mnist"
    c.model.update(width=24, blocks=2, levels=3, dropout=0.0)
    c.method.mixtures = 5
    c.train.update(steps=2000, batch_size=64, save_every_minutes=10.0)
    c.optim.model.update(decay_steps=2000, weight_decay=0.0)
    c.evaluate.update(every_steps=1000, sample_every_steps=1000, splits=("test",))


def mnist_binary(c: ConfigDict) -> None:
    """A block of each stream at three resolutions, an epoch."""
    mnist(c)
    c.data.binarize = "dynamic"
    c.model.update(width=20, blocks=1)
    c.method.observation = "bernoulli"
    c.train.update(steps=3800, batch_size=16)
    c.optim.model.decay_steps = 3800
    c.evaluate.update(every_steps=1900, sample_every_steps=3800, best="test/nll")


def cifar10(c: ConfigDict) -> None:
    """5,000 epochs of 391 steps."""
    steps, batch = 1_955_000, 128
    c.data.name = "cifar10"
    c.model.update(width=160, blocks=5, levels=3, dropout=0.5)
    c.method.mixtures = 10
    end = 1e-3 * 0.999995**steps
    smaller = batch * 3072 * math.log(2)
    c.optim.model = dict(
        name="adam",
        learning_rate=dict(name="exponential", start=1e-3, end=end, steps=steps),
        b1=0.95,
        b2=0.9995,
        eps=0.0,
        eps_root=1e-8 / smaller**2,
    )
    c.ema.model = dict(half_life_steps=-1 / math.log2(0.9995))
    c.train.update(steps=steps, batch_size=batch, save_every_steps=10_000, save_every_minutes=20.0)
    c.evaluate.update(every_steps=10_000, sample_every_steps=20_000, splits=("test",))


PRESETS = {
    "digits": digits,
    "digits_classes": digits_classes,
    "mnist": mnist,
    "mnist_binary": mnist_binary,
    "cifar10": cifar10,
}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/pixelcnnpp.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", tiny=False)
    c = common("digits")
    c.model = dict(
        name="autoregressive.pixelcnnpp.PixelCNNPP",
        width=24,
        blocks=3,
        levels=1,
        dropout=0.5,
        memory="store",
    )
    c.method = dict(
        name="autoregressive.Autoregressive",
        observation="logistic_mixture",
        mixtures=5,
        given=(),
        null=0.0,
    )
    c.optim = dict(
        model=dict(
            name="adamw",
            learning_rate=2e-3,
            b2=0.99,
            weight_decay=0.1,
            warmup_steps=50,
            schedule="cosine",
            decay_steps=1800,
            final_rate=1e-4,
            clip_norm=1.0,
        )
    )
    c.ema = dict(model=dict(half_life_steps=138.0, ramp_up=0.05))
    c.train.update(steps=1800, batch_size=32)
    c.evaluate.update(every_steps=600, sample_every_steps=600)
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c)
        c.model.update(width=4, blocks=1, levels=1 + (c.model.levels > 1))
    return c
