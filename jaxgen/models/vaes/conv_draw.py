"""Convolutional DRAW: latents drawn over time, each adding to a canvas.

Source: Gregor et al. 2016, "Towards Conceptual Compression" (NeurIPS), section 2. There is no
official code. As in the paper, weights are shared over time, the prior of a step is a convolution
of the decoder's state and the posterior one of the encoder's. The canvas holds the parameters of
the observation model, the encoder sees it beside the image (the paper gives it their difference,
which parameters of a mixture do not have), and the state is at half of the image's resolution.

The latents of the first steps hold what is seen from afar: `given` the first ones, the others
drawn from the prior, is the paper's lossy reconstruction (section 4.2).
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxgen.nn.arrays import Images
from jaxgen.nn.condition import Condition, aligned, beside
from jaxgen.nn.conv import Conv, ConvTranspose
from jaxgen.nn.latents import Draw, GivenLatents, Group, Normal, Temperature, draw_group

Image = Float[Array, "b height width colours"]
Canvas = Float[Array, "b height width parameters"]
Features = Float[Array, "b h w k"]  # at half of the image's resolution
State = tuple[Features, Features]  # cell, hidden
Carry = tuple[Canvas, State, State]  # canvas, encoder, decoder
Latents = Float[Array, "b h w latent"]
Flag = Bool[Array, ""]


class ConvLSTM(nn.Module):
    """One step of a convolutional long short-term memory.

    Source: Shi et al. 2015, Convolutional LSTM network, equation 3, without peepholes; the forget
    gate starts with a bias of 1.
    """

    width: int
    kernel: int = 5

    @nn.compact
    def __call__(self, state: State, x: Images) -> State:
        """(cell, hidden), [B, H, W, width] each, and x [B, H, W, C] -> the next state."""
        cell, hidden = state
        joint = jnp.concatenate([x, hidden], axis=-1)
        gates = Conv(4 * self.width, (self.kernel, self.kernel))(joint)
        enter, forget, leave, value = jnp.split(gates, 4, axis=-1)
        cell = nn.sigmoid(forget + 1) * cell + nn.sigmoid(enter) * jnp.tanh(value)
        return cell, nn.sigmoid(leave) * jnp.tanh(cell)


class Step(nn.Module):
    """One moment: reads, draws its latents, writes."""

    latent: int
    width: int
    kernel: int

    @nn.compact
    def __call__(
        self,
        carry: Carry,
        xs: tuple[Latents, Flag],
        x: Image | None,
        cond: Condition | None,
        temperature: Temperature,
    ) -> tuple[Carry, Group]:
        """Carry: canvas and two states. xs: latents to take, and whether. -> the same, a group."""
        canvas, encoder, decoder = carry
        given, known = xs
        half = self.kernel // 2

        def normal(name: str, h: Features) -> Normal:
            small = nn.initializers.variance_scaling(0.01, "fan_in", "normal")
            conv = Conv(
                2 * self.latent,
                (self.kernel,) * 2,
                padding=((half, half), (half, half)),
                kernel_init=small,
                name=name,
            )
            return Normal(*jnp.split(conv(h), 2, axis=-1))

        prior, posterior = normal("prior", decoder[1]), None
        if x is not None:
            seen = jnp.concatenate([2 * x - 1, canvas], axis=-1)
            seen = Conv(self.width, (4, 4), strides=(2, 2), name="read")(seen)
            joint = jnp.concatenate([seen, decoder[1]], axis=-1)
            encoder = ConvLSTM(self.width, self.kernel, name="encoder")(encoder, joint)
            posterior = normal("posterior", encoder[1])
        rng = self.make_rng("latent")
        drawn = draw_group(rng, prior, posterior, temperature=temperature).z
        group = draw_group(rng, prior, posterior, jnp.where(known, given, drawn))
        joint = beside(group.z, cond)
        decoder = ConvLSTM(self.width, self.kernel, name="decoder")(decoder, joint)
        written = ConvTranspose(canvas.shape[-1], (4, 4), 2, name="write")(decoder[1])
        canvas = canvas + written[:, : canvas.shape[1], : canvas.shape[2]]
        return (canvas, encoder, decoder), group


class ConvDRAW(nn.Module):
    """`steps` groups of latents [B, H/2, W/2, latent]; see `nn.latents`.

    Attributes:
        steps: T of the paper.
        latent: channels of the latents of a step.
        width: channels of both states.
        kernel: of the recurrent convolutions.
    """

    steps: int = 8
    latent: int = 4
    width: int = 64
    kernel: int = 5

    def setup(self) -> None:
        """One step, played `steps` times."""
        axes = (0, nn.broadcast, nn.broadcast, nn.broadcast)
        self.step = nn.scan(
            Step,
            variable_broadcast="params",
            split_rngs={"params": False, "latent": True},
            # Flax's annotation is int, its docstring has pytrees
            in_axes=axes,  # pyright: ignore[reportArgumentType]
            length=self.steps,
        )(self.latent, self.width, self.kernel)

    def __call__(self, x: Images, size: tuple[int, ...], cond: Condition | None = None) -> Draw:
        """x [B, H, W, C] to a draw whose theta has shape `size`."""
        return self.top_down(self.bottom_up(x, cond), size, cond)

    def bottom_up(self, x: Images, cond: Condition | None = None) -> Images:
        """x itself: the posterior of a step needs what was written before it."""
        return x

    def top_down(
        self,
        h: Images | None,
        size: tuple[int, ...],
        cond: Condition | None = None,
        given: GivenLatents | None = None,
        temperature: Temperature = 1.0,
    ) -> Draw:
        """See `nn.latents`; `given` may hold the first latents only."""
        num, height, width, channels = size
        small = (num, -(-height // 2), -(-width // 2))
        if cond is not None:
            cond = aligned(cond, (*small, cond.shape[-1]))
        first = tuple(given or ())
        known = (*first, *(None,) * (self.steps - len(first)))
        nothing = jnp.zeros((*small, self.latent))
        xs = (
            jnp.stack([nothing if z is None else z for z in known]),
            jnp.asarray([z is not None for z in known]),
        )
        zeros = jnp.zeros((*small, self.width))
        state = (zeros, zeros)
        start = (jnp.zeros((num, height, width, channels)), state, state)
        (canvas, _, _), groups = self.step(start, xs, h, cond, jnp.asarray(temperature))
        kl = () if groups.kl is None else tuple(groups.kl)
        laws = tuple(jax.tree.map(lambda v, i=i: v[i], groups.law) for i in range(self.steps))
        log_q, log_p = groups.log_q.sum(0), groups.log_p.sum(0)
        return Draw(canvas, tuple(groups.z), kl, log_q, log_p, laws=laws)
