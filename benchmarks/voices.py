"""Voices converted to other speakers, read by judges of real speech.

    python benchmarks/voices.py RUN [RUN ...] [--seed=0]

RUN is of configs/voice_vae.py on `vowels_mel` or `vowels`. Each test utterance is converted to a
random other speaker. For every run: shares that support vector machines, fitted to
train utterances, read as the speaker asked for and as the one who spoke, the share whose vowel they
still read, and the root mean square of log-mel differences to real utterances of that vowel by the
speaker asked for, in nats of power; standard errors in brackets. Above them the same of doing
nothing, and of real utterances by the speaker asked for: the floor. Then what a linear classifier
reads of the codes of test utterances. The bars are those of the issue.
"""

import argparse

import numpy as np

import jaxgen
from jaxgen.evaluate import voices
from jaxgen.views.voices import converted

BARS = {"target": (">=", 0.75), "source": ("<=", 0.05), "vowel": (">=", 0.72)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    courts = {}
    print(
        f"{'':28} {'target':>14} {'source':>14} {'vowel':>14} {'distance':>9}  probes: vowel, who"
    )
    for path in arguments.runs:
        run = jaxgen.load(path)
        name = run.spec.name
        if name not in courts:
            court = courts[name] = voices.Court.of_data(run.dataset(), arguments.seed)
            nothing = court.judged(court.test["x"])  # of the same utterances, whatever x is
            print(row(f"{name}: nothing", nothing))
            print(row(f"{name}: floor", court.floor()))
        court = courts[name]
        found = court.converted(lambda x, label, run=run: converted(run, x, label))
        print(row(path, found) + probed(run, court) + f"  {verdict(found, nothing)}", flush=True)


def row(name, found):
    """A line of a table."""
    shares = [f"{getattr(found, k):.3f} ({found.error(k):.3f})" for k in BARS]
    return f"{name[-28:]:28} " + " ".join(f"{s:>14}" for s in shares) + f" {found.distance:9.2f}"


def probed(run, court):
    """What is read of the codes."""
    sets = [latents(run, part["x"]) for part in (court.train, court.test)]
    shares = [
        voices.probe(sets[0], court.train[k], sets[1], court.test[k]) for k in ("vowel", "label")
    ]
    return "  {:.3f}, {:.3f}".format(*shares)


def latents(run, x):
    """Codes, or numbers, of utterances [N, ...]."""
    import jax

    leaves = jax.tree.leaves(run.encode(x, label=0))
    return np.concatenate([np.asarray(leaf).reshape(len(x), -1) for leaf in leaves], axis=1)


def verdict(found, nothing):
    """Which bars are missed."""
    missed = [
        k
        for k, (way, bar) in BARS.items()
        if not (getattr(found, k) >= bar if way == ">=" else getattr(found, k) <= bar)
    ]
    missed += ["distance"] if found.distance >= nothing.distance else []
    return f"misses {', '.join(missed)}" if missed else "meets all bars"


if __name__ == "__main__":
    main()
