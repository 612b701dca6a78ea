"""CaloFlow (Krause & Shih 2021): showers by two flows, the baseline of configs/calogan.py.

    python -m jaxgen.main --config=configs/caloflow.py
        photons and positrons, for two CPU cores
    python -m jaxgen.main --config=configs/caloflow.py:photons
        photons alone, likewise
    python -m jaxgen.main --config=configs/caloflow.py:PRESET,tiny
        seconds, for tests

    jaxgen showers RUN --energy=50 --particle=photon

The cells' flow has 2 layers where the paper has 8; its losses are no likelihoods that could be
compared with others' (see the method). 12.6 minutes of CPU time; figures are in docs/results.md.
Couplings (--config.model.cells.form=coupling) draw a hundred times faster, and were not measured.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten


def showers(c: ConfigDict) -> None:
    """Both particles."""


def photons(c: ConfigDict) -> None:
    """One particle, as a flow has in the paper."""
    c.data.name = "photon_showers"
    c.method.given = ()


PRESETS = {"showers": showers, "photons": photons}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/caloflow.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="showers", tiny=False)
    c = common("showers")
    c.model = dict(
        energies=dict(
            name="flows.spline.SplineFlow",
            depth=5,
            form="coupling",
            bins=8,
            bound=5.0,
            width=64,
            blocks=1,
            dropout=0.0,
            memory="store",
            unroll=1,
        ),
        cells=dict(
            name="flows.spline.SplineFlow",
            mixer="order",
            depth=2,
            form="autoregressive",
            bins=8,
            bound=8.0,
            width=512,
            blocks=1,
            dropout=0.0,
            memory="store",
            unroll=1,
        ),
    )
    c.method = dict(name="caloflow.CaloFlow", given=("label",))
    c.train.update(steps=3000, batch_size=128)
    adam = dict(
        name="adam",
        learning_rate=1e-3,
        warmup_steps=100,
        schedule="cosine",
        decay_steps=c.train.steps,
        clip_norm=5.0,
    )
    c.optim = dict(energies=dict(adam), cells=dict(adam))
    c.ema = dict(energies=dict(half_life_steps=50.0), cells=dict(half_life_steps=50.0))
    c.evaluate.update(splits=("test",), max_examples=2048, best="test/cells_nll")
    c.evaluate.update(every_steps=1000, sample_every_steps=1000)
    c.evaluate.sample = dict()
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c, depth=2, bins=4, width=8)
    return c
