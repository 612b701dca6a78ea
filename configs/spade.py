"""SPADE, or GauGAN (Park et al. 2019): images of layouts, with styles.

    python -m jaxgen.main --config=configs/spade.py
        layouts, 64x64 street scenes in three styles: a small network with an encoder of styles;
        21 minutes of CPU time
    python -m jaxgen.main --config=configs/spade.py:ade20k --config.data.name=layouts:FOLDER
        the paper's network and rates at 256x256; 96.5 M parameters with 151 classes: for GPUs
    python -m jaxgen.main --config=configs/spade.py:ade20k_styles --config.data.name=layouts:FOLDER
        the same with styles
    python -m jaxgen.main --config=configs/spade.py:PRESET,tiny
        seconds, for tests

`jaxgen translate RUN LAYOUTS --to=x` makes images of layouts of one's own, each in a style that is
drawn. FOLDER holds images/ and layouts/; --config.method.given=layout,instances also tells where
objects meet, as for COCO-Stuff and Cityscapes, and needs instances/. Rates are those of two time
scales, 1e-4 and 4e-4, constant over 100 epochs of the 20,210 images of ADE20K in batches of 32 and
linear to zero over 100 more. The official code adds up the divergence of styles over the images of
a device, four of them, hence a weight of 0.2 for each. The distance of VGG features, which it also
has, is not there; --config.method.perceptual=lpips takes its place where the weights are.
jaxgen has not been trained on photographs. `python benchmarks/translation.py RUN` measures a run on
`layouts`; our own measurements are in docs/results.md.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import falling, shorten, two_players


def layouts(c: ConfigDict) -> None:
    """From 8x8 up in four blocks; styles of 8 numbers."""
    c.model.generator.update(width=12, multipliers=(4, 4, 2, 1), still=(), hidden=24)
    c.model.generator.update(latent=8, encoder_width=12, encoder_halvings=4)
    c.model.discriminator.update(width=16, layers=2)
    c.train.update(steps=2000, batch_size=8, steps_per_dispatch=10)
    falling(c, 2000, generator=4e-4, discriminator=0.0016)


def ade20k(c: ConfigDict) -> None:
    """The official recipe."""
    steps = 200 * 20_210 // 32
    c.data.update(name="layouts:ade20k", size=(256, 256), fit="crop", flip=True)
    c.train.update(steps=steps, batch_size=32, save_every_steps=5000)
    c.evaluate.update(every_steps=5000, sample_every_steps=5000, batch_size=32)
    falling(c, steps, generator=1e-4, discriminator=0.0004)


def ade20k_styles(c: ConfigDict) -> None:
    """As ade20k."""
    ade20k(c)
    c.model.generator.latent = 256


PRESETS = {"layouts": layouts, "ade20k": ade20k, "ade20k_styles": ade20k_styles}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/spade.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="layouts", tiny=False)
    c = common("layouts")
    c.model = dict(
        generator=dict(
            name="gans.spade.Generator",
            width=64,
            multipliers=(16, 16, 16, 8, 4, 2, 1),
            still=(2,),
            latent=0,
            encoder_width=64,
            encoder_halvings=6,
            hidden=128,
        ),
        discriminator=dict(
            name="gans.patchgan.MultiScale",
            scales=2,
            width=64,
            layers=3,
            norm="instance",
            padding=2,
            spectral=True,
        ),
    )
    c.method = dict(
        name="translation.Translation",
        given=("layout",),
        game="hinge",
        feature_weight=10.0,
        perceptual="none",
        perceptual_weights="",
        perceptual_weight=10.0,
        kl_weight=0.2,
        generator_first=True,
        joined=True,
    )
    two_players(c, learning_rate=dict(), b1=0.0, b2=0.9)
    c.ema = dict()
    c.evaluate.update(sample=dict(), max_examples=512)
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c, width=4)
        c.train.steps_per_dispatch = 1
        c.evaluate.max_examples = 16
        c.model.generator.update(multipliers=(2, 1), still=(), hidden=4)
        c.model.generator.update(encoder_width=4, encoder_halvings=1)
        if c.model.generator.latent:
            c.model.generator.latent = 4
        c.model.discriminator.layers = 1
        c.method.feature_weight = 0.0
    return c
