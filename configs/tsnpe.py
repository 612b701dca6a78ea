"""Sequential posterior estimation with truncated proposals (Deistler et al. 2022), in one run.

    python -m jaxgen.main --config=configs/tsnpe.py                two moons, seen at the origin
    python -m jaxgen.main --config=configs/tsnpe.py:slcp           five parameters, four modes
    python -m jaxgen.main --config=configs/tsnpe.py:PRESET,tiny    seconds, for tests
    jaxgen sample RUN --observation="(0, 0)" --num=1000            draws from the posterior

    --config.method.observation="(-0.6, 0.2)"                      what was observed
    --config.method.rounds=10 --config.method.simulations=100      how often, and how many
    --config.model.simulator.name=my_package.my_module:Mine        a simulator of one's own

After `method.round_steps` steps the next simulations are drawn from the prior where the posterior,
given the observation, may be. For that observation fewer simulations do, and for others the run is
worth nothing: `jaxgen calibrate` is of configs/npe.py. A simulator of one's own is a Flax module,
or a class that extends `jaxgen.models.science.simulators.Called` with a function in NumPy; data are
named beside it, as for configs/npe.py, of some hundred of its simulations.
"""

from ml_collections import ConfigDict, config_dict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import few_pairs, inference, task


def two_moons(c: ConfigDict) -> None:
    """Two crescents explain every observation; the prior is uniform on a square."""
    task(c, 2, 2, steps=6000, low=-1.0, high=1.0)


def slcp(c: ConfigDict) -> None:
    """Four points of a Gaussian, whose deviations are known but for their sign."""
    task(c, 5, 8, steps=6000, low=-3.0, high=3.0)


PRESETS = {"two_moons": two_moons, "slcp": slcp}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/tsnpe.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="two_moons", tiny=False)
    c = common(arg.data)
    c.model = dict(
        model=dict(
            name="flows.npe.PosteriorFlow",
            embedding=(),
            depth=5,
            form="autoregressive",
            bins=10,
            bound=3.0,
            width=50,
            blocks=1,
            given=True,
        ),
        simulator=dict(name="science.simulators.Embedded", simulator=arg.data),
    )
    c.method = dict(
        name="truncated_posterior.TruncatedPosterior",
        parameters=1,
        observation=(),
        low=config_dict.placeholder(tuple),
        high=config_dict.placeholder(tuple),
        mean=config_dict.placeholder(tuple),
        std=config_dict.placeholder(tuple),
        rounds=10,
        simulations=100,
        round_steps=600,
        outside=1e-4,
        candidates=100_000,
    )
    inference(c, best="test/nll")  # of all of the prior: it says little, the newest counts
    c.evaluate.sample.temperature = 1.0
    preset(arg.data, PRESETS)(c)
    c.method.observation = c.evaluate.sample.observation
    if arg.tiny:
        c.model.model.update(depth=2, bins=4, width=8)
        c.method.update(rounds=3, simulations=20, round_steps=5, candidates=20)
        few_pairs(c)
    return c
