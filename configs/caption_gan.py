"""A captioning GAN (Shetty et al. 2017): captions as varied as those of people.

    python -m jaxgen.main --config=configs/caption_gan.py
        captions of pictures of one coloured object: likelihood first, then the game with it; two
        CPU cores, three CPU minutes (docs/results.md)
    python -m jaxgen.main --config=configs/caption_gan.py:likelihood
        the same captioner by likelihood alone, for as many steps
    python -m jaxgen.main --config=configs/caption_gan.py:published
        sizes of the paper: three layers of 512, noise of 50, dropout none; for GPUs, and the
        pictures and captions of COCO in a folder "coco" (docs/data.md); another folder by
        --config.data.name=captions_reversed:FOLDER
    python -m jaxgen.main --config=configs/caption_gan.py:PRESET,tiny
        seconds, for tests

    jaxgen caption RUN picture.png --num=5
    jaxgen caption RUN picture.png --num=5 --beam=5

How grammatical, true and varied captions are: `python benchmarks/texts.py captions RUN`. The paper
moves by RMSprop with rates of 1e-6 and 1e-5; here Adam does, and what the evaluator sees of a
picture are its own convolutions.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten


def captions(c: ConfigDict) -> None:
    """A game that likelihood steadies."""


def likelihood(c: ConfigDict) -> None:
    """The game never begins."""
    c.method.pretrain_steps = c.train.steps


def published(c: ConfigDict) -> None:
    """Optimiser, factor of the logits and batch are the official code's."""
    c.data.update(name="captions_reversed:coco", size=(64, 64), fit="crop", least_count=5)
    c.model.captioner.update(
        vocabulary=0, latent=50, layers=3, width=512, embedding=512, sharpness=3.0
    )
    c.model.captioner.channels = c.model.evaluator.channels = 64
    c.model.evaluator.update(embedding=512, width=512)
    c.method.update(apart=(), pretrain_steps=100_000, likelihood=0.0)
    for player, rate in (("captioner", 1e-6), ("evaluator", 1e-5)):
        rates = ((0, 1e-3), (100_000, rate))
        c.optim[player] = dict(
            name="rmsprop", learning_rate=1e-3, schedule="steps", rates=rates, decay=0.999
        )
    c.train.update(steps=400_000, batch_size=10, steps_per_dispatch=1)
    c.evaluate.update(every_steps=10_000, sample_every_steps=10_000)


PRESETS = {"captions": captions, "likelihood": likelihood, "published": published}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/caption_gan.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="captions", tiny=False)
    c = common("captions_reversed")
    c.model = dict(
        captioner=dict(
            name="gans.caption_gan.Captioner",
            vocabulary=30,
            latent=0,
            layers=1,
            width=128,
            embedding=32,
            channels=8,
            sharpness=1.0,
        ),
        evaluator=dict(
            name="gans.caption_gan.Evaluator", channels=8, embedding=32, width=64, kernels=16
        ),
    )
    c.method = dict(
        name="caption_gan.CaptionGAN",
        given=("picture",),
        captions="captions",
        apart=("shape", "colour", "size", "place"),
        pretrain_steps=800,
        temperature=0.5,
        game=1.0,
        features=1.0,
        likelihood=1.0,
    )
    rates = ((0, 2e-3), (500, 1e-3), (800, 1e-4))
    c.optim = {
        player: dict(name="adam", learning_rate=2e-3, schedule="steps", rates=rates, clip_norm=1.0)
        for player in ("captioner", "evaluator")
    }
    c.ema = dict(captioner=dict(half_life_steps=100.0))
    c.train.update(steps=1800, batch_size=32, steps_per_dispatch=10)
    c.evaluate.update(
        best="test/nll", every_steps=500, sample_every_steps=500, max_examples=512, splits=("test",)
    )
    c.evaluate.sample = dict()
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c, channels=2, width=8, embedding=4)
        c.model.evaluator.kernels = 2
        c.model.captioner.update(layers=1, latent=0)
        c.method.pretrain_steps = min(c.method.pretrain_steps, 1)
        c.train.steps_per_dispatch = 1
    return c
