"""Knobs that are handed on are seen, checked and given as if they were the method's own."""

import inspect

from jaxgen.methods.handing import Handed, handing, of_class
from jaxgen.methods.latent_prior import LatentPrior


class Inner:
    def sample(self, num, steps=10, eta: float | None = None):
        return num, steps, eta

    def other(self, num, eta=None, mean=False):
        return num, eta, mean


class Outer:
    inner = Inner()

    @handing(lambda self: [self.inner.sample, self.inner.other])
    def sample(self, num, best=1, **knobs):
        """Says all."""
        return best, self.inner.sample(num, **knobs)


class Further(Outer):
    @handing(lambda self: [super().sample])
    def sample(self, num, more=0, **knobs):
        return more, super().sample(num, **knobs)


def test_what_every_receiver_has_is_shown():
    assert str(inspect.signature(Outer().sample)) == "(num, best=1, *, eta: float | None = None)"
    found = inspect.signature(Further().sample)
    assert list(found.parameters) == ["num", "more", "best", "eta"]
    assert found.parameters["eta"].annotation == float | None


def test_a_class_has_them_before_it_is_made():
    section = {"field": "z", "prior": {"name": "flow_matching.FlowMatching"}}
    found = inspect.signature(of_class(LatentPrior, section))
    assert {"given", "steps", "sampler", "guidance", "temperature"} <= set(found.parameters)
    assert found.parameters["steps"].kind is inspect.Parameter.KEYWORD_ONLY
    assert str(inspect.signature(of_class(Inner, {}))).startswith("(num, steps=10")


def test_calls_are_those_of_the_function():
    assert Further().sample(3, more=2, best=5, eta=0.5) == (2, (5, (3, 10, 0.5)))
    assert Outer.sample.__doc__ == "Says all."
    one = Outer()
    assert isinstance(one.sample, Handed)
    assert one.sample == one.sample
