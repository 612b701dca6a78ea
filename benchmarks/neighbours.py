"""Time and memory of precision and recall, and the ratio of the time to that of prdc.

    pip install prdc scikit-learn
    python benchmarks/neighbours.py                                     # 50,000 x 50,000 x 2,048
    python benchmarks/neighbours.py --num=5000 --rounds=0               # no prdc needed

Features are normal, float32, of `--num` real and as many generated examples. The first part runs
`precision_recall` once, in tiles of `--dtype`, and prints its time and the peak resident memory
of the process, features included. The second, with `--rounds` above 0, times `precision_recall`
with `density_coverage` against prdc's `compute_prdc`, which gives the same four numbers, on
`--paired` examples, alternating, in processes of their own, and prints the median ratio.
"""

import argparse
import contextlib
import json
import resource
import statistics
import subprocess
import sys
import time

import numpy as np


def features(num, dims):
    """Real and generated, [num, dims] float32."""
    generator = np.random.default_rng(0)
    return [generator.standard_normal((num, dims), np.float32) for _ in range(2)]


def once(num, dims, dtype):
    """`precision_recall`, in this process."""
    from jaxgen.evaluate.metrics.pr import precision_recall

    real, fake = features(num, dims)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    start = time.perf_counter()
    found = precision_recall(real, fake, dtype=np.dtype(dtype))
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{num} x {num} x {dims}, {dtype} tiles: {found}")
    print(f"{seconds:.1f} s, peak {peak:.2f} GiB resident, {before:.2f} of them before the call")


def timed(library, num, dims, dtype):
    """Seconds that the four numbers take, and the numbers, in this process."""
    real, fake = features(num, dims)
    if library == "prdc":
        from prdc import compute_prdc

        start = time.perf_counter()
        with contextlib.redirect_stdout(None):
            found = list(compute_prdc(real, fake, 5).values())
    else:
        from jaxgen.evaluate.metrics.dc import density_coverage
        from jaxgen.evaluate.metrics.pr import precision_recall

        start = time.perf_counter()
        options = dict(k=5, strict=True, dtype=np.dtype(dtype))
        pr, dc = (f(real, fake, **options) for f in (precision_recall, density_coverage))
        found = [pr.precision, pr.recall, dc.density, dc.coverage]
    print(json.dumps([time.perf_counter() - start, [float(v) for v in found]]))


def child(library, args):
    command = [sys.executable, __file__, f"--num={args.paired}", f"--dims={args.dims}"]
    command += [f"--dtype={args.dtype}", f"--only={library}"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num", type=int, default=50_000)
    parser.add_argument("--dims", type=int, default=2048)
    parser.add_argument("--dtype", default="float64", choices=["float32", "float64"])
    parser.add_argument("--paired", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=["jaxgen", "prdc"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        return timed(args.only, args.num, args.dims, args.dtype)
    once(args.num, args.dims, args.dtype)
    pairs = [[child(name, args) for name in ("jaxgen", "prdc")] for _ in range(args.rounds)]
    for (ours, found), (theirs, expected) in pairs:
        print(
            f"{args.paired} examples: {ours:.2f} s, prdc {theirs:.2f} s, ratio {ours / theirs:.3f}"
        )
        print(
            f"  largest difference of the four numbers {np.abs(np.subtract(found, expected)).max()}"
        )
    if pairs:
        ratio = statistics.median(ours[0] / theirs[0] for ours, theirs in pairs)
        print(f"median ratio of times {ratio:.3f}")


if __name__ == "__main__":
    main()
