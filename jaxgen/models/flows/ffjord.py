"""FFJORD: a continuous flow, whose velocity is a free network, trained by likelihood.

Source: Grathwohl, Chen, Bettencourt, Sutskever & Duvenaud 2019, "FFJORD: Free-form Continuous
Dynamics for Scalable Reversible Generative Models" (ICLR), sections 2 and 3, and the official code
(rtqichen/ffjord); Chen et al. 2018, "Neural Ordinary Differential Equations", for the density.
Where ours differs:

- The solver is `diffrax`'s. The batch takes its steps together, as there, but a step is as small as
  its worst example wants it; there the mean over the batch decides, and what is said of an example
  depends on those beside it by more than the tolerance.
- Gradients are those of the steps that were taken, some of which are computed again on the way
  back (`RecursiveCheckpointAdjoint`). There a second ODE is solved backwards, which takes less
  memory, but its solution drifts from the first one and the gradient is wrong by as much.
- The network is the one of flow matching, `models.diffusion.dense`: time reaches it as sinusoids,
  not as a gate of each layer. It says 0 before training, so that the flow starts at an affine map.
- The time at which noise is reached is 1, not trained: the network can say a larger velocity.
"""

from __future__ import annotations

import math
from typing import Any

import diffrax
import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxgen.bijectors.affine import ActNorm
from jaxgen.bijectors.base import Bijector, Chain, Event, LogDet
from jaxgen.config import ConfigError
from jaxgen.models.diffusion.dense import Dense
from jaxgen.nn.condition import Condition
from jaxgen.ops.ode import MOST_EXACT, exact_divergence, probed_divergence


class Continuous(Bijector):
    """Where the solution of dz/dt = v(z, t), z(0) = x, is at time 1.

    Attributes:
        net: v, called with z [B, ...], times [B] and a condition.
        time_scale: the network is given t times this.
        exact: take the divergence itself, a pass for each dimension, of at most 128; else an
            estimate without bias, by one random direction for an example, the same all the way.
            It is drawn from the stream "dequantize", and without it is always the same.
        rtol: tolerance of a step's error, relative to z.
        atol: the same, absolute.
        max_steps: that there may be; where they do not suffice the log-determinant is not a
            number.
    """

    net: nn.Module
    time_scale: float = 1.0
    exact: bool = True
    rtol: float = 1e-5
    atol: float = 1e-5
    max_steps: int = 256

    @property
    def reversible(self) -> bool:
        """False: the way back has errors of its own, larger than rounding."""
        return False

    def forward(self, x: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """From time 0 to 1."""
        return self._moved(x, cond, 0.0, 1.0)

    def inverse(self, y: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """From time 1 to 0."""
        return self._moved(y, cond, 1.0, 0.0)

    def _moved(self, z: Array, cond: Any, start: float, end: float) -> tuple[Array, LogDet]:
        dims = math.prod(z.shape[1:])
        if self.exact and dims > MOST_EXACT:
            raise ConfigError(
                f"exact=True takes a pass for each of {dims} dimensions, expected {MOST_EXACT} at "
                "most: set config.model.exact to False"
            )
        z = z.astype(jnp.promote_types(z.dtype, jnp.float32))
        if self.is_initializing():
            self.net(z, jnp.zeros(z.shape[0], z.dtype), cond)
            return z, jnp.zeros(z.shape[0], z.dtype)
        probe = None
        if not self.exact:
            drawn = self.has_rng("dequantize")
            key = self.make_rng("dequantize") if drawn else jax.random.key(0)
            probe = jax.random.rademacher(key, z.shape, z.dtype)
        net, variables = self.net.unbind()

        def slope(t: Any, y: Any, told: Any) -> Any:
            variables, cond, probe = told
            times = jnp.full(z.shape[0], self.time_scale * t)

            def velocity(z: Array) -> Any:
                return net.apply(variables, z, times, cond)

            if probe is None:
                return exact_divergence(velocity, y[0])
            return probed_divergence(velocity, y[0], probe)

        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(slope),
            diffrax.Dopri5(),
            t0=jnp.asarray(start, z.dtype),
            t1=jnp.asarray(end, z.dtype),
            dt0=None,
            y0=(z, jnp.zeros(z.shape[0], z.dtype)),
            args=(variables, cond, probe),
            stepsize_controller=diffrax.PIDController(rtol=self.rtol, atol=self.atol, norm=worst),
            adjoint=diffrax.RecursiveCheckpointAdjoint(),
            max_steps=self.max_steps,
            throw=False,
        )
        z, logdet = jax.tree.map(lambda a: a[0], solution.ys)
        logdet = jnp.where(solution.result == diffrax.RESULTS.successful, logdet, jnp.nan)
        self.note("solver_steps", jnp.full_like(logdet, solution.stats["num_steps"]))
        return z, logdet


def worst(error: Any) -> Array:
    """The largest root mean square of an example, of z [B, ...] and of its log-determinant [B]."""
    squares = [jnp.square(a).reshape(a.shape[0], -1).mean(1) for a in jax.tree.leaves(error)]
    return jnp.sqrt(jnp.max(jnp.stack(squares)))


class FFJORD(Bijector):
    """The flow: actnorm, then a continuous flow.

    Events of any shape to noise of that shape.

    Attributes:
        width: of the residual layers of the velocity.
        layers: their number.
        widening: features inside of a layer, in widths.
        waves: of time, sines and cosines together.
        period: longest of the sines and cosines of x beside x; 0 for none. Without them the norm
            of the first layer makes a velocity that jumps where x is 0, in few dimensions too
            often.
        octaves: how many of them.
        time_scale: as of `Continuous`, like all that follow.
        exact: the divergence itself.
        rtol: relative tolerance.
        atol: absolute tolerance.
        max_steps: of the solver.
    """

    width: int = 64
    layers: int = 3
    widening: int = 2
    waves: int = 32
    period: float = 8.0
    octaves: int = 2
    time_scale: float = 30.0
    exact: bool = True
    rtol: float = 1e-5
    atol: float = 1e-5
    max_steps: int = 256

    def setup(self) -> None:
        """Builds the layers."""
        net = Dense(self.width, self.layers, self.widening, self.waves, self.period, self.octaves)
        flow = Continuous(net, self.time_scale, self.exact, self.rtol, self.atol, self.max_steps)
        self.flow = Chain((ActNorm(), flow))

    @property
    def kind(self) -> str:
        """See `Bijector`."""
        return f"ode-{self.rtol:g}" if self.exact else f"ode-probed-{self.rtol:g}"

    def forward(self, x: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """Data to noise."""
        return self.flow.forward(x, cond)

    def inverse(self, y: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """Noise to data."""
        return self.flow.inverse(y, cond)
