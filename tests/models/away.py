"""Parameters away from initialisation, where a zero would hide a mistake."""

import jax
import numpy as np


def scrambled(tree, scale):
    """With normal noise of this scale, drawn by NumPy: there is nothing to compile."""
    random = np.random.RandomState(0)

    def moved(p):
        noise = np.asarray(scale * random.randn(*p.shape), p.dtype)
        return jax.device_put(np.asarray(p) + noise)

    return jax.tree.map(moved, tree)
