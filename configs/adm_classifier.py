"""The classifier of noised images that guides ADM (Dhariwal & Nichol 2021), and other models.

    python -m jaxgen.main --config=configs/adm_classifier.py
        digits under the noise of `configs/ddpm.py`
    python -m jaxgen.main --config=configs/adm_classifier.py:flow_matching
        digits under that of `configs/flow_matching.py`
    python -m jaxgen.main --config=configs/adm_classifier.py:mnist --config.data.manual_dir=DIR
        MNIST from idx files in DIR, under the noise of `configs/ddpm.py:mnist`
    python -m jaxgen.main --config=configs/adm_classifier.py:latents
        the latents of 4x4x2 that `configs/latent_diffusion.py:digits_kl` is trained on;
        `:mnist_latents`, with the manual_dir, those of 7x7x3
    python -m jaxgen.main --config=configs/adm_classifier.py:imagenet64
        also imagenet128, imagenet256, imagenet512: 65,438,568, 42,568,040, 54,096,360 and
        54,448,360 parameters; for GPUs
    python -m jaxgen.main --config=configs/adm_classifier.py:PRESET,tiny
        seconds, for tests

    jaxgen sample RUN --classifier=THIS --scale=1 --class=3

`config.method.process` is whose noise it sees: `name` and options of the method of the run that is
to be guided, which is refused where they differ. `test/accuracy` is of data at a level of noise
each, from none to nothing but noise.

Published scales: ImageNet 64x64 1.0, 128x128 0.5, 256x256 1.0 (10.0 of a model without classes),
512x512 4.0, and the recipe of 128x128 (official README), which the other sizes take, too.
"""

from ml_collections import ConfigDict, config_dict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten


def digits(c: ConfigDict) -> None:
    """A small network."""


def flow_matching(c: ConfigDict) -> None:
    """Straight lines from data to noise."""
    c.method.process = dict(name="flow_matching.FlowMatching", noise="linear")


def mnist(c: ConfigDict) -> None:
    """28x28, 14x14, 7x7."""
    c.data.name = "mnist"
    c.model.update(multipliers=(1, 2, 2), attention=(7,))
    c.train.update(steps=3000, batch_size=64, save_every_minutes=10.0)
    c.optim.model.decay_steps = 3000
    c.evaluate.update(every_steps=1000, max_examples=2000)


def latents(c: ConfigDict) -> None:
    """Maps of 4x4x2, by flow matching."""
    flow_matching(c)
    c.frozen = dict(first=dict(run="runs/kl_autoencoder@best", field="z"))
    c.method = dict(name="latent_prior.LatentPrior", field="z", prior=c.method.to_dict())
    c.model.multipliers = (1,)
    c.evaluate.best = "test/latent_nats"


def mnist_latents(c: ConfigDict) -> None:
    """7x7x3."""
    latents(c)
    c.data.name = "mnist"
    c.frozen.first.run = "runs/kl_autoencoder-mnist@best"
    c.model.update(width=64, attention=(7,))
    c.train.update(steps=4000, batch_size=128)
    c.optim.model.decay_steps = 4000
    c.evaluate.update(every_steps=1000, max_examples=2000)


def imagenet64(c: ConfigDict) -> None:
    """The cosine schedule; four blocks a level."""
    c.data.update(name="imagenet2012", size=(64, 64), fit="crop", flip=True)
    c.model.update(classes=1000, width=128, multipliers=(1, 2, 3, 4), blocks=4)
    c.model.update(attention=(32, 16, 8), head_width=64, order="legacy", dropout=0.0, remat=True)
    c.method.process.update(betas="cosine")
    c.optim.model = dict(
        name="adamw", learning_rate=3e-4, weight_decay=0.05, schedule="linear", decay_steps=300_000
    )
    c.train.update(steps=300_000, batch_size=256, save_every_steps=10_000)
    c.evaluate.update(every_steps=10_000, max_examples=10_000)


def large(c: ConfigDict, side: int, multipliers: tuple[float, ...]) -> None:
    """The linear schedule, two blocks a level."""
    imagenet64(c)
    c.data.size = (side, side)
    c.model.update(multipliers=multipliers, blocks=2)
    c.method.process.update(betas="linear")


def imagenet128(c: ConfigDict) -> None:
    """Five levels."""
    large(c, 128, (1, 1, 2, 3, 4))


def imagenet256(c: ConfigDict) -> None:
    """Six levels."""
    large(c, 256, (1, 1, 2, 2, 4, 4))


def imagenet512(c: ConfigDict) -> None:
    """Seven levels, of which the first is narrow."""
    large(c, 512, (0.5, 1, 1, 2, 2, 4, 4))


PRESETS = {
    "digits": digits,
    "flow_matching": flow_matching,
    "mnist": mnist,
    "latents": latents,
    "mnist_latents": mnist_latents,
    "imagenet64": imagenet64,
    "imagenet128": imagenet128,
    "imagenet256": imagenet256,
    "imagenet512": imagenet512,
}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/adm_classifier.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", tiny=False)
    c = common("digits")
    c.model = dict(
        name="diffusion.adm_classifier.ADMClassifier",
        classes=10,
        width=32,
        multipliers=(1, 2),
        blocks=1,
        attention=(4,),
        head_width=32,
        heads=4,
        order="qkv",
        scale_shift=True,
        updown=True,
        dropout=0.2,
        remat=False,
        dtype=config_dict.placeholder(str),
    )
    c.method = dict(
        name="noised_classifier.NoisedClassifier",
        process=dict(name="diffusion.Diffusion", betas="linear", timesteps=1000),
    )
    c.optim = dict(
        model=dict(
            name="adamw",
            learning_rate=1e-3,
            weight_decay=0.05,
            warmup_steps=50,
            schedule="cosine",
            decay_steps=2000,
            final_rate=5e-5,
            clip_norm=1.0,
        )
    )
    c.ema = dict(model=dict(half_life_steps=138.0, ramp_up=0.05))
    c.train.update(steps=2000, batch_size=64)
    c.evaluate.update(best="test/nats", every_steps=500, sample_every_steps=0, num_samples=0)
    c.evaluate.sample = dict()
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c)
        c.evaluate.num_samples = 0
        c.model.update(width=8, multipliers=(1, 1), blocks=1, attention=(), head_width=8)
    return c
