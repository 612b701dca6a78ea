"""Simulation to reality by two autoencoders (Inoue et al. 2017): where is the block?

    python -m jaxgen.main --config=configs/sim_to_real.py --workdir=runs/sim_to_real-sim
        the first, on 8,000 rendered pictures, and the regressor of what it gives
    python -m jaxgen.main --config=configs/sim_to_real.py:mixed
        the second, on 200 real pictures and on rendered ones, from that run
    python -m jaxgen.main --config=configs/sim_to_real.py:real
        on the real ones alone; `:frozen` with the first's decoder as it is
    python -m jaxgen.main --config=configs/sim_to_real.py:direct
        what it is compared with: a regressor of the 200 real pictures themselves; `:jitter` with
        changes of gain and brightness
    python -m jaxgen.main --config=configs/sim_to_real.py:PRESET,tiny
        seconds, for tests

`test/pixels` is the mean distance from the truth. `jaxgen reconstruct` shows what becomes of real
pictures. All of it, with seeds and a curve over the number of pictures: python
benchmarks/sim_to_real.py. The scheme is patented: see `jaxgen.methods.sim_to_real`.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten


def sim(c: ConfigDict) -> None:
    """Two players; the regressor moves nothing but itself."""


def second(c: ConfigDict, **options: object) -> None:
    """Over the run of `sim`."""
    c.data.name = "real_block"
    c.frozen = dict(first="runs/sim_to_real-sim")
    c.model = c.model.model.to_dict()
    c.method = dict(name="sim_to_real.RealToSynthetic", **options) | _observed(c)
    del c.optim.regressor


def mixed(c: ConfigDict) -> None:
    """Half of what it is shown is rendered."""
    second(c, trained="all", mixed=True)


def real(c: ConfigDict) -> None:
    """Real pictures alone."""
    second(c, trained="all", mixed=False)


def frozen(c: ConfigDict) -> None:
    """The decoder stays that of the first."""
    second(c, trained="encoder", mixed=False)


def direct(c: ConfigDict) -> None:
    """No autoencoder."""
    c.data.name = "real_block"
    c.model = c.model.regressor.to_dict()
    c.method = dict(name="sim_to_real.Positions", jitter=0.0)
    del c.optim.regressor
    c.evaluate.sample = dict()
    c.evaluate.num_samples = 0


def jitter(c: ConfigDict) -> None:
    """Gain and brightness change by up to a fifth."""
    direct(c)
    c.method.jitter = 0.2


def _observed(c: ConfigDict) -> dict[str, object]:
    """What both autoencoders say of a picture."""
    return {k: c.method[k] for k in ("observation", "beta")}


PRESETS = dict(sim=sim, mixed=mixed, real=real, frozen=frozen, direct=direct, jitter=jitter)


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/sim_to_real.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="sim", tiny=False)
    c = common("sim_block")
    c.model = dict(
        model=dict(
            name="vaes.vae.ConvVAE",
            latent=8,
            hidden=(128,),
            activation="relu",
            channels=(16, 32, 64),
            kernels=(4, 4, 4),
        ),
        regressor=dict(name="science.position.PositionNet", channels=(16, 32, 64), hidden=128),
    )
    # of a deviation of 0.055 in [0, 1]: a pixel's square counts 1 / 2 and the divergence so little
    c.method = dict(name="sim_to_real.Synthetic", observation="gaussian", beta=0.003)
    adam = dict(name="adam", learning_rate=1e-3, schedule="cosine", decay_steps=2000)
    c.optim = dict(model=dict(adam), regressor=dict(adam))
    c.ema = dict()
    c.train.update(steps=2000, batch_size=64, steps_per_dispatch=10, log_every_steps=500)
    c.train.save_every_steps = 2000
    c.evaluate.update(every_steps=500, sample_every_steps=2000, best="test/pixels")
    c.evaluate.update(splits=("test",), batch_size=500)
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c)
        c.train.steps_per_dispatch = 4
        small = dict(channels=(4, 4, 4))
        for network in [c.model] if "name" in c.model else c.model.values():
            network.update(small, hidden=8 if "Position" in network.name else (8,))
    return c
