"""A causal Transformer over pixels, exact, in bits/dim (Radford et al. 2019; Chen et al. 2020).

    python -m jaxgen.main --config=configs/transformer.py
        digits, 8x8, 17 grey levels: two CPU cores, about 12 CPU minutes
    python -m jaxgen.main --config=configs/transformer.py:digits_classes
        the same given the class, which a tenth of the examples do without: --guidance
    python -m jaxgen.main --config=configs/transformer.py:mnist_binary --config.data.manual_dir=DIR
        MNIST from idx files in DIR, binarised anew at every visit, 784 tokens: for one GPU
    python -m jaxgen.main --config=configs/transformer.py:cifar10
        the sizes of iGPT-S (Chen et al. 2020, table 1: 24 blocks of 512, 76 M parameters) on the
        3,072 values of CIFAR-10, 256 levels, where the paper has a palette of 512 colours
    python -m jaxgen.main --config=configs/transformer.py:PRESET,tiny
        seconds, for tests

Sampling knobs: --temperature, --top_k, --top_p, and --guidance where a condition was left out of
some examples. Our own measurements are in docs/results.md. Over codes instead of pixels:
configs/vqvae_prior.py.
"""

from ml_collections import ConfigDict, config_dict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten


def digits(c: ConfigDict) -> None:
    """At 1,500 examples: a small network, much dropout."""


def digits_classes(c: ConfigDict) -> None:
    """With the class, and without it."""
    c.method.update(given=("label",), null=0.1)


def mnist_binary(c: ConfigDict) -> None:
    """94 epochs."""
    c.data.update(name="mnist", binarize="dynamic")
    c.model.update(depth=8, width=256, heads=8, dropout=0.1)
    c.method.observation = "bernoulli"
    c.train.update(steps=44_000, batch_size=128)
    c.optim.model.update(learning_rate=5e-4, warmup_steps=1000, decay_steps=44_000)
    c.evaluate.update(every_steps=5000, sample_every_steps=5000, max_examples=10_000)


def cifar10(c: ConfigDict) -> None:
    """Adam, batch 128, betas of the paper, appendix."""
    c.data.update(name="cifar10", flip=True)
    c.model.update(depth=24, width=512, heads=8, dropout=0.0, remat=True, dtype="bfloat16")
    c.train.update(steps=1_000_000, batch_size=128, save_every_minutes=20.0)
    c.optim.model.update(
        learning_rate=3e-3, b2=0.95, warmup_steps=10_000, decay_steps=1_000_000, weight_decay=0.0
    )
    c.evaluate.update(every_steps=10_000, sample_every_steps=50_000, max_examples=10_000)


PRESETS = {
    "digits": digits,
    "digits_classes": digits_classes,
    "mnist_binary": mnist_binary,
    "cifar10": cifar10,
}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/transformer.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", tiny=False)
    c = common(arg.data)
    c.data.name = "digits"
    c.model = dict(
        name="autoregressive.transformer.Transformer",
        depth=4,
        width=96,
        heads=4,
        positions="axial",
        dropout=0.3,
        prefix=1,
        remat=False,
        dtype=config_dict.placeholder(str),
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
            weight_decay=0.02,
            warmup_steps=50,
            schedule="cosine",
            decay_steps=1000,
            clip_norm=1.0,
        )
    )
    c.ema = dict(model=dict(half_life_steps=50.0, ramp_up=0.05))
    c.train.update(steps=1000, batch_size=64)
    c.evaluate.update(every_steps=250, sample_every_steps=500)
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c)
        c.model.update(depth=2, width=16, heads=2, remat=False)
    return c
