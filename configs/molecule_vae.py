"""A VAE of molecules (Gomez-Bombarelli et al. 2018): texts of SMILES, latents that say properties.

    pip install 'jaxgen[chemistry]'
    python -m jaxgen.main --config=configs/molecule_vae.py
        4,163 small molecules of RDKit's package; causal attention writes: ten CPU minutes
    python -m jaxgen.main --config=configs/molecule_vae.py:recurrent
        the same, written by the paper's recurrent units, smaller
    python -m jaxgen.main --config=configs/molecule_vae.py:moses_20k --config.data.manual_dir=DIR
        20,000 molecules of MOSES; DIR is where `pip download --no-deps molsets==0.3.1` put it
    python -m jaxgen.main --config=configs/molecule_vae.py:moses --config.data.manual_dir=DIR
        all 1,584,663: for one GPU
    python -m jaxgen.main --config=configs/molecule_vae.py:published --config.data.manual_dir=DIR
        sizes, rates and weights of the official code, on the molecules of MOSES: its own, of ZINC,
        are in no package; for one GPU
    python -m jaxgen.main --config=configs/molecule_vae.py:PRESET,tiny
        seconds, for tests

    jaxgen molecules RUN --num=1000
    jaxgen molecules RUN --between=CCO,c1ccccc1
    jaxgen molecules RUN --optimise=logP

`test/nelbo` is the bound in nats a text, `test/logP_error` a mean absolute error.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten


def nci_molecules(c: ConfigDict) -> None:
    """Small, and against overfitting."""


def recurrent(c: ConfigDict) -> None:
    """The paper's way to write."""
    c.model.update(name="vaes.molecule_vae.MoleculeVAE", width=128, depth=1, recurrent_dropout=0.0)
    del c.model.heads


def moses_20k(c: ConfigDict) -> None:
    """More, and longer."""
    c.data.name = "moses_20k"


def moses(c: ConfigDict) -> None:
    """About 20 epochs."""
    c.data.name = "moses"
    c.model.update(width=256, depth=6, heads=8, latent=128)
    c.train.update(steps=120_000, batch_size=256, save_every_steps=5000)
    c.optim.model.decay_steps = 120_000
    c.method.beta.steps = 20_000
    c.evaluate.update(every_steps=5000, sample_every_steps=5000)


def published(c: ConfigDict) -> None:
    """The official `zinc_properties`; divergence from epoch 29 on, in a line and not a sigmoid."""
    c.data.name = "moses"
    c.model = dict(
        name="vaes.molecule_vae.MoleculeVAE",
        vocabulary=0,
        latent=196,
        channels=(9, 9, 10),
        kernels=(9, 9, 11),
        hidden=196,
        dropout=0.083,
        width=488,
        depth=3,
        recurrent_dropout=0.196,
        predictor=(67, 66, 65),
        predictor_dropout=0.157,
        properties=0,
    )
    epoch = 1_584_663 // 182
    c.method.beta = dict(name="linear", start=0.0, end=57 / 196, steps=6 * epoch, begin=26 * epoch)
    c.method.weight = 57.0
    c.train.update(steps=120 * epoch, batch_size=182, save_every_steps=5000)
    c.optim.model = dict(name="adam", learning_rate=4.56e-4, b1=0.9903)
    c.evaluate.update(every_steps=5000, sample_every_steps=5000)


PRESETS = {
    "nci_molecules": nci_molecules,
    "recurrent": recurrent,
    "moses_20k": moses_20k,
    "moses": moses,
    "published": published,
}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/molecule_vae.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="nci_molecules", tiny=False)
    c = common("nci_molecules")
    c.model = dict(
        name="vaes.molecule_vae.TransformerMoleculeVAE",
        vocabulary=0,
        latent=56,
        channels=(32, 32, 32),
        kernels=(5, 5, 5),
        hidden=128,
        dropout=0.1,
        width=64,
        depth=2,
        heads=4,
        predictor=(67, 66, 65),
        predictor_dropout=0.157,
        properties=0,
    )
    c.method = dict(
        name="text_elbo.TextELBO",
        beta=dict(name="linear", start=0.0, end=0.1, steps=1000),
        properties="properties",
        weight=5.0,
    )
    c.optim = dict(
        model=dict(
            name="adam", learning_rate=2e-3, schedule="cosine", decay_steps=3000, clip_norm=1.0
        )
    )
    c.train.update(steps=3000, batch_size=64, log_every_steps=100, steps_per_dispatch=10)
    c.evaluate.update(
        every_steps=1000, sample_every_steps=1000, max_examples=1000, best="test/nelbo"
    )
    c.evaluate.sample = dict(temperature=1.0)
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c)
        c.model.update(latent=4, channels=(4, 4, 4), hidden=8, width=8, depth=1, predictor=(8, 8))
        if "heads" in c.model:
            c.model.heads = 2
        c.train.steps_per_dispatch = 1
    return c
