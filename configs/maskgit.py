"""MaskGIT (Chang et al. 2022): all values at once, the unsure ones again; a bound in bits/dim.

    python -m jaxgen.main --config=configs/maskgit.py
        digits, 8x8, 17 grey levels, over pixels: two CPU cores
    python -m jaxgen.main --config=configs/maskgit.py:codes
        over the 4x4 codes of a run of `configs/vqvae.py` in runs/vqvae, as the paper does
    python -m jaxgen.main --config=configs/maskgit.py:imagenet256
        the paper's sizes over 16x16 codes of 1,024 of a run of `configs/vqgan.py`, in runs/vqgan
    python -m jaxgen.main --config=configs/maskgit.py:PRESET,tiny
        seconds, for tests

`jaxgen sample RUN --rounds=8 --noise=4.5` as the paper; `--order=random --rounds=64` is the order
whose bound `test/bpd` is: bits of several values at a time, or of the surest first, are not
counted. Published: FID 6.18 on ImageNet 256x256 (paper, table 1), 6.06 by the official README.
"""

from ml_collections import ConfigDict, config_dict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten


def digits(c: ConfigDict) -> None:
    """Pixels."""


def codes(c: ConfigDict) -> None:
    """A prior of 16 codes."""
    c.frozen = dict(first=dict(run="runs/vqvae@best", field="codes"))
    c.method = dict(name="code_prior.CodePrior", prior=c.method.to_dict())
    c.model.update(depth=3, width=64, dropout=0.3)
    c.evaluate.sample = dict(temperature=1.0)


def imagenet256(c: ConfigDict) -> None:
    """Given the class, a tenth of the examples without."""
    codes(c)
    c.data.update(name="imagenet2012", size=(256, 256), fit="crop")
    c.frozen.first.run = "runs/vqgan@best"
    c.method.prior.update(given=("label",), null=0.1, smoothing=0.1)
    c.model.update(depth=24, width=768, heads=16, positions="learned", dropout=0.1, remat=True)
    c.optim.model.update(
        learning_rate=1e-4, b1=0.9, b2=0.96, weight_decay=0.045, warmup_steps=5000, decay_steps=0
    )
    c.optim.model.schedule = "constant"
    c.train.update(steps=1_500_000, batch_size=256)
    c.evaluate.update(every_steps=10_000, sample_every_steps=50_000, max_examples=10_000)


PRESETS = {"digits": digits, "codes": codes, "imagenet256": imagenet256}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/maskgit.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", tiny=False)
    c = common(arg.data)
    c.data.name = "digits"
    c.model = dict(
        name="autoregressive.maskgit.MaskGIT",
        depth=4,
        width=96,
        heads=4,
        positions="axial",
        dropout=0.1,
        prefix=1,
        remat=False,
        dtype=config_dict.placeholder(str),
    )
    c.method = dict(
        name="masked.Masked",
        observation="categorical",
        given=(),
        null=0.0,
        smoothing=0.0,
        draws=8,
    )
    c.optim = dict(
        model=dict(
            name="adamw",
            learning_rate=2e-3,
            b2=0.99,
            weight_decay=0.02,
            warmup_steps=50,
            schedule="cosine",
            decay_steps=1500,
            clip_norm=1.0,
        )
    )
    c.ema = dict(model=dict(half_life_steps=50.0, ramp_up=0.05))
    c.train.update(steps=1500, batch_size=64)
    c.evaluate.update(every_steps=500, sample_every_steps=500)
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c)
        c.model.update(depth=1, width=16, heads=2, remat=False)
    return c
