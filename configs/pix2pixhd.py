"""pix2pixHD (Wang et al. 2018): large images of layouts and of where their objects meet.

    python -m jaxgen.main --config=configs/pix2pixhd.py
        layouts, 64x64 street scenes: a small network; two CPU cores, not timed
    python -m jaxgen.main --config=configs/pix2pixhd.py:folder --config.data.name=layouts:FOLDER
        the official network and rates at 1024x512, with images/, layouts/ and instances/ in FOLDER:
        for GPUs
    python -m jaxgen.main --config=configs/pix2pixhd.py:folder_enhanced ...
        the same at 2048x1024 with the enhancer, three discriminators: for GPUs
    python -m jaxgen.main --config=configs/pix2pixhd.py:PRESET,tiny
        seconds, for tests

Squares, features of the discriminators ten times, rates constant over 100 epochs of the 2,975
images of Cityscapes, one at a time, and linear to zero over 100 more. The official training goes in
three phases, the coarse network first; here all parts are trained at once. The distance of VGG
features is not there; --config.method.perceptual=lpips takes its place where the weights are. Nor
is the encoder of features of instances. No preset has been trained to its end.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten, two_players


def layouts(c: ConfigDict) -> None:
    """A quarter of the width, two halvings."""
    c.model.generator.update(width=16, halvings=2, blocks=4)
    c.model.discriminator.update(width=16, layers=2)
    c.train.update(steps=2000, batch_size=4, steps_per_dispatch=10)
    rates(c, 2e-4, 2000)


def folder(c: ConfigDict) -> None:
    """The official recipe of the coarse network."""
    steps = 200 * 2975
    c.data.update(name="layouts:cityscapes", size=(512, 1024), fit="crop", flip=True)
    c.train.update(steps=steps, batch_size=1, save_every_steps=2975)
    c.evaluate.update(every_steps=29_750, sample_every_steps=2975, batch_size=8, num_samples=4)
    rates(c, 2e-4, steps)


def folder_enhanced(c: ConfigDict) -> None:
    """The whole network, and one more scale; the losses of three scales are added up."""
    folder(c)
    c.data.size = (1024, 2048)
    c.model.generator.enhancer_blocks = 3
    c.model.discriminator.scales = 3
    c.method.game_weight = 6.0


def rates(c: ConfigDict, rate: float, steps: int) -> None:
    """Constant, then in a straight line to zero over the second half."""
    for player in c.optim.values():
        half = dict(name="linear", start=rate, end=0.0, steps=steps // 2, begin=steps // 2)
        player.learning_rate = half


PRESETS = {"layouts": layouts, "folder": folder, "folder_enhanced": folder_enhanced}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/pix2pixhd.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="layouts", tiny=False)
    c = common("layouts")
    c.model = dict(
        generator=dict(
            name="gans.pix2pixhd.Generator", width=64, halvings=4, blocks=9, enhancer_blocks=0
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
        name="translation.Translation",
        given=("layout", "instances"),
        game="least_squares",
        game_weight=4.0,
        feature_weight=10.0,
        perceptual="none",
        perceptual_weights="",
        perceptual_weight=10.0,
        generator_first=True,
    )
    two_players(c, learning_rate=dict(), b1=0.5, b2=0.999)
    c.ema = dict()
    c.evaluate.update(sample=dict(), max_examples=512)
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c, width=4)
        c.train.steps_per_dispatch = 1
        c.evaluate.max_examples = 16
        c.model.generator.update(halvings=1, blocks=1)
        c.model.discriminator.layers = 1
    return c
