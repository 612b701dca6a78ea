"""Random weights of the convolutions of VGG-16, named as torchvision does; pairs of images."""

import zlib

import numpy as np

LAYERS = {0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256), 12: (256, 256)}
LAYERS |= {14: (256, 256), 17: (256, 512)} | {k: (512, 512) for k in (19, 21, 24, 26, 28)}


def random_trunk():
    """Name -> array."""
    values = {}
    for layer, (wide, out) in LAYERS.items():
        for kind, shape, scale in (
            ("weight", (out, wide, 3, 3), np.sqrt(2 / (9 * wide))),
            ("bias", (out,), 0.1),
        ):
            name = f"features.{layer}.{kind}"
            random = np.random.RandomState(zlib.crc32(name.encode()))
            values[name] = (random.randn(*shape) * scale).astype(np.float32)
    return values


def pairs():
    """Two of float32 [4, 32, 32, 3] in [-1, 1]: noise, more and more alike."""
    random = np.random.RandomState(0)
    x, y = random.uniform(-1, 1, size=(2, 4, 32, 32, 3))
    near = np.array([1, 0.5, 0.1, 0.0])[:, None, None, None]
    return x.astype(np.float32), (x + near * (y - x)).astype(np.float32)
