"""Cosmology GAN (Rodriguez et al. 2018): slices of the cosmic web.

    python -m jaxgen.main --config=configs/cosmogan.py
        64x64 slices of Zel'dovich boxes, periodic convolutions, R1, for two CPU cores
    python -m jaxgen.main --config=configs/cosmogan.py:dense
        the same, whose discriminator tells dense places apart: power to 7 %, peaks to 17 %
    python -m jaxgen.main --config=configs/cosmogan.py:paper --config.data.name=slices.npy
        the paper's networks and z of 200 on slices of one's own, 256x256, as floats in [-1, 1]
        (jaxgen.ops.cosmic.seen of counts; --config.model.generator.latent=100 for the smaller box)
    python -m jaxgen.main --config=configs/cosmogan.py:PRESET,tiny
        seconds, for tests

    jaxgen spectrum RUN

The paper's optimiser, rate and batch were not recovered: those of DCGAN are taken. The first preset
takes 14 minutes of CPU time; figures are in docs/results.md.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import falling, shorten, two_players


def web(c: ConfigDict) -> None:
    """A quarter of the paper's channels, and a penalty that lets the game settle.

    The average is short: moments of batches, which are those of the last steps, fit no other.
    """
    c.model.generator.smoothing = 1.0
    c.ema.generator.half_life_steps = 20.0


def dense(c: ConfigDict) -> None:
    """As web, with a second map of the counts, a tenth as steep, and rates that fall to zero.

    Sharing particles among four cells smooths by 1/sqrt(6) of a cell along each axis, which the
    generator's Gaussian has too here.
    """
    web(c)
    c.model.generator.smoothing = 1.08
    c.model.discriminator.scales = (10.0,)
    falling(c, c.train.steps, generator=2e-4, discriminator=2e-4)


def paper(c: ConfigDict) -> None:
    """Table 1: zero borders, no penalty."""
    c.data.name = "slices.npy"
    c.model.generator.update(latent=200, width=64, periodic=False)
    c.model.discriminator.update(width=64, periodic=False, norm=True)
    c.method.penalties = dict()
    c.train.update(steps=20_000, batch_size=16)


PRESETS = {"web": web, "dense": dense, "paper": paper}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/cosmogan.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="web", tiny=False)
    c = common("cosmic_web")
    c.model = dict(
        generator=dict(
            name="gans.cosmogan.Generator", latent=64, width=16, periodic=True, smoothing=0.0
        ),
        discriminator=dict(name="gans.cosmogan.Discriminator", width=16, periodic=True, norm=False),
    )
    c.method = dict(
        name="adversarial.Adversarial",
        game="non_saturating",
        penalties=dict(r1=dict(weight=1.0, every=4)),
    )
    two_players(c, learning_rate=2e-4, b1=0.5, b2=0.999)
    c.train.update(steps=3000, batch_size=32)
    c.evaluate.update(every_steps=1000, sample_every_steps=1000, max_examples=384)
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c, width=2)
        c.model.generator.latent = 4
    return c
