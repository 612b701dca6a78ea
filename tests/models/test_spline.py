"""The spline flow: a density that integrates to one, and samples that follow it."""

import checks
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from away import scrambled

from jaxgen.methods.likelihood import Likelihood
from jaxgen.models.flows.spline import ImageSplineFlow, SplineFlow
from jaxgen.types import DataSpec, State

SPEC = DataSpec.of("plane", (2,), None)
KEY = jax.random.key(0)
RANDOM = np.random.RandomState(0)


@pytest.fixture(
    scope="module",
    params=[("coupling", "linear"), ("autoregressive", "linear"), ("autoregressive", "order")],
)
def trained(request):
    """A method and a state away from initialisation."""
    form, mixer = request.param
    flow = SplineFlow(depth=2, form=form, bins=4, width=16, blocks=1, mixer=mixer)
    method = Likelihood(flow, SPEC)
    batch = {"x": jnp.asarray(2 * RANDOM.randn(64, 2) + 1)}
    params, variables = jax.jit(method.init)(KEY, batch)
    return method, State(jnp.int32(0), scrambled(params, 0.1), variables, {}, {})


def test_density_integrates_to_one(trained):
    method, state = trained
    axis = np.linspace(-24, 24, 401)  # scrambled parameters spread the data far
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2).astype(np.float32)
    log_prob = jax.jit(method.log_prob)
    density = np.exp(np.asarray(log_prob(state, jnp.asarray(grid), KEY), np.float64))
    np.testing.assert_allclose(density.sum() * (axis[1] - axis[0]) ** 2, 1, atol=1e-3)


def test_samples_encode_to_their_own_noise(trained):
    method, state = trained
    z = jnp.asarray(RANDOM.randn(256, 2))
    x = jax.jit(method.decode)(state, z)
    np.testing.assert_allclose(jax.jit(method.encode)(state, x, KEY), z, atol=2e-3)


def test_sample_mean_log_prob_is_minus_the_entropy_of_noise_minus_logdet(trained):
    """E log p(x) of own samples, by change of variables from the noise."""
    method, state = trained
    entropy_of_noise = 1 + np.log(2 * np.pi)

    @jax.jit
    def found(state):
        x = method.sample(state, KEY, 4096)
        variables = {"params": state.params["model"], **state.vars["model"]}
        z = method.encode(state, x, KEY)
        logdet = method.model.apply(variables, z, None, method="inverse")[1]
        return x, method.log_prob(state, x, KEY), logdet

    x, direct, logdet = map(np.asarray, found(state))
    error = np.std(direct) / np.sqrt(len(x))
    np.testing.assert_allclose(
        direct.mean(), -entropy_of_noise - np.mean(logdet), atol=5 * error + 1e-3
    )


@pytest.mark.parametrize("name", ["form", "mixer"])
def test_what_is_unknown_is_refused(name):
    with pytest.raises(ValueError, match=f"{name}='affine', expected one of"):
        SplineFlow(**{name: "affine"}).init(KEY, jnp.zeros((2, 2)))


def test_cifar10_recipe_has_as_many_parameters_as_the_paper_says():
    """11.8 million: paper, table 3. Triangular factors are kept as whole matrices here."""
    shapes = jax.eval_shape(ImageSplineFlow().init, KEY, jnp.zeros((2, 32, 32, 3)))
    count = 0
    for path, leaf in jax.tree_util.tree_leaves_with_path(shapes["params"]):
        size = leaf.shape[-1]
        triangular = path[-1].key in ("lower", "upper")
        count += leaf.size * (size - 1) // (2 * size) if triangular else leaf.size
    np.testing.assert_allclose(count, 11.8e6, rtol=0.005)


@pytest.mark.parametrize("multiscale", [pytest.param(False, marks=pytest.mark.slow), True])
def test_images_come_back_and_the_logdet_is_the_jacobian(multiscale):
    model = ImageSplineFlow(2, depth=2, width=8, blocks=1, multiscale=multiscale)
    z, _ = checks.exact((model, (4, 4, 1), None))
    assert len(jax.tree.leaves(z)) == 1 + multiscale


@pytest.mark.slow
def test_images_with_classes():
    model = ImageSplineFlow(1, depth=1, width=8, blocks=1)
    x, classes = jnp.zeros((3, 4, 4, 1)), jnp.eye(3)
    variables = model.init(KEY, x, classes)
    z, _ = model.apply(variables, x, classes)
    np.testing.assert_allclose(
        model.apply(variables, z, classes, method="inverse")[0], x, atol=1e-5
    )
