"""CaloGAN (Paganini et al. 2018): showers in a calorimeter, given energy and particle.

    python -m jaxgen.main --config=configs/calogan.py
        photons and positrons, z 64, a narrow discriminator, for two CPU cores
    python -m jaxgen.main --config=configs/calogan.py:photons
        photons alone, likewise
    python -m jaxgen.main --config=configs/calogan.py:official
        the official code's sizes and rates, 29.7 and 2.7 million parameters, for a GPU; its data by
        --config.data.name=showers:FOLDER (docs/data.md)
    python -m jaxgen.main --config=configs/calogan.py:PRESET,tiny
        seconds, for tests

    jaxgen showers RUN --energy=50 --particle=photon

The official code moves the discriminator once for real and once for generated showers, with Adam at
2e-5, and the generator twice, at 2e-4; here the discriminator moves once for both. In 11.5 minutes
of CPU time showers are 0.298 deviations from the test's in 18 observables (docs/results.md).
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten, two_players


def showers(c: ConfigDict) -> None:
    """Few enough weights for a CPU, and rates that are closer together."""


def photons(c: ConfigDict) -> None:
    """One particle, as a network has in the paper."""
    c.data.name = "photon_showers"
    c.method.given = ()


def official(c: ConfigDict) -> None:
    """50 epochs of 100,000 showers in batches of 256."""
    photons(c)
    c.model.generator.latent, c.model.discriminator.width = 1024, 64
    c.method.update(penalties=dict(), generator_steps=2)
    adams(c, 2e-4, 2e-5)
    c.train.update(steps=19_500, batch_size=256)
    c.evaluate.update(every_steps=2000, sample_every_steps=2000)


def adams(c: ConfigDict, generator: float, discriminator: float) -> None:
    """Of both players."""
    rates = dict(generator=generator, discriminator=discriminator)
    c.optim = {k: dict(name="adam", learning_rate=v, b1=0.5, b2=0.999) for k, v in rates.items()}


PRESETS = {"showers": showers, "photons": photons, "official": official}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/calogan.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="showers", tiny=False)
    c = common("showers")
    c.model = dict(
        generator=dict(name="gans.calogan.Generator", latent=64, attention=True),
        discriminator=dict(name="gans.calogan.Discriminator", width=16),
    )
    c.method = dict(
        name="conserving.Conserving",
        game="non_saturating",
        penalties=dict(),
        given=("label",),
        energy=0.05,
        generator_steps=1,
    )
    two_players(c, half_life_steps=100.0)
    adams(c, 5e-4, 2e-5)
    c.train.update(steps=4000, batch_size=64)
    c.evaluate.update(every_steps=1000, sample_every_steps=1000)
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c, latent=4, width=2)
    return c
