# %% [markdown]
# # A flow, a VAE and a GAN, measured side by side
#
# Three families of models on the same digits: a flow (Glow), which is trained on the exact density
# of slightly noisy pixels; a variational autoencoder, trained on a bound of it; an adversarial
# network, trained on no density at all. They cannot be judged by their losses, which are three
# different things. This tutorial measures all three with the same metrics, reads the numbers with
# their uncertainty, and makes the page of `jaxgen compare`. It takes about two minutes on two
# cores.
#
# ## Training
#
# Each is stopped early, so as to fit into two minutes; [Comparison](../comparison.md) has longer
# runs.

# %%
import numpy as np

import jaxgen

short = {f"optim.{player}.decay_steps": 4000 for player in ("generator", "discriminator")}
runs = {
    "flow": jaxgen.fit("glow", steps=1500, quiet=True),
    "vae": jaxgen.fit("vae:digits_grey", quiet=True),
    "gan": jaxgen.fit("gan:digits", steps=4000, quiet=True, **short),
}

# %% [markdown]
# Eyes first: real digits, and samples of each, 32 drawn by seed 0.

# %%
from jaxgen import pictures

real = runs["flow"].dataset().splits["test"].take(np.arange(32))["x"]
rows = [real, *(run.sample(32, seed=0, temperature=1.0) for run in runs.values())]
images = pictures.to_uint8(np.concatenate(rows), levels=17)
pictures.save_png("families-samples.png", pictures.grid(images, columns=16))

# %% [markdown]
# ![Two rows each of real digits, Glow, VAE and GAN](families-samples.png)
#
# ## Likelihood
#
# The first measure asks: how well does the model predict images that it has not seen? In bits per
# pixel, lower is better. Two floors tell what the scale means: log2(17) = 4.09 bits of someone who
# knows that there are 17 grey levels, and 2.43 bits of independent pixels, which know how often
# each has which level.

# %%
measured = {name: run.measure("likelihood,fd,pr", num=1500) for name, run in runs.items()}


def value(name, metric):
    """Of a metric by the beginning of its name: its value, and half of its 95 % interval."""
    for found in measured[name]["measurements"]:
        if found["name"].startswith(metric):
            return found["value"], (found["high"] - found["low"]) / 2, found
    return None


for name in runs:
    if found := value(name, "bpd"):
        print(
            f"{name}: {found[0]:.2f} +- {found[1]:.2f} bits/dim, {found[2]['fingerprint']['kind']}"
        )
    else:
        print(f"{name}: {measured[name]['not_available']['likelihood']}")
flow_bits, vae_bits = value("flow", "bpd")[0], value("vae", "bpd")[0]

# %% [markdown]
# Both are bounds, of different kinds, `udq` for the noise that makes integers continuous and `elbo`
# for the latents: the true values may lie a little lower. A GAN has no density, and no number here.
# That is no failure of the metric: the model does not say how probable an image is.
#
# ## Samples
#
# Other metrics look at samples alone, so every family has them. Images are turned into features by
# a small classifier of digits, which is trained once. The Frechet distance compares mean and
# covariance of the features of samples and of real images. Precision is the share of samples that
# lie among real images, recall the share of real images that lie among samples (Kynkaanniemi et al.
# 2019). No number means anything without its floor, which is what real test images get:

# %%
floor = value("flow", "fcd-")[2]["context"]["floor"]
print(f"Frechet distance of test images: {floor:.1f}")
for name in runs:
    parts = {key: value(name, key)[:2] for key in ("fcd-", "precision", "recall")}
    (distance, d), (precision, p), (recall, r) = parts.values()
    print(
        f"{name}: distance {distance:.1f} +- {d:.1f}, precision {precision:.2f} +- {p:.2f}, "
        f"recall {recall:.2f} +- {r:.2f}"
    )
flow_distance, vae_distance, gan_distance = (value(name, "fcd-")[0] for name in runs)

# %% [markdown]
# The model without a likelihood comes nearest to the real images, and the flow, which is trained on
# nothing but likelihood, stays farthest away, though it predicts better than independent pixels do.
# Both measures are right: one faint speck in a corner costs hardly any bits and spoils a sample,
# and a model that never draws a seven loses many bits and looks fine. Say which of them you need
# before you look for the best model.
#
# The intervals hold what other samples of the same model would change. They do not hold another
# training: for that, train with `seed=1` and `seed=2`.
#
# ## A knob
#
# Samples can be bought with variety. A temperature below one makes the noise smaller, so that
# samples stay near what is typical: precision rises, recall falls. Two models should be compared at
# one setting, or along all of this curve.

# %%
cold = {}
for temperature in (1.0, 0.7, 0.5):
    found = runs["flow"].measure("pr", num=1500, knobs={"temperature": temperature})
    precision, recall = (
        next(m["value"] for m in found["measurements"] if m["name"].startswith(key))
        for key in ("precision", "recall")
    )
    cold[temperature] = precision, recall
    print(f"flow at temperature {temperature}: precision {precision:.2f}, recall {recall:.2f}")
warm_precision, warm_recall = cold[1.0]
cold_precision, cold_recall = cold[0.5]

# %% [markdown]
# ## The page
#
# What was measured is kept in each run, under `evaluation/`. `jaxgen compare flow=RUN vae=RUN
# gan=RUN --out=digits.html` puts it side by side, with samples and curves, in one page that needs
# no network. It ranks numbers only where data, counts, extractor and kind are equal, which each
# number carries as its fingerprint; the bits of the flow and those of the VAE are shown and not
# ranked.

# %%
from jaxgen import cli

cli.main(["compare", *(f"{k}={r.directory.path}" for k, r in runs.items()), "--out=digits.html"])

# %% [markdown]
# Try: `--metrics=all --page` of `jaxgen eval RUN`, and look at nearest neighbours and
# interpolations on the page; a longer run of Glow, whose bits first fall and then rise on test
# images: 1,500 digits are few.
