"""Lossy files: what is kept, sizes, and what is refused."""

import jax.numpy as jnp
import numpy as np
import pytest
from coded import KEY, draws, latents

from jaxgen import coding
from jaxgen.config import ConfigError


@pytest.fixture(scope="module")
def run():
    return latents("conv_draw")


@pytest.fixture(scope="module")
def x(run):
    return draws(run, 50)


def error(run, x, **options):
    """Mean square of the difference, and bits of the coder."""
    data = coding.compress(run, x, **options)
    found = coding.decompress(run, data)
    assert found.dtype == x.dtype and found.shape == x.shape
    return np.mean(np.square(found.astype(float) - x)), coding.inspect(data)["bits"]["net"]


def test_more_groups_and_finer_bins_cost_more(run, x):
    one, both = error(run, x, groups=1), error(run, x, groups=2)
    fine = error(run, x, groups=2, fineness=32)
    assert one[1] < both[1] < fine[1]


def test_a_file_of_all_groups_is_the_reconstruction(run, x):
    """Of means of posteriors, up to the bins."""
    data = coding.compress(run, x, groups=2, fineness=64, batch=16)
    found = coding.decompress(run, data)
    x = jnp.asarray(x)
    z = [jnp.zeros_like(leaf) for leaf in run.method.encode(run.state, x, KEY)]
    for group in range(2):
        laws, _ = run.method.latent_laws(run.state, x, tuple(z))
        z[group] = laws[group][1].mean
    wanted = np.asarray(run.method.decode(run.state, tuple(z), rounded=True))
    assert (found != wanted).mean() < 0.02


def test_the_rest_is_drawn_by_the_seed(run, x):
    """The same for the same seed, whoever decodes; means for 0."""
    files = [coding.compress(run, x, groups=1, seed=seed) for seed in (0, 1, 2)]
    found = [coding.decompress(run, data) for data in files]
    for data, own in zip(files, found, strict=True):
        np.testing.assert_array_equal(coding.decompress(run, data), own)
    assert (found[0] != found[1]).any() and (found[1] != found[2]).any()


@pytest.mark.slow
def test_chunks_and_batches(run, x):
    data = coding.compress(run, x[:11], groups=1, batch=4, chunk=6)
    whole = coding.decompress(run, data)
    np.testing.assert_array_equal(
        coding.decompress(run, coding.compress(run, x[:6], groups=1, batch=4)), whole[:6]
    )


def test_what_cannot_be(run, x):
    with pytest.raises(ConfigError, match="groups=3, expected 1 to 2 of this model"):
        coding.compress(run, x, groups=3)
    with pytest.raises(ConfigError, match="precision: groups coding has no such option"):
        coding.compress(run, x, groups=1, precision=8)
    with pytest.raises(ConfigError, match="fineness is of lossy files: add groups"):
        coding.compress(run, x, fineness=8)
