"""What a conditional density makes of what it is given: its own, another's, and what one asks for.

    python -m jaxgen.main --config=configs/spline.py:turned_moons
    python -m jaxgen.main --config=configs/glow.py:moved_digits
    python benchmarks/givens.py runs/spline-turned_moons runs/glow-moved_digits

Mean negative log-likelihood of test examples given their own context, and given that of the example
before: the same contexts, of other examples. Of images of `moved_digits`, too, where the middle of
the mass of samples lies by the move that was asked for, in pixels a pixel: the slope and the
correlation, down and right, beside those of the test images (the most that there is to reach) and
of the samples by moves that others were asked for (none).
"""

import argparse

import numpy as np

import jaxgen

EXAMPLES, SAMPLES, CHUNK = 10_000, 2_000, 500


def nll(run, x, context):
    """Bits/dim of images, nats of points: mean and standard error."""
    parts = [
        run.log_prob(x[i : i + CHUNK], context=context[i : i + CHUNK])
        for i in range(0, len(x), CHUNK)
    ]
    values = -np.concatenate(parts)
    if x.ndim == 4:
        values = values / (np.log(2) * x[0].size)
    return values.mean(), values.std(ddof=1) / np.sqrt(len(values))


def middles(x):
    """[N, 2]: rows and columns of the middle of the mass."""
    mass = x[..., 0].astype(np.float64)
    total = mass.sum((1, 2))
    down, right = (np.arange(n) for n in mass.shape[1:])
    return np.stack([mass.sum(2) @ down / total, mass.sum(1) @ right / total], -1)


def slopes(x, moves):
    """As words: slope and correlation of middles by moves, down and right."""
    found = []
    for place, move in zip(middles(x).T, moves.T, strict=True):
        found.append((np.polyfit(move, place, 1)[0], np.corrcoef(move, place)[0, 1]))
    return ", ".join(f"{slope:.3f} (correlation {r:.3f})" for slope, r in found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--step", default="best", help="of the checkpoint")
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="of the test, at most")
    asked = parser.parse_args()
    for place in asked.runs:
        run = jaxgen.load(place, step=asked.step)
        split = run.dataset().splits["test"]
        batch = split.take(np.arange(min(len(split), asked.examples)))
        x, units = batch["x"], run.spec.fields["context"].units
        context = units.outward(batch["context"]) if units else batch["context"]
        other = np.roll(context, 1, axis=0)
        unit = "bits/dim" if x.ndim == 4 else "nats"
        for whose, given in (("its own", context), ("another's", other)):
            mean, error = nll(run, x, given)
            print(f"{place}: {mean:.3f} {unit} (s.e. {error:.3f}) given {whose} context, {len(x)}")
        if x.ndim == 4:
            moves = context[:SAMPLES]
            samples = run.sample(len(moves), seed=0, context=moves)
            print(f"  samples by what was asked for: {slopes(samples, moves)}")
            print(f"  test images by their own:      {slopes(x[: len(moves)], moves)}")
            print(f"  samples by another's:          {slopes(samples, np.roll(moves, 1, 0))}")


if __name__ == "__main__":
    main()
