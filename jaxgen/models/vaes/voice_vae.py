"""Autoencoders of voices whose decoders are told who speaks: of codes, and of numbers.

An example is log-mel frames [bands, frames, 1] (`ops.sound`). Codes are too few for the speaker
and the vowel, and the decoder knows the speaker, so that codes say the vowel: with another speaker
the decoder converts the voice. Numbers have room for both, and convert nothing.

Source: van den Oord et al. 2017, "Neural Discrete Representation Learning" (NeurIPS), section 4.3,
for the idea; there the decoder is a WaveNet, see `models.vaes.wave_vae`. The networks here are
convolutions over time in the manner of that paper's for images.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from jaxgen.models.vaes.autoencoder import Moments
from jaxgen.nn.arrays import Batched, Images, Resized
from jaxgen.nn.codebook import check_quantizer, quantizer
from jaxgen.nn.codes import Coding, Map
from jaxgen.nn.condition import Condition, added
from jaxgen.nn.conv import Conv
from jaxgen.nn.latents import Draw, GivenLatents, Temperature

Ids = Int[Array, "b rows columns groups"]


def halved(frames: int, halvings: int) -> int:
    """Steps that are left, rounded up."""
    return -(-frames // 2**halvings)


class Blocks(nn.Module):
    """Residual blocks over time, [B, 1, T, C] to the same; each may be told who speaks.

    Attributes:
        layers: how many.
    """

    layers: int

    @nn.compact
    def __call__(self, h: Images, cond: Condition | None = None) -> Images:
        """ReLU, convolution of three steps, ReLU, one of one step; a ReLU after the last."""
        for i in range(self.layers):
            near = nn.relu(added(h, cond, name=f"cond_{i}"))
            near = nn.relu(Conv(h.shape[-1], (1, 3), name=f"wide_{i}")(near))
            h = h + Conv(h.shape[-1], (1, 1), name=f"narrow_{i}")(near)
        return nn.relu(h)


class Encoder(nn.Module):
    """Frames to vectors over time, which see nothing of the speaker but the sound.

    Attributes:
        hidden: channels.
        layers: residual blocks.
        halvings: so many times steps are halved.
        width: of the vectors.
    """

    hidden: int
    layers: int
    halvings: int
    width: int

    @nn.compact
    def __call__(self, x: Images) -> Resized:
        """[B, bands, frames, 1] -> [B, 1, frames / 2^halvings, width]; lengths are rounded up."""
        h = Conv(self.hidden, (1, 3), name="first")(jnp.transpose(x, (0, 3, 2, 1)))
        for i in range(self.halvings):
            h = Conv(self.hidden, (1, 4), strides=(1, 2), name=f"halve_{i}")(nn.relu(h))
        return Conv(self.width, (1, 1), name="last")(Blocks(self.layers, name="blocks")(h))


class Decoder(nn.Module):
    """Vectors over time, and who speaks, to frames.

    Attributes:
        hidden: channels.
        layers: residual blocks.
        halvings: so many times steps are doubled.
    """

    hidden: int
    layers: int
    halvings: int

    @nn.compact
    def __call__(self, q: Images, size: tuple[int, ...], cond: Condition | None) -> Resized:
        """[B, 1, t, D] -> `size`, [B, bands, frames, width]: the first of more frames.

        The first number of an element moves all of the network, further ones a layer of their own:
        codes are of means, and not of how uncertain these are.
        """
        h = Conv(self.hidden, (1, 3), name="first")(q)
        for i in range(self.halvings):
            h = Conv(self.hidden, (1, 3), name=f"double_{i}")(jnp.repeat(nn.relu(h), 2, axis=2))
        h = Blocks(self.layers, name="blocks")(h[:, :, : size[2]], cond)
        means = Conv(size[1], (1, 1), name="last")(h)[:, 0, ..., None]
        if size[3] > 1:
            known = jax.lax.stop_gradient(h)
            more = Conv(size[1] * (size[3] - 1), (1, 1), name="deviates")(known)
            more = more[:, 0].reshape(*means.shape[:-1], size[3] - 1)
            means = jnp.concatenate([means, more], axis=-1)
        return jnp.swapaxes(means, 1, 2)


class VoiceVQ(nn.Module):
    """One row of codes over time; see `nn.codes`. The decoder is told who speaks.

    Attributes:
        hidden: channels of encoder and decoder.
        layers: residual blocks of each.
        halvings: so many times codes are halved against the frames.
        quantizer: a section of `nn.codebook.quantizer`.
    """

    hidden: int = 128
    layers: int = 2
    halvings: int = 0
    quantizer: Annotated[Mapping[str, Any], check_quantizer] = nn.FrozenDict(name="codebook")

    def setup(self) -> None:
        """Names the networks."""
        self.book = quantizer(self.quantizer)
        self.encoder = Encoder(self.hidden, self.layers, self.halvings, self.book.dim)
        self.decoder = Decoder(self.hidden, self.layers, self.halvings)

    @nn.nowrap
    def maps(self, shape: tuple[int, ...]) -> dict[str, Map]:
        """`codes`, of data [bands, frames, 1]."""
        book = quantizer(self.quantizer)
        return {"codes": Map(1, halved(shape[1], self.halvings), book.groups, book.codes)}

    def __call__(
        self,
        x: Images,
        size: tuple[int, ...],
        cond: Condition | None = None,
        train: bool = False,
    ) -> Coding:
        """[B, bands, frames, 1] to theta of shape `size`, and the codes."""
        found = self.book(self.encoder(x), train)
        return Coding(self.decoder(found.q, size, cond), {"codes": found})

    def encode(self, x: Images) -> dict[str, Ids]:
        """Ids, [B, 1, t, G]."""
        return {"codes": self.book(self.encoder(x)).ids}

    def decode(
        self, ids: dict[str, Ids], size: tuple[int, ...], cond: Condition | None = None
    ) -> Resized:
        """Theta of ids."""
        return self.decoder(self.book.lookup(ids["codes"]), size, cond)


class VoiceAE(nn.Module):
    """Numbers over time in place of codes, [B, 1, t, latent]; see `nn.latents`: the control.

    Attributes:
        hidden: as of `VoiceVQ`, as the rest.
        layers: see there.
        halvings: see there.
        latent: numbers a step.
    """

    hidden: int = 128
    layers: int = 2
    halvings: int = 0
    latent: int = 32

    def setup(self) -> None:
        """Names the networks."""
        self.encoder = Encoder(self.hidden, self.layers, self.halvings, self.latent)
        self.decoder = Decoder(self.hidden, self.layers, self.halvings)
        self.codes = Moments(self.latent)

    def __call__(self, x: Images, size: tuple[int, ...], cond: Condition | None = None) -> Draw:
        """x to a draw whose theta has shape `size`."""
        return self.top_down(self.bottom_up(x, cond), size, cond)

    def bottom_up(self, x: Images, cond: Condition | None = None) -> Batched:
        """The numbers themselves, whoever speaks."""
        return self.encoder(x)

    def top_down(
        self,
        h: Batched | None,
        size: tuple[int, ...],
        cond: Condition | None = None,
        given: GivenLatents | None = None,
        temperature: Temperature = 1.0,
    ) -> Draw:
        """See `nn.latents`; with `h` nothing is drawn, else as by `Autoencoder`."""
        known = given[0] if given else h
        if known is None:
            shape = (size[0], 1, halved(size[2], self.halvings), self.latent)
            rows = self.codes.draw(size[0] * shape[2], self.make_rng("latent"), temperature)
            known = rows.reshape(shape)
        else:
            self.codes(known.reshape(-1, self.latent))
        none = jnp.zeros(size[0], known.dtype)
        return Draw(self.decoder(known, size, cond), (known,), (), none, none)
