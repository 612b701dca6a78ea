# %% [markdown]
# # A posterior for a simulator, and whether to trust it
#
# A simulator turns parameters into observations. Science asks the way back: which parameters could
# have made what was observed? Neural posterior estimation (Papamakarios & Murray 2016) draws
# parameters from the prior, simulates, and trains a conditional flow on the pairs: given an
# observation, it is the posterior. Nothing but draws of the simulator is needed. This tutorial does
# so for a ball that is thrown, compares with the exact posterior, and then checks calibration,
# which needs no exact posterior. It takes about a minute on two cores.
#
# ## The simulator
#
# A ball is thrown with a speed of 5 to 15 m/s, at an angle of 10 to 80 degrees, both equally
# likely. Only the distance at which it lands is measured, with an error of 0.3 m. Many speeds and
# angles give the same distance, so the posterior is a curved ridge, and no single number can stand
# for it.

# %%
import numpy as np

LOW, HIGH, ERROR = np.array([5.0, 10.0]), np.array([15.0, 80.0]), 0.3
random = np.random.RandomState(0)


def distance(speed, angle):
    """Metres that a ball flies at a speed in m/s and an angle in degrees."""
    return speed**2 * np.sin(2 * np.deg2rad(angle)) / 9.81


def simulate(count):
    """Rows of speed, angle and measured distance."""
    parameters = LOW + (HIGH - LOW) * random.rand(count, 2)
    measured = distance(*parameters.T) + ERROR * random.randn(count)
    return np.concatenate([parameters, measured[:, None]], axis=1)


pairs, test = simulate(30_000), simulate(1000)
print("speed, angle, distance:", pairs[0].round(2))

# %% [markdown]
# ## Training
#
# The preset `npe` takes rows of parameters, then observation. The box of the prior is told to it,
# so that no draw is ever outside.

# %%
import jaxgen

prior = {"parameters": 2, "low": tuple(LOW), "high": tuple(HIGH)}
run = jaxgen.fit("npe", pairs, quiet=True, method=prior, **{"evaluate.sample.observation": (8.0,)})

# %% [markdown]
# ## One observation
#
# A ball landed at 8 m. Draws from the posterior of the flow, beside the exact posterior, which can
# be computed here because the noise is known: prior times likelihood on a grid, divided by its sum.

# %%
speeds, angles = (np.linspace(low, high, 200) for low, high in zip(LOW, HIGH, strict=True))
cell = (speeds[1] - speeds[0]) * (angles[1] - angles[0])
flown = distance(*np.meshgrid(speeds, angles))  # [angle, speed]


def exact(measured):
    """The posterior density on the grid."""
    likelihood = np.exp(-0.5 * ((flown - measured) / ERROR) ** 2)
    return likelihood / (likelihood.sum() * cell)


draws = run.sample(4000, seed=0, observation=(8.0,))
landed = distance(*draws.T)
print(f"balls of the posterior land at {landed.mean():.2f} +- {landed.std():.2f} m")

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 2, figsize=(7, 3), sharex=True, sharey=True, layout="constrained")
axes[0].imshow(exact(8.0), origin="lower", extent=(5, 15, 10, 80), aspect="auto", cmap="magma")
axes[0].set(title="exact posterior", xlabel="speed, m/s", ylabel="angle, degrees")
axes[1].scatter(*draws.T, s=1)
axes[1].set(title="draws of the flow", xlabel="speed, m/s")
figure.savefig("posterior-draws.png", dpi=80)

# %% [markdown]
# ![The exact posterior of speed and angle, and draws of the flow](posterior-draws.png)
#
# Low and high throws both reach 8 m, and the flow has found both. Over the 1,000 test throws, how
# far is it from the exact posterior? The mean of log p - log q at the true parameters estimates the
# Kullback-Leibler divergence, 0 for a perfect flow:

# %%
at = tuple(((test[:, :2] - LOW) / (HIGH - LOW) * 199).round().astype(int).T)
true = np.array([np.log(exact(d)[a, s]) for s, a, d in zip(*at, test[:, 2], strict=True)])
divergence = (true - run.log_prob(test)).mean()
print(f"divergence from the exact posterior: {divergence:.3f} nats")

# %% [markdown]
# ## Calibration
#
# For most simulators there is no exact posterior. What can always be done is to simulate again,
# with parameters that are known. If the posterior is right, the true parameter is one more draw
# from it: its rank among draws is uniform (Talts et al. 2018). Ranks that crowd at both ends mean a
# posterior that is too narrow, ranks in the middle one that is too wide, a slope one that is
# shifted. To see what failure looks like, the same is done with a flow whose draws are made too
# narrow, by a temperature of 0.7.

# %%
NUM, DRAWS = 500, 99


def ranks(temperature):
    """How many draws lie below the true parameters of each test throw, 0 .. 99."""
    below = []
    for seed, row in enumerate(test[:NUM]):
        draws = run.sample(DRAWS, seed=seed, observation=(row[2],), temperature=temperature)
        below.append((draws < row[:2]).sum(0))
    return np.array(below)


good, narrow = ranks(1.0), ranks(0.7)

# %%
from scipy.stats import binom, chisquare

figure, axes = plt.subplots(1, 3, figsize=(9, 2.6), sharey=True, layout="constrained")
low, high = binom.ppf([0.005, 0.995], NUM, 1 / 20)
p_values = []
shown = {"speed": good[:, 0], "angle": good[:, 1], "angle, too narrow": narrow[:, 1]}
for ax, (name, rank) in zip(axes, shown.items(), strict=True):
    counts = ax.hist(rank, bins=20, range=(0, 100))[0]
    ax.axhspan(low, high, color="grey", alpha=0.3)
    ax.set(title=name, xlabel="rank")
    p_values.append(chisquare(counts).pvalue)
    print(f"{name}: p = {p_values[-1]:.2g} that the ranks are uniform")
figure.savefig("posterior-ranks.png", dpi=80)
p_speed, p_angle, p_narrow = p_values

# %% [markdown]
# ![Ranks in the band of a perfect posterior, and ranks of one too narrow](posterior-ranks.png)
#
# In the grey band lie 99 % of the counts of a perfect posterior. `run.calibrate()`, which is
# `jaxgen calibrate RUN`, does the same, and also asks whether regions of highest density hold the
# share of truths that they claim:

# %%
result = run.calibrate(num=500, draws=99)
for name, value in result.report().items():
    print(f"{name}: {value}")
coverage_error = result.report()["coverage_error"]

# %% [markdown]
# Calibration is necessary and not enough: the prior itself is calibrated, and useless. Look at it
# together with the negative log-likelihood, which falls as the posterior sharpens.
#
# Try: 3,000 pairs instead of 30,000, and look at the ranks; an error of 0.1 m; your own simulator,
# as in [A conditional flow for my simulator](../howto/simulator.md).
