# %% [markdown]
# # A GAN and mode collapse
#
# In a generative adversarial network two networks play a game: a generator turns noise into points,
# a discriminator says which points are real. Nobody writes down a density, so nothing forces the
# generator to produce all of the data: it wins with the part that fools the discriminator. This
# tutorial lets a small game lose modes, counts them, and tries two remedies. It takes about two
# minutes on two cores.
#
# ## Data whose modes can be counted
#
# Eight narrow Gaussians on a circle, equally likely. Following Srivastava et al. 2017, a sample is
# good within three standard deviations of the nearest centre, and a mode is covered when it has a
# good sample. That says little of a mode with one sample, so look also at how evenly the good
# samples are spread: the Kullback-Leibler divergence of their shares from the uniform distribution,
# 0 nats at best, log 8 = 2.08 when one mode has all.

# %%
import numpy as np

import jaxgen
from jaxgen.data.embedded import toys

centres, deviation = toys.modes("ring8_narrow")


def coverage(x):
    """Counts of good samples by mode, their share, and their divergence from uniform in nats."""
    distance = np.linalg.norm(x[:, None] - centres, axis=-1)
    good = distance.min(1) <= 3 * deviation
    counts = np.bincount(distance.argmin(1)[good], minlength=len(centres))
    share = counts[counts > 0] / max(counts.sum(), 1)
    return counts, good.mean(), (share * np.log(share * len(centres))).sum()


def report(name, x):
    """Prints the coverage; modes covered, and the divergence."""
    counts, good, divergence = coverage(x)
    modes = int((counts > 0).sum())
    print(f"{name}: {modes} of 8 modes, {good:.0%} good, {divergence:.3f} nats from even: {counts}")
    return modes, divergence


real = jaxgen.data.load("ring8_narrow").splits["test"].take(np.arange(2500))["x"]
report("test points", real)

# %% [markdown]
# ## The game as it was first played
#
# The preset `gan:r1_none,data=ring8_narrow` is the non-saturating game of Goodfellow et al. 2014,
# with nothing to steady it: two layers of 128 units for each player. `jaxgen.fit` with the same
# `workdir` goes on with the same run, so the game can be watched. Samples are usually drawn from
# parameters averaged over many steps; `average="none"` takes those of the moment.

# %%
rates = {f"optim.{player}.decay_steps": 6000 for player in ("generator", "discriminator")}
watched = {}


def play(preset, steps, name):
    """Trains up to so many steps; draws, reports and keeps samples of the moment."""
    where = {"workdir": f"runs/{preset}", "quiet": True}
    run = jaxgen.fit(f"gan:{preset},data=ring8_narrow", steps=steps, **where, **rates)
    now = jaxgen.load(run.directory.path, average="none")
    watched[name] = now.sample(2500, seed=0)
    return report(name, watched[name])


for steps in (1000, 2000, 4000, 6000):
    plain_modes, plain = play("r1_none", steps, f"{steps:,} steps")

# %% [markdown]
# The generator finds some modes and leaves them again, and in the end a few modes have hundreds of
# samples and others hardly any or none. Its loss does not tell: the discriminator compares samples
# with data one by one, and a sample on a mode looks real however many others are there. This is
# mode collapse.
#
# ## Two remedies
#
# The first is a penalty on the slope of the discriminator at real points (R1, Mescheder et al.
# 2018). A flat discriminator pulls no generator away from where the data are, and the game comes to
# rest. The second changes what the discriminator sees: packing (Lin et al. 2018) shows it pairs of
# points, all real or all generated. Two samples of one mode are likely for a collapsed generator
# and unlikely for the data, so that collapse itself looks fake.

# %%
r1_modes, r1 = play("r1", 6000, "R1")
packed_modes, packed = play("packed", 6000, "packing")

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(2, 3, figsize=(7.5, 5), sharex=True, sharey=True, layout="constrained")
for ax, (name, x) in zip(axes.flat, watched.items(), strict=True):
    ax.scatter(*centres.T, s=120, facecolors="none", edgecolors="tab:orange")
    ax.scatter(*x.T, s=1, color="tab:blue")
    ax.set(title=name, aspect="equal", xlim=(-2.5, 2.5), ylim=(-2.5, 2.5))
figure.savefig("gan-modes.png", dpi=70)

# %% [markdown]
# ![Samples of the plain game at four times, and of both remedies at the end](gan-modes.png)
#
# Both spread their samples over all modes much more evenly. Neither is free of samples between the
# modes: a generator is a continuous map of one piece of noise, as in [the tutorial on
# flows](flow.md), so its pieces stay joined. One seed proves little about games:
# [Results](../results.md) has three seeds of each preset for 40,000 steps, on this circle's wider
# twin and on a grid of 25 modes.
#
# Try: `seed=1`; the presets `gan:r3,data=grid25` and `gan:r3_none,data=grid25`.
