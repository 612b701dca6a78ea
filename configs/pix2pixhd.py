"""pix2pixHD (Wang et al. 2018): pictures of layouts and instances, first at half of the size.

    python -m jaxgen.main --config=configs/pix2pixhd.py
        layouts, 64x64 street scenes, small networks, three phases in one run; two CPU cores
    python -m jaxgen.main --config=configs/pix2pixhd.py:cityscapes --config.data.name=layouts:FOLDER
        the paper's networks and rates at 512x1024 without phases: a coarse part for 256x512, and
        the enhancer; 182.9 M parameters with 35 classes, for GPUs
    python -m jaxgen.main --config=configs/pix2pixhd.py:cityscapes_full --config.data.name=...
        1024x2048 in three phases, three discriminators
    python -m jaxgen.main --config=configs/pix2pixhd.py:PRESET,tiny
        seconds, for tests

FOLDER holds images/, layouts/ and instances/, which say where objects meet. `jaxgen translate RUN`
shows test examples. The official recipe is 100 epochs of the 2,975 images of Cityscapes one by one
at 2e-4, and 100 more in which the rate falls in a straight line; at 1024x2048 it begins with a run
at half of the size, then 10 epochs around it. The distance of VGG features, which it also has, is
not there; --config.method.perceptual=lpips takes its place where the weights are. Features of
instances, with which the paper draws several pictures of a layout, are not there either. jaxgen has
not been trained on photographs.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten, two_players

IMAGES = 2975  # of Cityscapes


def layouts(c: ConfigDict) -> None:
    """A coarse part of 32x32 with two halvings; a quarter of the steps for it."""
    c.model.generator.update(width=12, blocks=2, coarse_blocks=3, halvings=2)
    c.model.discriminator.update(width=16, layers=2)
    c.method.update(coarse_steps=600, fixed_steps=200)
    c.train.update(steps=2400, batch_size=4, steps_per_dispatch=20)
    rates(c, 4e-4, 2400)


def cityscapes(c: ConfigDict) -> None:
    """200 epochs of all at once."""
    c.data.update(name="layouts:cityscapes", size=(512, 1024), fit="crop", flip=True)
    c.train.update(steps=200 * IMAGES, batch_size=1, save_every_steps=IMAGES)
    c.evaluate.update(every_steps=10 * IMAGES, sample_every_steps=IMAGES, batch_size=1)
    c.evaluate.update(num_samples=4)
    rates(c, 2e-4, 200 * IMAGES)


def cityscapes_full(c: ConfigDict) -> None:
    """Phases of 200, 10 and 90 epochs."""
    cityscapes(c)
    c.data.size = (1024, 2048)
    c.model.discriminator.scales = 3
    c.method.update(coarse_steps=200 * IMAGES, fixed_steps=10 * IMAGES)
    c.train.steps = 300 * IMAGES
    rates(c, 2e-4, 300 * IMAGES)


def rates(c: ConfigDict, rate: float, steps: int) -> None:
    """Constant, then in a straight line to zero over the second half."""
    for player in c.optim.values():
        half = dict(name="linear", start=rate, end=0.0, steps=steps // 2, begin=steps // 2)
        player.learning_rate = half


PRESETS = {"layouts": layouts, "cityscapes": cityscapes, "cityscapes_full": cityscapes_full}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/pix2pixhd.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="layouts", tiny=False)
    c = common("layouts")
    c.model = dict(
        generator=dict(
            name="gans.pix2pixhd.Enhanced", width=32, blocks=3, coarse_blocks=9, halvings=4
        ),
        discriminator=dict(
            name="gans.patchgan.MultiScale",
            scales=2,
            width=64,
            layers=3,
            norm="instance",
            padding=2,
        ),
    )
    c.method = dict(
        name="coarse_to_fine.CoarseToFine",
        given=("layout", "instances"),
        game="least_squares",
        game_weight=2.0,
        feature_weight=10.0,
        perceptual="none",
        perceptual_weights="",
        perceptual_weight=10.0,
        generator_first=True,
        coarse_steps=0,
        fixed_steps=0,
    )
    two_players(c, learning_rate=dict(), b1=0.5, b2=0.999)
    c.ema = dict()
    c.evaluate.update(sample=dict(), max_examples=512)
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c, width=4)
        c.train.steps_per_dispatch = 1
        c.evaluate.max_examples = 16
        c.model.generator.update(blocks=1, coarse_blocks=1, halvings=1)
        c.model.discriminator.update(layers=1, scales=1)
        c.method.update(coarse_steps=2, fixed_steps=1)
    return c
