"""Flow matching over the latents of a frozen first stage: latent diffusion (Rombach et al. 2022).

    python -m jaxgen.main --config=configs/autoencoder.py:plain --workdir=runs/autoencoder-plain
    python -m jaxgen.main --config=configs/latent_diffusion.py
        digits given the class, over the 8 latents of that run
    python -m jaxgen.main --config=configs/kl_autoencoder.py --workdir=runs/kl_autoencoder
    python -m jaxgen.main --config=configs/latent_diffusion.py:digits_kl
        the same over the maps of 4x4x2 of that run
    python -m jaxgen.main --config=configs/latent_diffusion.py:mnist --config.data.manual_dir=DIR
        over the maps of 7x7x3 of `configs/kl_autoencoder.py:mnist`, in runs/kl_autoencoder-mnist:
        11 CPU minutes after 9, Frechet ratio of 2,000 samples 0.025 (docs/results.md)
    python -m jaxgen.main --config=configs/latent_diffusion.py:PRESET,tiny
        seconds, for tests

Another first stage: `--config.frozen.first.run=RUN`, or RUN@STEP, or RUN@best; any run whose method
encodes and decodes, of latents that are one array: a vector, or a map [h, w, C]. Its latents are
computed once, over the whole train split, and each number of a vector, each channel of a map is
brought to mean 0 and unit variance; the paper's scale is that of one batch. It is copied into the
new run, which is whole without it. Any method takes the place of flow matching: `c.method.prior`
and `c.model` name them. The large ones of the papers are presets of `configs/dit.py`.

Sampling knobs are the prior's: --steps, --sampler, --guidance, --interval, --temperature, --until.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten


def digits(c: ConfigDict) -> None:
    """Over the plain autoencoder, which has no prior of its own."""
    c.frozen.first.run = "runs/autoencoder-plain@best"


def digits_kl(c: ConfigDict) -> None:
    """Over a map."""
    c.frozen.first.run = "runs/kl_autoencoder@best"


def mnist(c: ConfigDict) -> None:
    """147 numbers, as a vector."""
    c.data.name = "mnist"
    c.frozen.first.run = "runs/kl_autoencoder-mnist@best"
    c.model.update(width=384, layers=4, dropout=0.0)
    c.train.update(steps=6000, batch_size=256)
    c.optim.model.decay_steps = 6000
    c.evaluate.update(every_steps=3000, sample_every_steps=3000, max_examples=2000)


PRESETS = {"digits": digits, "digits_kl": digits_kl, "mnist": mnist}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/latent_diffusion.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", tiny=False)
    c = common("digits")
    c.frozen = dict(first=dict(run="", field="z"))
    c.model = dict(
        name="diffusion.dense.Dense",
        width=128,
        layers=3,
        widening=2,
        waves=128,
        dropout=0.1,
    )
    c.method = dict(
        name="latent_prior.LatentPrior",
        field="z",
        prior=dict(
            name="flow_matching.FlowMatching",
            given=("label",),
            null=0.1,
            times="mixed",
            logit_mean=0.0,
            sampling_steps=24,
            solver_steps=12,
        ),
    )
    c.optim = dict(
        model=dict(
            name="adam",
            learning_rate=1e-3,
            b2=0.99,
            warmup_steps=50,
            schedule="cosine",
            decay_steps=3000,
            final_rate=5e-5,
            clip_norm=1.0,
        )
    )
    c.ema = dict(model=dict(half_life_steps=138.0, ramp_up=0.05))
    c.train.update(steps=3000, batch_size=128, steps_per_dispatch=20)
    c.evaluate.update(best="test/latent_nll", every_steps=1000, sample_every_steps=1000)
    c.evaluate.sample = dict()
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c)
        c.train.steps_per_dispatch = 4
        c.model.update(width=16, layers=1, waves=8)
        c.method.prior.update(solver_steps=2, sampling_steps=4)
    return c
