"""The VQ-VAE-2 (Razavi et al. 2019): two maps of codes, the first of two stages.

    python -m jaxgen.main --config=configs/vqvae2.py
        digits, 8x8, 17 grey levels: 2x2 codes of 64 above 4x4
    python -m jaxgen.main --config=configs/vqvae2.py:ffhq256 --config.data.name=FOLDER
        FFHQ at 256x256, 32x32 codes of 512 above 64x64, 1,388,867 parameters: for one GPU
    python -m jaxgen.main --config=configs/vqvae2.py:PRESET,tiny
        seconds, for tests

`ffhq256` is the recipe of the port in use (rosinality/vq-vae-2-pytorch): mean squared error in
[-1, 1], commitment 0.25, Adam at 3e-4, batches of 128, 560 epochs. `test/uniform_bpd` is as in
`configs/vqvae.py`: digits reach 3.009, 1.134 of it pixels, in three minutes on two CPU cores.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten


def digits(c: ConfigDict) -> None:
    """As `configs/vqvae.py:digits`, and four codes more."""
    c.model.update(hidden=64, halvings=1, dropout=0.3)
    c.model.quantizer.update(codes=64, dim=8, decay=0.98, start="kmeans", commitment=1.0)
    c.model.quantizer.update(revive=True, revive_steps=1000)
    c.method.observation = "logistic_mixture"
    c.optim.model.update(learning_rate=3e-3, decay_steps=2000)
    c.train.steps = 2000
    c.ema = dict(model=dict(half_life_steps=100.0))


def ffhq256(c: ConfigDict) -> None:
    """70,000 images; a squared error in [-1, 1] is 8 times the nats of a unit Gaussian."""
    c.data.update(name="ffhq", size=(256, 256), fit="crop")
    c.method.update(observation="gaussian", reconstruction_weight=8.0)
    c.optim.model.update(learning_rate=3e-4, schedule="constant", decay_steps=0)
    c.train.update(steps=306_250, batch_size=128, save_every_steps=5000)
    c.evaluate.update(best="test/distortion", every_steps=5000, sample_every_steps=5000)
    c.evaluate.max_examples = 2000


PRESETS = {"digits": digits, "ffhq256": ffhq256}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/vqvae2.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", tiny=False)
    c = common(arg.data)
    c.model = dict(
        name="vaes.vqvae2.VQVAE2", hidden=128, layers=2, residual=32, halvings=2, dropout=0.0
    )
    c.model.quantizer = dict(
        name="codebook",
        codes=512,
        dim=64,
        commitment=0.25,
        decay=0.99,
        start="uniform",
        revive=False,
        revive_steps=0,
    )
    c.method = dict(
        name="quantized.QuantizedAutoencoder",
        observation="categorical",
        mixtures=5,
        reconstruction_weight=1.0,
    )
    c.optim = dict(model=dict(name="adam", learning_rate=1e-3, schedule="cosine", decay_steps=2000))
    c.train.update(steps=2000, steps_per_dispatch=20)
    c.evaluate.update(best="test/uniform_bpd", sample=dict(temperature=1.0, mean=False))
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c)
        c.train.steps_per_dispatch = 4
        c.model.update(hidden=8, layers=1, residual=4, halvings=1)
        c.model.quantizer.update(codes=4, dim=2)
    return c
