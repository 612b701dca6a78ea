"""Neural likelihood estimation (Papamakarios et al. 2019): an observation given parameters.

    python -m jaxgen.main --config=configs/nle.py                  linear-Gaussian simulator
    python -m jaxgen.main --config=configs/nle.py:two_moons        box prior, two modes
    python -m jaxgen.main --config=configs/nle.py:slcp             five parameters, four modes
    python -m jaxgen.main --config=configs/nle.py:PRESET,tiny      seconds, for tests
    jaxgen sample RUN --observation="(0.5, 0, -1)"                 draws from a posterior
    jaxgen calibrate RUN --num=200                                 is it calibrated? with a plot

The posterior is drawn by chains of elliptical slice sampling, one a draw (`ops/elliptical.py`),
from the prior times what was learned. Several independent observations of the same parameters are
given after one another, and take no further training:

    jaxgen sample RUN --observation="(0.5, 0, -1, 0.2, 0.1, -0.8)"

As the paper has it, the likelihood of slcp is an affine flow; the others are splines.

Expected: `test/nll` of linear_gaussian 2.4509 nats, the entropy of its noise; ours 2.483.

A simulator of one's own as in configs/npe.py; its prior is told, as ends of a uniform one
(`method.low`, `method.high`) or mean and deviation of a normal one (`method.mean`, `method.std`).
"""

from ml_collections import ConfigDict, config_dict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import few_pairs, inference, task


def linear_gaussian(c: ConfigDict) -> None:
    """x = theta - 1 + noise of variance 0.3, in three dimensions; theta is standard normal."""
    task(c, 3, 3, steps=3000, mean=0.0, std=1.0)


def two_moons(c: ConfigDict) -> None:
    """Two crescents explain every observation; the prior is uniform on a square."""
    task(c, 2, 2, steps=6000, low=-1.0, high=1.0)


def slcp(c: ConfigDict) -> None:
    """Four points of a Gaussian, for which affine layers are enough."""
    task(c, 5, 8, steps=6000, low=-3.0, high=3.0)
    c.model.form = "affine"
    c.optim.model.learning_rate = 5e-4
    c.train.batch_size = 50


PRESETS = {"linear_gaussian": linear_gaussian, "two_moons": two_moons, "slcp": slcp}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/nle.py:ARG`; see the module docstring."""
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
        name="neural_likelihood.NeuralLikelihood",
        parameters=1,
        low=config_dict.placeholder(tuple),
        high=config_dict.placeholder(tuple),
        mean=config_dict.placeholder(tuple),
        std=config_dict.placeholder(tuple),
        candidates=10_000,
        moves=30,
    )
    inference(c, best="test/nll")
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        c.model.update(depth=2, bins=4, width=8)
        c.method.update(candidates=50, moves=3)
        few_pairs(c)
    return c
