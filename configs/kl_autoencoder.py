"""The KL autoencoder of latent diffusion (Rombach et al. 2022): the first of two stages.

    python -m jaxgen.main --config=configs/kl_autoencoder.py
        digits, 8x8: latents of 4x4x2, without a discriminator
    python -m jaxgen.main --config=configs/kl_autoencoder.py:digits_game
        the same with the discriminator
    python -m jaxgen.main --config=configs/kl_autoencoder.py:mnist --config.data.manual_dir=DIR
        MNIST from idx files in DIR: latents of 7x7x3; 9 CPU minutes, test squared error 0.0025 of
        the range
    python -m jaxgen.main --config=configs/kl_autoencoder.py:imagenet256
        f = 8 of the paper at 256x256, latents of 32x32x4, 83,653,863 parameters: for GPUs
    python -m jaxgen.main --config=configs/kl_autoencoder.py:PRESET,tiny
        seconds, for tests

The second stage is `configs/latent_diffusion.py`. Published: FID of reconstructions 0.90 with
f = 8, 0.27 with f = 4, trained on OpenImages (official README). The official rate is 4.5e-6 times
the images of a step, 12; the discriminator starts after 50,001 steps. It takes LPIPS, whose weights
`jaxgen weights vgg16` and `jaxgen weights lpips` fetch. The paper clips no gradient.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten


def digits(c: ConfigDict) -> None:
    """Without a game: pictures of 64 pixels have no texture."""
    c.model.update(width=32, multipliers=(1, 2), blocks=1, latent=2)
    c.train.update(steps=2000, batch_size=64, steps_per_dispatch=20)


def digits_game(c: ConfigDict) -> None:
    """A discriminator of 16x16 patches, hence of all."""
    digits(c)
    judged(c, width=32, layers=1, norm="instance")
    c.method.update(start_steps=500, warmup_steps=500)


def mnist(c: ConfigDict) -> None:
    """Three levels."""
    c.data.name = "mnist"
    c.model.update(width=16, multipliers=(1, 2, 2), blocks=1, latent=3)
    c.train.update(steps=1200, batch_size=64, save_every_minutes=10.0)
    c.optim.model.decay_steps = 1200
    c.evaluate.update(every_steps=600, sample_every_steps=1200, max_examples=2000)


def imagenet256(c: ConfigDict) -> None:
    """Batches of 12."""
    c.data.update(name="imagenet2012", size=(256, 256), fit="crop")
    judged(c, width=64, layers=3, norm="batch")
    c.method.update(perceptual="lpips", start_steps=50_001, game_weight=0.5)
    c.train.update(steps=1_000_000, batch_size=12, save_every_steps=5000)
    c.evaluate.update(every_steps=5000, sample_every_steps=5000, max_examples=2000)
    for player in c.optim.values():
        player.update(learning_rate=4.5e-6 * 12, b1=0.5, b2=0.9, clip_norm=0.0)
        player.update(schedule="constant", warmup_steps=0)


def judged(c: ConfigDict, **sizes: object) -> None:
    """With a discriminator."""
    judge = dict(name="gans.patchgan.PatchDiscriminator", **sizes)
    c.model = dict(model=c.model.to_dict(), discriminator=judge)
    c.optim.discriminator = c.optim.model.to_dict() | {"b1": 0.5, "b2": 0.9}


PRESETS = {
    "digits": digits,
    "digits_game": digits_game,
    "mnist": mnist,
    "imagenet256": imagenet256,
}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/kl_autoencoder.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", tiny=False)
    c = common("digits")
    c.model = dict(
        name="vaes.kl_autoencoder.KLAutoencoder",
        width=128,
        multipliers=(1, 2, 4, 4),
        blocks=2,
        attention=(),
        latent=4,
    )
    c.method = dict(
        name="kl_autoencoder.KLAutoencoder",
        kl_weight=1e-6,
        perceptual="none",
        perceptual_weights="",
        perceptual_weight=1.0,
        game_weight=0.5,
        start_steps=0,
        warmup_steps=0,
    )
    c.optim = dict(
        model=dict(
            name="adam",
            learning_rate=1e-3,
            b1=0.9,
            b2=0.99,
            warmup_steps=50,
            schedule="cosine",
            decay_steps=2000,
            clip_norm=1.0,
        )
    )
    c.evaluate.update(every_steps=1000, sample_every_steps=1000)
    c.evaluate.best = "test/distortion"
    c.evaluate.sample = dict()
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c)
        c.train.steps_per_dispatch = 4
        network = c.model.model if "model" in c.model else c.model
        network.update(width=4, multipliers=(1, 1), blocks=1, latent=1)
        c.method.update(perceptual="none", start_steps=1, warmup_steps=2)
        if "discriminator" in c.model:
            c.model.discriminator.update(width=4, layers=1, norm="instance")
    return c
