"""`jaxgen weights NAME`: fetches the published weights of an extractor, when a user asks."""

from __future__ import annotations

from jaxgen.config import ConfigError, unknown
from jaxgen.evaluate.weights import KNOWN, download
from jaxgen.train.log import say

SETS = {"inception": ("inception",), "lpips_vgg": ("vgg16", "lpips")}


def fetch(name: str, data_dir: str | None = None) -> None:
    """Downloads every file that an extractor needs, or one of `KNOWN`; says where each is.

    Raises:
        ConfigError: for an unknown name, without a network, or when other bytes came.
    """
    if name not in SETS and name not in KNOWN:
        raise ConfigError(unknown("weights", name, {*SETS, *KNOWN}))
    for file in SETS.get(name, (name,)):
        say(f"{file}: {download(file, data_dir, say)}")
