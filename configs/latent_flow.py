"""A flow over the latents of a frozen autoencoder: two stages, the second learns what is left.

    python -m jaxgen.main --config=configs/autoencoder.py:plain --workdir=runs/autoencoder-plain
    python -m jaxgen.main --config=configs/latent_flow.py
        digits: a spline flow over the 8 latents of that run; two CPU cores, under a minute
    python -m jaxgen.main --config=configs/latent_flow.py:mnist --config.data.manual_dir=DIR
        the same over `configs/autoencoder.py:mnist`
    python -m jaxgen.main --config=configs/latent_flow.py:PRESET,tiny
        seconds, for tests

Another first stage: `--config.frozen.first.run=RUN`, or RUN@STEP, or RUN@best; any run whose method
encodes and decodes, as a VAE's. It is copied into the new run, which is whole without it.

Source: Xiao et al. 2019, "Generative Latent Flow" (arXiv:1905.10485), there the two
are trained side by side, here one after the other. `latent_nll`, in nats of the stage's own
latents, compares flows over the same stage alone.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten


def digits(c: ConfigDict) -> None:
    """Over the plain autoencoder, which has no prior of its own."""
    c.frozen.first.run = "runs/autoencoder-plain@best"


def mnist(c: ConfigDict) -> None:
    """A longer run of a wider flow."""
    c.data.name = "mnist"
    c.frozen.first.run = "runs/autoencoder-mnist@best"
    c.model.update(width=128, blocks=2, bins=8, depth=6, unroll=6)
    c.train.update(steps=10_000, batch_size=256)
    c.optim.model.update(learning_rate=1e-3, decay_steps=10_000)
    c.evaluate.update(every_steps=1000, sample_every_steps=2000)


PRESETS = {"digits": digits, "mnist": mnist}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/latent_flow.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", tiny=False)
    c = common(arg.data)
    c.frozen = dict(first=dict(run="", field="z"))
    c.model = dict(
        name="flows.spline.SplineFlow",
        depth=3,
        form="coupling",
        bins=4,
        bound=4.0,
        width=16,
        blocks=1,
        dropout=0.0,
        memory="store",
        unroll=3,
    )
    c.method = dict(
        name="latent_prior.LatentPrior",
        field="z",
        prior=dict(name="likelihood.Likelihood", preprocess="center"),
    )
    c.optim = dict(
        model=dict(
            name="adam",
            learning_rate=3e-3,
            schedule="cosine",
            decay_steps=600,
            clip_norm=5.0,
        )
    )
    c.ema = dict(model=dict(half_life_steps=50.0, ramp_up=0.05))
    c.train.update(steps=600, batch_size=128, steps_per_dispatch=20)
    c.evaluate.update(best="test/latent_nll", every_steps=100, sample_every_steps=300)
    c.evaluate.sample = dict(temperature=1.0)
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c)
        c.train.steps_per_dispatch = 4
        c.model.update(depth=2, width=8, blocks=1, bins=4, unroll=2)
    return c
