"""RealNVP (Dinh et al. 2017) by maximum likelihood: images in bits/dim, points in nats.

    python -m jaxgen.main --config=configs/realnvp.py
        digits, 8x8, 17 grey levels: two CPU cores, about 3 minutes
    python -m jaxgen.main --config=configs/realnvp.py:ring8
        eight Gaussians on a ring, 16 couplings: two CPU cores, minutes; also moons
    python -m jaxgen.main --config=configs/realnvp.py:mnist --config.data.manual_dir=DIR
        MNIST, 28x28, from idx files in DIR: for one GPU, or a patient CPU
    python -m jaxgen.main --config=configs/realnvp.py:cifar10
        the paper's CIFAR-10 recipe: 2 scales, 64 maps, 8 residual blocks, batch 64
    python -m jaxgen.main --config=configs/realnvp.py:celeba64
        the paper's 64x64: 5 scales, 32 maps, 2 residual blocks, batch 64
    python -m jaxgen.main --config=configs/realnvp.py:PRESET,tiny
        seconds, for tests

Published: 3.49 bits/dim on CIFAR-10, 3.02 on CelebA at 64x64 (paper, table 1); 1.06 on MNIST
(Grathwohl et al. 2019, FFJORD, table 2, not by the authors). The paper adds an L2 penalty on the
norms of the weights, which this recipe does not. `ring8` is measured against the entropy of the
data, printed before training. A table of numbers trains like `ring8`, with the sizes of the MAF
paper: --config.data.name=FILE.npz --config.model.depth=5.

There is no average of the parameters: the running moments of the batch normalisation belong to
the parameters of the moment.
"""

from ml_collections import ConfigDict, config_dict

from jaxgen.config import common, parse_arg, preset


def image(scales: int, width: int, blocks: int) -> dict:
    """A model of images."""
    return dict(name="flows.realnvp.RealNVP", scales=scales, width=width, blocks=blocks, norm=True)


def digits(c: ConfigDict) -> None:
    """8x8 and 4x4 pixels."""
    c.model = image(scales=2, width=16, blocks=1)
    c.optim.model.update(schedule="cosine", decay_steps=2000)
    c.train.update(steps=2000)


def mnist(c: ConfigDict) -> None:
    """Two scales, the most that 28 = 4 * 7 allows. Fashion-MNIST by --config.data.name."""
    c.model = image(scales=2, width=32, blocks=4)
    c.train.update(steps=60_000)
    c.evaluate.update(every_steps=2000, sample_every_steps=2000, max_examples=10_000)


def cifar10(c: ConfigDict) -> None:
    """The paper's section 4.1: one squeeze, more maps and blocks for the smaller images."""
    c.model = image(scales=2, width=64, blocks=8)
    c.data.flip = True
    c.train.update(steps=200_000, save_every_minutes=20.0)
    c.evaluate.update(every_steps=5000, sample_every_steps=5000, max_examples=10_000)


def celeba64(c: ConfigDict) -> None:
    """Down to 4x4."""
    c.model = image(scales=5, width=32, blocks=2)
    c.data.update(name="celeb_a", size=(64, 64), fit="crop", flip=True)
    c.train.update(steps=200_000, save_every_minutes=20.0)
    c.evaluate.update(every_steps=5000, sample_every_steps=5000, max_examples=10_000)


def points(c: ConfigDict) -> None:
    """16 couplings of 128 x 128; several steps per dispatch, since a step takes milliseconds."""
    c.model = dict(
        name="flows.realnvp.TabularRealNVP",
        depth=16,
        hidden=(128, 128),
        norm=False,
        memory="store",
    )
    c.method = dict(name="likelihood.Likelihood", given=(), health=True)
    c.optim.model.update(schedule="cosine", decay_steps=4000, clip_norm=5.0, warmup_steps=100)
    c.train.update(steps=4000, batch_size=512, steps_per_dispatch=20, log_every_steps=200)
    c.evaluate.update(every_steps=1000, batch_size=2000, splits=("test",), best="test/nll")
    c.evaluate.update(sample_every_steps=1000, num_samples=4000)


PRESETS = {
    "digits": digits,
    "ring8": points,
    "moons": points,
    "mnist": mnist,
    "cifar10": cifar10,
    "celeba64": celeba64,
}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/realnvp.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", tiny=False)
    c = common(arg.data)
    c.method = dict(
        name="likelihood.Likelihood",
        n_bits=config_dict.placeholder(int),
        preprocess="logit",
        alpha=0.05,
        given=(),
        health=True,
    )
    c.optim = dict(
        model=dict(
            name="adam",
            learning_rate=1e-3,
            warmup_steps=0,
            schedule="constant",
            decay_steps=0,
            clip_norm=100.0,
        )
    )
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        few, flat = dict(depth=3, hidden=(16,)), dict(scales=1, width=8, blocks=1)
        c.model.update(few if "depth" in c.model else flat)
        c.train.update(steps=20, batch_size=16, log_every_steps=5, save_every_steps=10)
        c.evaluate.update(every_steps=10, sample_every_steps=20, num_samples=64, max_examples=64)
    return c
