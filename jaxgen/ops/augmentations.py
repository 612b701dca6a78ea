"""Augmentations of what a discriminator sees, by the name that a config gives them.

Each is a class of options with `start()`, what it remembers; `apply(rng, x, kept)`, augmented
images [B, H, W, C]; `move(kept, real_logits, step)`, what it remembers after a move; and
`shown(kept)`, metrics.
"""

from __future__ import annotations

from typing import Any

from jaxgen.ops.ada import ADA
from jaxgen.ops.diffaugment import DiffAugment

AUGMENTATIONS: dict[str, Any] = {"ada": ADA, "diffaugment": DiffAugment}
