"""Any mesh trains the same model: eight fake devices against one, on updated parameters."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxgen.config import ConfigError
from jaxgen.methods.adversarial import Adversarial
from jaxgen.methods.elbo import ELBO
from jaxgen.methods.likelihood import Likelihood
from jaxgen.methods.nvae import NVAE as Balanced
from jaxgen.methods.progressive import Progressive, ProgressiveStyles
from jaxgen.methods.stylegan2 import StyleGAN2
from jaxgen.models.flows.glow import Glow
from jaxgen.models.gans.gan import Discriminator, Generator
from jaxgen.models.gans.progan import Discriminator as GrownDiscriminator
from jaxgen.models.gans.progan import Generator as Grown
from jaxgen.models.gans.stylegan import Generator as GrownStyled
from jaxgen.models.gans.stylegan2 import Discriminator as StyledDiscriminator
from jaxgen.models.gans.stylegan2 import Generator as Styled
from jaxgen.models.vaes.nvae import NVAE
from jaxgen.models.vaes.vae import ConvVAE
from jaxgen.sharding import (
    MIN_SIZE,
    abstract,
    batch_sharding,
    make_mesh,
    put,
    replicated,
    state_sharding,
)
from jaxgen.train.optim import optimizer
from jaxgen.train.program import build_program
from jaxgen.types import DataSpec, State

AXES = ("data", "fsdp")


def single() -> Mesh:
    return jax.make_mesh((1, 1), AXES, axis_types=(AxisType.Auto,) * 2, devices=jax.devices()[:1])


def test_mesh_takes_all_devices():
    assert dict(make_mesh().shape) == {"data": 8, "fsdp": 1}
    assert dict(make_mesh(fsdp=4).shape) == {"data": 2, "fsdp": 4}
    mesh = make_mesh(data=4, fsdp=2)
    assert mesh.axis_names == AXES and set(mesh.axis_types) == {AxisType.Auto}


@pytest.mark.parametrize(("data", "fsdp"), [(3, 2), (8, 2), (-1, 3), (1, 1)])
def test_a_mesh_that_does_not_fit_the_devices_is_an_error(data, fsdp):
    with pytest.raises(ConfigError, match=rf"x fsdp={fsdp} is not the number of devices, 8"):
        make_mesh(data, fsdp)


SHAPES = {  # shape -> its partition over fsdp=2 with min_size 64
    (8, 8): (None, "fsdp"),
    (8, 9): ("fsdp",),
    (9, 9): (),
    (4, 4): (),
    (64,): ("fsdp",),
    (): (),
    (32, 3, 3, 7): ("fsdp",),
    (3, 3, 8, 16): (None, None, None, "fsdp"),
    (3, 3, 8, 5): (None, None, "fsdp"),
    (2, 3, 3, 8, 5): (None, None, None, "fsdp"),  # a scanned stack: its depth stays whole
}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_big_leaves_are_split_by_their_last_divisible_axis(shape):
    mesh, leaf = make_mesh(4, 2), jax.ShapeDtypeStruct(shape, jnp.float32)
    parts = {"params": {"m": leaf}, "opt": {"m": (leaf, leaf)}, "ema": {"m": leaf}}
    state = State(step=jax.ShapeDtypeStruct((), jnp.int32), vars={"m": leaf}, **parts)
    where = state_sharding(state, mesh, min_size=64)
    assert where.step.spec == where.vars["m"].spec == PartitionSpec()
    for placed in (where.params["m"], *where.opt["m"], where.ema["m"]):
        assert placed.spec == PartitionSpec(*SHAPES[shape])
    shard = where.params["m"].shard_shape(shape)
    assert math.prod(shard) == math.prod(shape) // (2 if SHAPES[shape] else 1)


def test_small_leaves_and_a_mesh_without_fsdp_replicate():
    leaf = jax.ShapeDtypeStruct((2**9, 2**9), jnp.float32)
    smaller = jax.ShapeDtypeStruct((2**9, 2**9 - 2), jnp.float32)
    assert leaf.size == MIN_SIZE
    state = State(leaf, {"m": leaf, "s": smaller}, {}, {}, {})
    assert state_sharding(state, make_mesh(4, 2)).params["m"].spec == PartitionSpec(None, "fsdp")
    assert state_sharding(state, make_mesh(4, 2)).params["s"].spec == PartitionSpec()
    assert state_sharding(state, make_mesh(8, 1)).params["m"].spec == PartitionSpec()


@pytest.mark.parametrize("shape", [(8, 1), (4, 2), (2, 4)], ids=str)
@pytest.mark.parametrize("stacked", [False, True])
def test_batches_are_split_over_both_axes(shape, stacked):
    mesh = make_mesh(*shape)
    x = np.arange(2 * 16 * 3, dtype=np.uint8).reshape(2, 16, 3)
    x = x if stacked else x[0]
    placed = put({"x": x}, batch_sharding(mesh, stacked))["x"]
    np.testing.assert_array_equal(placed, x)
    axis = 1 if stacked else 0
    rows = {shard.index[axis].indices(16)[:2] for shard in placed.addressable_shards}
    assert rows == {(i, i + 2) for i in range(0, 16, 2)}


def test_abstract_joins_shapes_and_shardings():
    mesh = make_mesh(4, 2)
    (leaf,) = abstract([jnp.zeros((2, 3), jnp.bfloat16)], [replicated(mesh)])
    assert (leaf.shape, leaf.dtype, leaf.sharding) == ((2, 3), jnp.bfloat16, replicated(mesh))


RNG = np.random.RandomState(0)
DIGITS = DataSpec.of("digits", (8, 8, 1), 17, num_classes=10)
BATCH = {
    "x": RNG.randint(0, 17, (16, 8, 8, 1)).astype(np.uint8),
    "label": RNG.randint(0, 10, 16).astype(np.int32),
}
# name -> (method, batch, optimiser options by player); every method of the tree joins here
RATES = {"generator": {"learning_rate": 0.3}, "discriminator": {"learning_rate": 0.1}}
METHODS = {
    "glow": (
        Likelihood(Glow(levels=1, depth=1, width=8), DIGITS, given=("label",)),
        BATCH,
        {"model": {"learning_rate": 0.3}},
    ),
    "vae": (
        ELBO(
            ConvVAE(3, (16,), channels=(8, 8), kernels=(4, 2)),
            DIGITS,
            observation="logistic_mixture",
            mixtures=2,
            per_dim=True,
        ),
        BATCH,
        {"model": {"learning_rate": 0.3}},
    ),
    "gan": (
        Adversarial(
            Generator(4, (16, 32)),
            Discriminator((32, 16)),
            DIGITS,
            game="relativistic",
            penalties={"r1": {"weight": 0.1}, "gradient_penalty": {"weight": 0.1, "every": 2}},
            given=("label",),
            lecam=0.1,
            history=0.1,
        ),
        BATCH,
        RATES,
    ),
    "nvae": (
        Balanced(
            NVAE(4, (2,), latent=2, block_cells=1, group_cells=1, pad=0),
            DIGITS,
            observation="logistic_mixture",
            mixtures=2,
            warmup_steps=10,
            per_dim=True,
        ),
        BATCH,
        {"model": {"learning_rate": 1.0}},
    ),
    "stylegan2": (
        StyleGAN2(
            Styled(4, 4, layers=1, most=8),
            StyledDiscriminator(most=8),
            DIGITS,
            penalties={"r1": {"weight": 1.0, "every": 2}},
            augment={"name": "ada", "fixed": 0.5},
        ),
        BATCH,
        RATES,
    ),
    # 4x4 alone, half of 8x8, 8x8 alone: a step each
    "progan": (
        Progressive(
            Grown(4, most=8),
            GrownDiscriminator(most=8),
            DIGITS,
            game="wasserstein",
            penalties={"gradient_penalty": {"weight": 1.0}, "drift": {"weight": 0.1}},
            stable_steps=0,
            fade_steps=2,
        ),
        BATCH,
        RATES,
    ),
    "stylegan": (
        ProgressiveStyles(
            GrownStyled(4, 4, layers=1, most=8),
            GrownDiscriminator(most=8, blur=True),
            DIGITS,
            penalties={"r1": {"weight": 1.0}},
            stable_steps=0,
            fade_steps=2,
        ),
        BATCH,
        RATES,
    ),
}
SLOW = {"nvae", "stylegan2", "progan", "stylegan"}  # to compile
# a constant without noise has no deviation, and AdaIN makes 1e4 times of what rounding leaves
SHAKEN = {"stylegan"}
MESHES = {"8x1": (8, 1), "4x2": (4, 2), "2x4": (2, 4)}
# the others are slow; bounds on 4x2 are those of IWAE and two beta-VAEs in test_every_method.py
QUICK = {("glow", "8x1"), ("gan", "8x1")}
STEPS = 3


def shaken(params):
    """Every leaf, off its initial value."""
    random = np.random.RandomState(0)

    def shake(leaf):
        return jax.device_put(
            leaf + np.asarray(0.1 * random.randn(*leaf.shape), np.float32), leaf.sharding
        )

    return jax.tree.map(shake, params)


def trained(name: str, mesh: Mesh):
    """Params and vars after initialisation and after some steps of SGD, and the last state."""
    method, batch, options = METHODS[name]
    optimizers = {player: optimizer("sgd", **o) for player, o in options.items()}
    program = build_program(method, optimizers, {}, mesh, batch, seed=0, min_size=64)
    state = program.init(batch)
    if name in SHAKEN:
        state = state.replace(params=shaken(state.params))
    before = jax.device_get((state.params, state.vars))
    step, count = program.compile(), np.int32(1)
    for _ in range(STEPS):
        state, _ = step(state, program.put([batch]), program.rng, count)
    return before, jax.device_get((state.params, state.vars)), state


@functools.cache
def alone(name):
    return trained(name, single())[:2]


PARAMS = [pytest.param(m, marks=pytest.mark.slow) if m in SLOW else m for m in METHODS]


@pytest.fixture(scope="module", params=PARAMS)
def truth(request):
    """On one device: (name, at the start, after the steps)."""
    return request.param, *alone(request.param)


def test_growth_is_seen():
    levels = [METHODS["progan"][0].growth.at(step) for step in range(STEPS)]
    assert [(int(level), float(share)) for level, share in levels] == [(2, 1), (3, 0.5), (3, 1)]


def assert_close(tree, expected):
    def close(path, a, b):
        where = jax.tree_util.keystr(path)
        np.testing.assert_allclose(a, b, rtol=2e-6, atol=2e-6, err_msg=where)

    jax.tree_util.tree_map_with_path(close, tree, expected)


PAIRS = [
    pytest.param(name, mesh, marks=() if (name, mesh) in QUICK else pytest.mark.slow)
    for name in METHODS
    for mesh in MESHES
]


@pytest.mark.parametrize(("truth", "mesh"), PAIRS, indirect=["truth"])
def test_sharded_equals_single_on_updated_parameters(truth, mesh):
    name, start, end = truth
    before, after, state = trained(name, make_mesh(*MESHES[mesh]))
    split = [x for x in jax.tree.leaves(state.params) if not x.sharding.is_fully_replicated]
    assert bool(split) == (mesh != "8x1")
    assert_close(before, start)  # data-dependent initialisation saw the global batch
    assert_close(after, end)


def test_the_steps_move_parameters_far_more_than_the_tolerance(truth):
    """A gradient twice too large would be seen, in every leaf that has one.

    In an NVAE, biases that a batch normalisation takes away have none; in a StyleGAN, that of the
    constant, which AdaIN takes away where all pixels are positive.
    """
    name, (start, _), (end, _) = truth
    moved = jax.tree.leaves(jax.tree.map(lambda a, b: np.abs(a - b).max(), start, end))
    assert np.mean(np.asarray(moved) > 4e-5) >= {"nvae": 0.7, "stylegan": 0.97}.get(name, 1.0), (
        sorted(moved)
    )


def test_the_initialisation_depends_on_the_whole_batch(truth):
    name, (start, _), _ = truth
    if name != "glow":
        pytest.skip("does not depend on data")
    method, batch, _ = METHODS[name]
    local = {k: v[:2] for k, v in batch.items()}  # what one of eight devices holds
    params, _ = jax.jit(method.init)(jax.random.key(0), local)
    same = jax.tree.map(lambda a, b: np.allclose(a, b, atol=1e-3), start, jax.device_get(params))
    assert not all(jax.tree.leaves(same))


def test_a_batch_that_does_not_divide_is_an_error():
    method, batch, _ = METHODS["glow"]
    twelve = {k: v[:12] for k, v in batch.items()}
    with pytest.raises(ConfigError, match="batch of 12 .* over 8 devices x 2 microbatches.* 16"):
        build_program(
            method, {"model": optimizer("sgd", 0.1)}, {}, make_mesh(), twelve, seed=0, accum=2
        )


@pytest.mark.xfail(strict=False, reason="XLA doubles the gradient; seen with jax 0.10.2")
@pytest.mark.parametrize("stride", [1, 2])
def test_kernel_gradient_of_images_split_along_an_axis(stride):
    """Why `vars`, which may hold images, are replicated: the forward pass is right, though."""
    mesh = make_mesh(4, 2)
    x = jnp.asarray(RNG.randn(16, 8, 8, 1), jnp.float32)
    kernel = jnp.asarray(RNG.randn(3, 3, 1, 16), jnp.float32)

    def loss(kernel, x):
        numbers = ("NHWC", "HWIO", "NHWC")
        y = jax.lax.conv_general_dilated(
            x, kernel, (stride,) * 2, "SAME", dimension_numbers=numbers
        )
        return jnp.sum(jnp.sin(y))

    both = jax.value_and_grad(loss)
    expected, gradient = jax.jit(both)(kernel, x)
    rows = NamedSharding(mesh, PartitionSpec(None, "fsdp"))
    sharded = jax.jit(both, in_shardings=(replicated(mesh), rows), out_shardings=replicated(mesh))
    got, wrong = sharded(kernel, jax.device_put(x, rows))
    np.testing.assert_allclose(got, expected, rtol=1e-4)
    np.testing.assert_allclose(wrong, gradient, atol=1e-3 * np.abs(gradient).max(), rtol=0)
