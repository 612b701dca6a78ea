"""Disentangling VAEs: beta (Higgins et al. 2017), and five that followed, on known factors.

    python -m jaxgen.main --config=configs/beta_vae.py
        dsprites_like, beta = 4, dense networks: two CPU cores, minutes
    python -m jaxgen.main --config=configs/beta_vae.py:conv
        the convolutional networks of Locatello et al. 2019, table 1: for one GPU
    python -m jaxgen.main --config=configs/beta_vae.py:annealed      capacity, Burgess et al. 2018
    python -m jaxgen.main --config=configs/beta_vae.py:tc            beta-TCVAE, Chen et al. 2018
    python -m jaxgen.main --config=configs/beta_vae.py:factor        FactorVAE, Kim & Mnih 2018
    python -m jaxgen.main --config=configs/beta_vae.py:dip_i         also dip_ii, Kumar et al. 2018
    python -m jaxgen.main --config=configs/beta_vae.py:celeba64_10   CelebA at 64x64, 10 latents;
                                                                     also celeba64_32
    python -m jaxgen.main --config=configs/beta_vae.py:PRESET,tiny   seconds, for tests

`jaxgen eval RUN --metrics=disentanglement` scores the latents against the factors. Other data that
know theirs: --config.data.name=faces_like --config.method.observation=logistic_mixture. The
presets but `conv` and those of CelebA take dense networks (as Higgins et al. did for such shapes,
and narrower) and 5,000 steps; all but `celeba64_32` take 10 latents. Our own measurements are in
docs/results.md.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten


def beta(c: ConfigDict) -> None:
    """Weight 4."""
    c.method.beta = 4.0


def conv(c: ConfigDict) -> None:
    """With their Adam and 300,000 steps."""
    c.model = dict(
        name="vaes.vae.ConvVAE",
        latent=10,
        hidden=(256,),
        activation="relu",
        channels=(32, 32, 64, 64),
        kernels=(4, 4, 2, 2),
    )
    c.method.beta = 4.0
    c.optim.model.learning_rate = 1e-4
    c.train.update(steps=300_000, save_every_steps=10_000)
    c.evaluate.update(every_steps=10_000, sample_every_steps=10_000)


def celeba64_10(c: ConfigDict) -> None:
    """The networks of conv; squared error, so that beta weighs divergence against its nats."""
    conv(c)
    c.data.update(name="celeb_a", size=(64, 64), fit="crop")
    c.method.observation = "gaussian"


def celeba64_32(c: ConfigDict) -> None:
    """As celeba64_10, with 32 latents."""
    celeba64_10(c)
    c.model.latent = 32


def annealed(c: ConfigDict) -> None:
    """25 nats by the end; weight 1000."""
    c.method.update(beta=1000.0, capacity=25.0, capacity_steps=5000)


def tc(c: ConfigDict) -> None:
    """Weight 6 on the total correlation."""
    c.method = dict(name="disentangle.Disentangle", observation="bernoulli")
    c.method.update(penalty_name="tc", weight=5.0)


def factor(c: ConfigDict) -> None:
    """The total correlation by a discriminator."""
    network = c.model.to_dict()
    c.model = dict(
        model=network,
        discriminator=dict(name="vaes.factor_vae.Discriminator", layers=6, width=200),
    )
    c.method = dict(name="disentangle.FactorVAE", observation="bernoulli", gamma=10.0)
    c.optim.discriminator = dict(name="adam", learning_rate=1e-4, b1=0.5, b2=0.9)


def dip_i(c: ConfigDict) -> None:
    """Covariance of the means."""
    tc(c)
    c.method.update(penalty_name="dip_i", weight=10.0, diagonal=10.0)


def dip_ii(c: ConfigDict) -> None:
    """Covariance of the aggregate posterior."""
    tc(c)
    c.method.update(penalty_name="dip_ii", weight=10.0, diagonal=1.0)


PRESETS = {
    "dsprites_like": beta,
    "conv": conv,
    "celeba64_10": celeba64_10,
    "celeba64_32": celeba64_32,
    "annealed": annealed,
    "tc": tc,
    "factor": factor,
    "dip_i": dip_i,
    "dip_ii": dip_ii,
}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/beta_vae.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="dsprites_like", tiny=False)
    c = common("dsprites_like")
    c.model = dict(name="vaes.vae.VAE", latent=10, hidden=(400, 400), activation="relu")
    c.method = dict(name="elbo.ELBO", observation="bernoulli", beta=1.0)
    c.optim = dict(model=dict(name="adam", learning_rate=1e-3))
    c.train.update(steps=5000, steps_per_dispatch=20, log_every_steps=500)
    c.evaluate.update(every_steps=5000, sample_every_steps=5000, max_examples=2000)
    c.evaluate.update(best="test/nelbo", sample=dict(temperature=1.0, mean=True))
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c)
        c.train.steps_per_dispatch = 4
        network = c.model.model if "discriminator" in c.model else c.model
        network.update(latent=3, hidden=(16,))
        if "channels" in network:
            network.update(channels=(4, 4), kernels=(4, 2))
        if "discriminator" in c.model:
            c.model.discriminator.update(layers=1, width=16)
    return c
