"""The network of a run, in float64 on one CPU, as who encodes and who decodes both call it."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from jaxgen.abilities import Density, Weighted, given
from jaxgen.config import ConfigError
from jaxgen.evaluate.sampling import filled
from jaxgen.train.integrity import state_digest
from jaxgen.train.observe import weighted

PACKAGES = ("jax", "jaxlib", "numpy", "scipy", "constriction")
DRAWS, BATCH = 16, 32  # of a bound
DIGEST = 16  # bytes of the model's
MARK = 8  # bytes of a canary, and of a processor's abilities


class Network:
    """Calls of a method with the run's parameters in float64.

    Neither batch size nor threads give floats that are equal to the last bit, so that what is
    called for encoding has to be called for decoding too: the same program, of the same shapes,
    on the CPU whatever else there is.

    Attributes:
        run: what `jaxgen.load` gives.
        digest: of the model: its method, and its parameters.
    """

    def __init__(self, run: Any):
        """Raises ConfigError for a model that is given what a file does not hold."""
        self.run, self.method, self.spec = run, run.method, run.spec
        if given(run.method):
            raise ConfigError(
                f"{run.directory.path} is given {', '.join(given(run.method))}: what is compressed "
                "says nothing of it, train without (config.method.given)"
            )
        state = run.state.averaged().replace(opt={}, ema={})
        about = {"params": state.params, "vars": state.vars}
        words = {k: run.config[k] for k in ("model", "method")} | {"x": run.spec.x.as_json()}
        whole = state_digest(about) + json.dumps(words, sort_keys=True)
        self.digest = hashlib.sha256(whole.encode()).hexdigest()[: 2 * DIGEST]
        with exactly():
            wide = jax.tree.map(_wide, about)
            self.state = state.replace(**jax.device_put(wide, jax.devices("cpu")[0]))

    def compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function(state, *args)` as one of (*args), compiled once."""
        program = jax.jit(function)

        def call(*args: Any) -> Any:
            with exactly():
                return program(self.state, *args)

        return call

    def bound(self, x: np.ndarray) -> float:
        """-log p of all examples in nats, by the method's bound of one draw: the mean of `DRAWS`.

        Raises:
            ConfigError: for a method that has none.
        """
        method = weighted(self.method, 1) if isinstance(self.method, Weighted) else self.method
        if not isinstance(method, Density):
            raise ConfigError(f"{type(method).__name__} has no likelihood")
        call, total = self.compiled(method.log_prob), 0.0
        for start in range(0, len(x), BATCH):
            part = x[start : start + BATCH].astype(np.float64)  # so that noise is float64, too
            for draw in range(DRAWS):
                key = jax.random.fold_in(jax.random.key(start), draw)
                found = np.asarray(call(filled(part, 0, BATCH), key))[: len(part)]
                total -= float(found.sum()) / DRAWS
        return total

    def shapes(self, function: Callable[..., Any], *args: Any) -> Any:
        """What `function(state, *args)` would give."""
        with exactly():
            return jax.eval_shape(function, self.state, *args)


@contextlib.contextmanager
def exactly() -> Iterator[None]:
    """Under which numbers of networks are found."""
    with (
        jax.enable_x64(True),
        jax.default_matmul_precision("highest"),
        jax.default_device(jax.devices("cpu")[0]),
    ):
        yield


def _wide(leaf: Any) -> Any:
    leaf = np.asarray(leaf)
    return leaf.astype(np.float64) if np.issubdtype(leaf.dtype, np.floating) else leaf


def environment() -> dict[str, str]:
    """Name -> version of what numbers may depend on."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return versions | {"processor": f"{platform.machine()} {mark(_abilities().encode())[:8]}"}


def _abilities() -> str:
    """What the processor can do, as far as the system says."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            return next((line for line in file if line.startswith(("flags", "Features"))), "")
    except OSError:
        return platform.processor()


def mark(*parts: Any) -> str:
    """A short digest of arrays or bytes."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(part if isinstance(part, bytes) else np.ascontiguousarray(part).tobytes())
    return whole.hexdigest()[: 2 * MARK]


def differing(here: dict[str, str], there: dict[str, str]) -> str:
    """In words, what is not the same."""
    names = [name for name in sorted(here.keys() | there.keys())]
    found = [
        f"{name} {there.get(name, 'none')} there, {here.get(name, 'none')} here"
        for name in names
        if here.get(name) != there.get(name)
    ]
    return "; ".join(found) or "the same versions, but other flags of XLA"
