"""pix2pix (Isola et al. 2017): images of layouts, or of other images, from pairs.

    python -m jaxgen.main --config=configs/pix2pix.py
        layouts, 64x64 street scenes: a small U-Net; 2.5 CPU minutes, docs/results.md
    python -m jaxgen.main --config=configs/pix2pix.py:folder --config.data.name=layouts:FOLDER
        the paper's recipe at 256x256: FOLDER holds images/ and layouts/, maybe instances/
    python -m jaxgen.main --config=configs/pix2pix.py:PRESET,tiny
        seconds, for tests

`jaxgen translate RUN LAYOUTS --to=x` makes images of layouts of one's own, without LAYOUTS of test
examples. `folder` has the rates of the PyTorch code, 100 + 100 epochs of the 400 facades; another
set wants other steps. The paper scales to 286 and cuts 256 out at random; here images and layouts
are moved by up to 15 pixels instead. Dropout and the statistics of each image stay on when one
samples, as in the paper. jaxgen has not been trained on photographs.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import falling, shorten, two_players


def layouts(c: ConfigDict) -> None:
    """A quarter of the width, five halvings, patches of 34."""
    c.model.generator.update(width=16, halvings=5)
    c.model.discriminator.update(width=16, layers=2)
    c.train.update(steps=2000, batch_size=4, steps_per_dispatch=20)
    falling(c, 2000, generator=2e-4, discriminator=2e-4)


def folder(c: ConfigDict) -> None:
    """The paper's, for 400 images."""
    steps = 200 * 400
    c.data.update(name="layouts:facades", size=(256, 256), fit="crop", flip=True, shift=15)
    c.train.update(steps=steps, batch_size=1, save_every_steps=4000)
    c.evaluate.update(every_steps=4000, sample_every_steps=4000, batch_size=8, num_samples=16)
    falling(c, steps, generator=2e-4, discriminator=2e-4)


PRESETS = {"layouts": layouts, "folder": folder}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/pix2pix.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="layouts", tiny=False)
    c = common("layouts")
    c.model = dict(
        generator=dict(name="gans.pix2pix.Generator", width=64, halvings=8, dropout=0.5),
        discriminator=dict(
            name="gans.patchgan.PatchDiscriminator", width=64, layers=3, norm="batch"
        ),
    )
    c.method = dict(
        name="translation.Translation",
        given=("layout",),
        game="non_saturating",
        discriminator_weight=0.5,
        absolute_weight=100.0,
        statistics="image",
    )
    two_players(c, learning_rate=dict(), b1=0.5, b2=0.999)
    c.ema = dict()
    c.evaluate.update(best="test/absolute", sample=dict(), max_examples=512)
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c, width=4)
        c.train.steps_per_dispatch = 1
        c.evaluate.max_examples = 16
        c.model.generator.halvings = 3
        c.model.discriminator.layers = 1
    return c
