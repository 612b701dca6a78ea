"""Glow: are compile time and memory flat in depth, and is the step as fast as PyTorch eager?

    python benchmarks/glow.py compile
    python benchmarks/glow.py memory
    python benchmarks/glow.py step        needs `pip install .[benchmark]`

All print medians and ratios of runs that alternate, A B A B, in one process. `compile` counts
CPU seconds of init, trace and compile together, without the persistent cache. `memory` is of the
gradient of one level, by `Repeat(memory=...)`: XLA's temporary bytes, its count of FLOPs, and
seconds. `step` compares one train step (forward, backward, Adam) of the same network; PyTorch runs
channels-last.
"""

import os
import statistics
import sys
import time

from jaxgen.platform import set_defaults

set_defaults()
os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from jaxgen.bijectors.affine import ActNorm, InvertibleConv  # noqa: E402
from jaxgen.bijectors.base import Chain, Repeat  # noqa: E402
from jaxgen.bijectors.coupling import Coupling  # noqa: E402
from jaxgen.bijectors.transforms import Scale  # noqa: E402
from jaxgen.methods.likelihood import Likelihood  # noqa: E402
from jaxgen.models.flows.glow import CouplingNet, Glow  # noqa: E402
from jaxgen.sharding import make_mesh  # noqa: E402
from jaxgen.train.optim import optimizer  # noqa: E402
from jaxgen.train.program import build_program  # noqa: E402
from jaxgen.types import DataSpec  # noqa: E402

SPEC = DataSpec.of("noise", (32, 32, 3), 256)
LEVELS, DEPTH, WIDTH, BATCH = 3, 8, 128, 16
SIZES = {  # image, levels, depth, width, batch
    "configs/glow.py": ((8, 8, 1), 1, 8, 64, 64),
    "32x32, width 128": ((32, 32, 3), 3, 8, 128, 16),
    "32x32, width 512": ((32, 32, 3), 3, 4, 512, 8),
}


def images(batch):
    return np.random.RandomState(0).randint(0, 256, (batch, *SPEC.shape)).astype(np.uint8)


def program(depth, levels, width, memory="store"):
    glow = Glow(levels=levels, depth=depth, width=width, edge=False, memory=memory)
    method = Likelihood(glow, SPEC)
    parts = {"model": optimizer("adam", 1e-3)}, {}  # no average: PyTorch has none
    return build_program(method, *parts, make_mesh(), {"x": images(BATCH)}, seed=0)


def compile_cost(depth):
    jax.clear_caches()
    start = time.process_time()
    built = program(depth, levels=2, width=32)
    built.compile()
    jax.block_until_ready(built.init({"x": images(BATCH)}))
    return time.process_time() - start


def compare_compile(repeats=3):
    compile_cost(1)
    rows = [(compile_cost(4), compile_cost(64)) for _ in range(repeats)]
    shallow, deep = (statistics.median(column) for column in zip(*rows, strict=True))
    print(f"init + trace + compile, CPU s: K=4 {shallow:.1f}, K=64 {deep:.1f}")
    ratios = sorted(b / a for a, b in rows)
    print(f"ratio K=64 / K=4: {ratios[len(ratios) // 2]:.2f} (of {[round(r, 2) for r in ratios]})")


def level_gradient(depth, memory):
    """The compiled gradient of `depth` steps of flow on 8 events of 16x16x12, and its arguments."""
    step = Chain((ActNorm(), InvertibleConv(), Coupling(Scale("sigmoid"), CouplingNet(128))))
    x = jax.random.normal(jax.random.key(0), (8, 16, 16, 12))
    variables = jax.jit(Repeat(step, depth).init)(jax.random.key(1), x)

    def loss(variables, x):
        y, logdet = Repeat(step, depth, memory).apply(variables, x)
        return jnp.mean(jnp.sum(jnp.square(y), (1, 2, 3)) / 2 - logdet)

    return jax.jit(jax.grad(loss)).lower(variables, x).compile(), (variables, x)


def compare_memory(repeats=9):
    for memory in ("store", "remat", "invert"):
        sizes = {
            depth: level_gradient(depth, memory)[0].memory_analysis().temp_size_in_bytes / 1e6
            for depth in (8, 64)
        }
        print(
            f"temporary MB, {memory}: K=8 {sizes[8]:.1f}, K=64 {sizes[64]:.1f}, "
            f"ratio {sizes[64] / sizes[8]:.2f}"
        )
    # of one copy: XLA counts the body of a loop once
    flops = {m: level_gradient(8, m)[0].cost_analysis()["flops"] for m in ("store", "invert")}
    print(f"FLOPs, invert / store: {flops['invert'] / flops['store']:.2f}")
    runs = {memory: level_gradient(32, memory) for memory in ("store", "remat", "invert")}
    times = {memory: [] for memory in runs}
    for _ in range(repeats):
        for memory, (run, arguments) in runs.items():
            start = time.perf_counter()
            jax.block_until_ready(run(*arguments))
            times[memory].append(time.perf_counter() - start)
    for memory in ("remat", "invert"):
        pairs = [a / b for a, b in zip(times[memory], times["store"], strict=True)]
        print(f"time at K=32, {memory} / store: {statistics.median(pairs):.2f}")


def jax_step(memory):
    built = program(DEPTH, LEVELS, WIDTH, memory)
    step, state = built.compile(), built.init({"x": images(BATCH)})
    batch = built.put([{"x": images(BATCH)}])
    holder = [state]

    def run():
        holder[0], out = step(holder[0], batch, built.rng, np.int32(1))
        jax.block_until_ready(out)

    return run


def torch_step():
    import torch
    import torch.nn.functional as F
    from torch import nn

    class ActNorm(nn.Module):
        def __init__(self, c):
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(1, c, 1, 1))
            self.log_scale = nn.Parameter(torch.zeros(1, c, 1, 1))

        def forward(self, x):
            logdet = 3 * self.log_scale.sum() * x.shape[2] * x.shape[3]
            return (x + self.bias) * torch.exp(3 * self.log_scale), logdet

    class ZeroConv(nn.Module):
        def __init__(self, c, out):
            super().__init__()
            self.conv = nn.Conv2d(c, out, 3, padding=1)
            nn.init.zeros_(self.conv.weight)
            nn.init.zeros_(self.conv.bias)
            self.log_scale = nn.Parameter(torch.zeros(1, out, 1, 1))

        def forward(self, x):
            return self.conv(x) * torch.exp(3 * self.log_scale)

    class Step(nn.Module):
        def __init__(self, c):
            super().__init__()
            self.norm, self.norm1, self.norm2 = ActNorm(c), ActNorm(WIDTH), ActNorm(WIDTH)
            self.weight = nn.Parameter(torch.linalg.qr(torch.randn(c, c))[0])
            self.conv1 = nn.Conv2d(c // 2, WIDTH, 3, padding=1, bias=False)
            self.conv2 = nn.Conv2d(WIDTH, WIDTH, 1, bias=False)
            self.conv3 = ZeroConv(WIDTH, c)

        def forward(self, x):
            x, logdet = self.norm(x)
            x = F.conv2d(x, self.weight[:, :, None, None])
            logdet = logdet + torch.linalg.slogdet(self.weight)[1] * x.shape[2] * x.shape[3]
            a, b = x.chunk(2, 1)
            h = F.relu(self.norm1(self.conv1(a))[0])
            h = F.relu(self.norm2(self.conv2(h))[0])
            shift, raw = self.conv3(h).chunk(2, 1)
            log_scale = F.logsigmoid(raw + 2)
            b = (b + shift) * torch.exp(log_scale)
            return torch.cat([a, b], 1), logdet + log_scale.flatten(1).sum(1)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.levels, self.priors, c = nn.ModuleList(), nn.ModuleList(), SPEC.shape[-1]
            for level in range(LEVELS):
                c *= 4
                self.levels.append(nn.ModuleList(Step(c) for _ in range(DEPTH)))
                c = c // 2 if level < LEVELS - 1 else c
                self.priors.append(ZeroConv(c if level < LEVELS - 1 else 2 * c, 2 * c))

        def forward(self, x):
            logdet, log_p = 0.0, 0.0
            for i, (steps, prior) in enumerate(zip(self.levels, self.priors, strict=True)):
                x = F.pixel_unshuffle(x, 2)
                for step in steps:
                    x, ld = step(x)
                    logdet = logdet + ld
                x, z = x.chunk(2, 1) if i < LEVELS - 1 else (None, x)
                given = x if x is not None else torch.zeros_like(torch.cat([z, z], 1))
                mean, log_scale = prior(given).chunk(2, 1)
                eps = (z - mean) * torch.exp(-log_scale)
                log_p = log_p - (0.5 * eps**2 + log_scale).flatten(1).sum(1)
            return -(log_p + logdet).mean() / x_size

    x_size = SPEC.dims
    torch.manual_seed(0)
    model = Model().to(memory_format=torch.channels_last)
    adam = torch.optim.Adam(model.parameters(), 1e-3)
    x = torch.from_numpy(images(BATCH)).permute(0, 3, 1, 2).to(memory_format=torch.channels_last)

    def run():
        y = (x.float() + torch.rand(x.shape)) / 256 - 0.5
        loss = model(y.contiguous(memory_format=torch.channels_last))
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()

    return run


def compare_step(repeats=15):
    global SPEC, LEVELS, DEPTH, WIDTH, BATCH
    for name, (shape, *sizes) in SIZES.items():
        SPEC = DataSpec.of("noise", shape, 256)
        LEVELS, DEPTH, WIDTH, BATCH = sizes
        runs = {"store": jax_step("store"), "remat": jax_step("remat"), "torch": torch_step()}
        times = {kind: [] for kind in runs}
        for i in range(repeats + 2):
            for kind, run in runs.items():
                start = time.perf_counter()
                run()
                if i >= 2:
                    times[kind].append(time.perf_counter() - start)
        medians = {kind: 1000 * statistics.median(values) for kind, values in times.items()}
        described = f"L={LEVELS} K={DEPTH} width {WIDTH} batch {BATCH}"
        print(f"{name} ({described}):", {kind: f"{m:.1f} ms" for kind, m in medians.items()})
        for kind in ("store", "remat"):
            pairs = [a / b for a, b in zip(times[kind], times["torch"], strict=True)]
            print(f"  ratio {kind} / torch eager, median of pairs: {statistics.median(pairs):.2f}")


if __name__ == "__main__":
    {"compile": compare_compile, "memory": compare_memory, "step": compare_step}[sys.argv[1]]()
