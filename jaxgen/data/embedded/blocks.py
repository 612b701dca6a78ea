"""A block on the ground from above, 24x24 grey, and where it is: as rendered, and as by a camera.

`sim_block` is flat. `real_block` has light from one side, a texture, shading, a shadow, and the
gain and noise of a camera; with every picture comes the flat one of the same place, as where a
robot put the block itself. `real_block_distractor` has a disc beside it. There are few real
pictures to train with, and drawn with a seed all of them.

The setting is that of Inoue et al. 2017, "Transfer learning from synthetic to real images using
variational autoencoders for precise position detection" (arXiv:1709.06762); the pictures are ours.
"""

from __future__ import annotations

import math

import numpy as np

from jaxgen.data.dataset import ArraySplit, DataError, Dataset
from jaxgen.ops.blocks import BLOCK, HIGHEST, LOWEST, SIDE, covered, synthetic
from jaxgen.types import DataSpec

NAMES = ("sim_block", "real_block", "real_block_distractor")
COUNTS = {"sim": {"train": 8000, "test": 1000}, "real": {"train": 200, "test": 1000}}
SEEDS = {"train": 0, "test": 1}
SHADOW = np.array([2.0, 2.5])  # where it lies, from the block
LIGHT, TEXTURE, SHADING, DARK = 0.15, 0.05, 0.1, 0.6  # dark: what a shadow leaves of the light
GAIN, NOISE = (0.8, 1.2), 0.03
GRID = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), 0)[None] + 0.5  # right and down


def load(name: str, data_dir: str | None = None) -> Dataset:
    """One of the three, drawn anew each time.

    Raises:
        DataError: on another name.
    """
    if name not in NAMES:
        raise DataError(f"expected one of {', '.join(NAMES)}; got {name!r}")
    counts = COUNTS[name.partition("_")[0]]
    splits = {s: ArraySplit(drawn(name, n, SEEDS[s])) for s, n in counts.items()}
    return Dataset(spec_of(name), splits, "seeded pictures of a block")


def spec_of(name: str) -> DataSpec:
    """Fields: the picture, the position of the block, and of real pictures the synthetic one."""
    spec = DataSpec.of(name, (SIDE, SIDE, 1), 256)
    spec = spec.with_field("position", kind="vector", shape=(2,), names=("right", "down"))
    if name == "sim_block":
        return spec
    picture = dict(kind="image", shape=(SIDE, SIDE, 1), dtype="uint8", levels=256)
    return spec.with_field("synthetic", **picture)


def drawn(name: str, count: int, seed: int) -> dict[str, np.ndarray]:
    """Fields of so many examples; those of a seed begin with those of fewer."""
    parts = [_one(name, np.random.RandomState([seed, number])) for number in range(count)]
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _one(name: str, random: np.random.RandomState) -> dict[str, np.ndarray]:
    position = random.uniform(LOWEST, HIGHEST, (1, 2))
    flat = levels(synthetic(position, np))
    fields = {"position": position.astype(np.float32)}
    if name == "sim_block":
        return {"x": flat} | fields
    return (
        {"x": levels(_real(random, position, "distractor" in name))} | fields | {"synthetic": flat}
    )


def _real(random: np.random.RandomState, position: np.ndarray, distractor: bool) -> np.ndarray:
    """[1, SIDE, SIDE, 1] as a camera has it."""
    middle = GRID / SIDE - 0.5
    light = random.uniform(-LIGHT, LIGHT, 2)
    ground = random.uniform(0.3, 0.5) + _along(middle, light)
    waves = random.uniform(2, 5) * 2 * math.pi * _along(middle, _direction(random))
    ground = ground + TEXTURE * np.sin(waves + random.uniform(0, 2 * math.pi))
    picture = ground * (1 - (1 - DARK) * covered(position + SHADOW, xp=np))
    beside = (GRID - position[:, :, None, None]) / SIDE
    face = BLOCK + 10 * _along(beside, SHADING * _direction(random)) + _along(middle, light)
    share = covered(position, xp=np)
    if distractor:
        disc = _disc(random, position)
        picture = picture + disc * (random.uniform(0.5, 0.9) - picture)
    picture = picture + share * (face - picture)
    seen = random.uniform(*GAIN) * picture + NOISE * random.randn(1, SIDE, SIDE)
    return seen[..., None]


def _along(points: np.ndarray, direction: np.ndarray) -> np.ndarray:
    return np.einsum("ncij,c->nij", points, direction)


def _direction(random: np.random.RandomState) -> np.ndarray:
    angle = random.uniform(0, 2 * math.pi)
    return np.array([math.cos(angle), math.sin(angle)])


def _disc(random: np.random.RandomState, position: np.ndarray) -> np.ndarray:
    """[1, SIDE, SIDE] in [0, 1]: a disc of radius 2 to 3, whose middle is off the block's."""
    while True:
        middle = random.uniform(3, SIDE - 3, (1, 2))
        if np.linalg.norm(middle - position) > 6:
            break
    away = np.sqrt(np.square(GRID - middle[:, :, None, None]).sum(1))
    return np.clip(random.uniform(2, 3) + 0.5 - away, 0, 1)


def levels(picture: np.ndarray) -> np.ndarray:
    """[0, 1] to uint8."""
    return np.rint(255 * np.clip(picture, 0, 1)).astype(np.uint8)
