"""A prior over latents: what it is given, its stage is not. Runs: train/test_frozen.py."""

import inspect
import types

import pytest

from jaxgen.abilities import Stepped, given
from jaxgen.bijectors.base import Chain
from jaxgen.config import ConfigError
from jaxgen.contract import check
from jaxgen.evaluate.validation import check_knobs
from jaxgen.methods.elbo import ELBO
from jaxgen.methods.latent_prior import LatentPrior
from jaxgen.methods.reverse_kl import ReverseKL
from jaxgen.types import DataSpec

SPEC = DataSpec.of("scans", (8, 8, 1), 17, 10).with_field("z", kind="vector", shape=(8,))


def prior_over(stage, **options):
    first = types.SimpleNamespace(method=stage, state=None)
    prior = {"name": "likelihood.Likelihood"} | options
    return LatentPrior(Chain(()), first, SPEC, prior=prior)


@pytest.mark.parametrize("conditional", [False, True])
def test_the_prior_may_be_given_a_class(conditional):
    method = prior_over(ELBO(None, SPEC, "logistic"), given=("label",) * conditional)
    check(method)
    assert given(method) == ("label",) * conditional


def test_the_stage_may_not():
    with pytest.raises(ConfigError, match="config.frozen.first is conditional on label"):
        prior_over(ELBO(None, SPEC, "logistic", given=("label",)))
    blind = type("Blind", (ReverseKL,), {"encode": None})(Chain(()), DataSpec.of("u1", (2,)))
    with pytest.raises(ConfigError, match="Blind cannot encode and decode: no first stage"):
        prior_over(blind)


def test_knobs_are_those_of_the_prior():
    """Those of a bijector are none of flow matching's, and the other way round."""
    prior = {"name": "flow_matching.FlowMatching", "given": ("label",), "null": 0.1}
    flow = prior_over(ELBO(None, SPEC, "logistic"))
    moved = prior_over(ELBO(None, SPEC, "logistic"), **prior)
    assert list(options(flow)) == ["temperature"]
    assert {"steps", "sampler", "guidance", "temperature"} <= set(options(moved))
    assert isinstance(moved.inner, Stepped)
    check_knobs(moved, {"steps": moved.inner.most_steps})
    with pytest.raises(ConfigError, match="steps=10001"):
        check_knobs(moved, {"steps": moved.inner.most_steps + 1})
    with pytest.raises(ConfigError, match="no such knob 'steps'"):
        check_knobs(flow, {"steps": 3})


def options(method):
    return {
        name: p
        for name, p in inspect.signature(method.sample).parameters.items()
        if p.kind is p.KEYWORD_ONLY
    }
