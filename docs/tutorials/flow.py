# %% [markdown]
# # A flow on points
#
# A normalizing flow is an invertible map f from data x to noise z = f(x). It gives two things at
# once: the density of every point, and samples, which are noise sent back through the inverse. This
# tutorial trains one on two moons, whose true density is known, and checks each claim with numbers.
# It takes about a minute on two cores.
#
# ## The change of variables
#
# If the noise z = f(x) has density p_z, then the data have
#
#     log p(x) = log p_z(f(x)) + log |det df/dx|
#
# The second term says how much f stretches space at x: where it stretches, the data are denser than
# the noise. In one dimension, take z = log x. Its slope is 1 / x, so p(x) = N(log x; 0, 1) / x.
# Counting draws shows that it is so:

# %%
import numpy as np

random = np.random.RandomState(0)
draws = np.exp(random.randn(1_000_000))  # z is normal, x = exp(z)
for x in (0.5, 1.0, 2.0):
    counted = np.mean(np.abs(draws - x) < 0.01) / 0.02
    formula = np.exp(-0.5 * np.log(x) ** 2) / np.sqrt(2 * np.pi) / x
    print(f"x = {x}: counted {counted:.3f}, by the formula {formula:.3f}")

# %% [markdown]
# ## Training
#
# A flow is trained by maximum likelihood: its parameters move so that -log p(x), averaged over the
# data, falls. The preset `spline:moons` is a neural spline flow (Durkan et al. 2019): five coupling
# layers, each of which bends one coordinate by a monotone spline whose shape depends on the other.
# A tenth of the points is held out.

# %%
import jaxgen
from jaxgen.data.embedded import toys

moons = jaxgen.data.load("moons")
points = moons.splits["train"].take(np.arange(20_000))
print(points["x"].shape, points["x"].dtype)

short = {"optim.model.decay_steps": 2000}  # the learning rate falls to zero over as many steps
run = jaxgen.fit("spline:moons", points["x"], steps=2000, quiet=True, **short)

# %% [markdown]
# What is the best that any model can do? The mean of -log p under the true density is its entropy.
# No model gets below it, except by the luck of a finite test set:

# %%
test = moons.splits["test"].take(np.arange(10_000))
nats = -run.log_prob(test["x"])
nll, error = nats.mean(), nats.std() / np.sqrt(len(nats))
entropy = moons.spec.entropy
print(f"negative log-likelihood {nll:.4f} +- {error:.4f} nats, entropy {entropy:.4f} nats")

# %% [markdown]
# ## The density
#
# The flow gives a density, not a score: over the plane it sums to one. Its logarithm shows best
# what lies between the moons.

# %%
import matplotlib.pyplot as plt

axis = np.linspace(-4.5, 4.5, 150)
plane = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
true, learned = toys.log_density("moons")(plane), run.log_prob(plane)
mass = np.exp(learned).sum() * (axis[1] - axis[0]) ** 2
print(f"mass of the flow in the square: {mass:.4f}")

samples = run.sample(2000, seed=0)
figure, axes = plt.subplots(1, 3, figsize=(9, 3), sharex=True, sharey=True, layout="constrained")
for ax, density, title in zip(
    axes, (true, learned), ("true log density", "of the flow"), strict=False
):
    image = density.reshape(150, 150)
    seen = ax.imshow(image, origin="lower", extent=(-4.5, 4.5, -4.5, 4.5), vmin=-12, cmap="magma")
    ax.set_title(title)
figure.colorbar(seen, ax=axes[1], label="nats")
axes[2].scatter(*samples.T, s=1, color="tab:blue")
axes[2].set(title="samples of the flow", aspect="equal")
figure.savefig("flow-density.png", dpi=80)

# %% [markdown]
# ![The true log density of two moons, that of the flow, and samples](flow-density.png)
#
# The faint bridges between the moons in the middle picture are no mistake of the training. A flow
# maps the plane, which is one piece, to noise, which is one piece. Two pieces cannot come out of a
# continuous invertible map; bridges so thin that they cost hardly any likelihood are the best that
# it can do. The few samples beside the moons are draws from there.
#
# ## Latents
#
# Going the other way, `encode` sends data to noise. The latents of test points should be a normal
# cloud, and each moon a half of it. The map is exact: decoding gives the points back.

# %%
z = run.encode(test["x"])
print("mean", *(f"{m:.2f}" for m in z.mean(0)), "deviation", *(f"{s:.2f}" for s in z.std(0)))
back = np.abs(run.decode(z) - test["x"]).max()
print(f"largest error of decode(encode(x)): {back:.1e}")

figure, axes = plt.subplots(1, 2, figsize=(6, 3), layout="constrained")
for ax, x, title in zip(axes, (test["x"], z), ("data", "latents"), strict=True):
    ax.scatter(*x[:3000].T, s=1, c=test["label"][:3000], cmap="coolwarm")
    ax.set(title=title, aspect="equal")
figure.savefig("flow-latents.png", dpi=80)

# %% [markdown]
# ![Test points coloured by moon, and their latents](flow-latents.png)
#
# ## The formula, once more
#
# All of the above is the change of variables. JAX can differentiate `encode`, so that the
# determinant can be taken by force, which is too slow for training but has no trick in it:

# %%
import jax

x = test["x"][:5]
slopes = jax.vmap(jax.jacfwd(lambda point: run.encode(point[None])[0]))(x)
logdet = np.linalg.slogdet(np.asarray(slopes, np.float64))[1]
by_hand = -0.5 * (z[:5] ** 2).sum(1) - np.log(2 * np.pi) + logdet
gap = np.abs(by_hand - run.log_prob(x)).max()
print(f"largest difference from run.log_prob: {gap:.1e} nats")

# %% [markdown]
# What makes a flow practical is that its layers have a Jacobian that is triangular: the determinant
# is a product of slopes, which costs no more than the layer itself. [Python](../python.md) shows
# single layers; `jaxgen models` lists other flows, which differ in how the layers are made
# triangular and what bends the coordinates.
#
# Try: `model={"depth": 2}`, and look at the bridge; the preset `realnvp:moons`, whose couplings
# only shift and scale; `maf:moons`, whose samples cost a pass for every coordinate.
