"""Files of examples, most without loss: a model's probabilities, and a coder of a library.

A decoder must find the encoder's probabilities exactly: see `network` for how they are called,
`tables` for how they are rounded, and `archive` for the file, which holds a canary, a digest of
what the model says of a fixed example: where the decoder's is another one, nothing is decoded.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
from typing import Any

import numpy as np

from jaxgen.coding.archive import Header, pack, sizes, unpack
from jaxgen.coding.entries import Entries
from jaxgen.coding.flows import Flows
from jaxgen.coding.groups import Groups
from jaxgen.coding.latents import Latents
from jaxgen.coding.network import DIGEST, Network, differing, environment
from jaxgen.coding.stack import WRONG
from jaxgen.config import ConfigError
from jaxgen.evaluate.validation import check_count, check_data
from jaxgen.machine import check_memory
from jaxgen.ops.densities import nats_to_bits_per_dim
from jaxgen.progress import track
from jaxgen.views.examples import read as read_pictures

KINDS: tuple[Any, ...] = (Entries, Latents, Flows, Groups)  # the first that fits is usual
CHUNK = 1024  # examples: each chunk of latents wants start bits of its own


def coder(
    network: Network, batch: int | None = None, named: str | None = None, **options: int
) -> Any:
    """What codes examples by a model.

    Args:
        network: of the run.
        batch: examples beside each other; None is what is usual.
        named: a kind; None takes the first that codes without loss.
        **options: of the kind.

    Raises:
        ConfigError: for a model that does not say what a coder needs.
    """
    for kind in KINDS:
        if kind.fits(network.method) and named in (kind.kind, None):
            batch = kind.usual_batch if batch is None else check_count(batch, "batch")
            if strange := options.keys() - set(kind.takes):
                raise ConfigError(f"{', '.join(strange)}: {kind.kind} coding has no such option")
            return kind(network, batch, **options)
    who = type(network.method).__name__
    if named is not None:
        raise ConfigError(f"{who} has no {named} coding: what that needs, it does not say")
    raise ConfigError(
        f"{who} cannot compress: it says no value's probability given those before it, nor what "
        "its latents are drawn from, and is no map of grey levels"
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
    **options: int | None,
) -> bytes:
    """A file of examples [N, ...], in the units of the data.

    Args:
        run: of a model that is given nothing.
        x: examples, whole grey levels.
        batch: of them coded beside each other; the decoder takes the same. None is 32 for models
            that say one value after another, and 1 for others, whose start grows with it.
        chunk: examples that are decoded each for itself: damage loses one.
        verify: decode, and compare.
        **options: of the coder: `precision`, bits of a latent; `groups`, how many of latents, from
            the top, a lossy file keeps, and of such a file `fineness`, bins in a deviation of a
            latent, and `seed` of what is drawn, 0 for means.

    Raises:
        ConfigError: for another model, examples that are none of its data, or a file that would
            not decode.
    """
    network, spec = Network(run), run.spec
    x = np.ascontiguousarray(check_data(x, spec, "run.compress(x)"))
    if spec.levels is None:
        raise ConfigError(f"{spec.name} has no grey levels: only whole numbers are compressed")
    chunk = check_count(chunk, "chunk")
    options = {name: value for name, value in options.items() if value is not None}
    if "groups" not in options and (idle := options.keys() & set(Groups.takes)):
        raise ConfigError(f"{', '.join(sorted(idle))} is of lossy files: add groups")
    kind = Groups.kind if "groups" in options else None
    found = coder(network, batch, kind, **options)
    starts = track(range(0, len(x), chunk), "compressing", len(x), spec.unit, lambda _: chunk)
    chunks = [found.encode(x[start : start + chunk]) for start in starts]
    kept = x if found.lossless else _decoded(found, len(x), chunk, chunks)
    header = Header(
        model=network.digest,
        kind=found.kind,
        count=len(x),
        batch=found.batch,
        chunk=min(chunk, len(x)),
        shape=tuple(x.shape[1:]),
        dtype=str(x.dtype),
        digest=_digest(kept),
        canary=found.canary(),
        environment=environment(),
        options=found.options,
    )
    data = pack(header, chunks)
    if verify:
        _verified(found, *unpack(data))
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
    found = coder(network, header.batch, header.kind, **header.options)
    if (canary := found.canary()) != header.canary:
        here = differing(environment(), header.environment)
        raise ConfigError(
            f"the model's numbers here ({canary[:8]}) are not those that it was compressed with "
            f"({header.canary[:8]}): {here}"
        )
    return _verified(found, header, chunks)


def _verified(found: Any, header: Header, chunks: Any) -> np.ndarray:
    """All examples; raises ConfigError for what is not what was compressed."""
    x = _decoded(found, header.count, header.chunk, chunks)
    if _digest(x) != header.digest:
        raise ConfigError(WRONG)
    return x


def _decoded(found: Any, count: int, size: int, chunks: Any) -> np.ndarray:
    """All examples, of chunks of so many."""
    about = ("decompressing", count, found.network.spec.unit, lambda _: size)
    starts = zip(range(0, count, size), track(chunks, *about), strict=True)
    return np.concatenate([found.decode(chunk, min(size, count - at)) for at, chunk in starts])


def _digest(x: np.ndarray) -> str:
    return hashlib.sha256(x.tobytes()).hexdigest()[: 2 * DIGEST]


def inspect(file: bytes | str | os.PathLike[str]) -> dict[str, Any]:
    """What a file, or its bytes, says of itself, without the model: see `archive.sizes`.

    Raises:
        ConfigError: for what cannot be read, or is no such file.
    """
    return sizes(contents(file))


def contents(file: bytes | str | os.PathLike[str]) -> bytes:
    """Of a path; bytes are what they are.

    Raises:
        ConfigError: for what cannot be read.
    """
    if isinstance(file, bytes):
        return file
    try:
        return pathlib.Path(file).expanduser().read_bytes()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{file} cannot be read: {why}") from error


def bits_per_dim(run: Any, x: np.ndarray) -> float:
    """What the model itself says of examples, in float64: bits/dim."""
    return nats_to_bits_per_dim(coder(Network(run)).nats(x), x.size)
