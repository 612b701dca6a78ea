"""A Transformer's train step against PyTorch's, and sampling with its cache against without.

    python benchmarks/autoregressive.py [--only=step,parts,sampling]

The step is forward, backward and Adam of the same network (4 blocks of 128, 4 heads, 256 tokens of
64 values, 16 sequences), in PyTorch eager with its own attention; the parts are attention and the
layers of its MLP, forward and backward, as `ops.products` has them and as JAX does; sampling draws
784 tokens of 2 blocks of 64, 2 sequences. Medians of rounds A B A B in one process; ratios below 1
mean that ours is the faster. Needs PyTorch, on CPU.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgen.fields import DataSpec, Field
from jaxgen.methods.autoregressive import Autoregressive
from jaxgen.models.autoregressive.transformer import Transformer
from jaxgen.nn.heads import Causal
from jaxgen.nn.transformer import causal_mask
from jaxgen.ops.activations import gelu
from jaxgen.ops.products import attention, joined_dot
from jaxgen.types import State

DEPTH, WIDTH, HEADS, LENGTH, VALUES, BATCH = 4, 128, 4, 256, 64, 16
LONG, DRAWN, ROUNDS = 784, 2, 5


class Uncached(Transformer):
    """Called whole at every token."""

    start, step = Causal.start, Causal.step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="step,sampling")
    wanted = parser.parse_args().only.split(",")
    if "step" in wanted:
        report("train step, ours / PyTorch eager", our_step(), torch_step())
    if "parts" in wanted:
        for name, pair in parts().items():
            report(f"{name}, ours / JAX", *pair)
    if "sampling" in wanted:
        cached, whole = sampling(Transformer), sampling(Uncached)
        ours, theirs = report("784 tokens, cached / uncached", cached, whole, rounds=2)
        print(f"  {DRAWN * LONG / ours:,.0f} against {DRAWN * LONG / theirs:,.0f} tokens/s")


def report(
    name: str, ours: Callable[[], Any], other: Callable[[], Any], rounds: int = ROUNDS
) -> tuple[float, float]:
    """Medians in seconds, A B A B after a round of each that is not counted."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for call, found in zip((ours, other), times, strict=True):
            start = time.perf_counter()
            call()
            if number:
                found.append(time.perf_counter() - start)
    a, b = map(statistics.median, times)
    print(f"{name}: {a / b:.3f} ({a:.3f} s, {b:.3f} s)", flush=True)
    return a, b


def method_of(model: Any, length: int) -> tuple[Autoregressive, State, np.ndarray]:
    spec = DataSpec("tokens", {"x": Field("tokens", (length,), "int32", vocabulary=VALUES)})
    method = Autoregressive(model, spec)
    x = np.random.RandomState(0).randint(0, VALUES, (BATCH, length)).astype(np.int32)
    params, variables = jax.jit(method.init)(jax.random.key(0), {"x": x})
    return method, State(jnp.int32(0), params, variables, {}, {}), x


def our_step() -> Callable[[], Any]:
    """Ten steps."""
    method, state, x = method_of(Transformer(DEPTH, WIDTH, HEADS), LENGTH)
    adam = optax.adam(1e-3)

    @jax.jit
    def step(params: Any, opt: Any) -> Any:
        def loss(params: Any) -> Any:
            return method.loss(state.replace(params=params), {"x": x}, jax.random.key(0))[0]

        updates, opt = adam.update(jax.grad(loss)(params), opt)
        return optax.apply_updates(params, updates), opt

    def run() -> None:
        params, opt = state.params, adam.init(state.params)
        for _ in range(10):
            params, opt = step(params, opt)
        jax.block_until_ready(params)

    return run


def parts() -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """Name -> ten passes, forward and backward, of ours and of JAX's own."""
    shape = (BATCH, LENGTH, HEADS, WIDTH // HEADS)
    heads = [jax.random.normal(jax.random.key(i), shape) for i in range(3)]
    mask = causal_mask(LENGTH)
    x = jax.random.normal(jax.random.key(3), (BATCH, LENGTH, WIDTH))
    wide = jax.random.normal(jax.random.key(4), (WIDTH, 4 * WIDTH)) / WIDTH**0.5
    narrow = wide.T / 2
    numbers = (((2,), (0,)), ((), ()))

    def mlp(dot: Any, activation: Any, x: Any, wide: Any, narrow: Any) -> Any:
        return dot(activation(dot(x, wide, numbers)), narrow, numbers)

    exact = functools.partial(jax.nn.gelu, approximate=False)
    return {
        "attention": (
            ten(lambda q, k, v: attention(q, k, v, mask, causal=True), *heads),
            ten(
                lambda q, k, v: jax.nn.dot_product_attention(q, k, v, mask=mask[None, None]), *heads
            ),
        ),
        "MLP": (
            ten(functools.partial(mlp, joined_dot, gelu), x, wide, narrow),
            ten(functools.partial(mlp, jax.lax.dot_general, exact), x, wide, narrow),
        ),
    }


def ten(call: Callable[..., Any], *args: Any) -> Callable[[], Any]:
    """Passes forward and backward, for all arguments."""
    places = tuple(range(len(args)))
    back = jax.jit(jax.grad(lambda *args: jnp.sum(call(*args) ** 2), places))
    return lambda: [jax.block_until_ready(back(*args)) for _ in range(10)]


def torch_step() -> Callable[[], Any]:
    """Ten steps of the same network."""
    import torch

    class Block(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = torch.nn.LayerNorm(WIDTH), torch.nn.LayerNorm(WIDTH)
            self.qkv, self.out = torch.nn.Linear(WIDTH, 3 * WIDTH), torch.nn.Linear(WIDTH, WIDTH)
            wide = 4 * WIDTH
            self.mlp = torch.nn.Sequential(
                torch.nn.Linear(WIDTH, wide), torch.nn.GELU(), torch.nn.Linear(wide, WIDTH)
            )

        def forward(self, x: Any) -> Any:
            shape = (*x.shape[:2], HEADS, -1)
            q, k, v = (
                part.reshape(shape).transpose(1, 2)
                for part in self.qkv(self.norm1(x)).chunk(3, dim=-1)
            )
            mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(mixed.transpose(1, 2).reshape(x.shape))
            return x + self.mlp(self.norm2(x))

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.values = torch.nn.Embedding(VALUES, WIDTH)
            self.places = torch.nn.Parameter(torch.zeros(LENGTH, WIDTH))
            self.first = torch.nn.Parameter(torch.randn(1, 1, WIDTH))
            self.blocks = torch.nn.Sequential(*(Block() for _ in range(DEPTH)))
            self.norm = torch.nn.LayerNorm(WIDTH)
            self.head = torch.nn.Linear(WIDTH, VALUES, bias=False)

        def forward(self, x: Any) -> Any:
            h = self.values(x[:, :-1]) + self.places[:-1]
            h = torch.cat([self.first.expand(len(x), 1, WIDTH), h], 1)
            return self.head(self.norm(self.blocks(h)))

    network = Network()
    adam = torch.optim.Adam(network.parameters(), 1e-3)
    x = torch.from_numpy(np.random.RandomState(0).randint(0, VALUES, (BATCH, LENGTH)))

    def run() -> None:
        for _ in range(10):
            adam.zero_grad()
            torch.nn.functional.cross_entropy(network(x).flatten(0, 1), x.flatten()).backward()
            adam.step()

    return run


def sampling(kind: Any) -> Callable[[], Any]:
    """`DRAWN` sequences."""
    method, state, _ = method_of(kind(2, 64, 2), LONG)
    draw = jax.jit(lambda state, key: method.sample(state, key, DRAWN))
    return lambda: jax.block_until_ready(draw(state, jax.random.key(0)))


if __name__ == "__main__":
    main()
