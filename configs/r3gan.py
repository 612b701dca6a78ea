"""R3GAN (Huang et al. 2024): a relativistic game with R1 and R2, and residual networks.

    python -m jaxgen.main --config=configs/r3gan.py
        digits, 8x8: five CPU minutes
    python -m jaxgen.main --config=configs/r3gan.py:mnist --config.data.manual_dir=DIR
        MNIST from idx files in DIR: about 27 CPU minutes
    python -m jaxgen.main --config=configs/r3gan.py:mnist_class --config.data.manual_dir=DIR
        the same with the class: jaxgen sample RUN --class=3
    python -m jaxgen.main --config=configs/r3gan.py:digits_bent
        digits with all that the official runs move: over half of the run
    python -m jaxgen.main --config=configs/r3gan.py:cifar10
        the official run, 20.8 M and 21.3 M parameters with the class: for GPUs
    python -m jaxgen.main --config=configs/r3gan.py:ffhq64 --config.data.name=images:FOLDER
        likewise; :ffhq256 too
    python -m jaxgen.main --config=configs/r3gan.py:imagenet32
        likewise, imagenet_resized of tensorflow-datasets, with the class; :imagenet64 too
    python -m jaxgen.main --config=configs/r3gan.py:PRESET,tiny
        seconds, for tests

The official runs move the penalties' weight, the rates, Adam's b2, the half-life of the average and
the probability of augmentation along a cosine of the images seen, and each player has real images
of its own. On points: configs/gan.py:r3. jaxgen has been trained on none of the official sets. Our
own measurements are in docs/results.md.
"""

from typing import Any

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten, two_players


def digits(c: ConfigDict) -> None:
    """One halving, 64 channels in 8 groups."""
    networks(c, (64, 32), 8, 1)
    c.model.generator.latent = 32
    c.model.generator.embedding = 32
    gamma(c, 0.3)
    short(c)
    c.train.update(steps=3000)


def mnist(c: ConfigDict) -> None:
    """Two halvings, 64 channels at most, 16 at 32x32."""
    networks(c, (64, 32, 16), 8, 1)
    c.data.name = "mnist"
    gamma(c, 1.0)
    short(c)
    c.train.update(steps=4500, batch_size=32)
    c.evaluate.update(every_steps=1000, sample_every_steps=1000)


def mnist_class(c: ConfigDict) -> None:
    """As mnist."""
    mnist(c)
    c.method.given = ("label",)


def digits_bent(c: ConfigDict) -> None:
    """As digits at the end, from ten times the penalty and an average without memory."""
    digits(c)
    moved(c, 96_000, (3.0, 0.3), (5e-4, 1.25e-4), (0.0, 100.0), 0.1)


def cifar10(c: ConfigDict) -> None:
    """The official run, with the class."""
    c.data.name = "cifar10"
    official(c, (768,) * 4, 512, (0.05, 0.005), 5e6, 0.55, 2e7)
    labelled(c)


def ffhq64(c: ConfigDict) -> None:
    """The official run."""
    c.data.update(name="images:ffhq64", size=(64, 64))
    official(c, (768,) * 4 + (384,), 256, (2.0, 0.2), 5e5, 0.3, 2e7)


def ffhq256(c: ConfigDict) -> None:
    """The official run."""
    c.data.update(name="images:ffhq256", size=(256, 256))
    official(c, (768,) * 4 + (384, 192, 96), 256, (150.0, 15.0), 5e5, 0.3, 2e7)


def imagenet32(c: ConfigDict) -> None:
    """The official run, with the class."""
    c.data.name = "imagenet_resized/32x32"
    official(c, (1536,) * 4, 4096, (0.5, 0.05), 5e7, 0.5, 2e8, cardinality=96)
    labelled(c)


def imagenet64(c: ConfigDict) -> None:
    """The official run, with the class."""
    c.data.name = "imagenet_resized/64x64"
    official(c, (1536,) * 5, 4096, (1.0, 0.1), 5e7, 0.4, 2e8, cardinality=96)
    labelled(c)


def official(
    c: ConfigDict,
    widths: tuple[int, ...],
    batch_size: int,
    weights: tuple[float, float],
    half_life: float,
    augmented: float,
    images: float,
    cardinality: int = 0,
) -> None:
    """What the official presets share.

    Args:
        c: the config.
        widths: of stages, the lowest resolution first.
        batch_size: images a step.
        weights: of the penalties, at first and at last.
        half_life: of the average in images, at last; at first it is the generator.
        augmented: probability at last; at first nothing is.
        images: over which all this moves.
        cardinality: of all stages; 0 takes an eighth of the width.
    """
    groups = tuple(cardinality or width // 8 for width in widths)
    c.model.generator.update(widths=widths, cardinalities=groups, blocks=(2,) * len(widths))
    both = dict(widths=widths[::-1], cardinalities=groups[::-1], blocks=(2,) * len(widths))
    c.model.discriminator.update(both)
    c.data.flip = True
    c.method.fresh = True
    moved(c, images, weights, (2e-4, 5e-5), (0.0, half_life / batch_size), augmented)
    steps = int(1.25 * images / batch_size)
    c.train.update(steps=steps, batch_size=batch_size, save_every_steps=2500)
    c.evaluate.update(every_steps=2500, sample_every_steps=2500)


def moved(
    c: ConfigDict,
    images: float,
    weights: tuple[float, float],
    rates: tuple[float, float],
    half_lives: tuple[float, float],
    augmented: float,
) -> None:
    """Moves the penalties' weight, rates and b2, half-lives in steps, and augmentation."""
    gamma(c, bend(*weights, images))
    adam = dict(name="adam", learning_rate=bend(*rates, images), b1=0.0)
    c.optim = {k: dict(adam, b2=bend(0.9, 0.99, images)) for k in ("generator", "discriminator")}
    c.ema = dict(generator=dict(half_life_steps=bend(*half_lives, images)))
    shown = bend(0.0, augmented, images)
    c.method.augment = dict(name="ada", fixed=shown, colour=0.5, cutout=1.0)


def bend(start: float, end: float, images: float) -> dict[str, Any]:
    """Half a period of a cosine."""
    return dict(name="cosine", start=start, end=end, steps=images, unit="images")


def labelled(c: ConfigDict) -> None:
    """With the class, as wide as the latent and as the first stage."""
    c.method.given = ("label",)
    c.model.generator.embedding = c.model.generator.latent
    c.model.discriminator.embedding = c.model.generator.widths[0]


def networks(c: ConfigDict, widths: tuple[int, ...], cardinality: int, blocks: int) -> None:
    """Both players alike, the discriminator's stages the other way round."""
    groups, each = (cardinality,) * len(widths), (blocks,) * len(widths)
    c.model.generator.update(widths=widths, cardinalities=groups, blocks=each)
    c.model.discriminator.update(widths=widths[::-1], cardinalities=groups, blocks=each)


def short(c: ConfigDict) -> None:
    """An average of 500 steps is behind the game, and has no modes that came late."""
    c.ema.generator.half_life_steps = 100.0


def gamma(c: ConfigDict, weight: Any) -> None:
    """Of both penalties, at every step."""
    c.method.penalties = dict(r1=dict(weight=weight), r2=dict(weight=weight))


PRESETS = {
    "digits": digits,
    "mnist": mnist,
    "mnist_class": mnist_class,
    "digits_bent": digits_bent,
    "cifar10": cifar10,
    "ffhq64": ffhq64,
    "ffhq256": ffhq256,
    "imagenet32": imagenet32,
    "imagenet64": imagenet64,
}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/r3gan.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="digits", tiny=False)
    c = common("digits")
    c.model = dict(
        generator=dict(name="gans.r3gan.Generator", dtype="float32", latent=64, embedding=64),
        discriminator=dict(name="gans.r3gan.Discriminator", dtype="float32", embedding=64),
    )
    c.method = dict(
        name="adversarial.Adversarial",
        game="relativistic",
        penalties=dict(),
        given=(),
        augment=dict(),
    )
    two_players(c, learning_rate=5e-4, b1=0.0, b2=0.99)
    c.train.update(batch_size=64)
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c, latent=4, embedding=4)
        networks(c, (4,) * len(c.model.generator.widths), 2, 1)
    return c
