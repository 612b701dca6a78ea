"""CaloGAN: showers in three layers of a calorimeter, given the energy that came in.

Energies are GeV throughout, showers vectors of 504 cells (`ops.calorimeter`). Locally connected
layers have a kernel and a bias of their own at each position; each layer of the calorimeter passes
what it has to the next by a learnt weighting of the two, cell by cell.

Source: Paganini et al. 2018, CaloGAN: simulating 3D high energy particle showers in multilayer
electromagnetic calorimeters with generative adversarial networks (arXiv:1712.10321), figures 4 and
5, with the widths of the official code (hep-lbdl/CaloGAN). Keras' defaults are written out: leaks
of 0.3, moments that keep 0.99 with 1e-3 added, borders of even kernels at the end, and initial
kernels of locally connected layers that are as small as if all positions were one sum. Of several
particles the official code has an auxiliary classifier; here the class enters the generator as
there, and the discriminator by a projection (Miyato & Koyama 2018).
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.nn.arrays import Codes, Images, Logits, Resized, Rows
from jaxgen.nn.batch_norm import BatchNorm
from jaxgen.nn.condition import Condition
from jaxgen.nn.conv import Conv
from jaxgen.ops.calorimeter import CELLS, LAYERS, layers

Showers = Float[Array, "b cells"]
Found = Float[Array, "b f"]
Classes = Float[Array, "b classes"]
Energies = Float[Array, "b 1"]

HE, GLOROT = nn.initializers.he_uniform(), nn.initializers.glorot_uniform()
KEPT = -10.0  # bias of the logit of what the layer before passes on
FAR = 5.0  # GeV: a total that is further from what came in is marked
MARK = 10.0


def leaky(x: Array) -> Array:
    """A rectifier with a leak of 0.3."""
    return jax.nn.leaky_relu(x, 0.3)


def norm(name: str) -> BatchNorm:
    """Batch normalisation as Keras has it."""
    return BatchNorm(momentum=0.99, eps=1e-3, name=name)


class LocallyConnected(nn.Module):
    """A convolution without borders whose kernel is another one at each position.

    Attributes:
        features: of the result.
        window: height and width of the kernels.
        stride: of positions.
        kernel_init: of all kernels at once, [h, w, window * c, features].
        bias_init: of the biases [h, w, features]; None for none.
    """

    features: int
    window: tuple[int, int] = (2, 2)
    stride: tuple[int, int] = (1, 1)
    kernel_init: Any = GLOROT
    bias_init: Any = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: Images) -> Resized:
        """[B, H, W, C] -> [B, (H - h) / stride + 1, ..., features], rounded down."""
        (high, wide), (down, right) = self.window, self.stride
        rows, columns = (
            (size - window) // stride + 1
            for size, window, stride in zip(x.shape[1:3], self.window, self.stride, strict=True)
        )
        shifted = [
            x[:, i : i + (rows - 1) * down + 1 : down, j : j + (columns - 1) * right + 1 : right]
            for i in range(high)
            for j in range(wide)
        ]
        patches = jnp.concatenate(shifted, axis=-1)
        shape = (rows, columns, patches.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        # positions first: XLA's CPU backend multiplies such matrices much faster than an einsum
        rows_of = jnp.swapaxes(patches.reshape(x.shape[0], -1, shape[2]), 0, 1)
        y = rows_of @ kernel.reshape(-1, *shape[2:])
        y = jnp.swapaxes(y, 0, 1).reshape(x.shape[0], rows, columns, self.features)
        if self.bias_init is None:
            return y
        return y + self.param("bias", self.bias_init, (rows, columns, self.features))[None]


class Layer(nn.Module):
    """A vector to one layer of the calorimeter, before it is rectified.

    Attributes:
        shape: of the layer.
    """

    shape: tuple[int, int]

    @nn.compact
    def __call__(self, h: Codes) -> Images:
        """[B, latent] -> [B, rows, columns, 1]."""
        rows, columns = (side + 2 for side in self.shape)
        x = nn.Dense(rows * columns * 36, kernel_init=GLOROT, name="wide")(h)
        x = x.reshape(-1, rows, columns, 36)
        x = Conv(16, (2, 2), kernel_init=HE, name="conv")(x)
        x = norm("norm")(leaky(x))
        x = leaky(LocallyConnected(6, kernel_init=HE, name="local")(x))
        last = nn.initializers.glorot_normal()
        return LocallyConnected(1, kernel_init=last, bias_init=None, name="last")(x)


class Attention(nn.Module):
    """A layer's own cells, or those that the layer before passes on, weighted cell by cell."""

    @nn.compact
    def __call__(self, own: Images, passed: Images) -> Images:
        """Two of [B, h, w, 1] -> their weighted sum."""
        both = jnp.concatenate([own, passed], axis=-1)

        def biases(rng: Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> Array:
            return jnp.zeros(shape, dtype).at[..., -1].set(KEPT)

        local = LocallyConnected(2, (3, 3), bias_init=biases, name="local")
        weights = jax.nn.softmax(local(_bordered(both)), axis=-1)
        self.sow("intermediates", "weights", weights)
        return jnp.sum(weights * both, axis=-1, keepdims=True)


class Generator(nn.Module):
    """z, the energy and maybe a class to showers.

    Attributes:
        latent: width of z.
        attention: each layer but the first sees the one before.
    """

    latent: int = 1024
    attention: bool = True

    @nn.compact
    def __call__(self, z: Codes, size: tuple[int, ...], cond: Condition | None = None) -> Showers:
        """[B, latent] -> `size`, which is [B, 504], GeV.

        Args:
            z: noise.
            size: of the result.
            cond: [B, K + 1]: the class one-hot, where there is one, then the energy, GeV.

        Raises:
            ValueError: for another size, or without the energy.
        """
        label, energy = _parted(size, cond)
        if label.shape[1]:
            of_class = nn.Dense(
                self.latent, False, kernel_init=nn.initializers.glorot_normal(), name="of_class"
            )
            z = z * of_class(label)
        h = z * energy / 100
        made = [Layer(shape, name=f"layer_{i}")(h) for i, shape in enumerate(LAYERS)]
        for i in range(1, len(made)) if self.attention else ():
            made[i] = Attention(name=f"attention_{i}")(made[i], _fitted(made[i - 1], LAYERS[i]))
        flat = [x.reshape(x.shape[0], -1) for x in made]
        return jax.nn.relu(jnp.concatenate(flat, axis=1))


class Near(nn.Module):
    """How near each example's projections are to those of all, between 0 and 1.

    Source: Salimans et al. 2016, section 3.2; here an example counts as near itself, and a
    hyperbolic tangent bounds the sum, as in the official code.

    Attributes:
        kernels: features that it gives.
        width: of a projection.
    """

    kernels: int = 10
    width: int = 10

    @nn.compact
    def __call__(self, x: Rows) -> Found:
        """[B, D] -> [B, kernels]."""
        m = nn.Dense(self.kernels * self.width, kernel_init=GLOROT, name="project")(x)
        m = m.reshape(x.shape[0], self.kernels, self.width)
        distance = jnp.sum(jnp.abs(m[:, None] - m[None]), axis=-1)
        return jnp.tanh(jnp.sum(jnp.exp(-distance), axis=1))


class Seen(nn.Module):
    """What one layer shows the discriminator.

    Attributes:
        width: channels of the convolution.
    """

    width: int

    @nn.compact
    def __call__(self, x: Images) -> Found:
        """[B, rows, columns, 1] -> [B, features]."""
        there = jnp.mean((x > 0).astype(x.dtype), axis=(1, 2, 3))[:, None]  # without a gradient
        h = leaky(Conv(self.width, (2, 2), kernel_init=GLOROT, name="conv")(x))
        h = leaky(LocallyConnected(16, (3, 3), (1, 2), name="local_0")(_bordered(h)))
        h = norm("norm_0")(h)
        for i, stride in ((1, 1), (2, 2)):
            local = LocallyConnected(8, stride=(1, stride), name=f"local_{i}")
            h = norm(f"norm_{i}")(leaky(local(_bordered(h))))
        h = h.reshape(h.shape[0], -1)
        of_share = Near(name="near_share")(there)
        return jnp.concatenate([h, Near(name="near")(h), there, of_share], axis=1)


class Discriminator(nn.Module):
    """Showers to logits, by each layer's features and by energies.

    Attributes:
        width: channels of the convolution over each layer.
    """

    width: int = 64

    @nn.compact
    def __call__(self, x: Showers, cond: Condition | None = None) -> Logits:
        """[B, 504], GeV -> [B]; the condition is that of `Generator`."""
        label, energy = _parted(x.shape, cond)
        found, sums = [], []
        for i, layer in enumerate(layers(x)):
            found.append(Seen(self.width, name=f"layer_{i}")(layer[..., None]))
            sums.append(jnp.sum(layer, axis=(1, 2)))
        energies = jnp.stack(sums, axis=1)
        total = jnp.sum(energies, axis=1, keepdims=True)
        off = jnp.abs(total - energy)
        far = MARK * (off > FAR).astype(x.dtype)
        near = Near(name="near")(energies)
        h = jnp.concatenate([*found, energies / 10, total / 100, off, far, near], axis=1)
        logits = nn.Dense(1, kernel_init=GLOROT, name="out")(h)[:, 0]
        if label.shape[1]:
            of_class = nn.Dense(h.shape[1], False, kernel_init=GLOROT, name="of_class")
            logits += jnp.sum(of_class(label) * h, axis=1)
        return logits


def _bordered(x: Images) -> Resized:
    """With a border of zeros."""
    return jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))


def _fitted(x: Images, shape: tuple[int, int]) -> Resized:
    """A layer on the cells of the next: rows repeat, columns are averaged."""
    b, rows, columns, _ = x.shape
    x = jnp.repeat(x, shape[0] // rows, axis=1)
    return jnp.mean(x.reshape(b, *shape, columns // shape[1], 1), axis=3)


def _parted(size: tuple[int, ...], cond: Condition | None) -> tuple[Classes, Energies]:
    """The class one-hot, of no columns where there is none, and the energy [B, 1]."""
    if tuple(size[1:]) != (CELLS,) or cond is None or cond.ndim != 2:
        raise ValueError(
            f"CaloGAN: data of shape {list(size[1:])}, expected showers of {CELLS} cells that are "
            "given their energy: --config.data.name=showers"
        )
    return cond[:, :-1], cond[:, -1:]
