"""Neural posterior estimation (Papamakarios & Murray 2016): parameters given an observation.

    python -m jaxgen.main --config=configs/npe.py                  linear-Gaussian simulator
    python -m jaxgen.main --config=configs/npe.py:two_moons        box prior, two modes
    python -m jaxgen.main --config=configs/npe.py:slcp             five parameters, four modes
    python -m jaxgen.main --config=configs/npe.py:PRESET,tiny      seconds, for tests
    jaxgen sample RUN --observation="(0.5, 0, -1)"                 draws from a posterior
    jaxgen calibrate RUN                                           is it calibrated? with a plot

Expected: `test/nll` of linear_gaussian 2.0573 nats, the entropy of its analytic posterior; ours, in
half a minute on two CPU cores, 2.080. Of two_moons -3.795, by its likelihood; ours -3.541.

Pairs of a simulator of one's own: --config.data.name=FILE.npz with arrays theta and x, or FILE.npy
with rows of parameters, then observation, and --config.method.parameters=D. By the same commands:
configs/nle.py, configs/nre.py, and in rounds about one observation configs/tsnpe.py.
"""

from ml_collections import ConfigDict, config_dict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import few_pairs, inference, task


def linear_gaussian(c: ConfigDict) -> None:
    """x = theta - 1 + noise of variance 0.3, in three dimensions; theta is standard normal."""
    task(c, 3, 3, steps=3000)


def two_moons(c: ConfigDict) -> None:
    """Two crescents explain every observation; the prior is uniform on a square."""
    task(c, 2, 2, steps=6000, low=-1.0, high=1.0)


def slcp(c: ConfigDict) -> None:
    """Four points of a Gaussian, whose deviations are known but for their sign."""
    task(c, 5, 8, steps=6000, low=-3.0, high=3.0)


PRESETS = {"linear_gaussian": linear_gaussian, "two_moons": two_moons, "slcp": slcp}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/npe.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="linear_gaussian", tiny=False)
    c = common(arg.data)
    c.model = dict(
        name="flows.npe.PosteriorFlow",
        embedding=(),
        depth=5,
        form="autoregressive",
        bins=10,
        bound=3.0,
        width=50,
        blocks=1,
        given=True,
    )
    c.method = dict(
        name="posterior.Posterior",
        parameters=1,
        low=config_dict.placeholder(tuple),
        high=config_dict.placeholder(tuple),
    )
    inference(c, best="test/nll")
    c.evaluate.sample.temperature = 1.0
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        c.model.update(depth=2, bins=4, width=8)
        few_pairs(c)
    return c
