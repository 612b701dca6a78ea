"""StackGAN++ (Zhang et al. 2018): pictures of a text, at three sizes after another.

    python -m jaxgen.main --config=configs/stackgan.py
        one coloured object and its caption, 8x8, 16x16 and 32x32; the reader of texts first, which
        then also tells the generator how it reads its pictures (Xu et al. 2018, AttnGAN); 42
        minutes of CPU time, docs/results.md
    python -m jaxgen.main --config=configs/stackgan.py:plain
        without that, as in the paper
    python -m jaxgen.main --config=configs/stackgan.py:meaning
        the same given shape, colour, size and place as classes, without a text
    python -m jaxgen.main --config=configs/stackgan.py:paired
        without the second logits, as the first paper (Zhang et al. 2017): wrong and generated pairs
        count half, and a leaky rectifier makes mean and log-deviation of a text's code
    python -m jaxgen.main --config=configs/stackgan.py:first --workdir=runs/stackgan-first
    python -m jaxgen.main --config=configs/stackgan.py:second
        that paper in small: 16x16 first, and 32x32 from those pictures and the text
    python -m jaxgen.main --config=configs/stackgan.py:stage --workdir=runs/stackgan-stage
        64x64 alone with that loss, its rate halved every 50 of 600 epochs, of CUB
    python -m jaxgen.main --config=configs/stackgan.py:second_birds
        256x256 from that run, the second stage of the first paper: for GPUs
    python -m jaxgen.main --config=configs/stackgan.py:birds
        the paper's network and optimiser at 64x64, 128x128 and 256x256, for the pictures and
        captions of CUB in a folder "birds" (docs/data.md), or --config.data.name=captions:FOLDER:
        for GPUs
    python -m jaxgen.main --config=configs/stackgan.py:coco
        the same with those of COCO, in a folder "coco"
    python -m jaxgen.main --config=configs/stackgan.py:PRESET,tiny
        seconds, for tests

    jaxgen sample RUN --text="a small blue square at the top"
    jaxgen sample RUN --text="a small blue square at the top" --stage=1
    jaxgen sample RUN --texts=FILE

How often pictures are of what their captions say: `python benchmarks/texts.py pictures RUN`. The
paper reads texts with a network that was trained elsewhere; here a recurrent one is trained in the
first `method.matching_steps`, and fixed from then on; a second stage takes it from the first
(--config.frozen.first=RUN), whose data are the same at another size. Pictures are mirrored as in
the paper, which is wrong of captions that say left or right.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten, two_players

EPOCH = 138  # steps of 64 of CUB's 8,855 pictures for training
SAID = dict(shape="shape", colour="colour", size="said_size", place="said_place")


def contradicted(c: ConfigDict) -> None:
    """Wrong pairs differ in what the caption says."""
    c.method.apart = dict(SAID)


def captions(c: ConfigDict) -> None:
    """The generator is also told by the reader of texts how its pictures are read."""
    contradicted(c)
    c.method.update(matching=20.0, matching_steps=1200)
    c.optim.matcher.decay_steps = 1200
    c.train.update(steps=8400, batch_size=64)


def plain(c: ConfigDict) -> None:
    """Without that, as in the paper."""
    captions(c)
    c.method.matching = 0.0


def meaning(c: ConfigDict) -> None:
    """The upper bound of what a text can say."""
    del c.model.matcher
    c.method.update(given=("shape", "colour", "size", "place"), matching_steps=0)
    c.method.apart = {name: name for name in SAID}
    del c.optim.matcher


def paired(c: ConfigDict) -> None:
    """Of the first paper what fits."""
    contradicted(c)
    c.model.generator.augmentation = "leaky"
    c.model.discriminator.unconditional = False


def birds(c: ConfigDict) -> None:
    """256x256, and the averages of the paper; every other picture is wrong."""
    c.data.update(name="captions:birds", size=(256, 256), fit="crop", flip=True, least_count=5)
    c.model.generator.update(latent=100, width=64, code=128, residual=2)
    c.model.discriminator.update(width=64)
    c.model.matcher.update(words=0, channels=32, embedding=300, width=1024)
    c.method.update(matching_steps=20_000)
    c.optim.matcher.decay_steps = 20_000
    c.train.update(steps=220_000, batch_size=24, save_every_steps=5000, steps_per_dispatch=1)
    c.ema.generator.half_life_steps = 692.8  # 0.999 a step
    c.evaluate.update(every_steps=10_000, sample_every_steps=5000)
    for player in ("generator", "discriminator"):
        c.optim[player].update(learning_rate=2e-4, b1=0.5, b2=0.999)


def stage(c: ConfigDict) -> None:
    """The first paper's first stage, by the layers of the second."""
    birds(c)
    c.data.size = (64, 64)
    c.model.generator.update(stages=1, augmentation="leaky")
    c.model.discriminator.unconditional = False
    start, epoch = c.method.matching_steps, EPOCH
    c.train.update(steps=start + 600 * epoch, batch_size=64)
    rates = [(0, 2e-4), *((start + 50 * i * epoch, 2e-4 * 0.5**i) for i in range(1, 12))]
    for player in ("generator", "discriminator"):
        c.optim[player].update(schedule="steps", rates=tuple(rates))


def first(c: ConfigDict) -> None:
    """One picture of 16x16."""
    paired(c)
    c.data.update(size=(16, 16), fit="crop")
    c.model.generator.stages = 1


def second(c: ConfigDict) -> None:
    """Over that of `first`; there is no matcher, and nothing waits for one."""
    contradicted(c)
    c.frozen = dict(first="runs/stackgan-first")
    c.model = dict(
        generator=dict(name="gans.stackgan_second.Generator", width=16, code=32, residual=2),
        discriminator=dict(name="gans.stackgan_second.Discriminator", width=24, code=32),
    )
    names, apart = tuple(c.method.given), dict(c.method.apart)
    c.method = dict(name="stackgan_second.SecondStage", given=names, apart=apart, kl=2.0)
    del c.optim.matcher


def second_birds(c: ConfigDict) -> None:
    """Over that of `stage`; the rates fall half as often."""
    stage(c)
    second(c)
    c.frozen.first = "runs/stackgan-stage"
    c.data.size, c.method.apart = (256, 256), dict()
    c.model.generator.update(width=128, code=128, residual=4)
    c.model.discriminator.update(width=64, code=128)
    c.train.steps = 600 * EPOCH
    rates = tuple((100 * i * EPOCH, 2e-4 * 0.5**i) for i in range(6))
    for player in ("generator", "discriminator"):
        c.optim[player].rates = rates


def coco(c: ConfigDict) -> None:
    """As birds."""
    birds(c)
    c.data.name = "captions:coco"
    c.train.steps = 500_000


PRESETS = {
    "captions": captions,
    "plain": plain,
    "meaning": meaning,
    "paired": paired,
    "first": first,
    "second": second,
    "stage": stage,
    "second_birds": second_birds,
    "birds": birds,
    "coco": coco,
}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/stackgan.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="captions", tiny=False)
    c = common("captions")
    c.model = dict(
        generator=dict(
            name="gans.stackgan.Generator",
            latent=32,
            width=32,
            code=32,
            stages=3,
            residual=1,
            augmentation="glu",
        ),
        discriminator=dict(name="gans.stackgan.Discriminators", width=24, unconditional=True),
        matcher=dict(name="gans.stackgan.Matcher", words=10, channels=16, embedding=32, width=64),
    )
    c.method = dict(
        name="stackgan.StackGAN",
        given=("text",),
        apart=dict(),
        kl=2.0,
        unconditional=1.0,
        colour=0.0,
        matching=0.0,
        matching_steps=600,
    )
    two_players(c, half_life_steps=200.0, learning_rate=5e-4, b1=0.5, b2=0.999)
    c.optim.matcher = dict(
        name="adam", learning_rate=2e-3, schedule="cosine", decay_steps=600, final_rate=0.0
    )
    c.train.update(steps=5000, batch_size=32, steps_per_dispatch=10)
    c.evaluate.update(every_steps=1000, sample_every_steps=1000, max_examples=512)
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c, width=4, code=4)
        c.train.steps_per_dispatch = 1
        if "frozen" in c:
            c.model.generator.residual = 1
            return c
        c.model.generator.latent = 4
        if c.method.matching_steps:
            c.method.matching_steps = c.optim.matcher.decay_steps = 1
            c.model.matcher.update(channels=2, embedding=4)
    return c
