"""The VQGAN (Esser et al. 2021): codes whose pictures are judged, the first of two stages.

    python -m jaxgen.main --config=configs/vqgan.py
        digits, 8x8: 4x4 codes of 64; two CPU cores, 9 minutes of CPU time
    python -m jaxgen.main --config=configs/vqgan.py:imagenet256
        the official ImageNet at 256x256, 16x16 codes of 1,024, 72.1 M parameters: for GPUs
    python -m jaxgen.main --config=configs/vqgan.py:faceshq --config.data.name=FOLDER
        the official FacesHQ, faces of FFHQ and CelebA-HQ in one FOLDER: for GPUs
    python -m jaxgen.main --config=configs/vqgan.py:PRESET,tiny
        seconds, for tests

Published: FID of reconstructions 7.94 on ImageNet's validation images (official README, 1,024
codes). The official rate is 4.5e-6 times the images of a step, here 12 and 3; the discriminator
starts after 250,001 and 30,001 steps. Both take LPIPS, whose weights `jaxgen weights vgg16` and
`jaxgen weights lpips` fetch. Digits are too small for it: without it by default, or with the
classifier of the data in its place, --config.method.perceptual=classifier and
--config.method.perceptual_weights=FILE.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten


def digits(c: ConfigDict) -> None:
    """4x4 codes of 64, averages, a discriminator of 16x16 patches, hence of all."""
    c.model.model.update(width=32, multipliers=(1, 2), blocks=1, attention=(4,), features=32)
    c.model.model.quantizer.update(codes=64, dim=8, learned="averages", decay=0.98, start="kmeans")
    c.model.model.quantizer.update(revive=True, revive_steps=1000)
    c.model.discriminator.update(width=32, layers=1, norm="instance")
    c.method.update(start_steps=500, warmup_steps=500, perceptual="none")
    c.train.update(steps=2000, steps_per_dispatch=20)
    for player in c.optim.values():
        player.learning_rate = 5e-4


def imagenet256(c: ConfigDict) -> None:
    """Batches of 12."""
    c.data.update(name="imagenet2012", size=(256, 256), fit="crop")
    c.method.start_steps = 250_001
    c.train.update(steps=1_000_000, batch_size=12, save_every_steps=5000)
    c.evaluate.update(every_steps=5000, sample_every_steps=5000, max_examples=2000)
    for player in c.optim.values():
        player.learning_rate = 4.5e-6 * 12


def faceshq(c: ConfigDict) -> None:
    """Batches of 3."""
    imagenet256(c)
    c.data.update(name="faceshq", flip=True)
    c.method.start_steps = 30_001
    c.train.batch_size = 3
    for player in c.optim.values():
        player.learning_rate = 4.5e-6 * 3


PRESETS = {"digits": digits, "imagenet256": imagenet256, "faceshq": faceshq}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/vqgan.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", tiny=False)
    c = common(arg.data)
    c.model = dict(
        model=dict(
            name="vaes.vqgan.VQGAN",
            width=128,
            multipliers=(1, 1, 2, 2, 4),
            blocks=2,
            attention=(16,),
            features=256,
        ),
        discriminator=dict(
            name="gans.patchgan.PatchDiscriminator", width=64, layers=3, norm="batch"
        ),
    )
    c.model.model.quantizer = dict(
        name="codebook",
        codes=1024,
        dim=256,
        commitment=0.25,
        learned="gradient",
        decay=0.99,
        start="narrow",
        revive=False,
        revive_steps=0,
    )
    c.method = dict(
        name="vqgan.VQGAN",
        perceptual="lpips",
        perceptual_weights="",
        perceptual_weight=1.0,
        game_weight=0.8,
        start_steps=0,
        warmup_steps=0,
    )
    c.optim = {
        k: dict(name="adam", learning_rate=1e-4, b1=0.5, b2=0.9) for k in ("model", "discriminator")
    }
    c.evaluate.best = "test/distortion"
    c.evaluate.sample = dict()
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c)
        c.train.steps_per_dispatch = 4
        c.model.model.update(width=4, multipliers=(1,), blocks=1, attention=(), features=4)
        c.model.model.quantizer.update(codes=4, dim=2)
        c.model.discriminator.update(width=4, layers=1, norm="instance")
        c.method.update(perceptual="none", start_steps=1, warmup_steps=2)
    return c
