"""Samples of digits by what denoises, over samplers, steps and scales of guidance.

    python benchmarks/denoising.py RUN [RUN ...] --steps=1,4,10,24 --samplers=euler,heun
        --guidance=none,2 [--classifier=RUN --scales=0,1,2] [--ode=6,12,24]

A row has the energy score against the test images, the Frechet distance of pixels to them over the
trace of their covariance (`fd_ratio-pixels` of `jaxgen eval --reference=test`), the share of the
samples that a support vector machine reads as the class asked for, and the mean distance to the
nearest training image over that of the test images. Train images as samples are the first row.
With a classifier of noised data, which scales say how much to follow, a model that is given the
class is asked without it, `--guidance=0`.
`--ode` adds bits/dim of the test split by that many steps of the solver.
"""

import argparse
import dataclasses
import itertools
import time

import numpy as np
from sklearn.svm import SVC

import jaxgen
from jaxgen.data import load
from jaxgen.evaluate.metrics.fd import Moments, frechet
from jaxgen.ops.scores import distances as distances_of


def flat(x, levels=17):
    """Grey levels in [-1, 1], one row an image."""
    return (np.asarray(x, np.float64).reshape(len(x), -1) * (2 / (levels - 1))) - 1


def distances(a, b):
    """[N, M] in float64 on the host."""
    return np.asarray(distances_of(np.asarray(a), np.asarray(b)))


class Judge:
    """What samples are measured against."""

    def __init__(self):
        """Loads the digits, and fits the reader on the train split."""
        data = load("digits")
        every = {k: s.take(np.arange(len(s))) for k, s in data.splits.items()}
        self.train, self.test = flat(every["train"]["x"]), flat(every["test"]["x"])
        self.labels, self.examples = every["train"]["label"], every["test"]
        self.reader = SVC(gamma=0.001 * 64).fit(self.train, self.labels)
        self.right = self.reader.score(self.test, every["test"]["label"])
        self.moments = Moments.of(self.test.astype(np.float32))
        self.near = self.nearest(self.test)

    def nearest(self, x):
        """Mean distance to the nearest training image."""
        return float(distances(x, self.train).min(1).mean())

    def row(self, x, label):
        """The four numbers, as text."""
        energy = distances(self.test, x).mean()
        within = distances(x, x).sum() / (len(x) * (len(x) - 1))
        fake = Moments.of(x.astype(np.float32))
        ratio = frechet(self.moments, fake) / np.trace(self.moments.covariance)
        read = (self.reader.predict(x) == label).mean()
        near = self.nearest(x) / self.near
        return f"{energy - within / 2:8.4f} {ratio:8.4f} {100 * read:7.1f} {near:7.2f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--num", type=int, default=1500)
    parser.add_argument("--steps", default="")
    parser.add_argument("--samplers", default="")
    parser.add_argument("--guidance", default="none")
    parser.add_argument("--classifier")
    parser.add_argument("--scales", default="1")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--ode", default="")
    arguments = parser.parse_args()
    judge = Judge()
    print(f"{'':40}   energy  Frechet  read %      nn      s")
    print(f"{'train images':40} {judge.row(judge.train, judge.labels)}")
    label = np.random.RandomState(0).permutation(np.arange(arguments.num) % 10)
    for path in arguments.runs:
        run = jaxgen.load(path)
        guided = run.guided_by(arguments.classifier) if arguments.classifier else run
        own = {"label": label} if "label" in guided.method.given else {}
        scales = arguments.scales.split(",") if arguments.classifier else [""]
        asked = (arguments.samplers, arguments.steps, arguments.guidance)
        for sampler, steps, guidance, scale in itertools.product(
            *(values.split(",") for values in asked), scales
        ):
            knobs = dict(own)
            knobs |= {"sampler": sampler} if sampler else {}
            knobs |= {"steps": int(steps)} if steps else {}
            knobs |= {} if guidance == "none" else {"guidance": float(guidance)}
            knobs |= {"scale": float(scale)} if scale else {}
            begin = time.perf_counter()
            what = f"{path[-16:]} {sampler} {steps} {guidance} {scale}"
            for seed in range(arguments.seeds):
                x = flat(guided.sample(arguments.num, seed=seed, **knobs))
                took = time.perf_counter() - begin
                print(f"{what:40} {judge.row(x, label)} {took:6.1f}", flush=True)
        for steps in filter(None, arguments.ode.split(",")):
            run.method = dataclasses.replace(run.method, solver_steps=int(steps))
            given = {k: judge.examples[k] for k in run.method.given}
            bits = -run.log_prob(judge.examples["x"], **given) / (64 * np.log(2))
            error = bits.std(ddof=1) / len(bits) ** 0.5
            print(f"{path[-16:]} ODE {steps}: {bits.mean():.4f} bits/dim (s.e. {error:.4f})")


if __name__ == "__main__":
    main()
