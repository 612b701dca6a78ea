"""PixelCNN and gated PixelCNN (van den Oord et al. 2016, two papers): exact bits/dim or nats.

    python -m jaxgen.main --config=configs/pixelcnn.py
        digits, 8x8, 17 grey levels, a softmax over them: two CPU cores, under 4 CPU minutes, test
        1.737 bits/dim (s.e. 0.014)
    python -m jaxgen.main --config=configs/pixelcnn.py:digits,gated=false
        the same with masked convolutions, which have a blind spot: 1.778
    python -m jaxgen.main --config=configs/pixelcnn.py:digits_classes
        given the class
    python -m jaxgen.main --config=configs/pixelcnn.py:mnist_binary --config.data.manual_dir=DIR
        MNIST from idx files in DIR, binarised anew at every visit: 13 CPU minutes, test 89.48 nats
        (s.e. 0.21)
    python -m jaxgen.main --config=configs/pixelcnn.py:mnist --config.data.manual_dir=DIR
        MNIST with its 256 grey levels: 24 CPU minutes on cores with other work, test 1.098 bits/dim
    python -m jaxgen.main --config=configs/pixelcnn.py:cifar10
        red, green and blue one after another, 15 blocks of 128, 256-way softmax: for GPUs
    python -m jaxgen.main --config=configs/pixelcnn.py:PRESET,tiny
        seconds, for tests

Published: binary MNIST 81.30 nats, CIFAR-10 3.14 bits/dim (masked; Pixel recurrent neural
networks), CIFAR-10 3.03 (gated; Conditional image generation). The sizes of
`cifar10` are those of the first paper; the second does not say its own for CIFAR-10. Optimisers and
rates are ours.

Sampling knobs: --temperature, --top_k, --top_p.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten


def digits(c: ConfigDict) -> None:
    """At 1,500 examples a small network, and much dropout."""


def digits_classes(c: ConfigDict) -> None:
    """With the class."""
    c.method.given = ("label",)


def mnist_binary(c: ConfigDict) -> None:
    """Seven layers, one epoch."""
    c.data.update(name="mnist", binarize="dynamic")
    c.model.update(width=20, first_size=7, last=40, dropout=0.0)
    c.method.observation = "bernoulli"
    large(c, 3600, 16)
    c.evaluate.best = "test/nll"


def mnist(c: ConfigDict) -> None:
    """As bits, with 256 levels: five layers of larger kernels, a higher rate."""
    mnist_binary(c)
    c.data.binarize = "none"
    c.model.update(width=24, blocks=4, size=5, last=64)
    c.method.observation = "categorical"
    large(c, 5000, 16)
    c.optim.model.learning_rate = 1e-2
    c.evaluate.best = "test/bpd"


def large(c: ConfigDict, steps: int, batch_size: int) -> None:
    """Steps of a run that takes long; rare evaluations, on test examples."""
    c.train.update(steps=steps, batch_size=batch_size, save_every_minutes=10.0)
    c.optim.model.update(decay_steps=steps, weight_decay=0.0)
    c.evaluate.update(every_steps=steps // 2, sample_every_steps=steps, splits=("test",))


def cifar10(c: ConfigDict) -> None:
    """250 epochs."""
    c.data.update(name="cifar10", flip=True)
    c.model.update(width=128, blocks=15, first_size=7, last=1024, dropout=0.1, memory="remat")
    large(c, 100_000, 128)
    c.optim.model.learning_rate = 5e-4
    c.ema.model.half_life_steps = 1386.0
    c.evaluate.update(every_steps=10_000, sample_every_steps=20_000)


PRESETS = {
    "digits": digits,
    "digits_classes": digits_classes,
    "mnist_binary": mnist_binary,
    "mnist": mnist,
    "cifar10": cifar10,
}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/pixelcnn.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", gated=True, tiny=False)
    c = common("digits")
    c.model = dict(
        name=f"autoregressive.pixelcnn.{'GatedPixelCNN' if arg.gated else 'PixelCNN'}",
        width=32,
        blocks=6,
        size=3,
        first_size=5,
        last=64,
        channelwise=True,
        dropout=0.2,
        memory="store",
    )
    c.method = dict(
        name="autoregressive.Autoregressive",
        observation="categorical",
        mixtures=10,
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
            decay_steps=2000,
            final_rate=1e-4,
            clip_norm=1.0,
        )
    )
    c.ema = dict(model=dict(half_life_steps=138.0, ramp_up=0.05))
    c.train.update(steps=2000, batch_size=32)
    c.evaluate.update(every_steps=500, sample_every_steps=500)
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c)
        c.model.update(width=6, blocks=2, first_size=3, last=8)
    return c
