"""A prior over codes: what both stages pay, on sources that can be enumerated."""

import dataclasses
import itertools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.abilities import Density, DensityOf, given
from jaxgen.config import ConfigError
from jaxgen.contract import check
from jaxgen.methods.code_prior import CodePrior
from jaxgen.methods.elbo import ELBO
from jaxgen.models.autoregressive.transformer import Transformer
from jaxgen.types import DataSpec, Field, State

KEY = jax.random.key(0)
SHAPE, LEVELS = (2, 2, 1), 4
BASE = DataSpec.of("squares", SHAPE, LEVELS, num_classes=3)
FIELDS = {
    "codes": Field("image", SHAPE, "uint8", levels=2),
    "top": Field("image", (1, 1, 1), "uint8", levels=2),
}


@dataclasses.dataclass(frozen=True)
class Halves:
    """A stage: the leading bit of each pixel is a code, the other one is drawn evenly.

    With `top`, also the leading bit of the first pixel as a coarser code, which changes nothing.
    """

    spec: DataSpec
    top: bool = False

    @property
    def latent_fields(self):
        return {k: FIELDS[k] for k in (("top", "codes") if self.top else ("codes",))}

    @property
    def density(self):
        return DensityOf("codes", "mass", 4, levels=LEVELS)

    @property
    def likelihoods(self):
        return {"uniform_bpd": self.density}

    def log_prob(self, state, x, rng):
        raise AssertionError

    def encode(self, state, x, rng):
        codes = (x // 2).astype(jnp.uint8)
        return {k: codes if k == "codes" else codes[:, :1, :1] for k in self.latent_fields}

    def decode(self, state, z, *, rounded=False):
        return 2.0 * z["codes"] + 0.5

    def code_log_prob(self, state, x, z):
        fits = (x // 2 == z["codes"]).all((1, 2, 3))
        if self.top:
            fits &= z["codes"][:, 0, 0, 0] == z["top"][:, 0, 0, 0]
        return jnp.where(fits, -4 * jnp.log(2.0), -jnp.inf)

    def code_sample(self, state, z, rng):
        return (2 * z["codes"] + jax.random.bernoulli(rng, shape=z["codes"].shape)).astype("uint8")


def prior(top=False, spread=1.0, **options):
    stage = Halves(BASE, top)
    spec = BASE
    for name, field in stage.latent_fields.items():
        spec = dataclasses.replace(spec, fields={**spec.fields, name: field})
    first = types.SimpleNamespace(method=stage, state=lambda state: state)
    networks = {"lower": Transformer(1, 8, 2)} if top else {}
    method = CodePrior(Transformer(1, 8, 2), first, spec, **networks, **options)
    x = np.asarray(list(itertools.product(range(LEVELS), repeat=4)), np.uint8).reshape(-1, *SHAPE)
    batch = {"x": x, "label": np.full(len(x), 1, np.int32), **stage.encode(None, x, None)}
    params, variables = jax.jit(method.init)(KEY, batch)
    params = jax.tree.map(lambda p: spread * (p + jax.random.normal(KEY, p.shape)), params)
    return method, State(jnp.int32(0), params, variables, {}, {}), batch


@pytest.mark.parametrize("top", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_both_stages_together_are_a_distribution(top):
    """Each picture has one code, so that the bound is exact here, and sums to one."""
    given_class = {"name": "autoregressive.Autoregressive", "given": ("label",)}
    method, state, batch = prior(top, prior=given_class)
    check(method)
    assert isinstance(method, Density) and given(method) == ("label",)
    values = jax.jit(method.evaluate)(state, batch, KEY)
    bits = 4 * np.asarray(values["bpd"], np.float64)
    if top:  # codes whose first is not the top one have a share of their own, and make no picture
        assert 0.01 < np.exp2(-bits).sum() < 1
    else:
        np.testing.assert_allclose(np.exp2(-bits).sum(), 1, atol=1e-5)
    np.testing.assert_allclose(values["pixel_bpd"], 1.0)
    np.testing.assert_allclose(values["code_bpd"] + 1, values["bpd"], rtol=1e-6)
    np.testing.assert_allclose(values["code_nll"], values["code_bpd"] * 4 * np.log(2), rtol=1e-5)
    log_p = jax.jit(lambda s, b: method.log_prob(s, b["x"], KEY, {"label": b["label"]}))
    np.testing.assert_allclose(log_p(state, batch), -bits * np.log(2), rtol=1e-5)


def test_bits_are_never_below_the_entropy_of_the_source():
    """Any prior pays at least the entropy; equally likely codes pay log2 K each."""
    even, state, batch = prior(spread=0.0)
    values = jax.jit(even.evaluate)(state, batch, KEY)
    np.testing.assert_allclose(values["bpd"], 1 + 1.0, rtol=1e-6)
    weight = np.random.RandomState(0).rand(16) ** 4  # of codes; pictures of a code are equal
    source = np.repeat(weight / weight.sum() / 16, 16)
    codes = batch["x"].reshape(-1, 4) // 2
    source = source.reshape(16, 16)[codes @ [8, 4, 2, 1], 0]
    entropy = -(source * np.log2(source)).sum() / 4
    for scale in (0.3, 1.0):
        method, state, batch = prior(spread=scale)
        bpd = np.asarray(jax.jit(method.evaluate)(state, batch, KEY)["bpd"], np.float64)
        assert entropy < (source * bpd).sum() < 10


@pytest.mark.slow  # to compile; by default what is known stays, and the rest is drawn
def test_samples_have_the_probabilities_that_are_said():
    """Codes are drawn by their prior, the lower ones given those above."""
    method, state, batch = prior(top=True)
    drawn = jax.jit(lambda s: method.sample(s, KEY, 4096))(state)
    assert drawn.dtype == np.uint8 and drawn.shape == (4096, *SHAPE)
    mean = jax.jit(lambda s: method.sample(s, KEY, 16, mean=True))(state)
    np.testing.assert_allclose(np.asarray(mean) % 2, 0.5)
    upper, lower = method.inners.values()
    spec = lower.spec.fields
    assert spec["top"].kind == "layout" and lower.given == ("top",)
    every = np.asarray(list(itertools.product(range(2), repeat=4)), np.uint8).reshape(-1, *SHAPE)
    share = np.zeros(16)
    for top in (0, 1):
        x = {"x": jnp.full((16, 1, 1, 1), top, jnp.uint8)}
        first = np.exp(-upper.evaluate(method._own(state, "model"), x, KEY)["nll"])
        x = {"x": jnp.asarray(every), "top": np.full((16, 1, 1), top, np.int32)}
        share += first * np.exp(-lower.evaluate(method._own(state, "lower"), x, KEY)["nll"])
    np.testing.assert_allclose(share.sum(), 1, atol=1e-5)
    found = np.bincount((np.asarray(drawn).reshape(-1, 4) // 2) @ [8, 4, 2, 1], minlength=16)
    np.testing.assert_allclose(found / 4096, share, atol=5 * 0.5 / 64)


def test_what_is_known_stays_and_the_rest_is_drawn():
    method, state, batch = prior()
    known = np.zeros(batch["x"].shape, bool)
    known[:, 0] = True
    found = jax.jit(method.complete)(state, batch["x"], known, KEY)
    np.testing.assert_array_equal(found[:, 0], batch["x"][:, 0])
    assert (np.asarray(found[:, 1]) != batch["x"][:, 1]).any()
    other = batch["x"].copy()
    other[:, 1] = 3 - other[:, 1]  # what is not known changes nothing
    np.testing.assert_array_equal(jax.jit(method.complete)(state, other, known, KEY), found)


def test_stages_that_do_not_fit_are_refused():
    stage = types.SimpleNamespace(method=ELBO(None, BASE, "logistic"), state=None)
    with pytest.raises(ConfigError, match="ELBO has no codes; over latents that are real numbers"):
        CodePrior(None, stage, BASE)
    stage = types.SimpleNamespace(method=Halves(BASE), state=None)
    with pytest.raises(ConfigError, match="first.field: expected codes, codes is not there"):
        CodePrior(None, stage, BASE)
    with pytest.raises(
        ConfigError, match="has 2 maps of codes, top, codes, and config.model 1 net"
    ):
        spec = dataclasses.replace(BASE, fields={**BASE.fields, **FIELDS})
        CodePrior(None, types.SimpleNamespace(method=Halves(BASE, True), state=None), spec)
