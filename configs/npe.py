"""Neural posterior estimation (Papamakarios & Murray 2016): parameters given an observation.

    python -m jaxgen.main --config=configs/npe.py                  linear-Gaussian simulator
    python -m jaxgen.main --config=configs/npe.py:two_moons        box prior, two modes
    python -m jaxgen.main --config=configs/npe.py:PRESET,tiny      seconds, for tests
    jaxgen sample RUN --observation="(0.5, 0, -1)"                 draws from a posterior
    jaxgen calibrate RUN                                           is it calibrated? with a plot

Expected: `test/nll` of linear_gaussian 2.0573 nats, the entropy of its analytic posterior. Ours, in
a minute on two CPU cores: 2.084, and -3.52 of two_moons, whose true value is not known. Pairs of a
simulator of one's own: --config.data.name=FILE.npy with rows of parameters, then observation, and
--config.method.parameters=D.
"""

from ml_collections import ConfigDict, config_dict

from jaxgen.config import common, parse_arg, preset


def linear_gaussian(c: ConfigDict) -> None:
    """x = theta - 1 + noise of variance 0.3, in three dimensions; theta is standard normal."""
    c.method.parameters = 3
    c.evaluate.sample.observation = (0.0, 0.0, 0.0)


def two_moons(c: ConfigDict) -> None:
    """Two crescents explain every observation; the prior is uniform on a square."""
    c.method.update(parameters=2, low=(-1.0, -1.0), high=(1.0, 1.0))
    c.train.steps = 6000
    c.optim.model.decay_steps = 6000
    c.evaluate.sample.observation = (0.0, 0.0)


PRESETS = {"linear_gaussian": linear_gaussian, "two_moons": two_moons}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/npe.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="linear_gaussian", tiny=False)
    c = common(arg.data)
    c.data.standardize = False  # the network does; the prior's support is in the own units
    c.model = dict(
        name="flows.npe.PosteriorFlow",
        embedding=(),
        depth=5,
        form="autoregressive",
        bins=10,
        bound=3.0,
        width=50,
        blocks=1,
    )
    c.method = dict(
        name="posterior.Posterior",
        parameters=1,
        low=config_dict.placeholder(tuple),
        high=config_dict.placeholder(tuple),
    )
    c.optim = dict(
        model=dict(
            name="adam",
            learning_rate=1e-3,
            warmup_steps=0,
            schedule="cosine",
            decay_steps=3000,
            clip_norm=5.0,
        )
    )
    c.ema = dict(model=dict(half_life_steps=50.0, ramp_up=0.05))
    c.train.update(
        steps=3000,
        batch_size=256,
        steps_per_dispatch=20,
        log_every_steps=500,
        save_every_steps=1500,
    )
    c.evaluate.update(
        every_steps=1500,
        batch_size=2000,
        splits=("test",),
        best="test/nll",
        sample_every_steps=1500,
        num_samples=4000,
        sample=dict(temperature=1.0, observation=config_dict.placeholder(tuple)),
    )
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        c.model.update(depth=2, bins=4, width=8)
        c.train.update(steps=20, batch_size=16, log_every_steps=5, save_every_steps=10)
        c.train.steps_per_dispatch = 4
        c.evaluate.update(every_steps=10, sample_every_steps=20, num_samples=64, max_examples=512)
        c.evaluate.batch_size = 512
    return c
