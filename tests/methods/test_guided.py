"""Guidance by a classifier that knows the truth is the truth given the class."""

import types

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.abilities import Stepped
from jaxgen.config import ConfigError
from jaxgen.contract import check
from jaxgen.methods.edm import EDM
from jaxgen.methods.flow_matching import FlowMatching
from jaxgen.methods.guided import Guided
from jaxgen.methods.latent_prior import LatentPrior
from jaxgen.methods.mean_flow import MeanFlow
from jaxgen.methods.noised_classifier import NoisedClassifier
from jaxgen.types import DataSpec, State

MEANS, VARIANCE = jnp.asarray([[-1.0, 0.5], [1.5, 0.0], [0.0, -2.0]]), 0.2
SPEC = DataSpec.of("blobs", (2,), None, 3)
STATE = State(jnp.int32(0), {"model": {}}, {"model": {}}, {}, {})
FLOW = {"name": "flow_matching.FlowMatching"}


def parts(z, time):
    """Responsibilities [B, 3] of noised Gaussians, and the velocity in each [B, 3, 2]."""
    t = (time / 1000)[:, None, None]
    alpha, variance = 1 - t, (1 - t) ** 2 * VARIANCE + t**2
    away = z[:, None] - alpha * MEANS[None]
    logits = -0.5 * jnp.sum(away**2, -1) / variance[..., 0]
    x = MEANS[None] + alpha * VARIANCE / variance * away
    return logits, t * away / variance - x


class Truth(nn.Module):
    """The velocity of all three, or of the class that is given."""

    def __call__(self, z, time, cond=None, train=False):
        logits, velocity = parts(z, time)
        share = jax.nn.softmax(logits) if cond is None else cond
        return jnp.sum(share[..., None] * velocity, axis=1)


class Judge(nn.Module):
    def __call__(self, z, time, train=False):
        return parts(z, time)[0]


def stage(method):
    return types.SimpleNamespace(method=method, state=lambda state: STATE)


def guided(inner=None, spec=SPEC, **process):
    judge = NoisedClassifier(Judge(), spec, FLOW | process)
    return Guided(inner or FlowMatching(Truth(), SPEC), stage(judge))


class Doubling:
    """A stage whose latents are half of the data."""

    def encode(self, state, x, rng):
        return x / 2

    def decode(self, state, z, rounded=True):
        return 2 * z


def over_latents(prior, digest="one", **field):
    first = types.SimpleNamespace(method=Doubling(), state=lambda state: STATE, digest=digest)
    spec = DataSpec.of("blobs", (2,), None, 3).with_field("z", kind="vector", shape=(2,), **field)
    model = Judge() if "process" in prior else Truth()
    return LatentPrior(model, first, spec, prior=prior)


def guided_latents(digest="one", **field):
    judge = {"name": "noised_classifier.NoisedClassifier", "process": FLOW}
    return Guided(over_latents(FLOW), stage(over_latents(judge, digest, **field)))


def draw(method, num=200, **knobs):
    call = jax.jit(lambda rng: method.sample(STATE, rng, num, **knobs))
    return np.asarray(call(jax.random.key(4)))


@pytest.mark.parametrize("sampler", ["heun", "dpm"])
def test_of_scale_one_it_is_the_distribution_given_the_class(sampler):
    knobs = dict(given={"label": np.arange(200) % 3}, steps=40, sampler=sampler)
    known = FlowMatching(Truth(), SPEC, given=("label",))
    found, wanted = draw(guided(), **knobs), draw(known, **knobs)
    np.testing.assert_allclose(found, wanted, atol=2e-4)
    free = draw(FlowMatching(Truth(), SPEC), steps=40, sampler=sampler)
    assert np.abs(free - wanted).max() > 1


def test_of_scale_zero_it_is_the_model_bit_by_bit():
    label = {"label": np.zeros(50, np.int32)}
    found = draw(guided(), 50, given=label, scale=0.0, steps=10)
    np.testing.assert_array_equal(found, draw(FlowMatching(Truth(), SPEC), 50, steps=10))


def test_a_larger_scale_goes_where_the_class_is_sure():
    label = {"label": np.ones(200, np.int32)}
    one, four = (draw(guided(), given=label, scale=s, steps=20) for s in (1.0, 4.0))
    away = np.array(MEANS[1] - (MEANS[0] + MEANS[2]) / 2)
    assert (four @ away).mean() > (one @ away).mean() + 0.5


def test_latents_are_guided_and_then_decoded():
    knobs = dict(given={"label": np.arange(200) % 3}, steps=20)
    method = guided_latents()
    check(method)
    assert isinstance(method, Stepped) and method.most_steps == guided().most_steps
    np.testing.assert_array_equal(draw(method, **knobs), 2 * draw(guided(), **knobs))
    free = draw(over_latents(FLOW), steps=20)
    np.testing.assert_array_equal(draw(method, scale=0.0, **knobs), free)


def test_its_knobs_and_abilities():
    method = guided()
    check(method)
    assert method.given == ("label",)
    assert isinstance(method, Stepped) and method.most_steps == method.inner.most_steps
    classes = draw(method, 600, steps=20)  # drawn evenly
    nearest = np.argmin(np.linalg.norm(classes[:, None] - np.asarray(MEANS), axis=-1), axis=1)
    assert (np.abs(np.bincount(nearest, minlength=3) - 200) < 60).all()


def test_a_classifier_learns_to_tell():
    judge = NoisedClassifier(Judge(), SPEC, FLOW)
    random = np.random.RandomState(0)
    label = random.randint(0, 3, 4000)
    x = np.asarray(MEANS)[label] + VARIANCE**0.5 * random.randn(4000, 2)
    batch = {"x": jnp.asarray(x, jnp.float32), "label": jnp.asarray(label)}
    found = judge.evaluate(STATE, batch, jax.random.key(0))
    means = {name: float(jnp.mean(v)) for name, v in found.items()}
    assert means["clean_accuracy"] > 0.95 > means["accuracy"] > 0.5
    loss, (_, metrics) = judge.loss(STATE, batch, jax.random.key(1))
    assert abs(float(loss) - means["nats"]) < 0.05
    assert abs(float(metrics["accuracy"]) - means["accuracy"]) < 0.03


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: guided(spec=DataSpec.of("others", (2,), None, 3)), "it was trained on others"),
        (lambda: guided(noise="trigonometric"), "its noise is not the model's"),
        (lambda: guided(name="edm.EDM"), "its noise is not the model's"),
        (lambda: guided(EDM(Truth(), SPEC)), "its noise is not the model's"),
        (lambda: guided(MeanFlow(Truth(), SPEC)), "MeanFlow has no noise"),
        (
            lambda: Guided(FlowMatching(Truth(), SPEC), stage(FlowMatching(Truth(), SPEC))),
            "FlowMatching is no classifier of noised data",
        ),
        (lambda: guided_latents("two"), "its latents of blobs are not the model's"),
        (
            lambda: Guided(over_latents(FLOW), guided().classifier),
            "it was trained on blobs, .2,., and the model on latents of blobs",
        ),
        (
            lambda: NoisedClassifier(Judge(), DataSpec.of("none", (2,)), FLOW),
            "none has no labels",
        ),
        (lambda: draw(NoisedClassifier(Judge(), SPEC, FLOW)), "draws nothing"),
    ],
)
def test_what_does_not_fit_is_refused(make, words):
    with pytest.raises(ConfigError, match=words):
        make()
