"""Importance-weighted autoencoders with two stochastic layers (Burda et al. 2016), in nats.

    python -m jaxgen.main --config=configs/iwae.py
        digits, 8x8, binarised at the middle: two CPU cores, a minute
    python -m jaxgen.main --config=configs/iwae.py:mnist --config.data.manual_dir=DIR
        MNIST from idx files in DIR, binarised anew at every visit: 784-100-50, 50 draws
    python -m jaxgen.main --config=configs/iwae.py:PRESET,tiny
        seconds, for tests

Published, MNIST, 3,280 epochs, IW-5000 (paper, table 1): 82.90 nats with 50 draws, 85.33 with
one. `jaxgen eval RUN --importance_samples=5000` is the estimate to compare; `test/iw_nll` is that
of `method.importance_samples` draws. With one stochastic layer: `configs/vae.py:mnist_iwae`.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten


def digits(c: ConfigDict) -> None:
    """At 1,500 examples a small network, five draws."""
    c.data.binarize = "threshold"
    c.model.update(latents=(12, 6), hidden=((64,), (32,)))
    c.method.samples = 5


def mnist(c: ConfigDict) -> None:
    """150 epochs of 600 steps."""
    c.data.update(name="mnist", binarize="dynamic")
    c.model.centred = True
    c.train.update(steps=90_000, batch_size=100, log_every_steps=1000, save_every_steps=10_000)
    c.optim.model.update(learning_rate=3e-3, decay_steps=90_000)
    c.evaluate.update(every_steps=10_000, sample_every_steps=10_000, splits=("test",))


PRESETS = {"digits": digits, "mnist": mnist}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/iwae.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", tiny=False)
    c = common(arg.data)
    c.model = dict(
        name="vaes.iwae.DeepVAE",
        latents=(100, 50),
        hidden=((200, 200), (100, 100)),
        activation="tanh",
        centred=False,
    )
    c.method = dict(name="iwae.IWAE", observation="bernoulli", samples=50, importance_samples=50)
    c.optim = dict(model=dict(name="adam", learning_rate=1e-3, schedule="cosine", decay_steps=4000))
    c.train.steps_per_dispatch = 20
    c.evaluate.update(every_steps=1000, sample_every_steps=1000, best="test/iw_nll")
    c.evaluate.sample = dict(temperature=1.0, mean=True)
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c)
        c.train.steps_per_dispatch = 4
        c.model.update(latents=(4, 2), hidden=((8,), (8,)))
    return c
