"""What every method says that its likelihoods are of: unlike ones have unlike fingerprints."""

import dataclasses
import importlib
import types

import numpy as np
import pytest

from jaxgen import names
from jaxgen.abilities import Density, DensityOf, levels_of
from jaxgen.bijectors.base import Chain
from jaxgen.data.dataset import ArraySplit, Dataset
from jaxgen.evaluate.comparison import Comparison, Subject
from jaxgen.evaluate.extractors.pixels import Pixels
from jaxgen.evaluate.metrics import measure
from jaxgen.evaluate.sets import ArraySet
from jaxgen.methods.autoregressive import Autoregressive
from jaxgen.methods.captioned import Captioned
from jaxgen.methods.code_prior import CodePrior
from jaxgen.methods.diffusion import Diffusion
from jaxgen.methods.disentangle import Disentangle, FactorVAE
from jaxgen.methods.edm import EDM
from jaxgen.methods.elbo import ELBO
from jaxgen.methods.flow_matching import FlowMatching
from jaxgen.methods.iwae import IWAE
from jaxgen.methods.likelihood import Likelihood
from jaxgen.methods.masked import Masked
from jaxgen.methods.mean_flow import MeanFlow
from jaxgen.methods.neural_likelihood import NeuralLikelihood
from jaxgen.methods.nvae import NVAE
from jaxgen.methods.posterior import Posterior
from jaxgen.methods.quantized import QuantizedAutoencoder
from jaxgen.methods.ranked import Ranked
from jaxgen.methods.reverse_kl import ReverseKL
from jaxgen.methods.sim_to_real import Synthetic
from jaxgen.methods.sound_codes import FrameCodes, SoundCodes
from jaxgen.methods.text_elbo import TextELBO
from jaxgen.methods.truncated_posterior import TruncatedPosterior
from jaxgen.methods.vdm import VDM
from jaxgen.models.flows.manifold import ManifoldFlow
from jaxgen.models.vaes.molecule_vae import MoleculeVAE
from jaxgen.models.vaes.wave_vae import WaveVQ
from jaxgen.nn.codes import Map
from jaxgen.types import DataSpec, Field, Units

FLOW = Chain(())  # nothing is computed


class Nothing(Chain):
    """A network that is asked for the shapes of its codes alone."""

    def maps(self, shape):
        return {"codes": Map(2, 2, 1, 8)}


NET = Nothing(())
ON_SPHERE = ManifoldFlow(2, "sphere")
IMAGES = DataSpec.of("images", (4, 4, 1), 256, 10)
REAL = DataSpec.of("images", (4, 4, 1), None, 10)
ROWS = DataSpec.of("rows", (4,), None, 10)
SPHERE, PLANE = DataSpec.of("s2", (3,), None), DataSpec.of("u1", (2,), None)
IN_UNITS = ROWS.with_field("x", units=Units((1.0,) * 4, (2.0,) * 4))
WITH_CONTEXT = ROWS.with_field(
    "context", kind="vector", shape=(1,), names=("time",), units=Units((0.0,), (3.0,))
)
WITH_TEXT = IMAGES.with_field("text", kind="tokens", shape=(3,), dtype="int32", vocabulary=5)
CODES = Field("image", (2, 2, 1), "uint8", levels=8)
SENTENCES = DataSpec("texts", {"x": Field("tokens", (9,), "uint8", vocabulary=5)})
OTHER_CONTEXT = ROWS.with_field("context", kind="vector", shape=(2,), names=("time", "place"))


def flow(spec, model=FLOW, **options):
    return Likelihood(model, spec, **options)


def vae(spec, observation="logistic", kind=ELBO, **options):
    return kind(NET, spec, observation=observation, **options)


def codes(spec, observation):
    return QuantizedAutoencoder(NET, spec, observation=observation)


def prior(observation, name="autoregressive.Autoregressive", **options):
    stage = types.SimpleNamespace(method=codes(IMAGES, observation), state=None)
    spec = IMAGES.with_field("codes", **dataclasses.asdict(CODES) | {"units": None})
    own = {"name": name, **options}
    return CodePrior(NET, stage, spec, prior=own)


def captioned_prior():
    """With its ranker."""
    stage = types.SimpleNamespace(method=codes(IMAGES, "categorical"), state=None)
    spec = WITH_TEXT.with_field("codes", **dataclasses.asdict(CODES) | {"units": None})
    own = {"name": "autoregressive.Autoregressive", "given": ("text",)}
    return Ranked(NET, stage, spec, prior=own, ranker=NET)


SOUND = DataSpec("sound", {"x": Field("sequence", (16, 1), "uint8", levels=256, rate=8000)})
WAVES = WaveVQ(4, 1, 1, (1,), 3, 4, 256, {"name": "codebook", "codes": 5, "dim": 3})
PLACED = IMAGES.with_field("position", kind="vector", shape=(2,), names=("right", "down"))
PRIOR = {"mean": (0.0, 0.0), "std": (1.0, 1.0)}
ROUNDS = {"simulator": NET, "observation": (0.0, 0.0)}


# what it is, in words; a method; a column of its `evaluate`
TABLE = [
    ("P(x), uniform noise", flow(IMAGES), "bpd"),
    ("P(x), uniform noise", flow(IMAGES, preprocess="logit", n_bits=8), "bpd"),
    ("P(x), uniform noise", flow(IMAGES, importance_samples=5), "bpd"),
    ("P(x), uniform noise, 5 draws", flow(IMAGES, importance_samples=5), "iw_bpd"),
    ("P(x), uniform noise, 6 draws", flow(IMAGES, importance_samples=6), "iw_bpd"),
    ("P(x), learnt noise", flow(IMAGES, dequantizer=FLOW), "bpd"),
    ("P(x), learnt noise, 5 draws", flow(IMAGES, dequantizer=FLOW, importance_samples=5), "iw_bpd"),
    ("P(x in 32 levels), uniform noise", flow(IMAGES, n_bits=5), "bpd"),
    ("P(x | class), uniform noise", flow(IMAGES, given=("label",)), "bpd"),
    ("P(x), ELBO", vae(IMAGES), "bpd"),
    ("P(x), ELBO", vae(IMAGES, "categorical", beta=4.0), "bpd"),
    ("P(x), ELBO", vae(IMAGES, importance_samples=5), "bpd"),
    ("P(x), ELBO", vae(IMAGES, "logistic_mixture", NVAE), "bpd"),
    ("P(x), ELBO", vae(IMAGES, kind=NVAE, n_bits=8), "bpd"),
    ("P(x), ELBO", vae(IMAGES, kind=Disentangle), "bpd"),
    ("P(x), ELBO", vae(IMAGES, kind=FactorVAE), "bpd"),
    ("P(x), ELBO", vae(IMAGES, kind=IWAE, samples=3), "bpd"),
    ("P(x | class), ELBO", vae(IMAGES, given=("label",)), "bpd"),
    ("P(x in 32 levels), ELBO", vae(IMAGES, kind=NVAE, n_bits=5), "bpd"),
    ("P(x), 5 draws", vae(IMAGES, importance_samples=5), "iw_bpd"),
    ("P(x), 5 draws", vae(IMAGES, kind=IWAE, importance_samples=5), "iw_bpd"),
    ("P(x), 6 draws", vae(IMAGES, importance_samples=6), "iw_bpd"),
    ("P(x), ELBO", vae(IMAGES), "nelbo"),
    ("P(x), ELBO", vae(IMAGES, kind=NVAE), "nelbo"),
    ("P(x in 32 levels), ELBO", vae(IMAGES, kind=NVAE, n_bits=5), "nelbo"),
    ("P(x | class), ELBO", vae(IMAGES, given=("label",)), "nelbo"),
    ("p(x / 255), ELBO", vae(IMAGES, "gaussian"), "nelbo"),
    ("p(x / 255), ELBO", vae(IMAGES, "learned_gaussian"), "nelbo"),
    ("p(x / 255 | class), ELBO", vae(IMAGES, "gaussian", given=("label",)), "nelbo"),
    ("p(x in 32 levels / 31), ELBO", vae(IMAGES, "gaussian", NVAE, n_bits=5), "nelbo"),
    ("P(x), 5 draws", vae(IMAGES, importance_samples=5), "iw_nll"),
    ("p(x / 255), 5 draws", vae(IMAGES, "gaussian", importance_samples=5), "iw_nll"),
    ("p(x), ELBO", vae(REAL, "gaussian"), "nelbo"),
    ("P(text), ELBO", TextELBO(MoleculeVAE(), SENTENCES), "nelbo"),
    ("p(x)", flow(REAL), "nll"),
    ("p(x | class)", flow(REAL, given=("label",)), "nll"),
    ("p(x), rows", flow(ROWS), "nll"),
    ("p(x), rows", flow(IN_UNITS), "nll"),  # numbers are in the units of the data
    ("p(x | class), rows", flow(ROWS, given=("label",)), "nll"),
    ("p(x | time), rows", flow(WITH_CONTEXT), "nll"),
    ("p(x | class, time), rows", flow(WITH_CONTEXT, given=("label",)), "nll"),
    ("p(x | time, place), rows", flow(OTHER_CONTEXT), "nll"),
    ("p(x1, x2 | x3, x4)", Posterior(FLOW, ROWS, 2), "nll"),
    ("p(x1, x2 | x3, x4)", Posterior(FLOW, ROWS, 2, low=(0.0,) * 2, high=(1.0,) * 2), "nll"),
    ("p(x1, x2, x3 | x4)", Posterior(FLOW, ROWS, 3), "nll"),
    ("p(x), volume", flow(SPHERE), "nll"),
    ("p(x), area of the sphere", flow(SPHERE, model=ON_SPHERE), "nll"),
    ("p(x), area of the sphere", ReverseKL(ON_SPHERE, SPHERE), "nll"),
    ("p(x), plane", flow(PLANE), "nll"),
    ("p(x), plane", ReverseKL(FLOW, PLANE), "nll"),
    ("P(x)", Autoregressive(NET, IMAGES), "bpd"),
    ("P(x)", Autoregressive(NET, IMAGES, "logistic_mixture"), "nll"),
    ("P(x | class)", Autoregressive(NET, IMAGES, given=("label",)), "bpd"),
    ("P(x), 8 sets of masks", Masked(NET, IMAGES), "bpd"),
    ("P(x), 9 sets of masks", Masked(NET, IMAGES, draws=9), "bpd"),
    ("P(x | text)", Captioned(NET, WITH_TEXT, given=("text",)), "bpd"),
    ("P(x), codes", prior("categorical"), "bpd"),
    ("P(x | text), codes", captioned_prior(), "bpd"),
    ("P(x | class), codes", prior("categorical", given=("label",)), "bpd"),
    ("P(x), codes, 8 sets of masks", prior("categorical", "masked.Masked"), "bpd"),
    ("P(x), chain of noises", Diffusion(NET, IMAGES), "bpd"),
    ("P(x), chain of noises", Diffusion(NET, IMAGES, prediction="v", draws=0), "bpd"),
    ("p(x), rows, chain of noises", Diffusion(NET, ROWS), "nll"),
    ("P(x), noise at one time", VDM(NET, IMAGES), "bpd"),
    ("P(x), noise at 8 times", VDM(NET, IMAGES, draws=8), "bpd"),
    ("p(x), rows, noise at one time", VDM(NET, ROWS), "nll"),
    ("P(x), ODE of 12 steps", FlowMatching(NET, IMAGES), "bpd"),
    ("P(x), ODE of 12 steps", MeanFlow(NET, IMAGES), "bpd"),
    ("P(x), ODE of 12 steps", EDM(NET, IMAGES), "bpd"),
    ("P(x | class), ODE of 12 steps", EDM(NET, IMAGES, given=("label",)), "bpd"),
    ("P(x), ODE of 24 steps", FlowMatching(NET, IMAGES, solver_steps=24), "bpd"),
    ("p(x), rows, ODE of 12 steps", FlowMatching(NET, ROWS), "nll"),
    ("p(x), rows, ODE of 12 steps", EDM(NET, ROWS, exact=True), "nll"),
    ("P(codes)", prior("gaussian"), "code_nll"),
    ("P(codes), 8 sets of masks", prior("gaussian", "masked.Masked"), "code_nll"),
    ("P(x), codes", codes(IMAGES, "categorical"), "uniform_bpd"),
    ("P(x), codes", codes(IMAGES, "logistic_mixture"), "uniform_bpd"),
    ("p(x / 255), codes", codes(IMAGES, "gaussian"), "uniform_nll"),
    ("p(x), codes", codes(REAL, "gaussian"), "uniform_nll"),
    ("p(x), codes", FrameCodes(NET, REAL, "gaussian"), "uniform_nll"),
    ("P(sound), codes", SoundCodes(WAVES, SOUND), "uniform_bpd"),
    ("p(x3, x4 | x1, x2)", NeuralLikelihood(FLOW, ROWS, 2, **PRIOR), "nll"),
    ("p(x1, x2 | x3, x4)", TruncatedPosterior(FLOW, ROWS, 2, **PRIOR, **ROUNDS), "nll"),
    ("P(x), ELBO", Synthetic(NET, PLACED, observation="logistic", regressor=NET), "bpd"),
]


COLUMNS = ("code_nll", "bpd", "iw_bpd", "nelbo", "iw_nll", "nll", "uniform_bpd", "uniform_nll")


def measured(method, column):
    """The measurement, as the command makes it, of numbers that are made up."""
    spec = method.spec
    x = np.zeros((4, *spec.shape), np.float32 if spec.levels is None else np.uint8)
    dataset = Dataset(spec, {"train": ArraySplit({"x": x}), "test": ArraySplit({"x": x})}, "test")
    columns = dict.fromkeys(COLUMNS, np.arange(4.0))
    subject = Subject(
        spec, spec.levels, [ArraySet(x)], method=method, per_example=lambda split: columns
    )
    found, _ = measure(Comparison(subject, dataset, Pixels(spec)), "likelihood")
    return next(m for m in found if m.name == column)


def mistaken(table):
    """Pairs of rows that are told apart and are alike, or are not told apart and are unlike."""
    known = [(what, measured(method, column)) for what, method, column in table]
    return [
        (what, other, a.name)
        for i, (what, a) in enumerate(known)
        for other, b in known[:i]
        if a.name == b.name and (what == other) != (a.fingerprint == b.fingerprint)
    ]


def test_unlike_likelihoods_have_unlike_fingerprints():
    assert mistaken(TABLE) == []


@pytest.mark.parametrize(
    ("fields", "pair"),
    [
        (("kind",), ("P(x), ELBO", "P(x), uniform noise", "bpd")),
        (("kind",), ("P(x), learnt noise", "P(x), uniform noise", "bpd")),
        (("kind",), ("P(x), 6 draws", "P(x), 5 draws", "iw_bpd")),
        (("levels",), ("P(x in 32 levels), ELBO", "P(x), ELBO", "nelbo")),
        (("given",), ("P(x | class), ELBO", "P(x), ELBO", "bpd")),
        (("given",), ("p(x | class)", "p(x)", "nll")),
        (("measure", "per"), ("p(x / 255), ELBO", "P(x), ELBO", "nelbo")),
        (("of", "given", "dims"), ("p(x1, x2 | x3, x4)", "p(x), rows", "nll")),
        (("dims",), ("p(x1, x2, x3 | x4)", "p(x1, x2 | x3, x4)", "nll")),
        (("per",), ("p(x), area of the sphere", "p(x), volume", "nll")),
    ],
)
def test_what_is_not_declared_is_seen(monkeypatch, fields, pair):
    """The control: equal declarations of different things."""
    whole = DensityOf.fingerprint
    monkeypatch.setattr(
        DensityOf, "fingerprint", lambda self: whole(self) | dict.fromkeys(fields, "?")
    )
    assert pair in mistaken(TABLE)


def classes():
    """All methods of the tree."""
    for module in names.modules("jaxgen.methods"):
        found = importlib.import_module(f"jaxgen.methods.{module}")
        _, is_method = names.KINDS["jaxgen.methods"]
        yield from (v for v in vars(found).values() if is_method(v))


def test_all_methods_with_a_density_are_in_the_table():
    there = {type(method) for _, method, _ in TABLE}
    assert {k for k in classes() if "log_prob" in dir(k) and k.log_prob} == there
    assert all(isinstance(method, Density) for _, method, _ in TABLE)


def test_every_column_is_in_the_table():
    columns = {(type(m), name) for _, m, _ in TABLE for name in m.likelihoods}
    assert {name for _, name in columns} == set(COLUMNS)


def test_levels_that_are_modelled():
    """What distances of samples are compared by, too."""
    assert levels_of(vae(IMAGES, kind=NVAE, n_bits=5), IMAGES) == 32
    assert levels_of(vae(IMAGES, kind=NVAE), IMAGES) == levels_of(vae(IMAGES), IMAGES) == 256
    assert levels_of(flow(IMAGES, n_bits=5), IMAGES) == 32
    assert levels_of(flow(ROWS), ROWS) is levels_of(Posterior(FLOW, ROWS, 2), ROWS) is None
