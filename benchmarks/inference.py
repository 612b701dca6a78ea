"""Posteriors of two benchmark simulators beside their references, by a classifier two-sample test.

    python benchmarks/inference.py                                 two moons, 1,000 simulations
    python benchmarks/inference.py --simulations=10000 --methods=npe,tsnpe
    python benchmarks/inference.py --task=slcp --observations=2

Of each method, for the first observations of the benchmark of Lueckmann et al. 2021: the accuracy
of a classifier between --draws of its posterior and of the reference, 0.5 where they cannot be
told apart. The floor is the reference against more draws of itself, the control the prior. A tenth
of the simulations is held out, and the checkpoint of the best loss on it is taken; truncated rounds
hold out none. References are our own: exact draws for two moons, long chains on the likelihood for
SLCP. Runs and figures go to --out, and what is there is not made again.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxgen
from jaxgen.data.embedded import simulated
from jaxgen.evaluate.metrics.c2st import c2st
from jaxgen.ops.elliptical import elliptical_slice
from jaxgen.ops.priors import Uniform
from jaxgen.ops.simulators import SIMULATORS, crescent

ROUNDS = 10
METHODS = ("npe", "nle", "nre", "tsnpe")
# of the benchmark's repository, sbi-benchmark/sbibm, tasks/*/files/num_observation_*
OBSERVATIONS = {
    "two_moons": (
        (-0.6396706, 0.16234657),
        (-0.5676688, -0.33194834),
        (0.0030109584, -0.6457662),
        (-0.25049388, 0.633055),
        (-0.66463584, -0.42604533),
        (-0.12940255, 0.3873573),
        (0.19458583, 1.0400153),
        (0.13603824, 0.9160449),
        (-0.17962828, -0.5452459),
        (0.14563406, -1.170141),
    ),
    "slcp": (
        (2.3718784, 0.49947417, 9.931435, 1.7136912, -10.436423, -1.9067793, -1.2343777, -0.09735),
        (-0.66452104, -2.9279308, -16.49147, 4.06107, 4.232153, -4.652277, -4.9924355, -1.5655216),
        (3.5023372, 5.254722, 8.685451, 9.995327, 0.40782332, -5.7111573, 10.605566, 12.695774),
    ),
}


def prior_of(task: str) -> Uniform:
    """Of a task."""
    low, high = SIMULATORS[task].low, SIMULATORS[task].high
    assert low is not None and high is not None
    return Uniform(low, high)


def two_moons_reference(observed: np.ndarray, num: int, seed: int) -> np.ndarray:
    """Exact draws [num, 2]: each noise explains the observation by two parameters, or by none."""
    random, found = np.random.RandomState(seed), []
    while sum(map(len, found)) < num:
        key = jax.random.key(random.randint(2**31))
        x, y = ((observed - np.asarray(crescent(key, num))) * np.sqrt(2)).T
        total = np.where(random.rand(num) < 0.5, x, -x)  # -|a + b| = x
        theta = np.stack([(total - y) / 2, (total + y) / 2], axis=-1)
        found.append(theta[(x <= 0) & (np.abs(theta) <= 1).all(1)])
    return np.concatenate(found)[:num]


def _of_noise(task: str, observed: np.ndarray) -> Any:
    """(noise [N, D]) -> log-likelihood [N]."""
    prior, likelihood = prior_of(task), SIMULATORS[task].log_likelihood
    assert likelihood is not None
    return lambda u: likelihood(prior.of_noise(u), jnp.asarray(observed))


def slcp_reference(observed: np.ndarray, num: int, seed: int, chunks: int = 16) -> np.ndarray:
    """Draws [num, 5]: a million candidates a chunk, weighed, then moved by long chains.

    The third and the fourth parameter are seen by their squares alone, so that their signs are
    drawn: modes then have their shares exactly.
    """
    value = _of_noise("slcp", observed)
    of_chunk = jax.jit(lambda key: (u := jax.random.normal(key, (10**6, 5)), value(u)))
    keys = jax.random.split(jax.random.key(seed), chunks + 1)
    u, weight = (np.concatenate(v) for v in zip(*map(of_chunk, keys[1:]), strict=True))
    weight = np.exp(weight.astype(np.float64) - weight.max())
    random = np.random.RandomState(seed)
    u = u[random.choice(len(u), num, p=weight / weight.sum())]
    moved = jax.jit(lambda u: elliptical_slice(keys[0], value, u, moves=200))(u)
    theta = np.array(prior_of("slcp").of_noise(moved))
    theta[:, 2:4] *= random.choice([-1, 1], (num, 2))
    return theta


def reference(task: str, number: int, num: int, seed: int = 0) -> np.ndarray:
    """Draws [num, D] of the posterior of an observation, from 0."""
    observed = np.array(OBSERVATIONS[task][number], np.float32)
    of_task = {"two_moons": two_moons_reference, "slcp": slcp_reference}[task]
    return of_task(observed, num, seed)


def amortised(name: str, task: str, count: int, out: pathlib.Path, steps: int) -> Any:
    """A run of npe, nle or nre on so many simulations."""
    rows, _ = simulated.simulate(SIMULATORS[task], count, seed=100)
    every = max(1, steps // 100)
    changes = {
        "optim.model.decay_steps": steps,
        "train.save_every_steps": steps,
        "evaluate.every_steps": every,
        "evaluate.sample_every_steps": 0,
        "evaluate.num_samples": 0,
    }
    path = out / f"{name}-{task}-{count}"
    jaxgen.fit(f"{name}:{task}", rows, steps=steps, workdir=path, quiet=True, **changes)
    return jaxgen.load(path, step="best")


def in_rounds(task: str, number: int, count: int, out: pathlib.Path, steps: int) -> Any:
    """A run of tsnpe on so many simulations, about one observation."""
    rows, _ = simulated.simulate(SIMULATORS[task], 1000, seed=100)
    observed = OBSERVATIONS[task][number]
    changes = {
        "method.observation": observed,
        "method.rounds": ROUNDS,
        "method.simulations": count // ROUNDS,
        "method.round_steps": steps // ROUNDS,
        "method.candidates": max(200_000, 100 * count),
        "optim.model.decay_steps": steps,
        "train.save_every_steps": steps,
        "evaluate.every_steps": steps,
        "evaluate.sample_every_steps": 0,
        "evaluate.num_samples": 0,
    }
    path = out / f"tsnpe-{task}-{count}-{number + 1}"
    return jaxgen.fit(f"tsnpe:{task}", rows, steps=steps, workdir=path, quiet=True, **changes)


def measured(arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Method, floor and control -> accuracy for each observation."""
    task, count, draws = arguments.task, arguments.simulations, arguments.draws
    out = pathlib.Path(arguments.out)
    numbers = range(min(arguments.observations, len(OBSERVATIONS[task])))
    truth = [reference(task, number, draws) for number in numbers]
    found: dict[str, list[float]] = {}

    def note(name: str, others: list[np.ndarray], begun: float) -> None:
        taken = time.perf_counter() - begun
        found[name] = [c2st(a, np.asarray(b)) for a, b in zip(truth, others, strict=True)]
        mean, each = np.mean(found[name]), ", ".join(f"{v:.3f}" for v in found[name])
        print(f"{task} {count:,} {name}: {mean:.3f} ({each}); {taken:.0f} s", flush=True)

    begun = time.perf_counter()
    note("floor", [reference(task, number, draws, seed=1) for number in numbers], begun)
    prior = np.asarray(SIMULATORS[task].prior(jax.random.key(2), draws))
    note("control: the prior", [prior for _ in numbers], begun)
    for name in arguments.methods.split(","):
        begun, found_by = time.perf_counter(), []
        run = None if name == "tsnpe" else amortised(name, task, count, out, arguments.steps)
        for number in numbers:
            one = run or in_rounds(task, number, count, out, arguments.steps)
            found_by.append(one.sample(draws, seed=0, observation=OBSERVATIONS[task][number]))
        note(name, found_by, begun)
    return found


def main() -> None:
    """Measures, prints, and writes the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--task", choices=OBSERVATIONS, default="two_moons")
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--observations", type=int, default=3)
    parser.add_argument("--draws", type=int, default=10_000, help="of each posterior")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--steps", type=int, default=3000, help="of the training")
    parser.add_argument("--out", default="runs/inference")
    arguments = parser.parse_args()
    pathlib.Path(arguments.out).mkdir(parents=True, exist_ok=True)
    found = measured(arguments)
    name = f"{arguments.task}-{arguments.simulations}.json"
    (pathlib.Path(arguments.out) / name).write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
