"""Monotonic networks in an autoregressive flow (Wehenkel & Louppe 2019): nats, bits for images.

    python -m jaxgen.main --config=configs/umnn.py
        eight Gaussians on a ring: two CPU cores, minutes; also moons checkerboard grid25 spirals
    python -m jaxgen.main --config=configs/umnn.py:power --config.data.name=FILE.npz
        the official code's recipe for a table of numbers; also gas hepmass miniboone bsds300
    python -m jaxgen.main --config=configs/umnn.py:mnist --config.data.manual_dir=DIR
        MNIST from idx files in DIR: for one GPU; samples take a root search for each pixel
    python -m jaxgen.main --config=configs/umnn.py:PRESET,tiny
        seconds, for tests

Published, test log-likelihood in nats (paper, table 1): POWER 0.63, GAS 10.89, HEPMASS -13.99,
MINIBOONE -9.67, BSDS300 157.98; MNIST 1.13 bits/dim (table 2). The official code halves the rate
where the validation stalls and clips each gradient's values at 1; here the norm is clipped and
the rate falls along a cosine. Points are measured against the entropy of the data, printed before
training.
"""

from ml_collections import ConfigDict, config_dict

from jaxgen.config import common, parse_arg, preset


def points(c: ConfigDict) -> None:
    """Two small flows of 20 nodes, whose step takes 20 ms; several steps per dispatch."""
    c.model.update(depth=2, hidden=(64, 64), embedding=10, integrand=(32, 32), nodes=20)
    c.optim.model.update(learning_rate=2e-3, decay_steps=3000)
    c.train.update(steps=3000, batch_size=256, steps_per_dispatch=20)
    c.evaluate.update(every_steps=1000, sample_every_steps=1000)


def table(c: ConfigDict) -> None:
    """The defaults of the official `UCIExperiments.py`."""
    c.data.name = f"{c.data.name}.npz"


def mnist(c: ConfigDict) -> None:
    """The official `MNISTExperiment.py`. Fashion-MNIST and KMNIST by --config.data.name."""
    c.model.update(hidden=(1024, 1024, 1024), integrand=(100, 50, 50, 50, 50), memory="remat")
    c.method.update(preprocess="logit", alpha=1e-6)
    c.train.update(batch_size=100, steps=200_000, steps_per_dispatch=1)
    c.optim.model.update(decay_steps=200_000)
    c.evaluate.update(batch_size=256, splits=("train", "test"), best="test/bpd", num_samples=16)
    c.evaluate.update(max_examples=10_000, sample_every_steps=20_000)


PRESETS = {
    **dict.fromkeys(("ring8", "moons", "checkerboard", "grid25", "spirals"), points),
    **dict.fromkeys(("power", "gas", "hepmass", "miniboone", "bsds300"), table),
    "mnist": mnist,
}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/umnn.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="ring8", tiny=False)
    c = common(arg.data)
    c.model = dict(
        name="flows.umnn.UMNN",
        depth=5,
        hidden=(512, 512),
        embedding=30,
        integrand=(50, 50, 50, 50),
        nodes=50,
        memory="store",
    )
    c.method = dict(
        name="likelihood.Likelihood",
        n_bits=config_dict.placeholder(int),
        preprocess="none",
        alpha=1e-6,
        given=(),
    )
    c.optim = dict(
        model=dict(
            name="adam",
            learning_rate=1e-3,
            warmup_steps=100,
            schedule="cosine",
            decay_steps=300_000,
            clip_norm=5.0,
        )
    )
    c.ema = dict(model=dict(half_life_steps=50.0, ramp_up=0.05))
    c.train.update(steps=300000, batch_size=500, log_every_steps=200)
    c.evaluate.update(
        every_steps=5000,
        batch_size=2000,
        splits=("test",),
        best="test/nll",
        sample_every_steps=5000,
        num_samples=1000,
    )
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        c.model.update(depth=2, hidden=(16,), embedding=4, integrand=(8,), nodes=8)
        c.train.update(steps=20, batch_size=16, log_every_steps=5, save_every_steps=10)
        c.evaluate.update(every_steps=10, sample_every_steps=20, num_samples=16, max_examples=64)
    return c
