"""Steps of a sampler: a value of one program, checked against what the method has."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import sharding
from jaxgen.config import ConfigError
from jaxgen.evaluate.sampling import Sampler
from jaxgen.evaluate.validation import check_knobs, options_of
from jaxgen.methods.diffusion import Diffusion
from jaxgen.methods.flow_matching import FlowMatching
from jaxgen.models.diffusion.dense import Dense
from jaxgen.types import DataSpec, State

SPEC = DataSpec.of("plane", (2,), None)
CHAIN = Diffusion(Dense(8, 1, waves=4), SPEC, timesteps=20)


def test_they_are_values_and_no_part_of_the_program():
    found = options_of(CHAIN.sample, 3, {"steps": 7, "sampler": "heun"})
    assert found.static == {"sampler": "heun"} and found.values["steps"] == np.int32(7)
    assert options_of(CHAIN.sample, 3, {"steps": None}).static == {"steps": None}


@pytest.mark.parametrize("steps", [21, 0, -1, 2.5, True, "ten"])
def test_more_than_the_chain_has_are_refused(steps):
    for call in (lambda o: options_of(CHAIN.sample, 3, o), lambda o: check_knobs(CHAIN, o)):
        with pytest.raises(
            ConfigError, match=r"^steps=\S+ expected an integer (from 1 to 20|of 1)"
        ):
            call({"steps": steps})
    with pytest.raises(ConfigError, match="steps=21: expected an integer from 1 to 20"):
        options_of(CHAIN.encode, 3, {"steps": 21})


def test_one_program_draws_in_any_number_of_them():
    """And another sampler is another program; unknown ones are told in one line."""
    method = FlowMatching(Dense(8, 1, waves=4), SPEC)
    params, variables = method.init(jax.random.key(0), {"x": jnp.zeros((4, 2))})
    state = State(jnp.int32(0), params, variables, {}, {})
    sampler = Sampler(method, SPEC, sharding.one_device())
    drawn = [np.concatenate(list(sampler.samples(state, 4, knobs={"steps": n}))) for n in (1, 4, 9)]
    assert len(sampler._compiled) == 1
    (program,) = sampler._compiled.values()
    assert program._cache_size() == 1
    direct = jax.jit(lambda s: method.sample(s, jax.random.key(0), sampler.size, steps=4))(state)
    np.testing.assert_allclose(drawn[1], direct[:4], rtol=1e-5)
    with pytest.raises(ConfigError, match="sampler='plms': expected one of ancestral, ddim, euler"):
        list(sampler.samples(state, 4, knobs={"sampler": "plms"}))
    with pytest.raises(ConfigError, match="guidance: this model was not trained without its"):
        list(sampler.samples(state, 4, knobs={"guidance": 2.0}))
