"""A prior over the codes of a frozen VQ-VAE: samples end to end, and bits/dim of both stages.

    python -m jaxgen.main --config=configs/vqvae.py --workdir=runs/vqvae
    python -m jaxgen.main --config=configs/vqvae_prior.py
        digits: a Transformer over the 4x4 codes of that run; two CPU cores, 2 minutes
    python -m jaxgen.main --config=configs/vqvae_prior.py:digits_classes
        the same given the class
    python -m jaxgen.main --config=configs/vqvae_prior.py:pixelcnn
        digits with a gated PixelCNN instead
    python -m jaxgen.main --config=configs/vqvae_prior.py:vqvae2
        over the two maps of `configs/vqvae2.py`, in runs/vqvae2: the lower codes given the upper
    python -m jaxgen.main --config=configs/vqvae_prior.py:mnist --config.data.manual_dir=DIR
        over the 7x7 codes of `configs/vqvae.py:mnist`, in runs/vqvae-mnist, given the class: 9.9
        CPU minutes, 1.271 bits/dim, Frechet ratio of samples 0.025 (docs/results.md)
    python -m jaxgen.main --config=configs/vqvae_prior.py:PRESET,tiny
        seconds, for tests

Another first stage: `--config.frozen.first.run=RUN`, or RUN@STEP, or RUN@best; any run that finds
codes (`abilities.Coded`). It is copied into the new run, which is whole without it. `test/bpd` is
`code_bpd`, what the prior pays for the codes, and `pixel_bpd`, what the decoder pays for the pixels
given them: an upper bound. Our own measurements are in docs/results.md.
"""

from ml_collections import ConfigDict, config_dict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten


def digits(c: ConfigDict) -> None:
    """A small one: 16 codes, 1,500 examples."""
    c.frozen.first.run = "runs/vqvae@best"


def digits_classes(c: ConfigDict) -> None:
    """With the class, a tenth of the examples without."""
    digits(c)
    c.method.prior.update(given=("label",), null=0.1)


def vqvae2(c: ConfigDict) -> None:
    """The 2x2 codes on top, and the 4x4 ones given them."""
    network, optimizer, average = (x.to_dict() for x in (c.model, c.optim.model, c.ema.model))
    c.frozen.first.update(run="runs/vqvae2@best", field="top,bottom")
    c.model = dict(model=network, lower=network)
    c.optim.lower, c.ema.lower = optimizer, average


def mnist(c: ConfigDict) -> None:
    """49 codes."""
    c.data.name = "mnist"
    c.frozen.first.run = "runs/vqvae-mnist@best"
    c.method.prior.update(given=("label",), null=0.1)
    c.model.update(depth=3, width=96, dropout=0.0)
    c.train.update(steps=4000, batch_size=64)
    c.optim.model.decay_steps = 4000
    c.evaluate.update(every_steps=2000, sample_every_steps=4000, max_examples=10_000)


def pixelcnn(c: ConfigDict) -> None:
    """A gated PixelCNN, as the papers of VQ-VAE have it, in the place of the Transformer."""
    digits(c)
    c.model = dict(
        name="autoregressive.pixelcnn.GatedPixelCNN",
        width=32,
        blocks=4,
        size=3,
        first_size=3,
        last=64,
        dropout=0.3,
        one_hot=True,
    )


PRESETS = {
    "digits": digits,
    "digits_classes": digits_classes,
    "vqvae2": vqvae2,
    "pixelcnn": pixelcnn,
    "mnist": mnist,
}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/vqvae_prior.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", tiny=False)
    c = common(arg.data)
    c.data.name = "digits"
    c.frozen = dict(first=dict(run="", field="codes"))
    c.model = dict(
        name="autoregressive.transformer.Transformer",
        depth=3,
        width=64,
        heads=4,
        positions="axial",
        dropout=0.3,
        prefix=1,
        remat=False,
        dtype=config_dict.placeholder(str),
    )
    c.method = dict(
        name="code_prior.CodePrior",
        prior=dict(
            name="autoregressive.Autoregressive", observation="categorical", given=(), null=0.0
        ),
    )
    c.optim = dict(
        model=dict(
            name="adamw",
            learning_rate=2e-3,
            b2=0.99,
            weight_decay=0.1,
            warmup_steps=50,
            schedule="cosine",
            decay_steps=2000,
            clip_norm=1.0,
        )
    )
    c.ema = dict(model=dict(half_life_steps=50.0, ramp_up=0.05))
    c.train.update(steps=2000, batch_size=64, steps_per_dispatch=20)
    c.evaluate.update(every_steps=500, sample_every_steps=1000)
    c.evaluate.sample = dict(temperature=1.0)
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c)
        c.train.steps_per_dispatch = 4
        networks = [c.model] if "name" in c.model else list(c.model.values())
        for network in networks:
            small = dict(depth=1, blocks=1, width=16, heads=2)
            network.update({k: v for k, v in small.items() if k in network})
    return c
