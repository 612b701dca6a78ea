"""PixelSNAIL (Chen et al. 2018): exact bits/dim, attention over all positions before.

    python -m jaxgen.main --config=configs/pixelsnail.py
        digits, 8x8, 17 grey levels: two CPU cores, 5 CPU minutes, test 1.797 bits/dim (s.e. 0.015)
    python -m jaxgen.main --config=configs/pixelsnail.py:digits_classes
        given the class
    python -m jaxgen.main --config=configs/pixelsnail.py:mnist --config.data.manual_dir=DIR
        MNIST from idx files in DIR, with its 256 grey levels: for one GPU
    python -m jaxgen.main --config=configs/pixelsnail.py:cifar10
        the official run: 12 blocks of 4 residual ones of 256
    python -m jaxgen.main --config=configs/pixelsnail.py:PRESET,tiny
        seconds, for tests

Published: CIFAR-10 2.85 bits/dim (the paper's abstract). The recipe of `cifar10`
is that of the official README and code: 5,000 epochs at most of batches of 8 on each GPU, here 8 of
them, the rate times 0.999998 at every step, Adam whose small number stands inside of the root,
averages of 0.9995. `eps_root` is scaled as in configs/pixelcnnpp.py.

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
    """20 epochs."""
    c.data.name = "mnist"
    c.model.update(width=64, blocks=4, resnets=4, dropout=0.1, memory="remat")
    c.train.update(steps=19_000, batch_size=64, save_every_minutes=20.0)
    c.optim.model.update(learning_rate=1e-3, decay_steps=19_000, weight_decay=0.0)
    c.evaluate.update(every_steps=2000, sample_every_steps=4000, splits=("test",))


def cifar10(c: ConfigDict) -> None:
    """5,000 epochs of 782 steps."""
    steps, batch = 3_910_000, 64
    c.data.name = "cifar10"
    c.model.update(width=256, blocks=12, resnets=4, dropout=0.5, memory="remat")
    c.method.mixtures = 10
    end = 1e-3 * 0.999998**steps
    smaller = batch * 3072 * math.log(2)
    c.optim.model = dict(
        name="adam",
        learning_rate=dict(name="exponential", start=1e-3, end=end, steps=steps),
        b1=0.95,
        b2=0.9995,
        eps=0.0,
        eps_root=1e-6 / smaller**2,
    )
    c.ema.model = dict(half_life_steps=-1 / math.log2(0.9995))
    c.train.update(steps=steps, batch_size=batch, save_every_steps=10_000, save_every_minutes=20.0)
    c.evaluate.update(every_steps=10_000, sample_every_steps=20_000, splits=("test",))


PRESETS = {"digits": digits, "digits_classes": digits_classes, "mnist": mnist, "cifar10": cifar10}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/pixelsnail.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", tiny=False)
    c = common("digits")
    c.model = dict(
        name="autoregressive.pixelsnail.PixelSNAIL",
        width=40,
        blocks=2,
        resnets=2,
        key_width=16,
        dropout=0.2,
        nonlinearity="elu",
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
            decay_steps=1500,
            final_rate=1e-4,
            clip_norm=1.0,
        )
    )
    c.ema = dict(model=dict(half_life_steps=138.0, ramp_up=0.05))
    c.train.update(steps=1500, batch_size=32)
    c.evaluate.update(every_steps=500, sample_every_steps=500)
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c)
        c.model.update(width=4, blocks=1, resnets=1, key_width=2, memory="store")
    return c
