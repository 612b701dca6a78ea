"""Lossless files of examples: a model's probabilities, and a coder of a library.

A decoder must find the encoder's probabilities exactly: see `network` for how they are called,
`tables` for how they are rounded, and `archive` for the file, which holds a canary, a digest of
what the model says of a fixed example: where the decoder's is another one, nothing is decoded.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from jaxgen.coding.archive import Header, pack, sizes, unpack
from jaxgen.coding.entries import Entries
from jaxgen.coding.flows import Flows
from jaxgen.coding.latents import Latents
from jaxgen.coding.network import DIGEST, Network, differing, environment
from jaxgen.config import ConfigError
from jaxgen.evaluate.validation import check_count, check_data
from jaxgen.machine import check_memory
from jaxgen.ops.densities import nats_to_bits_per_dim
from jaxgen.progress import track
from jaxgen.views.examples import read as read_pictures

KINDS: tuple[Any, ...] = (Entries, Latents, Flows)
CHUNK = 1024  # examples: each chunk of latents wants start bits of its own


def coder(network: Network, batch: int | None = None, **options: int) -> Any:
    """What codes examples by a model; a new kind is a class in `KINDS`.

    Raises:
        ConfigError: for a model that does not say what a coder needs.
    """
    for kind in KINDS:
        if kind.fits(network.method):
            batch = kind.usual_batch if batch is None else check_count(batch, "batch")
            if strange := options.keys() - set(kind.takes):
                raise ConfigError(f"{', '.join(strange)}: {kind.kind} coding has no such option")
            return kind(network, batch, **options)
    raise ConfigError(
        f"{type(network.method).__name__} cannot compress: it says no value's probability given "
        "those before it, nor what its latents are drawn from, and is no map of grey levels"
    )


def chosen(
    run: Any, pictures: Any = None, num: int | None = None, fit: str | None = None, **places: Any
) -> np.ndarray:
    """Examples [N, ...] in the units of the data: of one's own, or the first of the test split.

    Args:
        run: what `jaxgen.load` gives.
        pictures: see `views.examples.read`; None takes test examples.
        num: of test examples; None takes all.
        fit: of `pictures`.
        **places: of the data.

    Raises:
        ConfigError: for what is none of the run's data, or a number beside pictures.
    """
    if pictures is not None:
        if num is not None:
            raise ConfigError("num is of test examples, and pictures are named: omit it")
        return read_pictures(run.directory, pictures, fit).x
    split = run.dataset(**places).splits["test"]
    num = len(split) if num is None else min(check_count(num, "num"), len(split))
    return split.take(np.arange(num))["x"]


def compress(
    run: Any,
    x: Any,
    batch: int | None = None,
    chunk: int = CHUNK,
    verify: bool = True,
    **options: int,
) -> bytes:
    """A file of examples [N, ...], in the units of the data.

    Args:
        run: of a model that is given nothing.
        x: examples, whole grey levels.
        batch: of them coded beside each other; the decoder takes the same. None is 32 for models
            that say one value after another, and 1 for others, whose start grows with it.
        chunk: examples that are decoded each for itself: damage loses one.
        verify: decode, and compare.
        **options: of the coder: `precision`, bits of a latent.

    Raises:
        ConfigError: for another model, examples that are none of its data, or a file that would
            not decode.
    """
    network, spec = Network(run), run.spec
    x = np.ascontiguousarray(check_data(x, spec, "run.compress(x)"))
    if spec.levels is None:
        raise ConfigError(f"{spec.name} has no grey levels: only whole numbers are compressed")
    chunk = check_count(chunk, "chunk")
    found = coder(network, batch, **options)
    starts = track(range(0, len(x), chunk), "compressing", len(x), spec.unit, lambda _: chunk)
    chunks = [found.encode(x[start : start + chunk]) for start in starts]
    header = Header(
        model=network.digest,
        kind=found.kind,
        count=len(x),
        batch=found.batch,
        chunk=min(chunk, len(x)),
        shape=tuple(x.shape[1:]),
        dtype=str(x.dtype),
        digest=_digest(x),
        canary=found.canary(),
        environment=environment(),
        options=found.options,
    )
    data = pack(header, chunks)
    if verify:
        _decoded(found, *unpack(data))
    return data


def decompress(run: Any, data: bytes) -> np.ndarray:
    """The examples [N, ...] of a file that `compress` gave.

    Raises:
        ConfigError: for what is no such file, is damaged, or was made by another model, or where
            this machine finds other numbers.
    """
    header, chunks = unpack(data)
    network, spec = Network(run), run.spec
    if header.model != network.digest:
        raise ConfigError(
            f"it was compressed by the model {header.model[:12]}, and {run.directory.path} at "
            f"step {run.step} is {network.digest[:12]}: give that run, and the same --step"
        )
    if header.shape != tuple(spec.shape) or header.dtype != spec.x.dtype:
        raise ConfigError(
            f"it holds {header.dtype} {list(header.shape)}, and {spec.name} is {spec.x.dtype} "
            f"{list(spec.shape)}"
        )
    size = header.count * spec.dims * np.dtype(header.dtype).itemsize
    check_memory(size, f"{header.count:,} {spec.unit}", "free some")
    check_memory(header.batch * spec.dims * 8, f"batch={header.batch:,}", "free some")
    found = coder(network, header.batch, **header.options)
    if found.kind != header.kind:
        raise ConfigError(f"it was coded by {header.kind}, and the model codes by {found.kind}")
    if (canary := found.canary()) != header.canary:
        here = differing(environment(), header.environment)
        raise ConfigError(
            f"the model's numbers here ({canary[:8]}) are not those that it was compressed with "
            f"({header.canary[:8]}): {here}"
        )
    return _decoded(found, header, chunks)


def _decoded(found: Any, header: Header, chunks: Any) -> np.ndarray:
    """All examples; raises ConfigError for what is not what was compressed."""
    spec, parts = found.network.spec, []
    about = ("decompressing", header.count, spec.unit, lambda _: header.chunk)
    for i, chunk in enumerate(track(chunks, *about)):
        parts.append(found.decode(chunk, min(header.chunk, header.count - i * header.chunk)))
    x = np.concatenate(parts)
    if _digest(x) != header.digest:
        raise ConfigError("what was decoded is not what was compressed: report this file")
    return x


def _digest(x: np.ndarray) -> str:
    return hashlib.sha256(x.tobytes()).hexdigest()[: 2 * DIGEST]


def inspect(data: bytes) -> dict[str, Any]:
    """What a file says of itself, without the model: see `archive.sizes`."""
    return sizes(data)


def bits_per_dim(run: Any, x: np.ndarray) -> float:
    """What the model itself says of examples, in float64: bits/dim."""
    return nats_to_bits_per_dim(coder(Network(run)).nats(x), x.size)
