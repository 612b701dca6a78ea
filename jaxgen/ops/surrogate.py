"""A Gaussian process that stands for an objective which is dear, and the ascent of its mean.

Source: Rasmussen & Williams 2006, Gaussian processes for machine learning, equations 2.25 and 5.9;
Gomez-Bombarelli et al. 2018, Automatic chemical design, section 2.3, which ascend such a mean.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

RATE = 0.05  # of a step of ascent, in units of the latents


def fitted(x: np.ndarray, y: np.ndarray, seed: int = 0) -> tuple[np.ndarray, float]:
    """Weights alpha [N] and the length of the squared-exponential kernel of y [N] at x [N, D].

    The mean at z is mean(y) + sum_i alpha_i exp(-|z - x_i|^2 / 2 length^2); amplitude, length and
    noise are those of the largest marginal likelihood that scikit-learn finds, within bounds that
    keep the weights small enough for float32.
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    start = float(np.sqrt(x.shape[1]))
    kernel = ConstantKernel(1.0, (0.1, 30.0)) * RBF(start, (start / 30, 30 * start))
    kernel = kernel + WhiteKernel(0.3, (0.01, 10.0))
    scale = max(float(y.std()), 1e-12)
    process = GaussianProcessRegressor(kernel, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a length at its end is an answer
        process.fit(x, (y - y.mean()) / scale)
    found: Any = process.kernel_
    found = found.k1
    alpha = np.asarray(process.alpha_) * found.k1.constant_value * scale
    return alpha.astype(np.float32), float(found.k2.length_scale)


def mean(z: Float[Array, "b d"], x: Array, alpha: Array, length: float) -> Float[Array, " b"]:
    """Of the process at z, without the constant."""
    square = jnp.sum(jnp.square(z[:, None] - x[None]), axis=-1)
    return jnp.exp(-0.5 * square / length**2) @ alpha


def ascended(
    z: Array, x: Array, alpha: Array, length: float, steps: int, radius: float
) -> Float[Array, "b d"]:
    """Points z [B, D] after so many steps of equal length uphill, none farther out than `radius`.

    Beyond it there are no latents of data, and the process knows nothing.
    """

    def step(z: Array, _: None) -> tuple[Array, None]:
        slope = jax.grad(lambda z: jnp.sum(mean(z, x, alpha, length)))(z)
        norm = jnp.linalg.norm(slope, axis=-1, keepdims=True)
        z = z + RATE * jnp.sqrt(z.shape[-1]) * slope / jnp.maximum(norm, 1e-12)
        far = jnp.linalg.norm(z, axis=-1, keepdims=True)
        return z * jnp.minimum(1.0, radius / jnp.maximum(far, 1e-12)), None

    return jax.lax.scan(step, z, None, steps)[0]
