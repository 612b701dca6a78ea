# %% [markdown]
# # A variational autoencoder on digits
#
# A variational autoencoder explains every image by a few hidden numbers, its latents. An encoder
# guesses the latents of an image, a decoder draws an image of latents. This tutorial trains one on
# 8x8 scans of handwritten digits, takes its loss apart, and then turns its latents like knobs to
# see what each has come to mean. It takes half a minute on two cores.
#
# ## The bound
#
# The model says: draw latents z from a standard normal, then draw the pixels from the decoder's p(x
# | z). How probable an image is, p(x), is an average over all z, which nobody can compute. With an
# encoder q(z | x) there is a lower bound of its logarithm:
#
#     log p(x)  >=  E_q log p(x | z)  -  KL(q(z | x) || p(z))
#
# The first term says how well the pixels come back, the second how many nats the latents say about
# the image. Training moves encoder and decoder up the bound. The preset `vae` has eight latents;
# pixels are black or white here.

# %%
import numpy as np

import jaxgen

run = jaxgen.fit("vae", quiet=True)  # 1,500 digits, 4,000 steps
test = run.dataset().splits["test"].take(np.arange(297))
print(test["x"].shape, "black and white; classes", test["label"][:8])

# %% [markdown]
# The bound on the test images, and its two parts:

# %%
found = run.evaluate(splits=("test",))
nelbo = found["test/nelbo"].mean
pixels, latents = found["test/reconstruction"].mean, found["test/kl"].mean
print(f"-bound {nelbo:.2f} nats = {pixels:.2f} for the pixels + {latents:.2f} for the latents")

# %% [markdown]
# An image costs that many nats on average. A model of 64 independent pixels is the floor to compare
# with: it knows how often each pixel is black, and nothing else. And how loose is the bound? With K
# draws of the latents instead of one, weighted by how well they explain the image, it rises towards
# log p(x) (Burda et al. 2016):

# %%
train = run.dataset().splits["train"].take(np.arange(1500))["x"].reshape(1500, -1)
often = (train.sum(0) + 0.5) / (len(train) + 1)
bits = test["x"].reshape(297, -1)
independent = -(bits * np.log(often) + (1 - bits) * np.log(1 - often)).sum(1).mean()
print(f"independent pixels: {independent:.2f} nats")

tighter = run.evaluate(splits=("test",), importance_samples=200)["test/iw_nll"].mean
print(f"bound of 200 draws: {tighter:.2f} nats, {nelbo - tighter:.2f} below that of one")

# %% [markdown]
# ## Reconstructions and samples
#
# Above test images, below what the decoder makes of their latents: eight numbers for 64 pixels, so
# strokes come back and quirks are lost. The last two rows are samples: latents drawn from the
# prior, which no image has had. In the second row grey is how probable white is; samples have the
# more probable colour.

# %%
from jaxgen import pictures


def shown(images):
    """Images in 0 .. 1 as grey ones."""
    return pictures.to_uint8(np.asarray(images, np.float64), levels=None)


some = test["x"][:16]
rows = [some, run.reconstruct(some), run.sample(32, seed=0, mean=True)]
pictures.save_png("vae-samples.png", pictures.grid(shown(np.concatenate(rows)), columns=16))

# %% [markdown]
# ![Test digits, their reconstructions, and two rows of samples](vae-samples.png)
#
# ## Which latents are used
#
# The second term charges for every latent that differs from the prior. A latent that does not pay
# for itself in pixels is switched off: its code is the same for all images. The deviation of the
# codes over the test images shows which ones say something. In a beta-VAE (Higgins et al. 2017) the
# second term costs beta times as much, and fewer latents pay:


# %%
def spread_of(run):
    """Deviation of each latent's code over the test images."""
    (codes,) = run.encode(test["x"])  # of groups of latents, of which this model has one
    return codes.std(0)


dear = jaxgen.fit("vae", quiet=True, **{"method.beta": 4.0})
used = {}
for beta, model in ((1, run), (4, dear)):
    spread = spread_of(model)
    used[beta] = int((spread > 0.1).sum())
    deviations = " ".join(f"{s:.2f}" for s in np.sort(spread)[::-1])
    print(f"beta = {beta}: deviations {deviations}: {used[beta]} of {len(spread)} in use")
used_by_one, used_by_four = used[1], used[4]

# %% [markdown]
# ## Sweeps
#
# Turn one latent at a time from -3 to 3 deviations, the others staying as they are for one image,
# here a zero; the most active latent is in the first row. This is `jaxgen sweep RUN`, by hand.

# %%
(codes,) = run.encode(test["x"])
spread = codes.std(0)
order = np.argsort(-spread)
start = codes[test["label"] == 0][0]
knob = np.linspace(-3, 3, 13)
z = np.tile(start, (len(order), len(knob), 1))
for row, latent in enumerate(order):
    z[row, :, latent] = codes[:, latent].mean() + knob * spread[latent]
swept = run.decode((z.reshape(-1, len(order)),))
pictures.save_png("vae-sweep.png", pictures.grid(shown(swept), columns=len(knob)))
change = np.abs(np.diff(swept.reshape(*z.shape[:2], 64), axis=1)).sum((1, 2))
print("pixels that change along each row:", *(f"{c:.0f}" for c in change))

# %% [markdown]
# ![A row of digits for every latent, turned from one end to the other](vae-sweep.png)
#
# Nobody told the model about digits. Some rows turn the zero into other digits, others open it or
# thicken its stroke. The latents are not pure: nothing in the bound asks that each means one thing.
# That question, and the measures of it, are in [Results](../results.md).
#
# ## Two latents
#
# With two latents everything can be seen at once: where the encoder puts test digits, and what the
# decoder draws at each place of the plane.

# %%
import matplotlib.pyplot as plt

flat = jaxgen.fit("vae", quiet=True, model={"latent": 2})
(plane,) = flat.encode(test["x"])
axis = np.linspace(-2.5, 2.5, 15)
places = np.stack(np.meshgrid(axis, axis[::-1]), -1).reshape(-1, 2).astype(np.float32)

pictures.save_png("vae-plane.png", pictures.grid(shown(flat.decode((places,))), columns=15))

figure, ax = plt.subplots(figsize=(5, 4), layout="constrained")
dots = ax.scatter(*plane.T, c=test["label"], cmap="tab10", s=8)
figure.colorbar(dots, ticks=range(10), label="digit")
ax.set(aspect="equal", title="codes of test digits")
figure.savefig("vae-codes.png", dpi=70)

two = flat.evaluate(splits=("test",))["test/nelbo"].mean
print(f"-bound with two latents: {two:.2f} nats, with eight: {nelbo:.2f}")

# %% [markdown]
# ![Codes of test digits in the plane](vae-codes.png)
#
# ![The digits that the decoder draws at each place](vae-plane.png)
#
# Digits that look alike lie side by side, and there are no gaps between them: the second term of
# the bound pulls the codes together until they fill the prior. That is why samples work at all. A
# plain autoencoder has no such term, and what it draws between its codes means nothing.
#
# Try: the preset `vae:digits_grey`, whose pixels have all of their 17 grey levels;
# `model={"latent": 32}`, and count those in use; `jaxgen interpolate RUN`.
