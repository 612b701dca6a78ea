"""Autoencoders, plain and denoising (Vincent et al. 2010): reconstruction in nats.

    python -m jaxgen.main --config=configs/autoencoder.py
        digits, 8x8, unit Gaussian, masked inputs: two CPU cores, under a minute
    python -m jaxgen.main --config=configs/autoencoder.py:plain
        the same without corruption
    python -m jaxgen.main --config=configs/autoencoder.py:mnist --config.data.manual_dir=DIR
        MNIST from idx files in DIR: a quarter of the pixels masked
    python -m jaxgen.main --config=configs/autoencoder.py:faces_like
        convolutional, cartoon faces with noise
    python -m jaxgen.main --config=configs/autoencoder.py:PRESET,tiny
        seconds, for tests

`test/reconstruction` is that of clean inputs, `test/denoising` of corrupted ones: squared errors
halved, and a constant (grey levels count from 0 to 1). They are no likelihoods and compare with
nothing but each other. Other noise: --config.method.corruption=gaussian|salt_and_pepper.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten


def digits(c: ConfigDict) -> None:
    """A code of 8."""
    c.data.name = "digits"


def plain(c: ConfigDict) -> None:
    """Clean inputs."""
    digits(c)
    c.method.corruption = "none"
    c.evaluate.best = "test/reconstruction"


def mnist(c: ConfigDict) -> None:
    """33 epochs."""
    c.model.update(latent=32, hidden=(512, 256))
    c.method.amount = 0.25
    c.train.update(steps=20_000, batch_size=100, log_every_steps=1000, save_every_steps=5000)
    c.optim.model.decay_steps = 20_000
    c.evaluate.update(every_steps=5000, sample_every_steps=5000, splits=("test",))


def faces(c: ConfigDict) -> None:
    """The convolutional networks of `configs/vae.py:faces_like`."""
    c.model = dict(
        name="vaes.autoencoder.ConvAutoencoder",
        latent=16,
        hidden=(256,),
        activation="relu",
        channels=(32, 32, 64, 64),
        kernels=(4, 4, 2, 2),
    )
    c.method.update(corruption="gaussian", amount=0.2)
    c.evaluate.update(max_examples=2000)


PRESETS = {"digits": digits, "plain": plain, "mnist": mnist, "faces_like": faces}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/autoencoder.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", tiny=False)
    c = common(arg.data)
    c.model = dict(name="vaes.autoencoder.Autoencoder", latent=8, hidden=(128,), activation="relu")
    c.method = dict(
        name="autoencoder.Reconstruction",
        observation="gaussian",
        corruption="masking",
        amount=0.2,
    )
    c.optim = dict(model=dict(name="adam", learning_rate=1e-3, schedule="cosine", decay_steps=4000))
    c.train.steps_per_dispatch = 20
    c.evaluate.update(best="test/denoising", every_steps=1000, sample_every_steps=1000)
    c.evaluate.sample = dict(temperature=1.0, mean=True)
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c)
        c.train.steps_per_dispatch = 4
        c.model.update(latent=3, hidden=(16,))
        if "channels" in c.model:
            c.model.update(channels=(4, 4), kernels=(4, 2))
    return c
