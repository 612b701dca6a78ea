"""DALL-E (Ramesh et al. 2021) in small: pictures from captions, by two stages.

    python -m jaxgen.main --config=configs/dalle.py:codes --workdir=runs/dalle-codes
        the first stage: 4x8 codes of two coloured digits side by side, finite scalars of 36
        values, squared error; two CPU cores, minutes
    python -m jaxgen.main --config=configs/dalle.py
        the second: caption and codes in one causal sequence; two CPU cores, 15 CPU minutes
    python -m jaxgen.main --config=configs/dalle.py:digits_codes --workdir=runs/dalle-digits-codes
    python -m jaxgen.main --config=configs/dalle.py:digits
        the same with two to four digits in the quarters of 16x16
    python -m jaxgen.main --config=configs/dalle.py:published
        the sizes of the paper, for a data set and a first stage of one's own: 64 blocks of 3,968,
        62 heads, 256 words, 32x32 codes, masks of rows, columns and a neighbourhood in turn
    python -m jaxgen.main --config=configs/dalle.py:PRESET,tiny
        seconds, for tests

    jaxgen sample RUN --text="a red three beside a blue seven" --guidance=3 --num=16 --best_of=8
    jaxgen complete RUN --keep=left

Pictures and captions of a folder (docs/data.md): --config.data.name=captions:FOLDER and
--config.data.words=20 for both stages, --config.model.model.words=20 for the second.

Which combinations no train picture has: `jaxgen/data/embedded/captioned.py`. How often captions
are read from the pictures: `python benchmarks/captions.py RUN`. The weights of caption and codes
are the paper's, 1 to 7; a tenth of the captions is left out, for guidance. The paper's first stage
is configs/dvae.py. Nothing is published that compares.
"""

from ml_collections import ConfigDict, config_dict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten


def codes(c: ConfigDict) -> None:
    """An autoencoder of codes, four of a digit's sides."""
    c.data.name = "captioned_pairs"
    c.model = dict(
        name="vaes.vqvae.VQVAE", hidden=64, layers=2, residual=32, halvings=1, dropout=0.0
    )
    c.model.quantizer = dict(name="fsq", levels=(4, 3, 3))
    c.method = dict(
        name="quantized.QuantizedAutoencoder", observation="gaussian", reconstruction_weight=100.0
    )
    c.optim = dict(model=dict(name="adam", learning_rate=2e-3, schedule="cosine", decay_steps=1000))
    c.train.update(steps=1000, batch_size=64)
    c.evaluate.update(best="test/distortion", splits=("test",))
    c.evaluate.sample = dict(mean=True)


def pairs(c: ConfigDict) -> None:
    """32 codes and nine words."""
    c.data.name = "captioned_pairs"
    c.frozen = dict(first=dict(run="runs/dalle-codes", field="codes"))


def digits_codes(c: ConfigDict) -> None:
    """64 codes."""
    codes(c)
    c.data.name = "captioned_digits"


def digits(c: ConfigDict) -> None:
    """64 codes and 36 words."""
    c.data.name = "captioned_digits"
    c.frozen = dict(first=dict(run="runs/dalle-digits-codes", field="codes"))
    c.model.model.words = 36
    c.train.steps = c.optim.model.decay_steps = c.optim.ranker.decay_steps = 5_000


def published(c: ConfigDict) -> None:
    """12 billion parameters; Adam, its betas and the clipping by norm are the paper's."""
    pairs(c)
    c.model.model.update(words=256, depth=64, width=3968, heads=62, dropout=0.1, remat=True)
    c.model.model.update(masks=("row", "column", "row", "row"), last="convolution")
    c.model.model.dtype = "bfloat16"
    c.train.update(steps=430_000, batch_size=1024)
    c.optim.model.update(
        learning_rate=4.5e-4, b1=0.9, b2=0.96, eps=1e-8, weight_decay=4.5e-2, clip_norm=4.0
    )
    c.optim.model.update(warmup_steps=5000, decay_steps=430_000)


PRESETS = {
    "pairs": pairs,
    "codes": codes,
    "digits": digits,
    "digits_codes": digits_codes,
    "published": published,
}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/dalle.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="pairs", tiny=False)
    c = common(arg.data)
    network = dict(
        name="autoregressive.dalle.DALLE",
        words=9,
        depth=3,
        width=96,
        heads=4,
        masks=("full",),
        last="",
        dropout=0.1,
        remat=False,
        dtype=config_dict.placeholder(str),
    )
    c.model = dict(
        model=network,
        ranker=dict(name="autoregressive.ranker.Ranker", channels=32, hidden=256, width=64),
    )
    c.method = dict(
        name="ranked.Ranked",
        prior=dict(name="captioned.Captioned", given=("text",), null=0.1),
    )
    c.optim = dict(
        model=dict(
            name="adamw",
            learning_rate=2e-3,
            b2=0.99,
            weight_decay=0.02,
            warmup_steps=50,
            schedule="cosine",
            decay_steps=12_000,
            clip_norm=1.0,
        ),
        ranker=dict(name="adam", learning_rate=1e-3, schedule="cosine", decay_steps=12_000),
    )
    c.ema = dict(model=dict(half_life_steps=100.0, ramp_up=0.05))
    c.train.update(steps=12_000, batch_size=32, steps_per_dispatch=20)
    c.evaluate.update(
        best="test/code_nll",
        every_steps=3000,
        sample_every_steps=6000,
        num_samples=64,
        max_examples=1000,
    )
    c.evaluate.sample = dict(temperature=1.0, mean=True)
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c)
        c.train.steps_per_dispatch = 4
        if "quantizer" in c.model:
            c.model.update(hidden=8, layers=1, residual=4)
        else:
            c.model.model.update(depth=1, width=16, heads=2, dtype=None)
            c.model.ranker.update(channels=4, hidden=8, width=4)
    return c
