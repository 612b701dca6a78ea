"""The VQ-VAE (van den Oord et al. 2017): discrete codes of images, the first of two stages.

    python -m jaxgen.main --config=configs/vqvae.py
        digits, 8x8, 17 grey levels: 4x4 codes of 64; two CPU cores, a minute
    python -m jaxgen.main --config=configs/vqvae.py:digits_plain
        the same with a codebook that a gradient moves, from a uniform start: the control
    python -m jaxgen.main --config=configs/vqvae.py:mnist --config.data.manual_dir=DIR
        MNIST from idx files in DIR, 256 grey levels: 7x7 codes of 64
    python -m jaxgen.main --config=configs/vqvae.py:cifar10
        the official notebook: squared error, 8x8 codes of 512, averages
    python -m jaxgen.main --config=configs/vqvae.py:cifar10_bits
        a mass of 256 values a channel, 8x8x10 codes: the paper's for bits/dim, for one GPU
    python -m jaxgen.main --config=configs/vqvae.py:imagenet128
        the paper's ImageNet at 128x128, 32x32 codes of 512: for one GPU
    python -m jaxgen.main --config=configs/vqvae.py:PRESET,tiny
        seconds, for tests

`test/uniform_bpd` are the bits of the pixels given their codes and those of codes that are all
equally likely, log2 K each; a prior over the codes, trained afterwards, takes the place of the
latter. `test/reconstruction` are the first part in nats. Digits reach 2.711, 1.211 of it pixels,
with all 64 codes in use; `digits_plain` 2.701, with 63; MNIST 1.475, 1.100 of it pixels, with all
64 (docs/results.md). Their decoder is a mixture of logistics; the paper's softmax is
--config.method.observation=categorical.

Published: 4.67 bits/dim on CIFAR-10 (paper, section 4.1) with a prior over 8x8x10 codes, which
`cifar10_bits` is after; the notebook prints a squared error of 0.056 times the variance of the data
and a perplexity of 326 after the 10,000 steps of `cifar10`. Neither was trained here.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten


def digits(c: ConfigDict) -> None:
    """4x4 codes of 64, averages, revival for half of the way."""
    c.data.name = "digits"
    c.model.update(hidden=64, halvings=1, dropout=0.3)
    c.model.quantizer.update(codes=64, dim=8, decay=0.98, start="kmeans", commitment=1.0)
    c.model.quantizer.update(revive=True, revive_steps=1000)
    c.method.observation = "logistic_mixture"
    c.optim.model.update(learning_rate=3e-3, decay_steps=2000)
    c.train.steps = 2000
    c.ema = dict(model=dict(half_life_steps=100.0))


def digits_plain(c: ConfigDict) -> None:
    """As the paper's equation 3, without its appendix."""
    digits(c)
    c.model.quantizer.update(learned="gradient", start="uniform", revive=False, revive_steps=0)


def mnist(c: ConfigDict) -> None:
    """7x7 codes; no average, with which a codebook that has none does not go together."""
    digits(c)
    c.ema = dict()
    c.data.name = "mnist"
    c.model.update(halvings=2, dropout=0.0)
    c.train.update(steps=3000, batch_size=100)
    c.model.quantizer.revive_steps = 2000
    c.optim.model.decay_steps = 3000
    c.evaluate.update(every_steps=1000, sample_every_steps=1000, max_examples=2000)


def cifar10(c: ConfigDict) -> None:
    """The notebook's loss is the squared error over the variance of the data, 0.06327."""
    c.data.name = "cifar10"
    c.method.update(observation="gaussian", reconstruction_weight=2 / 0.06327)
    c.optim.model.update(learning_rate=3e-4, schedule="constant", decay_steps=0)
    c.train.update(steps=10_000, batch_size=32)
    c.evaluate.update(best="test/distortion", max_examples=2000)


def cifar10_bits(c: ConfigDict) -> None:
    """Ten codebooks a position."""
    c.data.name = "cifar10"
    c.model.update(hidden=256, residual=256)
    options = {k: v for k, v in c.model.quantizer.items() if k != "name"}
    c.model.quantizer = dict(name="grouped", groups=10, **options)
    c.model.quantizer.update(codes=512, dim=16)
    c.optim.model.update(learning_rate=2e-4, schedule="constant", decay_steps=0)
    c.train.update(steps=250_000, batch_size=128, save_every_steps=5000)
    c.evaluate.update(every_steps=5000, sample_every_steps=5000, max_examples=2000)


def imagenet128(c: ConfigDict) -> None:
    """32x32 codes."""
    cifar10_bits(c)
    c.data.update(name="imagenet2012", size=(128, 128), fit="crop")
    options = {k: v for k, v in c.model.quantizer.items() if k not in ("name", "groups")}
    c.model.quantizer = dict(name="codebook", **options)
    c.model.quantizer.dim = 64
    c.model.update(hidden=128, residual=32)


PRESETS = {
    "digits": digits,
    "digits_plain": digits_plain,
    "mnist": mnist,
    "cifar10": cifar10,
    "cifar10_bits": cifar10_bits,
    "imagenet128": imagenet128,
}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/vqvae.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", tiny=False)
    c = common(arg.data)
    c.model = dict(
        name="vaes.vqvae.VQVAE", hidden=128, layers=2, residual=32, halvings=2, dropout=0.0
    )
    c.model.quantizer = dict(
        name="codebook",
        codes=512,
        dim=64,
        commitment=0.25,
        learned="averages",
        decay=0.99,
        start="uniform",
        revive=False,
        revive_steps=0,
    )
    c.method = dict(
        name="quantized.QuantizedAutoencoder",
        observation="categorical",
        mixtures=5,
        reconstruction_weight=1.0,
    )
    c.optim = dict(model=dict(name="adam", learning_rate=1e-3, schedule="cosine", decay_steps=2000))
    c.train.update(steps=2000, steps_per_dispatch=20)
    c.evaluate.update(best="test/uniform_bpd", sample=dict(temperature=1.0, mean=False))
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c)
        c.train.steps_per_dispatch = 4
        c.model.update(hidden=8, layers=1, residual=4, halvings=1)
        c.model.quantizer.update(codes=4, dim=2)
    return c
