"""Training throughput of a small 2-D spline flow against FlowJAX, zuko and normflows.

    pip install .[benchmark] flowjax zuko normflows
    python benchmarks/flows.py

The same task and size everywhere: batches of 512 points of the plane, 4 coupling layers of
rational-quadratic splines with 8 bins, conditioners of two hidden layers of 64, Adam. Each library
trains as its own documentation does: jaxgen through its trainer, 20 steps per dispatch (the
setting of configs/spline.py) and one, with its checks for non-finite tensors; FlowJAX through the
jitted step of its `fit_to_data`; zuko and normflows in PyTorch eager. Blocks of steps alternate,
A B C D A B C D; printed are medians of examples/s, and of the ratio to the fastest other library
in each round. Reading data and compiling are left out.
"""

import os
import statistics
import time

from jaxgen.platform import set_defaults

set_defaults()
os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"

import flax.linen as nn  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

BATCH, LAYERS, BINS, WIDTH, BOUND, RATE = 512, 4, 8, 64, 4.0, 1e-3
STEPS, ROUNDS = 100, 9


def points():
    """Eight Gaussians on a ring, [BATCH, 2]."""
    random = np.random.RandomState(0)
    angle = 2 * np.pi * random.randint(8, size=BATCH) / 8
    centres = 2 * np.sqrt(2) * np.stack([np.cos(angle), np.sin(angle)], 1)
    return (centres + 0.354 * random.randn(BATCH, 2)).astype(np.float32)


def jaxgen_block(room):
    from jaxgen.bijectors.base import Chain, Repeat
    from jaxgen.bijectors.coupling import Coupling
    from jaxgen.bijectors.permutation import Reverse
    from jaxgen.bijectors.transforms import RationalQuadraticSpline
    from jaxgen.methods.likelihood import Likelihood
    from jaxgen.sharding import make_mesh
    from jaxgen.train.optim import optimizer
    from jaxgen.train.program import build_program
    from jaxgen.types import DataSpec

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x, cond, features):
            for _ in range(2):
                x = nn.relu(nn.Dense(WIDTH)(x))
            return nn.Dense(features, kernel_init=nn.initializers.zeros)(x)

    step = Chain((Coupling(RationalQuadraticSpline(BINS, BOUND), Net()), Reverse()))
    method = Likelihood(Repeat(step, LAYERS, unroll=LAYERS), DataSpec.of("ring", (2,), None))
    batch = {"x": points()}
    optimizers = {"model": optimizer("adam", RATE)}
    built = build_program(method, optimizers, {}, make_mesh(), batch, seed=0, room=room)
    run, state = built.compile(), built.init(batch)
    holder, batches = [state], built.put([batch] * room)

    def block():
        for _ in range(STEPS // room):
            holder[0], out = run(holder[0], batches, built.rng, np.int32(room))
        jax.block_until_ready(out)

    return block


def flowjax_block():
    import equinox as eqx
    import optax
    import paramax
    from flowjax.bijections import RationalQuadraticSpline
    from flowjax.distributions import Normal
    from flowjax.flows import coupling_flow
    from flowjax.train.losses import MaximumLikelihoodLoss
    from flowjax.train.train_utils import step

    flow = coupling_flow(
        jax.random.key(0),
        base_dist=Normal(jnp.zeros(2)),
        transformer=RationalQuadraticSpline(knots=BINS, interval=BOUND),
        flow_layers=LAYERS,
        nn_width=WIDTH,
        nn_depth=2,
    )
    params, static = eqx.partition(
        flow, eqx.is_inexact_array, is_leaf=lambda leaf: isinstance(leaf, paramax.NonTrainable)
    )
    optimizer = optax.adam(RATE)
    holder = [params, optimizer.init(params)]
    x, loss = jnp.asarray(points()), MaximumLikelihoodLoss()

    def block():
        for i in range(STEPS):
            key = jax.random.key(i)
            *holder[:], value = step(
                holder[0],
                static,
                x,
                None,
                key,
                optimizer=optimizer,
                opt_state=holder[1],
                loss_fn=loss,
            )
        jax.block_until_ready(value)

    return block


def torch_block(negative_log_likelihood, parameters):
    import torch

    adam, x = torch.optim.Adam(parameters, RATE), torch.from_numpy(points())

    def block():
        for _ in range(STEPS // 10):  # ten times slower: a tenth of the steps, counted below
            loss = negative_log_likelihood(x)
            adam.zero_grad(set_to_none=True)
            loss.backward()
            adam.step()

    return block


def zuko_block():
    import zuko

    flow = zuko.flows.NSF(
        2, 0, bins=BINS, transforms=LAYERS, hidden_features=(WIDTH,) * 2, passes=2
    )
    return torch_block(lambda x: -flow().log_prob(x).mean(), flow.parameters())


def normflows_block():
    import normflows

    layers = []
    for _ in range(LAYERS):
        layers.append(
            normflows.flows.CoupledRationalQuadraticSpline(
                2, 1, WIDTH, num_bins=BINS, tail_bound=BOUND
            )
        )
        layers.append(normflows.flows.Permute(2, mode="swap"))
    flow = normflows.NormalizingFlow(normflows.distributions.DiagGaussian(2), layers)
    return torch_block(flow.forward_kld, flow.parameters())


def main():
    blocks = {
        "jaxgen, 20 steps per dispatch": (jaxgen_block(20), STEPS),
        "jaxgen, 1 step per dispatch": (jaxgen_block(1), STEPS),
        "FlowJAX": (flowjax_block(), STEPS),
        "zuko": (zuko_block(), STEPS // 10),
        "normflows": (normflows_block(), STEPS // 10),
    }
    speeds = {name: [] for name in blocks}
    for i in range(ROUNDS + 1):
        for name, (block, steps) in blocks.items():
            start = time.perf_counter()
            block()
            if i:
                speeds[name].append(BATCH * steps / (time.perf_counter() - start))
    for name, values in speeds.items():
        print(f"{name}: {statistics.median(values):,.0f} examples/s")
    peers = list(zip(*(v for k, v in speeds.items() if "jaxgen" not in k), strict=True))
    for name in [name for name in speeds if "jaxgen" in name]:
        ratios = [own / max(others) for own, others in zip(speeds[name], peers, strict=True)]
        print(f"{name} / fastest other: {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
