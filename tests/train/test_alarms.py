"""What runs away is said, once, until it has come back."""

import math

import pytest

from jaxgen.train.alarms import Alarms


def told(rows, method=None):
    said = []
    alarms = Alarms(method, said.append)
    for step, values in enumerate(rows, 1):
        alarms.check(step, values)
    return said


@pytest.mark.parametrize("name", ["model/loss", "generator/grad_norm"])
@pytest.mark.parametrize(("first", "last"), [(0.5, 2e4), (-3.0, -4e4), (1e6, 2e10)])
def test_a_runaway_is_said_once_and_again_after_it_has_ceased(name, first, last):
    said = told([{name: value} for value in (first, last, last, first, last)])
    assert len(said) == 2
    assert said[0].startswith(
        f"step 2: warning: {name} is {last:.3g}, and was {abs(first):.3g}: tr"
    )
    assert said[1].startswith("step 5: warning: ")


@pytest.mark.parametrize("values", [(1e6, 9e5), (0.1, 9e3), (-5e4, 2e4), (0.0, 1.0)])
def test_what_only_changes_is_not(values):
    assert told([{"model/loss": value} for value in values]) == []


def test_what_is_enormous_from_the_start_is_said():
    (said,) = told([{"discriminator/loss": 2.5e23}])
    assert said.startswith("step 1: warning: discriminator/loss is 2.5e+23, and was 2.5e+23")


def test_other_metrics_and_what_is_not_finite_are_not():
    """The latter ends the run."""
    assert told([{"model/bpd": 1.0, "model/loss": 1.0}, {"model/bpd": 1e9}]) == []
    assert told([{"model/loss": 1.0}, {"model/loss": math.inf}]) == []


def test_alarms_of_the_method_are_said_too():
    class Method:
        def alarms(self, values):
            return {"low": "too low"} if values["a/x"] < 1 else {}

    said = told([{"a/x": x} for x in (2, 0, 0, 2, 0)], Method())
    assert said == ["step 2: warning: too low", "step 5: warning: too low"]
