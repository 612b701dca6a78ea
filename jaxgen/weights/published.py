"""Weights of other people's networks: found, checked by their hash, and kept as plain arrays.

Nothing is downloaded unless a user asks for it by `jaxgen weights NAME`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jaxgen.config import ConfigError, unknown
from jaxgen.data import torch_file
from jaxgen.data.limits import load_npz
from jaxgen.data.prepare import data_root
from jaxgen.fetch import Remote, fetched, sha256_of
from jaxgen.files import WriteError, write_arrays
from jaxgen.stored import parse


@dataclasses.dataclass(frozen=True)
class Weights:
    """A published file.

    Attributes:
        file: its name.
        sha256: of its bytes.
        url: of its public release.
        size: bytes, about.
        licence: as far as known.
        aliases: other names under which the same bytes are published.
        prefix: of the names of the arrays that are wanted.
    """

    file: str
    sha256: str
    url: str
    size: int
    licence: str
    aliases: tuple[str, ...] = ()
    prefix: str = ""


KNOWN = {
    "inception": Weights(
        "pt_inception-2015-12-05-6726825d.pth",
        "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
        "pt_inception-2015-12-05-6726825d.pth",
        95_628_359,
        "Apache-2.0",
        ("weights-inception-2015-12-05-6726825d.pth",),
    ),
    "vgg16": Weights(
        "vgg16-397923af.pth",
        "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        "https://download.pytorch.org/models/vgg16-397923af.pth",
        553_000_000,
        "CC BY 4.0",
        prefix="features.",
    ),
    "lpips": Weights(
        "vgg.pth",
        "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
        "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/"
        "v0.1/vgg.pth",
        7_289,
        "BSD-2",
    ),
}


def folder(data_dir: str | None = None) -> pathlib.Path:
    """Where files of weights are kept: `weights/` beside the prepared data."""
    return data_root(data_dir) / "weights"


def arrays(
    name: str, path: str | None = None, data_dir: str | None = None
) -> tuple[dict[str, np.ndarray], str]:
    """The arrays of a known file by their names in it, and the hash of the file.

    They are converted once and then read from a .npz beside, which is checked too.

    Args:
        name: of `KNOWN`.
        path: of the file; by default it is looked for in `folder` and in PyTorch's cache.
        data_dir: as of `jaxgen.data.load`.

    Raises:
        ConfigError: when the file is not there, saying what to do, or is another one.
    """
    weights = KNOWN[name]
    converted = folder(data_dir) / f"{weights.file.removesuffix('.pth')}.npz"
    if path is None and converted.is_file():
        found = _stored(converted, weights)
        if found is not None:
            return found, weights.sha256
    source = pathlib.Path(path).expanduser() if path else _find(name, data_dir)
    _check(source, weights)
    whole = torch_file.read(source)
    found = {key: array for key, array in whole.items() if key.startswith(weights.prefix)}
    _store(converted, found, weights)
    return found, weights.sha256


def download(name: str, data_dir: str | None, say: Callable[[str], None]) -> pathlib.Path:
    """Fetches a known file into `folder`, unless it is there.

    Args:
        name: of `KNOWN`.
        data_dir: as of `jaxgen.data.load`.
        say: is told what is fetched.

    Raises:
        ConfigError: for an unknown name, without a network, or when other bytes came.
    """
    if name not in KNOWN:
        raise ConfigError(unknown("weights", name, KNOWN))
    weights = KNOWN[name]
    target = folder(data_dir) / weights.file
    if not target.is_file():
        say(f"{weights.file}, {weights.size / 1e6:.1f} MB ({weights.licence}), from {weights.url}")
    remote = Remote(weights.url, weights.sha256, weights.size)
    return fetched(remote, target, lambda path: _check(path, weights), _advice(name))


def _advice(name: str, data_dir: str | None = None) -> str:
    weights = KNOWN[name]
    return f"fetch {weights.url} elsewhere and put it into {folder(data_dir)}"


def _find(name: str, data_dir: str | None) -> pathlib.Path:
    weights = KNOWN[name]
    torch_home = os.environ.get("TORCH_HOME") or "~/.cache/torch"
    places = (
        folder(data_dir),
        pathlib.Path(os.path.expanduser(torch_home)) / "hub" / "checkpoints",
    )
    for place in places:
        for file in (weights.file, *weights.aliases):
            if (place / file).is_file():
                return place / file
    raise ConfigError(
        f"no {weights.file} on this machine: type jaxgen weights {name}, or without a network "
        f"{_advice(name, data_dir)}; --extractor=classifier:DATASET needs no download"
    )


def _check(path: pathlib.Path, weights: Weights) -> None:
    if (found := sha256_of(path)) != weights.sha256:
        raise ConfigError(
            f"{path} is not {weights.file}: its sha256 is {found[:16]}..., expected "
            f"{weights.sha256[:16]}...; its scores would compare with nobody's"
        )


def content_sha256(found: Mapping[str, np.ndarray]) -> str:
    """Hash of the names, types, shapes and bytes of arrays."""
    digest = hashlib.sha256()
    for name, array in sorted(found.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape};".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _store(path: pathlib.Path, found: Mapping[str, np.ndarray], weights: Weights) -> None:
    """Keeps the arrays, where that is allowed."""
    about = json.dumps({"source": weights.sha256, "content": content_sha256(found)})
    arrays: dict[str, Any] = {"about": np.asarray(about), **found}
    with contextlib.suppress(WriteError):
        write_arrays(path, **arrays)


def _stored(path: pathlib.Path, weights: Weights) -> dict[str, np.ndarray] | None:
    """The kept arrays, None unless they are whole."""
    try:
        found: dict[str, Any] = load_npz(path)
        about = parse(str(found.pop("about")))
    except (KeyError, ValueError, RecursionError):
        return None
    whole = about == {"source": weights.sha256, "content": content_sha256(found)}
    return found if whole else None


SETS = {"inception": ("inception",), "lpips_vgg": ("vgg16", "lpips")}


def fetch(
    name: str, say: Callable[[str], None], data_dir: str | None = None
) -> dict[str, pathlib.Path]:
    """Downloads every file that an extractor needs, or one of `KNOWN`, unless it is there.

    Args:
        name: of the extractor, or of `KNOWN`.
        say: is told what is fetched.
        data_dir: as of `jaxgen.data.load`.

    Returns:
        Name in `KNOWN` -> where it is.

    Raises:
        ConfigError: for an unknown name, without a network, or when other bytes came.
    """
    if name not in SETS and name not in KNOWN:
        raise ConfigError(unknown("weights", name, {*SETS, *KNOWN}))
    return {file: download(file, data_dir, say) for file in SETS.get(name, (name,))}
