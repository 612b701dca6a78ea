"""How near slices are to the cosmic web: power, masses and peaks.

Real slices of the other split's boxes give the floor; slices with the power of real ones and random
phases are the control: a Gaussian field has the right spectrum, and neither masses nor peaks.

Source: Rodriguez et al. 2018, Fast cosmic web simulations with generative adversarial networks
(arXiv:1801.09070), section 3.2, for the three.
"""

from __future__ import annotations

import numpy as np

from jaxgen.data.embedded.cosmic_web import NAMES
from jaxgen.evaluate.comparison import Comparison
from jaxgen.evaluate.measurement import Measurement, NotAvailable, Number, fingerprint, of_draws
from jaxgen.ops import cosmic

FIRST, LAST = 3, 24  # waves a side: longer ones scatter from box to box, shorter are smoothed
NUMBERS = {
    "spectrum": Number(
        "Power spectrum", f"median relative error of the mean power, {FIRST} to {LAST} waves a side"
    ),
    "spectrum_worst": Number("Power spectrum, worst", "the largest of those errors"),
    "mass_distance": Number(
        "Mass histogram", "sum of differences of shares in 40 bins of equally many real cells"
    ),
    "peak_count": Number("Peaks", "relative error of their mean number in a slice"),
    "peak_height": Number(
        "Heights of peaks", "Wasserstein-1 distance, in deviations of real heights"
    ),
}


def measure(c: Comparison) -> list[Measurement]:
    """Of samples against the reference split."""
    if c.dataset.spec.name not in NAMES:
        raise NotAvailable(f"{c.dataset.spec.name} is no slice of a periodic box")
    real, other = (
        cosmic.counts(np.concatenate(list(c.real_images(split, c.max_examples)))[..., 0])
        for split in (c.split, c.other_split)
    )
    sets = [np.concatenate(list(x))[..., 0] for x in c.subject.sets]
    found = [errors(real, cosmic.counts(x)) for x in sets]
    floor = errors(real, other)
    control = errors(real, cosmic.randomised(np.random.RandomState(c.seed), real))
    counts = {"num_real": len(real), "num_generated": c.subject.num, "scale": cosmic.SCALE}
    print_of = fingerprint(c.print_of_data(c.split), counts)
    cut = float(np.mean([cosmic.clipped(x) for x in sets]))
    notes = (f"{cut:.2%} of cells are cut off before the map is inverted",) if cut else ()
    return [
        c.measured(
            name,
            of_draws(f[name] for f in found),
            fingerprint=print_of,
            context=c.context(floor=floor[name], control=control[name]),
            notes=notes,
        )
        for name in NUMBERS
    ]


def errors(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """What `NUMBERS` has, of counts [B, N, N]."""
    from scipy.stats import wasserstein_distance

    k, power = cosmic.spectrum(real)
    inner = (k >= FIRST) & (k <= LAST)
    ratio = cosmic.spectrum(fake)[1].mean(0)[inner] / power.mean(0)[inner]
    ends = cosmic.quantile_ends(real)
    masses = [cosmic.mass_histogram(x, ends) for x in (real, fake)]
    theirs, ours = cosmic.peaks(real), cosmic.peaks(fake)
    heights = [np.concatenate(p) for p in (theirs, ours)]
    far = wasserstein_distance(*heights) / heights[0].std() if len(heights[1]) else np.inf
    return {
        "spectrum": float(np.median(np.abs(ratio - 1))),
        "spectrum_worst": float(np.max(np.abs(ratio - 1))),
        "mass_distance": float(np.abs(masses[0] - masses[1]).sum()),
        "peak_count": abs(len(heights[1]) / len(ours) / (len(heights[0]) / len(theirs)) - 1),
        "peak_height": float(far),
    }
