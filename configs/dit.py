"""DiT and SiT (Peebles & Xie 2023; Ma et al. 2024): a Transformer over patches instead of a U-Net.

    python -m jaxgen.main --config=configs/dit.py
        digits by flow matching, given the class, patches of 2x2: two CPU cores, 3 CPU minutes, test
        1.916 bits/dim by the ODE; samples are measured in docs/results.md
    python -m jaxgen.main --config=configs/dit.py:mnist --config.data.manual_dir=DIR
        MNIST from idx files in DIR, given the class
    python -m jaxgen.main --config=configs/dit.py:dit_xl2
        DiT-XL/2 on the latents of ImageNet 256x256: 674,834,720 parameters
    python -m jaxgen.main --config=configs/dit.py:sit_xl2
        the same network with the velocity of linear paths
    python -m jaxgen.main --config=configs/dit.py:PRESET,tiny
        seconds, for tests

The last two need a first stage whose latents are 32x32x4, `configs/kl_autoencoder.py:imagenet256`:
`--config.frozen.first.run=RUN`. Published, of the stage of latent diffusion: FID 2.27 with guidance
(DiT-XL/2, official README), 2.06 (SiT-XL/2, official README).

Sampling knobs: --steps, --sampler, --guidance, --interval, --temperature, --until.
"""

from ml_collections import ConfigDict, config_dict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten


def digits(c: ConfigDict) -> None:
    """Four blocks of 64."""


def mnist(c: ConfigDict) -> None:
    """Patches of 4x4: 49 tokens."""
    c.data.name = "mnist"
    c.model.update(patch=4, depth=6, width=128, heads=4)
    c.train.update(steps=6000, batch_size=128, save_every_minutes=10.0)
    c.optim.model.update(learning_rate=5e-4, decay_steps=6000)
    c.evaluate.update(every_steps=6000, sample_every_steps=3000, max_examples=500)


def sit_xl2(c: ConfigDict) -> None:
    """Seven million steps of 256, a constant rate."""
    c.data.update(name="imagenet2012", size=(256, 256), fit="crop", flip=True)
    c.frozen = dict(first=dict(run="runs/kl_autoencoder-imagenet256@best", field="z"))
    c.model.update(patch=2, depth=28, width=1152, heads=16, remat=True)
    c.method.update(times="uniform", sampling_steps=250, solver_steps=0)
    c.method = dict(name="latent_prior.LatentPrior", field="z", prior=c.method.to_dict())
    c.optim.model = dict(name="adamw", learning_rate=1e-4, weight_decay=0.0)
    c.ema.model = dict(half_life_steps=6931.0)
    c.train.update(steps=7_000_000, batch_size=256, save_every_steps=10_000)
    c.evaluate.update(every_steps=50_000, sample_every_steps=50_000, max_examples=2000)
    c.evaluate.update(best="test/latent_square", num_samples=16, sample=dict(temperature=1.0))


def dit_xl2(c: ConfigDict) -> None:
    """DDPM's noise, learnt variances."""
    sit_xl2(c)
    c.model.outputs = 2
    c.method.prior = dict(
        name="diffusion.Diffusion",
        betas="linear",
        timesteps=1000,
        prediction="eps",
        objective="hybrid",
        variance="learned",
        times="uniform",
        given=("label",),
        null=0.1,
        sampler="ancestral",
        sampling_steps=250,
    )
    c.evaluate.best = "test/latent_nll"


PRESETS = {"digits": digits, "mnist": mnist, "dit_xl2": dit_xl2, "sit_xl2": sit_xl2}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/dit.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", tiny=False)
    c = common("digits")
    c.model = dict(
        name="diffusion.dit.DiT",
        patch=2,
        depth=4,
        width=64,
        heads=4,
        times=1,
        outputs=1,
        remat=False,
        dtype=config_dict.placeholder(str),
    )
    c.method = dict(
        name="flow_matching.FlowMatching",
        noise="linear",
        times="mixed",
        coupling="independent",
        given=("label",),
        null=0.1,
        sampler="euler",
        sampling_steps=24,
        solver_steps=12,
        exact=False,
    )
    c.optim = dict(
        model=dict(
            name="adam",
            learning_rate=1e-3,
            b2=0.99,
            warmup_steps=50,
            schedule="cosine",
            decay_steps=4000,
            final_rate=5e-5,
            clip_norm=1.0,
        )
    )
    c.ema = dict(model=dict(half_life_steps=138.0, ramp_up=0.05))
    c.train.update(steps=4000, batch_size=64)
    c.evaluate.update(every_steps=4000, sample_every_steps=2000, splits=("test",), sample=dict())
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c)
        c.model.update(depth=1, width=16, heads=2, remat=False)
        if c.method.name.startswith("flow"):
            c.method.update(solver_steps=2, sampling_steps=4)
    return c
