# %% [markdown]
# # Troubles of generative models, and what their latents hold
#
# This page is for a lecture: every figure shows one idea, is made by the few lines above it, and
# can be made anew with other settings. It starts with the games of generative adversarial networks
# (why a distance must have a slope, how a game loses modes, what is said to cure it), goes on to
# what a variational autoencoder keeps, and ends with arithmetic in its latents, judged by faces
# whose truth is known. All of it takes about ten minutes on two cores.
#
# ## A distance with a slope
#
# Two distributions on parallel lines (Arjovsky et al. 2017, example 1): the data at (0, u), the
# model at (t, u), u uniform in 0 .. 1. A generator that is t off should be told so. The
# Jensen-Shannon divergence, which the first game of Goodfellow et al. 2014 minimises when its
# discriminator is perfect, is log 2 unless t is 0: no slope, nothing to learn from. The earth
# mover's distance, which a Wasserstein critic estimates, is |t|. Here both are measured on points:
# one from counts in fine cells, the other as the best matching of 400 points with 400.

# %%
import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

random = np.random.default_rng(0)


def line(t, num):
    """Points at (t, u)."""
    return np.stack([np.full(num, t), random.uniform(size=num)], 1)


def jensen_shannon(x, y, cell=0.05):
    """Nats, from shares of points in square cells."""
    both = np.concatenate([x, y])
    _, where = np.unique(np.floor(both / cell), axis=0, return_inverse=True)
    p, q = (np.bincount(w, minlength=where.max() + 1) / len(w) for w in np.split(where, 2))
    middle = (p + q) / 2
    terms = [(r[r > 0] * np.log(r[r > 0] / middle[r > 0])).sum() for r in (p, q)]
    return sum(terms) / 2


def earth_mover(x, y):
    """Mean distance of the best matching."""
    distances = cdist(x, y)
    return distances[linear_sum_assignment(distances)].mean()


shifts = np.round(np.arange(-1, 1.01, 0.1), 2)
divergences = [jensen_shannon(line(0, 20_000), line(t, 20_000)) for t in shifts]
distances = [earth_mover(line(0, 400), line(t, 400)) for t in shifts]
for t in (0.0, 0.1, 0.5, 1.0):
    i = int(np.flatnonzero(shifts == t)[0])
    print(f"t = {t:.1f}: Jensen-Shannon {divergences[i]:.3f} nats, earth mover {distances[i]:.3f}")

steps_of = [np.diff(curve[10:]) for curve in (divergences, distances)]  # from t = 0 on
flat, slope = steps_of[0][1:].max(), 10 * steps_of[1][1:].mean()

figure, axes = plt.subplots(1, 2, figsize=(7.5, 2.6), layout="constrained")
axes[0].plot(shifts, divergences, "o-", color="tab:orange")
axes[0].set(title="Jensen-Shannon divergence (nats)", xlabel="t", ylim=(-0.05, 0.8))
axes[1].plot(shifts, distances, "o-", color="tab:blue")
axes[1].set(title="earth mover's distance", xlabel="t", ylim=(-0.05, 1.1))
figure.savefig("troubles-lines.png", dpi=70)

# %% [markdown]
# ![Both curves over the shift](troubles-lines.png)
#
# ## Two games on 25 modes
#
# The same players on a grid of 25 narrow Gaussians: the non-saturating game, which DCGAN plays, and
# the Wasserstein critic with a penalty on its slope (Gulrajani et al. 2017). A mode counts as
# covered with one sample within three standard deviations of it. Samples are of the generator of
# the moment.

# %%
import jaxgen
from jaxgen.tools.modes import coverage

TIMES = (500, 2000, 6000)
GAMES = {"non-saturating": "r1_none", "WGAN-GP": "wgan_gp"}
rates = {f"optim.{player}.decay_steps": TIMES[-1] for player in ("generator", "discriminator")}


def play(preset, steps):
    """(what is covered, samples) of a game on the grid after so many steps."""
    where = dict(workdir=f"runs/{preset}", quiet=True)
    run = jaxgen.fit(f"gan:{preset},data=grid25", steps=steps, **where, **rates)
    return coverage(jaxgen.load(run.directory.path, average="none"))


figure, axes = plt.subplots(
    2, len(TIMES), figsize=(7.5, 5), sharex=True, sharey=True, layout="constrained"
)
modes = {}
for row, (name, preset) in zip(axes, GAMES.items(), strict=True):
    for ax, steps in zip(row, TIMES, strict=True):
        found, x = play(preset, steps)
        modes[preset] = found.modes
        print(f"{name}, {steps:,} steps: {found.modes} of 25, {found.high_quality:.0%} good")
        ax.scatter(*x.T, s=1)
        ax.set(title=f"{name}, {steps:,}", aspect="equal", xlim=(-2.5, 2.5), ylim=(-2.5, 2.5))
figure.savefig("troubles-modes.png", dpi=70)

# %% [markdown]
# ![Samples of both games at three times](troubles-modes.png)
#
# The first game gathers its samples along a few lines and loses the modes that are not on them; the
# second keeps to the square of the grid and covers it, but places most of its samples between the
# modes as long as it is not trained much further.
#
# ## What is said to cure collapse
#
# Labels of 0.7 to 0.9 instead of 1 for real points and historical averaging (both Salimans et al.
# 2016), a discriminator that sees pairs and so a statistic of the batch (packing, Lin et al. 2018),
# and the penalty R1 (Mescheder et al. 2018), each added to the game that collapsed:

# %%
REMEDIES = ("smooth", "history", "packed", "r1")
for preset in ("r1_none", *REMEDIES):
    found, _ = play(preset, TIMES[-1])
    modes[preset] = found.modes
    even = f"{found.reverse_kl:.2f} nats from even"
    print(f"{preset}: {found.modes} of 25, {found.high_quality:.0%} good, {even}")

# %% [markdown]
# One seed of a short game says little: [Results](../results.md) has seeds and figures of the whole
# length.
#
# ## A model while it learns
#
# A variational autoencoder of ten latents on scans of digits, and what it makes of 16 draws from
# the prior, always the same, after 1, 100, 500 and 4,000 steps. Grey is how probable white is.

# %%
from jaxgen import pictures
from jaxgen.views import latents


def grey(images):
    """Images in 0 .. 1 as pictures."""
    return pictures.to_uint8(np.asarray(images, np.float64), levels=None)


def drawn_from(run, latent):
    """What a model of so many latents makes of 16 draws of them, always the same."""
    z = np.random.default_rng(1).standard_normal((16, latent)).astype(np.float32)
    return np.asarray(run.decode((z,)))


ten = {"model.latent": 10}
drawn = []
for steps in (1, 100, 500, 4000):
    run = jaxgen.fit("vae", steps=steps, workdir="runs/vae-10", quiet=True, **ten)
    newest = jaxgen.load(run.directory.path, step=steps, average="none")
    drawn.append(drawn_from(newest, 10))
pictures.save_png("troubles-evolution.png", pictures.grid(grey(np.concatenate(drawn)), columns=16))

# %% [markdown]
# ![Samples of the same latents at four times, a row each](troubles-evolution.png)
#
# Between two digits there is a way in latents, and what lies on it looks like digits, too; the mean
# of the two pictures would not.

# %%
latents.interpolate(run, pairs=4).save("troubles-between.png")

# %% [markdown]
# ![Four pairs of test digits and what lies between them](troubles-between.png)
#
# Each of the ten latents turned like a knob, the others at zero; a row for each. Rows that do not
# change are latents that the model does not use.

# %%
latents.sweep(run).save("troubles-sweep.png")

# %% [markdown]
# ![A row for each latent](troubles-sweep.png)
#
# ## How many latents, and at which price
#
# Two, five, ten and twenty latents, and the bound on test images in nats:

# %%
WIDTHS = (2, 5, 10, 20)
bounds, drawn = {}, []
for width in WIDTHS:
    wide = jaxgen.fit("vae", workdir=f"runs/vae-{width}", quiet=True, **{"model.latent": width})
    found = wide.evaluate(splits=("test",))
    bounds[width] = found["test/nelbo"].mean
    parts = f"{found['test/reconstruction'].mean:.2f} pixels + {found['test/kl'].mean:.2f} latents"
    print(f"{width} latents: {bounds[width]:.2f} nats = {parts}")
    drawn.append(drawn_from(wide, width))
pictures.save_png("troubles-widths.png", pictures.grid(grey(np.concatenate(drawn)), columns=16))

# %% [markdown]
# ![Samples of 2, 5, 10 and 20 latents, a row each](troubles-widths.png)
#
# Two are too few; more than the data need do no harm, since a latent that does not pay for itself
# is left at the prior. The price is set by the weight of the divergence. Too weak (0.02), and codes
# drift away from the prior: pictures come back well, but samples are of places where no code is.
# Too strong (20), and no latent pays: every sample is the mean digit. Above samples, below
# reconstructions, for 0.02, 1 and 20.

# %%
test = run.dataset().splits["test"].take(np.arange(16))["x"]
WEIGHTS = (0.02, 1.0, 20.0)
divergence, drawn = {}, []
for weight in WEIGHTS:
    options = {"method.beta": weight, **ten}
    priced = jaxgen.fit("vae", workdir=f"runs/vae-beta-{weight}", quiet=True, **options)
    found = priced.evaluate(splits=("test",))
    divergence[weight] = found["test/kl"].mean
    pixels = found["test/reconstruction"].mean
    print(f"weight {weight}: {pixels:.2f} nats of pixels, {divergence[weight]:.2f} of latents")
    drawn += [drawn_from(priced, 10), priced.reconstruct(test)]
pictures.save_png("troubles-weights.png", pictures.grid(grey(np.concatenate(drawn)), columns=16))

# %% [markdown]
# ![Samples and reconstructions at three weights](troubles-weights.png)
#
# ## Arithmetic in latents
#
# DCGAN's authors added and subtracted latents: the mean of three that smile, less the mean of three
# that do not, plus another face (Radford et al. 2016, section 6.3.2). Pictures of success are easy
# to find. Here every result is judged: `faces_like` has drawings whose smile, eyes, pose, hue and
# skin are known, and a result is read as the drawing in the full grid that is nearest to it. The
# model is a variational autoencoder at 32x32 that prices pixels highly, so that reconstructions are
# sharp; codes are means. "Three that have it" differ from "three that do not" in everything else,
# too, as photographs do.

# %%
from jaxgen.data.embedded import factors

drawings = factors.render("faces_like").reshape(-1, 32, 2, 32, 2, 3).mean((2, 4)).round()
drawings = drawings.astype(np.uint8)
truth = factors.truth("faces_like")
order = np.random.default_rng(0).permutation(len(drawings))
options = {"data.binarize": "none", "method.observation": "gaussian", "method.beta": 3e-4}
options |= {"model.latent": 24, "model.hidden": (512, 256), "model.activation": "relu"}
options |= {"method.warmup_steps": 0, "optim.model.clip_norm": 50.0, "evaluate.every_steps": 3000}
shown = drawings[order]
faces = jaxgen.fit("vae:digits", shown, steps=3000, batch_size=64, quiet=True, **options)

codes = np.concatenate([faces.encode(part)[0] for part in np.split(drawings, 20)])
flat = drawings.reshape(len(drawings), -1).astype(np.float32)
squares = (flat**2).sum(1)


def read(images):
    """Factors of the nearest drawings, [B, 5]."""
    x = np.asarray(images, np.float32).reshape(len(images), -1)
    return truth.values[(squares - 2 * x @ flat.T).argmin(1)]


def three(factor, high):
    """Mean code of three random faces at an end of a factor, for each of 200 trials."""
    values = truth.values[:, truth.names.index(factor)]
    rows = np.flatnonzero(values == (values.max() if high else 0))
    return codes[random.choice(rows, (200, 3))].mean(1)


print("factor   read as added   beyond half way   others kept   kept by reconstructions")
added = {}
for factor in ("smile", "eyes", "pose", "skin"):
    column = truth.names.index(factor)
    others = [k for k in range(len(truth.names)) if k != column]
    rows = random.choice(np.flatnonzero(truth.values[:, column] == 0), 200)
    moved = np.asarray(faces.decode((codes[rows] + three(factor, True) - three(factor, False),)))
    most = truth.counts[column] - 1
    now, plain = read(moved), read(faces.decode((codes[rows],)))
    kept, kept_plain = ((r == truth.values[rows])[:, others].mean() for r in (now, plain))
    added[factor] = (now[:, column] == most).mean()
    half = (now[:, column] > most / 2).mean()
    print(f"{factor:9}{added[factor]:>13.0%}{half:>18.0%}{kept:>14.0%}{kept_plain:>26.0%}")
    if factor == "smile":
        true = np.ravel_multi_index(
            tuple(np.where(np.arange(5) == column, most, truth.values[rows]).T), truth.counts
        )
        back = np.asarray(faces.decode((codes[rows[:12]],)))
        strips = [drawings[rows[:12]], back, moved[:12], drawings[true[:12]]]
        strips = np.clip(np.concatenate(strips), 0, 255).astype(np.uint8)
        pictures.save_png("troubles-smile.png", pictures.grid(strips, columns=12))

# %% [markdown]
# ![Faces, reconstructions, with a smile added in latents, and as they ought to
# look](troubles-smile.png)
#
# What is added is often there, and more than half of all else has changed with it: three faces of
# either kind are too few for their hues, poses and skins to cancel. The smile, a few pixels whose
# place depends on the pose, mostly does not come at all. [Editing](../editing.md) has directions
# that are fitted to all examples, and what they keep.

# %%
plain, penalised, two, ten_nats = modes["r1_none"], modes["wgan_gp"], bounds[2], bounds[10]
weak, strong, smile, pose = divergence[0.02], divergence[20.0], added["smile"], added["pose"]
print(f"{plain} and {penalised} modes; {two - ten_nats:.2f} nats that eight more latents are worth")
