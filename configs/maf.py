"""Masked autoregressive flow (Papamakarios et al. 2017): points and tables in nats, images in bits.

    python -m jaxgen.main --config=configs/maf.py
        eight Gaussians on a ring: two CPU cores, a minute; also moons checkerboard grid25 spirals
    python -m jaxgen.main --config=configs/maf.py:digits
        digits, 8x8, 17 grey levels: two CPU cores, a minute
    python -m jaxgen.main --config=configs/maf.py:power --config.data.name=FILE.npz
        the paper's recipe for POWER; also gas hepmass miniboone bsds300. FILE.npz holds the rows
        as the official code preprocesses them, `x_train` and `x_test`
    python -m jaxgen.main --config=configs/maf.py:mnist --config.data.manual_dir=DIR
        MNIST from idx files in DIR; given the class with --config.method.given=label
    python -m jaxgen.main --config=configs/maf.py:PRESET,tiny
        seconds, for tests

Published, 5 layers, test log-likelihood in nats (paper, table 1): POWER 0.14, GAS 9.07, HEPMASS
-17.70, MINIBOONE -11.75, BSDS300 155.69. MNIST 1.89 bits/dim (as listed in Grathwohl et al. 2019,
FFJORD, table 2). The official runs stop 30 epochs after the best validation and add an L2 penalty
of 1e-6, which these recipes do not: the best checkpoint is kept. Points are measured against the
entropy of the data, printed before training.

There is no average of the parameters: the running moments of the batch normalisation belong to
the parameters of the moment.
"""

from ml_collections import ConfigDict, config_dict

from jaxgen.config import common, parse_arg, preset


def points(c: ConfigDict) -> None:
    """Ten layers, since each bends a line but once; several steps per dispatch."""


def digits(c: ConfigDict) -> None:
    """Two small layers: at 1,500 examples a larger network only overfits sooner."""
    c.model.update(depth=2, hidden=(64,), norm=False)
    c.optim.model.update(learning_rate=1e-3, decay_steps=2000)
    images(c, alpha=0.05)
    c.train.update(steps=2000, batch_size=64, steps_per_dispatch=10)
    c.evaluate.update(every_steps=500, sample_every_steps=500)


def mnist(c: ConfigDict) -> None:
    """The paper's appendix: two layers of 1,024. Fashion-MNIST and KMNIST by data.name."""
    c.model.update(depth=5, hidden=(1024, 1024))
    paper(c)
    images(c, alpha=1e-6)
    c.train.update(steps=100_000)
    c.evaluate.update(max_examples=10_000)


def images(c: ConfigDict, alpha: float) -> None:
    """The logit of dequantised pixels."""
    c.method.update(preprocess="logit", alpha=alpha)
    c.evaluate.update(batch_size=256, splits=("train", "test"), best="test/bpd", num_samples=64)


def paper(c: ConfigDict) -> None:
    """Adam at 1e-4, batches of 100."""
    c.optim.model.update(learning_rate=1e-4, warmup_steps=0, schedule="constant", decay_steps=0)
    c.optim.model.update(clip_norm=0.0)
    c.train.update(batch_size=100, steps_per_dispatch=10)
    c.evaluate.update(every_steps=5000, sample_every_steps=5000)


def table(hidden: tuple[int, ...], steps: int, activation: str = "relu"):
    """The official code's sizes for a table of numbers, with 5 MADEs."""

    def change(c: ConfigDict) -> None:
        c.model.update(depth=5, hidden=hidden, activation=activation)
        paper(c)
        c.train.update(steps=steps)
        c.data.name = f"{c.data.name}.npz"

    return change


PRESETS = {
    **dict.fromkeys(("ring8", "moons", "checkerboard", "grid25", "spirals"), points),
    "digits": digits,
    "mnist": mnist,
    "power": table((100, 100), 500_000),
    "gas": table((100, 100), 500_000, "tanh"),
    "hepmass": table((512, 512), 300_000),
    "miniboone": table((512, 512), 50_000),
    "bsds300": table((512, 512), 500_000),
}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/maf.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="ring8", tiny=False)
    c = common(arg.data)
    c.model = dict(
        name="flows.maf.MAF",
        depth=10,
        hidden=(64, 64),
        activation="relu",
        degrees="sequential",
        bound=5.0,
        norm=True,
        momentum=0.99,
        memory="store",
    )
    c.method = dict(
        name="likelihood.Likelihood",
        n_bits=config_dict.placeholder(int),
        preprocess="none",
        alpha=0.05,
        given=(),
    )
    c.optim = dict(
        model=dict(
            name="adam",
            learning_rate=2e-3,
            warmup_steps=100,
            schedule="cosine",
            decay_steps=4000,
            clip_norm=5.0,
        )
    )
    c.train.update(batch_size=512, steps_per_dispatch=20, log_every_steps=200)
    c.evaluate.update(
        every_steps=1000,
        batch_size=2000,
        splits=("test",),
        best="test/nll",
        sample_every_steps=1000,
        num_samples=4000,
    )
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        c.model.update(depth=2, hidden=(16,))
        c.train.update(steps=20, batch_size=16, log_every_steps=5, save_every_steps=10)
        c.train.steps_per_dispatch = 4
        c.evaluate.update(every_steps=10, sample_every_steps=20, num_samples=16, max_examples=64)
    return c
