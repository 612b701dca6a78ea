"""Glow (Kingma & Dhariwal 2018) by maximum likelihood.

    python -m jaxgen.main --config=configs/glow.py              digits, two CPU cores, minutes
    python -m jaxgen.main --config=configs/glow.py:mnist --config.data.manual_dir=DIR
    python -m jaxgen.main --config=configs/glow.py:cifar10      the paper's recipe
    ... :digits,tiny                                            seconds, for tests
"""

from jaxgen.config import parse_arg, preset
from ml_collections import ConfigDict, config_dict


def digits(c):
    c.model.update(levels=1, depth=8, width=64, edge=False, dropout=0.2)


def mnist(c):
    c.model.update(levels=2, depth=8, width=64)


def cifar10(c):
    c.model.update(levels=3, depth=32, width=512)
    c.train.update(batch_size=512, steps=100_000)


def get_config(arg=""):
    arg = parse_arg(arg, data="digits", tiny=False)
    c = ConfigDict()
    c.seed = 0
    c.model = dict(name="flows.glow.Glow", levels=3, depth=32, width=512, coupling="affine",
                   lu=False, edge=True, dropout=0.0, memory="store", dtype=config_dict.placeholder(str))
    c.method = dict(name="likelihood.Likelihood", n_bits=config_dict.placeholder(int), conditional=False)
    c.data = dict(name=arg.data, manual_dir=config_dict.placeholder(str), data_dir=config_dict.placeholder(str))
    c.optim = dict(model=dict(name="adam", learning_rate=1e-3, warmup_steps=100, clip_norm=0.0, decay="constant", decay_steps=0))
    c.ema = dict(model=dict(half_life_steps=200.0, ramp_up=0.05))
    c.mesh = dict(data=-1, fsdp=1)
    c.train = dict(steps=4000, batch_size=64, accum=1, steps_per_dispatch=1, log_every_steps=100,
                   save_every_steps=1000, save_every_minutes=0.0, on_nan="stop", max_rollbacks=3)
    c.checkpoint = dict(keep_last=2, keep_best=True)
    c.evaluate = dict(every_steps=1000, batch_size=256, splits=("train", "test"), max_examples=config_dict.placeholder(int),
                      sample_every_steps=1000, num_samples=64, sample=dict(temperature=1.0))
    preset(arg.data, dict(digits=digits, mnist=mnist, cifar10=cifar10))(c)
    if arg.tiny:
        c.model.update(depth=2, width=16)
        c.train.update(steps=20, batch_size=16, log_every_steps=5, save_every_steps=10)
        c.evaluate.update(every_steps=10, sample_every_steps=20, num_samples=4, max_examples=64)
    return c
