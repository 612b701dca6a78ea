"""Random weights of the Inception network, by the names of the official file, and images."""

import zlib

import numpy as np


def random_weights(shapes):
    """Name -> array; features neither vanish nor explode; a seed for each."""
    values = {}
    for name, shape in shapes.items():
        random = np.random.RandomState(zlib.crc32(name.encode()))
        kind = name.split(".")[-1]
        if kind == "num_batches_tracked":
            values[name] = np.zeros(shape, np.int64)
        elif name.endswith("conv.weight"):
            values[name] = random.randn(*shape) * np.sqrt(2 / np.prod(shape[1:]))
        elif kind == "running_var":
            values[name] = 0.75 + 0.5 * random.rand(*shape)
        elif name.endswith("bn.weight"):
            values[name] = 0.8 + 0.4 * random.rand(*shape)
        else:
            values[name] = random.randn(*shape) * (0.02 if name.startswith("fc.") else 0.1)
        if values[name].dtype == np.float64:
            values[name] = values[name].astype(np.float32)
    return values


def images():
    """uint8 [4, 32, 32, 3]."""
    return np.random.RandomState(0).randint(256, size=(4, 32, 32, 3)).astype(np.uint8)
