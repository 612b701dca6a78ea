"""Flow++ (Ho et al. 2019) by maximum likelihood with a learned dequantisation, in bits/dim.

    python -m jaxgen.main --config=configs/flowpp.py
        digits, 8x8, 17 grey levels: compiles for 50 s on two CPU cores; not run to its end yet
    python -m jaxgen.main --config=configs/flowpp.py:mnist --config.data.manual_dir=DIR
        MNIST, 28x28, from idx files in DIR: a small Flow++ for one GPU
    python -m jaxgen.main --config=configs/flowpp.py:cifar10
        the official CIFAR-10 recipe: 31.4 M parameters, batch 64 (8 GPUs of the time)
    python -m jaxgen.main --config=configs/flowpp.py:PRESET,tiny
        seconds, for tests

Published: 3.08 bits/dim on CIFAR-10 (paper, table 1), where uniform noise in place of the learned
one gives 3.29. --config.method.importance_samples=K also reports `iw_bpd`, the bound of K draws of
the noise (the official evaluation takes 4,096); `bpd` is the bound of one.
"""

from ml_collections import ConfigDict, config_dict

from jaxgen.config import common, parse_arg, preset


def digits(c: ConfigDict) -> None:
    """One block and narrow layers: at 1,500 examples, dropout keeps it from overfitting."""
    c.model.model.update(width=24, blocks=1, heads=2, components=4)
    c.model.dequantizer.update(width=16, blocks=1, heads=2, components=2, features=8)
    c.optim.model.update(learning_rate=2e-3, schedule="cosine", decay_steps=1500)
    c.train.update(steps=1500)


def mnist(c: ConfigDict) -> None:
    """28 = 4 * 7. Fashion-MNIST and KMNIST by --config.data.name."""
    c.model.model.update(width=48, blocks=4, components=8)
    c.model.dequantizer.update(width=32, components=8, features=16)
    c.optim.model.update(learning_rate=1e-3)
    c.train.update(steps=40_000, batch_size=128)
    c.evaluate.update(every_steps=2000, sample_every_steps=2000, max_examples=10_000)


def cifar10(c: ConfigDict) -> None:
    """`run_cifar.py`; the official run stops by hand, after about 400 epochs."""
    c.optim.model.update(warmup_steps=2000)
    c.ema.model.update(half_life_steps=693.0)  # decay 0.999
    c.model.model.update(memory="remat")
    c.train.update(steps=312_000, save_every_minutes=20.0)
    c.evaluate.update(every_steps=5000, sample_every_steps=5000, max_examples=10_000)


PRESETS = {"digits": digits, "mnist": mnist, "cifar10": cifar10}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/flowpp.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", tiny=False)
    c = common(arg.data)
    c.model = dict(
        model=dict(
            name="flows.flowpp.FlowPP",
            width=96,
            blocks=10,
            heads=4,
            components=32,
            dropout=0.2,
            memory="store",
        ),
        dequantizer=dict(
            name="flows.flowpp.Dequantizer",
            width=96,
            blocks=2,
            heads=4,
            components=32,
            features=32,
            dropout=0.2,
        ),
    )
    c.method = dict(
        name="likelihood.Likelihood",
        n_bits=config_dict.placeholder(int),
        preprocess="logit",
        alpha=0.05,
        given=(),
        health=True,
        importance_samples=1,
    )
    c.optim = dict(
        model=dict(
            name="adam",
            learning_rate=3e-4,
            warmup_steps=100,
            schedule="constant",
            decay_steps=0,
            clip_norm=1.0,
        )
    )
    c.ema = dict(model=dict(half_life_steps=200.0, ramp_up=0.05))
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        c.model.model.update(width=8, blocks=1, heads=2, components=2)
        c.model.dequantizer.update(width=8, blocks=1, heads=2, components=2, features=4)
        c.train.update(steps=20, batch_size=16, log_every_steps=5, save_every_steps=10)
        c.evaluate.update(every_steps=10, sample_every_steps=20, num_samples=4, max_examples=64)
    return c
