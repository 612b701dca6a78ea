"""Generative adversarial networks of dense layers (Goodfellow et al. 2014), and what steadies them.

    python -m jaxgen.main --config=configs/gan.py
        ring8, eight Gaussians on a circle, non-saturating with R1: two CPU cores, two minutes
    python -m jaxgen.main --config=configs/gan.py:PRESET,data=DATA
        DATA of ring8 (broad modes), ring8_narrow, grid25 (25 narrow modes); PRESET one of
            r1              non-saturating with R1 (Mescheder et al. 2018)
            r1_none         its control: the same without the penalty
            r3              relativistic with R1 and R2 (Huang et al. 2024, R3GAN)
            r3_none         its control: the same without penalties
            wgan_gp         Gulrajani et al. 2017
            wgan_gp_none    its control: the same without the penalty, nor clipping
            wgan            Arjovsky et al. 2017: clipped weights, RMSprop
            smooth          the control of r1 with labels of 0.7 to 0.9 for real points
            packed          the control of r1 with pairs packed (Lin et al. 2018, PacGAN)
            history         the control of r1 with historical averaging (Salimans et al. 2016)
            lecam           the control of r1 with LeCam (Tseng et al. 2021)
            least_squares   Mao et al. 2017
            hinge           Lim & Ye 2017, without spectral normalisation
            sngan           hinge, five critic steps, spectral normalisation (Miyato et al. 2018)
            noise           the control of r1 with instance noise that falls to zero
            minibatch       the control of r1 with minibatch discrimination (Salimans et al. 2016)
    python -m jaxgen.main --config=configs/gan.py:digits
        8x8 scans, non-saturating with R1
    python -m jaxgen.main --config=configs/gan.py:stacked_digits
        three scans in three colours: 1,000 modes
    python -m jaxgen.main --config=configs/gan.py:PRESET,tiny
        seconds, for tests

`jaxgen modes RUN ...` counts the modes that samples cover, and the share of samples within three
standard deviations of one; `python benchmarks/modes.py` trains and counts all. Two layers of 128
rectifiers, two latents, batches of 256; rates fall linearly to zero; samples are of parameters
averaged with decay 0.999. Our own measurements are in docs/results.md.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten, two_players


def weight(c: ConfigDict) -> float:
    """Of half the squared slope, at every step: what smooths ring8 too much, grid25 needs."""
    return 0.05 if c.data.name == "ring8" else 0.1


def r1(c: ConfigDict) -> None:
    """On real points."""
    c.method.penalties = dict(r1=dict(weight=weight(c)))


def r1_none(c: ConfigDict) -> None:
    """As it is."""


def r3(c: ConfigDict) -> None:
    """On real points and on generated ones."""
    c.method.update(game="relativistic")
    c.method.penalties = dict(r1=dict(weight=weight(c)), r2=dict(weight=weight(c)))


def r3_none(c: ConfigDict) -> None:
    """The game alone."""
    c.method.game = "relativistic"


def wgan_gp_none(c: ConfigDict) -> None:
    """Five moves of the critic, their Adam."""
    c.method.update(game="wasserstein", critic_steps=5)
    c.train.steps = 15_000
    for player in c.optim.values():
        player.update(learning_rate=5e-4, b1=0.0, b2=0.9, decay_steps=15_000)


def wgan_gp(c: ConfigDict) -> None:
    """Weight 0.1, that of their toys."""
    wgan_gp_none(c)
    c.method.penalties = dict(gradient_penalty=dict(weight=0.1))


def wgan(c: ConfigDict) -> None:
    """A bound ten times theirs, which was meant for deeper networks."""
    c.method.update(game="wasserstein", critic_steps=5)
    c.train.steps = 15_000
    for player in ("generator", "discriminator"):
        options = dict(name="rmsprop", learning_rate=5e-4, schedule="linear", decay_steps=15_000)
        c.optim[player] = options
    c.optim.discriminator.bound = 0.1


def smooth(c: ConfigDict) -> None:
    """One-sided."""
    c.method.real_target = (0.7, 0.9)


def packed(c: ConfigDict) -> None:
    """Two at a time."""
    c.method.packing = 2


def history(c: ConfigDict) -> None:
    """Weight 0.01."""
    c.method.history = 0.01


def lecam(c: ConfigDict) -> None:
    """Weight 0.1."""
    c.method.lecam = 0.1


def least_squares(c: ConfigDict) -> None:
    """The game alone."""
    c.method.game = "least_squares"


def hinge(c: ConfigDict) -> None:
    """The game alone."""
    c.method.game = "hinge"


def sngan(c: ConfigDict) -> None:
    """Their Adam's b2, leaky rectifiers."""
    wgan_gp_none(c)
    c.method.game = "hinge"
    c.model.discriminator.update(spectral=True, slope=0.1)


def noise(c: ConfigDict) -> None:
    """Half a unit at first, none after half of the steps."""
    c.method.update(instance_noise=0.5, instance_noise_steps=20_000)


def minibatch(c: ConfigDict) -> None:
    """Twenty kernels."""
    c.model.discriminator.kernels = 20


def digits(c: ConfigDict) -> None:
    """Wider, with more latents; the penalty is of 64 dimensions."""
    r1(c)
    c.data.name = "digits"
    c.model.generator.update(latent=32, hidden=(256, 256))
    c.model.discriminator.hidden = (256, 256)
    c.method.penalties.r1.weight = 1.0
    c.train.update(steps=8000, batch_size=128)
    for player in c.optim.values():
        player.update(learning_rate=3e-4, decay_steps=8000)


def stacked_digits(c: ConfigDict) -> None:
    """As digits, longer."""
    digits(c)
    c.data.name = "stacked_digits"
    c.train.steps = 15_000
    for player in c.optim.values():
        player.decay_steps = 15_000


PRESETS = {
    "r1": r1,
    "r1_none": r1_none,
    "r3": r3,
    "r3_none": r3_none,
    "wgan_gp": wgan_gp,
    "wgan_gp_none": wgan_gp_none,
    "wgan": wgan,
    "smooth": smooth,
    "packed": packed,
    "history": history,
    "lecam": lecam,
    "least_squares": least_squares,
    "hinge": hinge,
    "sngan": sngan,
    "noise": noise,
    "minibatch": minibatch,
    "digits": digits,
    "stacked_digits": stacked_digits,
}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/gan.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, preset="r1", data="ring8", tiny=False)
    c = common(arg.data)
    c.model = dict(
        generator=dict(name="gans.gan.Generator", latent=2, hidden=(128, 128)),
        discriminator=dict(name="gans.gan.Discriminator", hidden=(128, 128)),
    )
    c.method = dict(
        name="adversarial.Adversarial",
        game="non_saturating",
        penalties=dict(),
        critic_steps=1,
        real_target=(1.0, 1.0),
        packing=1,
        history=0.0,
        lecam=0.0,
    )
    adam = dict(learning_rate=1e-3, b1=0.0, b2=0.99, schedule="linear", decay_steps=40_000)
    two_players(c, half_life_steps=693.0, **adam)  # decay 0.999
    c.train.update(steps=40_000, batch_size=256, steps_per_dispatch=20)
    c.train.update(log_every_steps=1000, save_every_steps=10_000)
    c.evaluate.update(every_steps=10_000, sample_every_steps=10_000, num_samples=2500)
    preset(arg.preset, PRESETS)(c)
    if c.data.name.endswith("digits"):
        c.evaluate.update(every_steps=c.train.steps, num_samples=64)
    if arg.tiny:
        shorten(c, hidden=(16,))
        c.train.steps_per_dispatch = 4
    return c
