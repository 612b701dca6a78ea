"""The discrete VAE of DALL-E (Ramesh et al. 2021): codes drawn by Gumbel-softmax, logit-Laplace.

    python -m jaxgen.main --config=configs/dvae.py
        digits, 8x8: 4x4 codes of 64, a mixture of logistics
    python -m jaxgen.main --config=configs/dvae.py:imagenet256
        the paper's network on ImageNet at 256x256, 32x32 codes of 8,192: for many GPUs
    python -m jaxgen.main --config=configs/dvae.py:PRESET,tiny
        seconds, for tests

The paper trains on 250 million pictures that are not public. Its schedules are kept: the weight of
the divergence rises to 6.6 in 5,000 steps and stays, the temperature falls from 1 to 1/16 in
150,000, the rate from 1e-4 to 1.25e-6 in 1,200,000 (appendix A.2; openai/DALL-E, issue 8). Losses
are in nats per dimension, which for the divergence of an image is a weight over its dimensions.
`test/distortion` is the squared error with the range of grey levels as 1, `test/uniform_bpd` as in
`configs/vqvae.py`: digits reach 3.005, 1.505 of it pixels, in three minutes on two CPU cores.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten


def rising(weight: float, dims: int, steps: int) -> dict:
    """A weight of the divergence, per dimension, from 0 in so many steps."""
    return dict(name="linear", start=0.0, end=weight / dims, steps=steps)


def falling(steps: int) -> dict:
    """The temperature."""
    return dict(name="cosine", start=1.0, end=1 / 16, steps=steps)


def digits(c: ConfigDict) -> None:
    """4x4 codes of 64; a mass: a density of levels that are exact, as black is, has no bound."""
    c.method.observation = "logistic_mixture"
    c.evaluate.best = "test/uniform_bpd"
    c.model.update(codes=64, hidden=32, groups=2, width=32)
    c.method.update(codes_weight=rising(1.0, 64, 200), temperature=falling(1500))
    c.optim.model.update(learning_rate=3e-3, decay_steps=2000, clip_norm=1.0)
    c.train.update(steps=2000, steps_per_dispatch=20)
    c.ema = dict(model=dict(half_life_steps=100.0))


def imagenet256(c: ConfigDict) -> None:
    """The paper's schedules, and its average of parameters, of decay 0.999."""
    c.data.update(name="imagenet2012", size=(256, 256), fit="crop")
    c.method.codes_weight = rising(6.6, 256 * 256 * 3, 5000)
    c.method.temperature = falling(150_000)
    c.optim.model.update(name="adamw", learning_rate=1e-4, weight_decay=1e-4)
    c.optim.model.update(decay_steps=1_200_000, final_rate=1.25e-6)
    c.ema = dict(model=dict(half_life_steps=693.0))
    c.train.update(steps=3_000_000, batch_size=512, save_every_steps=5000)
    c.evaluate.update(every_steps=5000, sample_every_steps=5000, max_examples=2000)


PRESETS = {"digits": digits, "imagenet256": imagenet256}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/dvae.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", tiny=False)
    c = common(arg.data)
    c.model = dict(
        name="vaes.dvae.DVAE", codes=8192, hidden=256, groups=4, blocks=2, width=128, hard=False
    )
    c.method = dict(name="quantized.QuantizedAutoencoder", observation="logit_laplace", mixtures=5)
    c.optim = dict(model=dict(name="adam", learning_rate=1e-3, schedule="cosine", decay_steps=2000))
    c.evaluate.update(best="test/distortion", sample=dict(temperature=1.0, mean=True))
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c)
        c.train.steps_per_dispatch = 4
        c.model.update(codes=4, hidden=8, groups=2, blocks=1, width=3)
    return c
