"""NVAE (Vahdat & Kautz 2020): nats of binary images, bits/dim of colour.

    python -m jaxgen.main --config=configs/nvae.py
        digits, 8x8, 17 grey levels, 5 groups in 2 scales: two CPU cores, a few minutes
    python -m jaxgen.main --config=configs/nvae.py:mnist --config.data.manual_dir=DIR
        the paper's MNIST, binarised anew at every visit: 15 groups, 33.4 M parameters
    python -m jaxgen.main --config=configs/nvae.py:mnist_grey --config.data.manual_dir=DIR
        MNIST with its 256 grey levels, 5 groups: small enough for two CPU cores
    python -m jaxgen.main --config=configs/nvae.py:cifar10
        the paper's CIFAR-10: 30 groups, 130.9 M parameters
    python -m jaxgen.main --config=configs/nvae.py:celeba64
        the paper's CelebA at 64x64: 35 groups, 153.3 M parameters
    python -m jaxgen.main --config=configs/nvae.py:imagenet32
        the paper's ImageNet at 32x32: 28 groups, 268.5 M parameters
    python -m jaxgen.main --config=configs/nvae.py:celebahq256
        the paper's CelebA-HQ at 256x256, 5 bits: 36 groups, 330.8 M parameters
    python -m jaxgen.main --config=configs/nvae.py:PRESET,tiny
        seconds, for tests

Published (paper, Table 1; bounds of many draws, see `method.importance_samples`; the official
script takes 1000), with GPUs and time from the official README:

    mnist        78.01 nats, without flows   2 V100 of 16 GB    21 hours
    cifar10      2.91 bits/dim               8 V100 of 16 GB    55 hours
    celeba64     2.03 bits/dim               8 V100 of 16 GB    92 hours
    imagenet32   3.92 bits/dim              24 V100 of 16 GB    70 hours
    celebahq256  0.70 bits/dim of 5 bits    24 V100 of 32 GB    94 hours

Recipes are those of the official README. Unlike its code, the learning rate falls with every step
and not every epoch, numbers are float32, and the test bits of MNIST are drawn once. Its ImageNet
is the one of van den Oord et al. 2016: bits/dim of another version are not comparable. Its CelebA
is cut to 148x148 before it is scaled; ours to the largest square. If the loss stops being finite,
raise `method.penalty_weight`, or lower the learning rate.
"""

from ml_collections import ConfigDict, config_dict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten


def schedule(c: ConfigDict, steps: int, warmup_steps: int) -> None:
    """What the official code sets by the length of the run; learning-rate warm-up in steps."""
    c.train.steps = c.optim.model.decay_steps = steps
    c.optim.model.warmup_steps = warmup_steps
    c.method.update(warmup_steps=round(0.3 * steps), constant_steps=round(1e-4 * steps))


def digits(c: ConfigDict) -> None:
    """A hierarchy small enough for a CPU."""
    c.model.update(channels=12, groups=(2, 3), latent=4, group_cells=1, pad=0)
    c.method.mixtures = 3
    c.train.batch_size = 64
    c.optim.model.l2 = 0.0
    schedule(c, 1200, 100)


def large(c: ConfigDict, every: int) -> None:
    """What the papers' runs share: rare evaluations, on one draw."""
    c.train.update(log_every_steps=100, save_every_steps=every, save_every_minutes=20.0)
    c.evaluate.update(every_steps=every, sample_every_steps=every, splits=("test",))


def mnist(c: ConfigDict) -> None:
    """400 epochs of 150 steps."""
    c.data.update(name="mnist", binarize="dynamic")
    c.model.update(groups=(5, 10), blocks=2, block_cells=3, pad=2)
    c.method.observation = "bernoulli"
    c.train.batch_size = 400
    schedule(c, 60_000, 750)
    large(c, 3000)
    c.evaluate.update(best="test/nelbo", sample=dict(temperature=1.0, mean=True, readjust=0))


def mnist_grey(c: ConfigDict) -> None:
    """As digits, from 8x8 down to 4x4, narrower; bits/dim."""
    digits(c)
    c.data.name = "mnist"
    c.model.update(channels=8, blocks=2, block_cells=1, pad=2)
    c.train.batch_size = 32
    schedule(c, 1800, 100)
    c.evaluate.update(every_steps=600, sample_every_steps=600, splits=("test",), max_examples=2048)


def cifar10(c: ConfigDict) -> None:
    """400 epochs of 195 steps."""
    c.data.flip = True
    c.model.update(channels=128, groups=(30,), flows=1)
    c.train.batch_size = 256
    schedule(c, 78_000, 975)
    large(c, 3900)


def celeba64(c: ConfigDict) -> None:
    """90 epochs of 1271 steps."""
    c.data.update(name="celeb_a", size=(64, 64), fit="crop", flip=True)
    c.model.update(channels=64, groups=(5, 10, 20), flows=1)
    c.method.penalty_weight = 0.1
    c.train.batch_size = 128
    schedule(c, 114_390, 6355)
    large(c, 6355)


def imagenet32(c: ConfigDict) -> None:
    """45 epochs of 2224 steps."""
    c.data.update(name="downsampled_imagenet/32x32", flip=True)
    c.model.update(channels=192, groups=(28,), flows=1)
    c.method.penalty_start = 1.0
    c.train.batch_size = 576
    schedule(c, 100_080, 2224)
    large(c, 6672)


def celebahq256(c: ConfigDict) -> None:
    """300 epochs of 281 steps."""
    c.data.update(name="celeb_a_hq/256", flip=True)
    c.model.update(channels=30, groups=(4, 4, 4, 8, 16), flows=2, memory="remat")
    c.method.update(penalty_start=1.0, n_bits=5)
    c.train.batch_size = 96
    schedule(c, 84_300, 1405)
    large(c, 5620)


PRESETS = {
    "digits": digits,
    "mnist": mnist,
    "mnist_grey": mnist_grey,
    "cifar10": cifar10,
    "celeba64": celeba64,
    "imagenet32": imagenet32,
    "celebahq256": celebahq256,
}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/nvae.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", tiny=False)
    c = common(arg.data)
    c.model = dict(
        name="vaes.nvae.NVAE",
        channels=32,
        groups=(5, 10),
        latent=20,
        blocks=1,
        block_cells=2,
        group_cells=2,
        flows=0,
        pad=0,
        memory="store",
    )
    c.method = dict(
        name="nvae.NVAE",
        observation="logistic_mixture",
        mixtures=10,
        warmup_steps=0,
        constant_steps=0,
        penalty_weight=1e-2,
        penalty_start=config_dict.placeholder(float),
        n_bits=config_dict.placeholder(int),
        importance_samples=1,
        chunk=10,
    )
    c.optim = dict(
        model=dict(
            name="adamax",
            learning_rate=1e-2,
            eps=1e-3,
            l2=3e-4,
            warmup_steps=0,
            schedule="cosine",
            decay_steps=0,
            final_rate=1e-4,
        )
    )
    c.evaluate.update(best="test/bpd", sample=dict(temperature=0.7, mean=False, readjust=0))
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c)
        scales = (1,) * (len(c.model.groups) - 1)
        c.model.update(channels=4, groups=(*scales, 2), latent=2, block_cells=1, group_cells=1)
        schedule(c, c.train.steps, 2)
        c.method.mixtures = 2
    return c
