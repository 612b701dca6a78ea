"""Glow (Kingma & Dhariwal 2018) by maximum likelihood, in bits/dim.

    python -m jaxgen.main --config=configs/glow.py
        digits, 8x8, 17 grey levels: two CPU cores, under 3 minutes
    python -m jaxgen.main --config=configs/glow.py:moved_digits
        digits on a canvas of 12x12, given how far they are moved: a conditional flow of images
    python -m jaxgen.main --config=configs/glow.py:mnist --config.data.manual_dir=DIR
        MNIST, 28x28, from idx files in DIR: a small Glow for one GPU, or a patient CPU
    python -m jaxgen.main --config=configs/glow.py:cifar10
        the paper's CIFAR-10 recipe: L=3, K=32, width 512, batch 512, 44.6 M parameters
    python -m jaxgen.main --config=configs/glow.py:celeba64
        CelebA at 64x64: the same with L=4 and batch 64; nothing is published for it
    python -m jaxgen.main --config=configs/glow.py:PRESET,tiny
        seconds, for tests

    python -m jaxgen.main --config=configs/glow.py:cifar10_classes
        with classes and the auxiliary classifier: additive coupling, 5 bits, 38.4 M parameters

Published: 3.35 bits/dim on CIFAR-10 (paper, Table 2), on 8 GPUs; the time is not published. As the
official code, and unlike the paper, the recipe shifts training images by up to a tenth, corrects
Adamax as if it were Adam, and adds an edge channel and actnorm in the coupling networks. Training
bits/dim are of shifted images, which are smoother: compare test bits/dim. Our own measurements are
in README.md.
"""

from ml_collections import ConfigDict, config_dict

from jaxgen.config import common, parse_arg, preset


def digits(c: ConfigDict) -> None:
    """A one-level Glow: at 1,500 examples, dropout is what keeps it from overfitting."""
    c.model.update(levels=1, depth=8, width=64, edge=False, dropout=0.2)


def moved_digits(c: ConfigDict) -> None:
    """Two levels; what is given enters every coupling network."""
    c.model.update(levels=2, depth=8, width=64, dropout=0.1, conditioner="couplings")


def mnist(c: ConfigDict) -> None:
    """28 = 4 * 7: two levels. Fashion-MNIST and KMNIST by --config.data.name."""
    c.model.update(levels=2, depth=16, width=128)
    c.train.update(steps=20_000, batch_size=128)
    c.evaluate.update(max_examples=10_000)


def cifar10(c: ConfigDict) -> None:
    """The official README's run, with the learning rate's warm-up of 10 epochs of 50,000."""
    c.train.update(steps=180_000, batch_size=512, save_every_minutes=20.0)
    c.optim.model.update(name="adamax_adam", warmup_steps=977)
    c.optim.model.b2 = 1 - 1 / 98  # 98 steps of 512 are an epoch
    c.method.shift = 0.1
    c.ema.model.update(half_life_steps=2000.0)
    c.evaluate.update(every_steps=5000, sample_every_steps=5000, max_examples=10_000)


def celeba64(c: ConfigDict) -> None:
    """One level more, smaller batches and mirrored images."""
    cifar10(c)
    c.data.update(name="celeb_a", size=(64, 64), fit="crop", flip=True)
    c.model.levels = 4
    c.method.shift = 0.0
    c.train.batch_size = 64
    c.optim.model.b2 = 1 - 1 / 2544  # as many steps of 64 are an epoch


def cifar10_classes(c: ConfigDict) -> None:
    """The official README's class-conditional run."""
    cifar10(c)
    c.data.name = "cifar10"
    c.model.update(coupling="additive", classes=10)
    c.method.update(given=("label",), class_weight=0.01, n_bits=5)


PRESETS = {
    "digits": digits,
    "moved_digits": moved_digits,
    "mnist": mnist,
    "cifar10": cifar10,
    "cifar10_classes": cifar10_classes,
    "celeba64": celeba64,
}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/glow.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", tiny=False)
    c = common(arg.data)
    c.model = dict(
        name="flows.glow.Glow",
        levels=3,
        depth=32,
        width=512,
        coupling="affine",
        lu=False,
        edge=True,
        dropout=0.0,
        classes=0,
        conditioner="prior",
        memory="store",
        dtype=config_dict.placeholder(str),
    )
    c.method = dict(
        name="likelihood.Likelihood",
        n_bits=config_dict.placeholder(int),
        preprocess="center",
        given=(),
        class_weight=0.0,
        shift=0.0,
        health=True,
    )
    c.optim = dict(
        model=dict(
            name="adam",
            learning_rate=1e-3,
            warmup_steps=100,
            schedule="constant",
            decay_steps=0,
            clip_norm=0.0,
        )
    )
    c.ema = dict(model=dict(half_life_steps=200.0, ramp_up=0.05))
    c.evaluate.sample.temperature = 0.7  # of the paper's pictures
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        c.model.update(depth=2, width=16)
        c.train.update(steps=20, batch_size=16, log_every_steps=5, save_every_steps=10)
        c.evaluate.update(every_steps=10, sample_every_steps=20, num_samples=4, max_examples=64)
    return c
