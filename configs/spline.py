"""Neural spline flow (Durkan et al. 2019): points and tables in nats, images in bits/dim.

    python -m jaxgen.main --config=configs/spline.py                  eight Gaussians on a ring
    python -m jaxgen.main --config=configs/spline.py:checkerboard     also grid25 moons spirals
    python -m jaxgen.main --config=configs/spline.py:turned_moons
        a conditional density: the moons given the angle by which they are turned
    python -m jaxgen.main --config=configs/spline.py:mnist --config.data.manual_dir=DIR
        MNIST, 28x28, from idx files in DIR: for one GPU, or a patient CPU
    python -m jaxgen.main --config=configs/spline.py:cifar10
        the official code's CIFAR-10 recipe: 3 levels of 7 steps, 4 bins, 11.8 M parameters
    python -m jaxgen.main --config=configs/spline.py:PRESET,tiny      seconds, for tests

Expected of points: the entropy of the data, printed before training and kept in the manifest;
`test/nll` falls below it by the noise of 10,000 test points at most. Published of images: 3.38
bits/dim on CIFAR-10 (paper, table 3). Our own measurements are in README.md and docs/results.md.
Any table of numbers trains as points do: --config.data.name=FILE.csv, with
--config.data.context=A,B given A and B (docs/data.md).

There is no average of the parameters of the images' flow: the running moments of the batch
normalisation in its conditioners belong to the parameters of the moment.
"""

from ml_collections import ConfigDict, config_dict

from jaxgen.config import common, parse_arg, preset


def toy(c: ConfigDict) -> None:
    """Minutes on two CPU cores; several steps per dispatch, since a step takes about 5 ms."""


def turned_moons(c: ConfigDict) -> None:
    """Given a context, which enters every coupling: wider networks."""
    c.model.width = 128


def sharp(c: ConfigDict) -> None:
    """Edges and narrow modes need finer splines."""
    c.model.update(bins=16)


def cifar10(c: ConfigDict) -> None:
    """The official `images.py` with `cifar-10-8bit.json`."""
    c.data.flip = True
    c.model = dict(
        name="flows.spline.ImageSplineFlow",
        levels=3,
        depth=7,
        bins=4,
        bound=3.0,
        width=96,
        blocks=3,
        dropout=0.2,
        norm=True,
        multiscale=False,
        memory="store",
    )
    c.optim.model.update(learning_rate=5e-4, warmup_steps=0, decay_steps=200_000, clip_norm=0.0)
    c.ema = dict()
    c.train.update(steps=200_000, steps_per_dispatch=1, save_every_minutes=20.0)
    c.evaluate.update(batch_size=256, splits=("train", "test"), best="test/bpd", num_samples=64)
    c.evaluate.update(every_steps=5000, sample_every_steps=5000, max_examples=10_000)


def mnist(c: ConfigDict) -> None:
    """28 = 4 * 7: two levels. Fashion-MNIST and KMNIST by --config.data.name."""
    cifar10(c)
    c.data.flip = False
    c.model.update(levels=2, dropout=0.0)
    c.optim.model.decay_steps = 20_000
    c.train.update(steps=20_000, batch_size=128)


PRESETS = {
    **dict.fromkeys(("ring8", "moons", "spirals"), toy),
    "turned_moons": turned_moons,
    **dict.fromkeys(("checkerboard", "grid25"), sharp),
    "mnist": mnist,
    "cifar10": cifar10,
}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/spline.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="ring8", tiny=False)
    c = common(arg.data)
    c.model = dict(
        name="flows.spline.SplineFlow",
        depth=5,
        form="coupling",
        bins=8,
        bound=3.0,
        width=64,
        blocks=2,
        dropout=0.0,
        memory="store",
        unroll=5,
    )
    c.method = dict(
        name="likelihood.Likelihood",
        n_bits=config_dict.placeholder(int),
        preprocess="center",
        given=(),
        health=True,
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
    c.ema = dict(model=dict(half_life_steps=50.0, ramp_up=0.05))
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
        c.model.update(depth=2, bins=4, width=16, blocks=1)
        if "unroll" in c.model:
            c.model.unroll = 1
        c.train.update(steps=20, batch_size=16, log_every_steps=5, save_every_steps=10)
        c.train.steps_per_dispatch = 4
        c.evaluate.update(every_steps=10, sample_every_steps=20, num_samples=64, max_examples=512)
    return c
