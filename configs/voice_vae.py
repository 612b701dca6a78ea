"""Voice style by a VQ-VAE (van den Oord et al. 2017, section 4.3): codes say what, a label who.

    python -m jaxgen.main --config=configs/voice_vae.py
        frames of `vowels_mel`, one code of 64 for 7 of them: the default, 1.6 minutes of CPU time
    python -m jaxgen.main --config=configs/voice_vae.py:continuous
        the control: 32 numbers a frame in place of codes, which converts nothing
    python -m jaxgen.main --config=configs/voice_vae.py:wave
        samples of `vowels`, 32 codes of 64 for 2,048; a WaveNet of 4 x 6 dilations: for one GPU
    python -m jaxgen.main --config=configs/voice_vae.py:vctk --config.data.name=speech:FOLDER
        the paper's 16 kHz, 64 samples a code, 512 codes: for one GPU; FOLDER is wav48 of VCTK
    python -m jaxgen.main --config=configs/voice_vae.py:PRESET,tiny
        seconds, for tests

    jaxgen convert RUN in.wav --speaker=3 --out=out.wav
    python benchmarks/voices.py RUN

The decoder is told who speaks, so that codes, which have no room for it, need not say it: another
speaker's label gives another speaker's voice. `test/uniform_nll` is -log p(x | codes) and the nats
of codes that are all equally likely.

Of three seeds 76.2 to 78.5 % of converted test utterances are read as the speaker asked for, 1.3 to
2.4 % as who spoke, and 84.2 to 89.4 % keep their vowel; of the control 3.6, 59.7 and 99.4 %
(docs/results.md).

The paper shows sounds and a probe of codes for phonemes, and no number of this kind; the sizes of
its WaveNet and its learning rate are not given, and here are those of `vctk`, which was not
trained. Nor was `wave`.
"""

from ml_collections import ConfigDict

from jaxgen.config import common, parse_arg, preset
from jaxgen.recipes import shorten


def spectral(c: ConfigDict) -> None:
    """Log-mel frames."""


def continuous(c: ConfigDict) -> None:
    """The control: 32 numbers a frame in place of codes."""
    c.model = dict(name="vaes.voice_vae.VoiceAE", hidden=128, layers=2, halvings=0, latent=32)
    c.method = dict(
        name="autoencoder.Reconstruction", observation="gaussian", given=("label",), per_dim=True
    )
    c.evaluate.best = "test/reconstruction"


def wave(c: ConfigDict) -> None:
    """A WaveNet of mu-law levels, 64 samples a code."""
    c.data.name = "vowels"
    book = c.model.quantizer
    c.model = dict(
        name="vaes.wave_vae.WaveVQ",
        hidden=64,
        halvings=6,
        stacks=4,
        dilations=(1, 2, 4, 8, 16, 32),
        width=32,
        skip=64,
        levels=256,
        quantizer=book,
    )
    c.method = dict(
        name="sound_codes.SoundCodes",
        observation="categorical",
        reconstruction_weight=1.0,
        given=("label",),
    )
    c.train.update(batch_size=16, steps_per_dispatch=1)
    c.evaluate.update(batch_size=64, best="test/uniform_bpd", num_samples=4, max_examples=256)
    c.evaluate.sample = dict(temperature=1.0)


def vctk(c: ConfigDict) -> None:
    """The paper's codes; the rest is of no paper."""
    wave(c)
    c.data.update(name="speech:VCTK", sample_rate=16_000, samples=8192, in_memory_mb=8000.0)
    c.model.update(
        hidden=128, stacks=3, dilations=tuple(2**i for i in range(10)), width=128, skip=256
    )
    c.model.quantizer.update(codes=512, dim=64, revive=False, revive_steps=0)
    c.optim.model.update(learning_rate=2e-4, schedule="constant", decay_steps=0)
    c.train.update(steps=250_000, save_every_steps=5000)
    c.evaluate.update(every_steps=10_000, sample_every_steps=50_000)


PRESETS = {"spectral": spectral, "continuous": continuous, "wave": wave, "vctk": vctk}


def get_config(arg: str = "") -> ConfigDict:
    """The config of `configs/voice_vae.py:ARG`; see the module docstring."""
    arg = parse_arg(arg, data="spectral", tiny=False)
    c = common("vowels_mel")
    c.model = dict(name="vaes.voice_vae.VoiceVQ", hidden=128, layers=2, halvings=3)
    c.model.quantizer = dict(
        name="codebook",
        codes=64,
        dim=16,
        commitment=0.25,
        learned="averages",
        decay=0.99,
        start="kmeans",
        revive=True,
        revive_steps=1500,
    )
    c.method = dict(
        name="sound_codes.FrameCodes",
        reconstruction_weight=2.0,
        fluctuation=0.65,
        given=("label",),
    )
    c.optim = dict(model=dict(name="adam", learning_rate=1e-3, schedule="cosine", decay_steps=3000))
    c.train.update(steps=3000, steps_per_dispatch=20)
    c.ema = dict(model=dict(half_life_steps=100.0))
    c.evaluate.update(every_steps=1000, sample_every_steps=3000, best="test/uniform_nll")
    c.evaluate.sample = dict(temperature=1.0)
    preset(arg.data, PRESETS)(c)
    if arg.tiny:
        shorten(c)
        c.train.steps_per_dispatch = 4
        small = dict(hidden=8, layers=1, latent=2, stacks=2, dilations=(1, 2), width=4, skip=8)
        c.model.update({name: size for name, size in small.items() if name in c.model})
        if "quantizer" in c.model:
            c.model.quantizer.update(codes=4, dim=2)
    return c
