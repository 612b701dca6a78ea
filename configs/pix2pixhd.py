"""pix2pixHD (Wang et al. 2018): large images of layouts and of where their objects meet.

    python -m jaxgen.main --config=configs/pix2pixhd.py
        layouts, 64x64 street scenes: small networks, three phases in one run; two CPU cores, 8.7
        CPU minutes, mIoU 0.739
    python -m jaxgen.main --config=configs/pix2pixhd.py:features
        the same with features of every object, which say how it is to look; not timed
    python -m jaxgen.main --config=configs/pix2pixhd.py:folder --config.data.name=layouts:FOLDER
        the official network and rates at 1024x512, with images/, layouts/ and instances/ in FOLDER:
        for GPUs
    python -m jaxgen.main --config=configs/pix2pixhd.py:folder_enhanced ...
        the same at 2048x1024 with the enhancer, three discriminators and three phases: for GPUs
    python -m jaxgen.main --config=configs/pix2pixhd.py:folder_features ...
        as folder, with features: for GPUs
    python -m jaxgen.main --config=configs/pix2pixhd.py:PRESET,tiny
        seconds, for tests

Squares, features of the discriminators ten times, rates constant over 100 epochs of the 2,975
images of Cityscapes, one at a time, and linear to zero over 100 more; with the enhancer, as much at
half of the size before, and then 10 epochs around what was learnt there. The distance of VGG
features is not there; --config.method.perceptual=lpips takes its place where the weights are.
With features `jaxgen translate RUN LAYOUTS --seed=N` gives every object one of ten looks of its
class, and in Python x, an image of the layout's size, lends its own.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import falling, shorten, two_players


def layouts(c: ConfigDict) -> None:
    """Small; a quarter of the steps at 32x32."""
    c.model.generator.update(width=24, halvings=2, blocks=3, enhancer_blocks=2)
    c.model.discriminator.update(width=16, layers=2)
    c.method.update(coarse_steps=600, fixed_steps=200)
    c.train.update(steps=2400, batch_size=4, steps_per_dispatch=10)
    falling(c, 2400, generator=4e-4, discriminator=4e-4)


def features(c: ConfigDict) -> None:
    """Of three channels; a small encoder."""
    layouts(c)
    c.method.name = "instance_features.InstanceFeatures"
    c.model.generator.update(features=3, feature_width=8, feature_halvings=2)


def folder(c: ConfigDict) -> None:
    """The official recipe of the coarse network."""
    steps = 200 * 2975
    c.data.update(name="layouts:cityscapes", size=(512, 1024), fit="crop", flip=True)
    c.train.update(steps=steps, batch_size=1, save_every_steps=2975)
    c.evaluate.update(every_steps=29_750, sample_every_steps=2975, batch_size=8, num_samples=4)
    falling(c, steps, generator=2e-4, discriminator=2e-4)


def folder_enhanced(c: ConfigDict) -> None:
    """The whole network, and one more scale; the losses of three scales are added up."""
    folder(c)
    steps = 400 * 2975
    c.data.size = (1024, 2048)
    c.method.update(coarse_steps=steps // 2, fixed_steps=10 * 2975)
    c.train.steps = steps
    falling(c, steps, generator=2e-4, discriminator=2e-4)
    c.model.generator.enhancer_blocks = 3
    c.model.discriminator.scales = 3
    c.method.game_weight = 6.0


def folder_features(c: ConfigDict) -> None:
    """The official encoder."""
    folder(c)
    c.method.name = "instance_features.InstanceFeatures"
    c.model.generator.features = 3


PRESETS = {
    "layouts": layouts,
    "features": features,
    "folder": folder,
    "folder_enhanced": folder_enhanced,
    "folder_features": folder_features,
}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/pix2pixhd.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="layouts", tiny=False)
    c = common("layouts")
    c.model = dict(
        generator=dict(
            name="gans.pix2pixhd.Generator",
            width=64,
            halvings=4,
            blocks=9,
            enhancer_blocks=0,
            features=0,
            feature_width=16,
            feature_halvings=4,
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
        game_weight=4.0,
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
        c.model.generator.update(width=8, halvings=1, blocks=1)
        if c.model.generator.enhancer_blocks:
            c.model.generator.enhancer_blocks = 1
            c.method.update(coarse_steps=2, fixed_steps=1)
        c.model.generator.update(feature_width=4, feature_halvings=1)
        c.model.discriminator.layers = 1
    return c
