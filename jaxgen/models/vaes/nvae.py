"""NVAE: a deep hierarchy of groups of latents, with residual normal posteriors.

Source: Vahdat & Kautz 2020, "NVAE: A Deep Hierarchical Variational Autoencoder" (NeurIPS), and
the official code (NVlabs/NVAE), with which `tests/parity/nvae.py` compares the cells. Where they
differ we follow the code: means and log-stds pass a soft clamp after the residual is added, every
standard deviation has 0.01 added, so that of the top prior is 1.01, and the flows of the posterior
do not see the data. Unlike the code, a single group keeps its residual cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from jaxgen.nn.arrays import Batched, Features, Images
from jaxgen.nn.condition import Condition
from jaxgen.nn.latents import (
    Draw,
    GivenLatents,
    Group,
    Law,
    Normal,
    Temperature,
    channels,
    joined,
)
from jaxgen.nn.nvae_cells import DecoderCell, EncoderCell, NormedConv, flow
from jaxgen.ops.densities import sum_event

Seen = tuple[Batched, tuple[Batched, ...]]  # what `Encoder` gives
Mask = Bool[Array, "..."]
MEMORY = ("store", "remat")
EXPAND = {"latents": 6, "image": 3}  # of the decoder's cells among the latents, and above them
CLAMP, LEAST_STD = 5.0, 1e-2


def soft_normal(raw: Batched) -> Normal:
    """Means, then log-stds, [..., 2 K], both softly clamped to +-5, and 0.01 added to the stds.

    Source: the official code, `distributions.Normal`; the paper's equation 2 is its limit for
    small parameters.
    """
    mean, log_std = jnp.split(CLAMP * jnp.tanh(raw / CLAMP), 2, axis=-1)
    return Normal(mean, jnp.log(jnp.exp(log_std) + LEAST_STD))


class Latents(nn.Module):
    """One group of latents: its posterior, and a draw.

    Attributes:
        latent: channels K of the group.
        flows: pairs of flow cells after the posterior's normal.
    """

    latent: int
    flows: int

    @nn.compact
    def __call__(
        self,
        raw: Features,
        features: Batched | None,
        given: Batched | None,
        mask: Mask | None,
        temperature: Temperature,
    ) -> Group:
        """Draws the group, from the posterior where there are features.

        The divergence is analytic without flows, else that of the draw.

        Args:
            raw: [B, H, W, 2 K], parameters of the prior before their clamp.
            features: [B, H, W, C], what the posterior knows; None draws from the prior.
            given: [B, H, W, K], latents to take instead.
            mask: whether to take them; None takes them.
            temperature: of draws from the prior.
        """
        prior, posterior, warp = soft_normal(raw), None, None
        if features is not None:
            residual = NormedConv(2 * self.latent, 3, name="posterior")(features)
            posterior = soft_normal(raw + residual)
            warp = flow(self.flows, "flow") if self.flows else None
        base = None
        if given is None or mask is not None:
            key = self.make_rng("latent")
            base = posterior.sample(key) if posterior else prior.sample(key, temperature)
            z = warp.forward(base)[0] if warp else base
        if given is not None:
            z = given if mask is None else jnp.where(mask, given, z)
            base = None
        log_p = prior.log_prob(z)
        if posterior is None:
            nothing = jnp.zeros(z.shape[0], log_p.dtype)
            return Group(z, None, nothing, sum_event(log_p), Law(prior, None))
        law = None if warp else Law(prior, posterior)
        if warp is None:
            kl, log_q = posterior.kl(prior), posterior.log_prob(z)
        else:
            log_q = posterior.log_prob(warp.inverse(z)[0] if base is None else base)
            kl = log_q - log_p
        return Group(z, channels(kl), sum_event(log_q), sum_event(log_p), law)


class EncoderGroup(nn.Module):
    """The cells before one group of latents, going up; the body of a scan."""

    width: int
    cells: int

    @nn.compact
    def __call__(self, h: Images, _: None) -> tuple[Images, Images]:
        """[B, H, W, width] to the same, twice: to go on, and for the group."""
        for i in range(self.cells):
            h = EncoderCell(self.width, name=f"cell{i}")(h)
        return h, h


class DecoderGroup(nn.Module):
    """The cells before one group of latents, going down, and the group; the body of a scan."""

    width: int
    cells: int
    latent: int
    flows: int

    @nn.compact
    def __call__(
        self,
        s: Images,
        up: Images | None,
        given: Batched | None,
        mask: Mask | None,
        temperature: Temperature,
    ) -> tuple[Images, Group]:
        """The state s, [B, H, W, width], to the next; `up` is what the encoder says, as s."""
        for i in range(self.cells):
            s = DecoderCell(self.width, EXPAND["latents"], name=f"cell{i}")(s)
        raw = NormedConv(2 * self.latent, 1, name="prior")(nn.elu(s))
        features = None if up is None else up + NormedConv(self.width, 1, name="meet")(s)
        group = Latents(self.latent, self.flows, name="latents")(
            raw, features, given, mask, temperature
        )
        s = NormedConv(self.width, 1, name="join")(jnp.concatenate([s, group.z], -1))
        return s, group


def _repeat(body: type[nn.Module], times: int, memory: str, **axes: Any) -> Any:
    """`times` copies of a body, compiled once, their parameters stacked on a new first axis."""
    if memory not in MEMORY:
        raise ValueError(f"memory={memory!r}, expected one of {MEMORY}")
    if memory == "remat":
        body = nn.remat(body, prevent_cse=False)
    return nn.scan(
        body,
        variable_axes=dict.fromkeys(("params", "batch_stats", "intermediates"), 0),
        split_rngs={"params": True, "latent": True},
        length=times,
        **axes,
    )


class Encoder(nn.Module):
    """From the image to what the groups' posteriors know; fields as of `NVAE`."""

    width: int
    groups: Sequence[int]
    blocks: int
    block_cells: int
    group_cells: int
    memory: str

    @nn.compact
    def __call__(self, x: Images) -> Seen:
        """Features of the first group, and those of the rest, a scale an entry, [B, G, H, W, C].

        Scales from the top, and in each the groups in the order in which they are drawn.
        """
        h, width = NormedConv(self.width, 3, name="stem")(2 * x - 1), self.width
        for block in range(self.blocks):
            for i in range(self.block_cells - 1):
                h = EncoderCell(width, name=f"pre{block}_{i}")(h)
            width *= 2
            h = EncoderCell(width, down=True, name=f"pre{block}_down")(h)
        scales = []
        for scale in reversed(range(len(self.groups))):
            scan = _repeat(EncoderGroup, self.groups[scale], self.memory, out_axes=1)
            h, ups = scan(width, self.group_cells, name=f"scale{scale}")(h, None)
            scales.append(jnp.flip(ups, 1))
            if scale:
                width *= 2
                h = EncoderCell(width, down=True, name=f"scale{scale}_down")(h)
        h = nn.elu(NormedConv(width, 1, name="top")(nn.elu(h)))
        first, *rest = reversed(scales)
        return h, (first[:, 1:], *rest)  # the last cells of the encoder go to the first group


class Decoder(nn.Module):
    """From the top of the latents to theta; fields as of `NVAE`."""

    width: int
    groups: Sequence[int]
    latent: int
    blocks: int
    block_cells: int
    group_cells: int
    flows: int
    memory: str

    @nn.compact
    def __call__(
        self,
        h: Seen | None,
        size: tuple[int, ...],
        given: GivenLatents,
        temperature: Temperature,
    ) -> Draw:
        """What `Encoder` gave, or None, to a draw; `given` has an entry a group."""
        batch, *sides, features = size
        halvings = self.blocks + len(self.groups) - 1
        sides, width = [n >> halvings for n in sides], self.width << halvings
        start = self.param("start", nn.initializers.uniform(1.0), (*sides, width))
        s = jnp.broadcast_to(start, (batch, *start.shape))
        top, ups = (None, (None,) * len(self.groups)) if h is None else h
        raw = jnp.zeros((batch, *sides, 2 * self.latent), s.dtype)
        group = Latents(self.latent, self.flows, name="latents")(
            raw, top, given[0], None, temperature
        )
        s = NormedConv(width, 1, name="join")(jnp.concatenate([s, group.z], -1))
        drawn, first = [group], 1
        for scale, count in enumerate(self.groups):
            if scale:
                width //= 2
                s = DecoderCell(width, EXPAND["latents"], up=True, name=f"scale{scale}_up")(s)
            count -= not scale
            if count:
                chosen = given[first : first + count]
                s, groups = self._scale(scale, count, s, ups[scale], chosen, temperature)
                drawn += [jax.tree.map(lambda leaf, i=i: leaf[i], groups) for i in range(count)]
                first += count
        for block in range(self.blocks):
            width //= 2
            s = DecoderCell(width, EXPAND["image"], up=True, name=f"post{block}_up")(s)
            for i in range(self.block_cells - 1):
                s = DecoderCell(width, EXPAND["image"], name=f"post{block}_{i}")(s)
        theta = NormedConv(features, 3, name="image")(nn.elu(s))
        return joined(theta, drawn)

    def _scale(
        self,
        scale: int,
        count: int,
        s: Images,
        up: Batched | None,
        given: GivenLatents,
        temperature: Temperature,
    ) -> tuple[Images, Group]:
        """The groups of one scale, stacked."""
        known, mask = [z is not None for z in given], None
        stacked = None
        if any(known):
            empty = jnp.zeros((*s.shape[:-1], self.latent), s.dtype)
            stacked = jnp.stack([empty if z is None else z for z in given])
            mask = None if all(known) else jnp.asarray(known)
        axes = (1, 0, 0, nn.broadcast)
        scan = _repeat(DecoderGroup, count, self.memory, in_axes=axes)
        groups = scan(s.shape[-1], self.group_cells, self.latent, self.flows, name=f"scale{scale}")
        return groups(s, up, stacked, mask, temperature)


class NVAE(nn.Module):
    """Groups of latents [B, H', W', K] at several scales of the image; see `nn.latents`.

    Images [B, H, W, C], with padding divisible by 2**(blocks + scales - 1).

    Attributes:
        channels: of the first layer; every halving of the image doubles them.
        groups: of latents, at each scale, from the top.
        latent: channels K of each group.
        blocks: of cells between the image and the finest latents; each halves the image.
        block_cells: cells of each block.
        group_cells: cells of either network before each group.
        flows: pairs of flow cells of each posterior.
        pad: zeros around the image, cut off from theta.
        memory: "store" keeps what the cells of the groups compute; "remat" computes it again.
    """

    channels: int = 32
    groups: Sequence[int] = (5, 10)
    latent: int = 20
    blocks: int = 2
    block_cells: int = 3
    group_cells: int = 2
    flows: int = 0
    pad: int = 0
    memory: str = "store"

    def setup(self) -> None:
        """Names the networks."""
        if min(self.groups, default=0) < 1:
            raise ValueError(f"groups={tuple(self.groups)}, expected one or more at each scale")
        cells = (self.blocks, self.block_cells, self.group_cells)
        self.encoder = Encoder(self.channels, self.groups, *cells, self.memory)
        self.decoder = Decoder(
            self.channels, self.groups, self.latent, *cells, self.flows, self.memory
        )

    def __call__(self, x: Images, size: tuple[int, ...], cond: Condition | None = None) -> Draw:
        """x [B, H, W, C] in [0, 1] to a draw whose theta has shape `size`."""
        return self.top_down(self.bottom_up(x, cond), size, cond)

    def bottom_up(self, x: Images, cond: Condition | None = None) -> Seen:
        """What the posteriors know of x."""
        self._check(x.shape, cond)
        sides = ((0, 0), (self.pad, self.pad), (self.pad, self.pad), (0, 0))
        return self.encoder(jnp.pad(x, sides))

    def top_down(
        self,
        h: Seen | None,
        size: tuple[int, ...],
        cond: Condition | None = None,
        given: GivenLatents | None = None,
        temperature: Temperature = 1.0,
    ) -> Draw:
        """See `nn.latents`. Given latents, the posterior's flows are inverted."""
        self._check(size, cond)
        count, pad = sum(self.groups), self.pad
        if given is not None and len(given) != count:
            raise ValueError(f"expected latents of {count} groups, got {len(given)}")
        batch, height, width, features = size
        padded = (batch, height + 2 * pad, width + 2 * pad, features)
        draw = self.decoder(h, padded, given or (None,) * count, temperature)
        return draw._replace(theta=draw.theta[:, pad : pad + height, pad : pad + width])

    def _check(self, shape: tuple[int, ...], cond: Condition | None) -> None:
        if cond is not None:
            raise ValueError("NVAE takes no condition: leave method.given empty")
        if len(shape) != 4:
            raise ValueError(f"NVAE is of images [B, H, W, C], got shape {tuple(shape)}")
        factor = 2 ** (self.blocks + len(self.groups) - 1)
        if any((n + 2 * self.pad) % factor for n in shape[1:3]):
            raise ValueError(
                f"NVAE: {shape[1]}x{shape[2]} with pad={self.pad} is not divisible by {factor}, "
                f"for blocks={self.blocks} and {len(self.groups)} scales of groups"
            )
