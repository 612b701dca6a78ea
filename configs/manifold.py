"""Flows on circle, torus and sphere (Rezende et al. 2020), fitted to a density without data.

    python -m jaxgen.main --config=configs/manifold.py               four modes on the sphere
    python -m jaxgen.main --config=configs/manifold.py:t2            torus; also t2_correlated
    python -m jaxgen.main --config=configs/manifold.py:s1            circle
    python -m jaxgen.main --config=configs/manifold.py:PRESET,paper  the paper's learning rate
    python -m jaxgen.main --config=configs/manifold.py:PRESET,tiny   seconds, for tests

Expected of s2: `test/kl` 0.05 nats and `test/ess` 90 % (paper, Table 1, Moebius-spline, 20,000
steps of Adam at 2e-4, batch 256). Ours after 10,000 steps, a minute on two CPU cores: 0.008 and
97.8 % (s2), 0.0005 and 99.9 % (t2, t2_correlated), 0.007 and 99.3 % (s1, our own target).
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset


def s1(c: ConfigDict) -> None:
    """Three modes on the circle, one map."""
    c.model.update(space="torus", dims=1)


def t2(c: ConfigDict) -> None:
    """The second angle given the first."""
    c.model.update(space="torus", dims=2)


def s2(c: ConfigDict) -> None:
    """The paper's recursive flow: a spline of 32 bins, then a Moebius map of 12 components."""


PRESETS = {"s1": s1, "t2": t2, "t2_correlated": t2, "s2": s2}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/manifold.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="s2", paper=False, tiny=False)
    c = common(arg.data)
    c.model = dict(
        name="flows.manifold.ManifoldFlow",
        space="sphere",
        dims=2,
        depth=1,
        circle="moebius",
        components=12,
        bins=32,
        width=64,
    )
    c.method = dict(name="reverse_kl.ReverseKL", base="uniform", anneal_steps=0)
    c.optim = dict(
        model=dict(
            name="adam",
            learning_rate=3e-3,
            warmup_steps=0,
            schedule="cosine",
            decay_steps=10_000,
            clip_norm=5.0,
        )
    )
    c.train.update(
        steps=10000,
        batch_size=256,
        steps_per_dispatch=100,
        log_every_steps=1000,
        save_every_steps=5000,
    )
    c.evaluate.update(
        every_steps=5000,
        batch_size=10000,
        splits=("test",),
        best="test/kl",
        sample_every_steps=5000,
        num_samples=4000,
    )
    c.evaluate.sample = dict()
    preset(arg.data, PRESETS)(c)
    if arg.paper:
        c.optim.model.update(learning_rate=2e-4, schedule="constant", clip_norm=0.0)
        c.train.steps = 20_000
    if arg.tiny:
        c.model.update(bins=4, components=2, width=8)
        c.train.update(steps=20, batch_size=16, log_every_steps=5, save_every_steps=10)
        c.train.steps_per_dispatch = 4
        c.evaluate.update(every_steps=10, sample_every_steps=20, num_samples=64, max_examples=512)
        c.evaluate.batch_size = 512
    return c
