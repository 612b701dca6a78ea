"""CycleGAN (Zhu et al. 2017): translation between two domains without pairs.

    python -m jaxgen.main --config=configs/cyclegan.py
        digits_two, 8x8: scans, and others of them on shaded paper; 3 minutes of CPU time
    python -m jaxgen.main --config=configs/cyclegan.py:bright
        digits_two_bright: the same with both domains bright on dark
    python -m jaxgen.main --config=configs/cyclegan.py:folder --config.data.name=domains:FOLDER
        the paper's recipe at 256x256: FOLDER as horse2zebra has it, trainA, trainB, testA, testB
    python -m jaxgen.main --config=configs/cyclegan.py:PRESET,tiny
        seconds, for tests

`jaxgen translate RUN PICTURES --to=b` translates pictures of one's own, without PICTURES test
examples. Rates of `folder` are constant over the first half of the steps and fall linearly to zero
over the second, 100 + 100 epochs of the 1,334 images of zebras; another set wants other steps. The
paper scales to 286 and cuts 256 out at random; here images are moved by up to 15 pixels instead.
The identity loss is half of the cycle's there, as in the PyTorch code; the paper has it for
paintings alone. jaxgen has not been trained on photographs. `python benchmarks/translation.py RUN`
measures a run on digits; our own measurements are in docs/results.md.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import falling, shorten, two_players


def digits_two(c: ConfigDict) -> None:
    """Three blocks without halvings, patches that see all; no identity loss."""
    c.model.generator.update(width=24, blocks=3, halvings=0, kernel=3)
    c.model.discriminator.update(width=32, layers=1)
    c.method.identity_weight = 0.0
    c.train.update(steps=4000, batch_size=16, steps_per_dispatch=20)
    falling(c, 4000, generator=1e-3, discriminator=1e-3)


def bright(c: ConfigDict) -> None:
    """As digits_two."""
    digits_two(c)
    c.data.name = "digits_two_bright"


def folder(c: ConfigDict) -> None:
    """The paper's, for 1,334 images of the larger domain."""
    steps = 200 * 1334
    c.data.update(name="domains:horse2zebra", size=(256, 256), fit="crop", flip=True, shift=15)
    c.train.update(steps=steps, batch_size=1, save_every_steps=1334)
    c.evaluate.update(every_steps=13_340, sample_every_steps=1334, batch_size=8, num_samples=16)
    falling(c, steps, generator=2e-4, discriminator=2e-4)


PRESETS = {"digits_two": digits_two, "bright": bright, "folder": folder}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/cyclegan.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits_two", tiny=False)
    c = common("digits_two")
    c.model = dict(
        generator=dict(name="gans.cyclegan.Generators", width=64, blocks=9, halvings=2, kernel=7),
        discriminator=dict(
            name="gans.cyclegan.Discriminators", width=64, layers=3, norm="instance"
        ),
    )
    c.method = dict(name="cyclegan.CycleGAN", cycle_weight=10.0, identity_weight=0.5, pool=50)
    two_players(c, learning_rate=dict(), b1=0.5, b2=0.999)
    c.ema = dict()
    c.evaluate.sample = dict()
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c, width=4)
        c.train.steps_per_dispatch = 1
        c.model.generator.update(blocks=1, halvings=1, kernel=3)
        c.model.discriminator.layers = 1
        c.method.update(pool=4, identity_weight=0.5)
    return c
