"""Voice style by a VQ-VAE (van den Oord et al. 2017, section 4.3): codes say what, a label who.

python -m jaxgen.main --config=configs/voice_vae.py
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten


def spectral(c: ConfigDict) -> None:
    """Log-mel frames."""


def continuous(c: ConfigDict) -> None:
    """The control: 32 numbers a frame in place of codes."""
    c.model = dict(name="vaes.voice_vae.VoiceAE", hidden=128, layers=2, halvings=0, latent=32)
    c.method = dict(
        name="autoencoder.Reconstruction", observation="gaussian", given=("label",), per_dim=True
    )
    c.evaluate.best = "test/reconstruction"


PRESETS = {"spectral": spectral, "continuous": continuous}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/voice_vae.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="spectral", tiny=False)
    c = common("vowels_mel")
    c.model = dict(name="vaes.voice_vae.VoiceVQ", hidden=128, layers=2, halvings=1)
    c.model.quantizer = dict(
        name="grouped",
        groups=1,
        codes=16,
        dim=16,
        commitment=0.25,
        learned="averages",
        decay=0.99,
        start="kmeans",
        revive=True,
        revive_steps=1500,
    )
    c.method = dict(
        name="quantized.QuantizedAutoencoder",
        observation="gaussian",
        reconstruction_weight=2.0,
        given=("label",),
    )
    c.optim = dict(model=dict(name="adam", learning_rate=1e-3, schedule="cosine", decay_steps=3000))
    c.train.update(steps=3000, steps_per_dispatch=20)
    c.ema = dict(model=dict(half_life_steps=100.0))
    c.evaluate.update(every_steps=1000, sample_every_steps=1000, best="test/distortion")
    c.evaluate.sample = dict(temperature=0.0)
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c)
        c.train.steps_per_dispatch = 4
        c.model.update(hidden=8, layers=1)
        if "quantizer" in c.model:
            c.model.quantizer.update(codes=4, dim=2)
        elif "latent" in c.model:
            c.model.latent = 2
    return c
