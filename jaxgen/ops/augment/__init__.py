"""Augmentations of what a discriminator sees, by the name that a config gives them.

Each is a class of options with `start()`, what it remembers; `apply(rng, x, kept)`, augmented
images [B, H, W, C]; `move(kept, real_logits, step)`, what it remembers after a move; and
`shown(kept)`, metrics.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxgen.config import check_named
from jaxgen.ops.augment.ada import ADA
from jaxgen.ops.augment.diffaugment import DiffAugment

AUGMENTATIONS: dict[str, Any] = {"ada": ADA, "diffaugment": DiffAugment}


def check_augmentation(section: Mapping[str, Any], where: str = "config.method.augment") -> None:
    """Refuses a section that names no augmentation, or options that it does not take.

    Raises:
        ConfigError: naming the nearest.
    """
    options = dict(section)
    if options:
        name = options.pop("name", "")
        check_named(AUGMENTATIONS, name, options, where.removeprefix("config."))
