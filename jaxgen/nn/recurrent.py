"""Gated recurrent units, and the terminal one, which is fed with what it has said before.

Source: Cho et al. 2014, Learning phrase representations using RNN encoder-decoder, equations 5 to
8; as Keras 2 has them, with the reset before the product. The terminal unit: Gomez-Bombarelli et
al. 2018, Automatic chemical design using a data-driven continuous representation of molecules,
and the official code, chemvae/tgru_k2_gpu.py.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Rows = Float[Array, "b d"]
State = Float[Array, "b features"]
Gates = Float[Array, "b gates"]  # three times the features
Keep = Float[Array, "gates b features"]
ORTHOGONAL = nn.initializers.orthogonal()


def hard_sigmoid(x: Rows) -> Rows:
    """0.2 x + 0.5, cut to [0, 1]: Keras' own."""
    return jnp.clip(0.2 * x + 0.5, 0.0, 1.0)


class GRU(nn.Module):
    """One step: state h to update h + (1 - update) candidate.

    Attributes:
        features: of the state.
        terminal: the candidate is a softmax, and sees what was said at the step before.
    """

    features: int
    terminal: bool = False

    @nn.compact
    def __call__(
        self, h: State, x: Gates, said: Rows | None = None, keep: Keep | None = None
    ) -> State:
        """The next state.

        Args:
            h: the state.
            x: of the input, linear, for update, reset and candidate: [B, 3 features].
            said: of a terminal unit, one-hot, or zeros at the first step.
            keep: dropout of the state for each of the three, the same at all steps; None for none.
        """
        of_update, of_reset, of_candidate = jnp.split(x, 3, axis=-1)
        kept = [h, h, 1.0] if keep is None else [h * keep[0], h * keep[1], keep[2]]
        update = hard_sigmoid(of_update + self._linear("update", kept[0]))
        reset = hard_sigmoid(of_reset + self._linear("reset", kept[1]))
        new = of_candidate + self._linear("candidate", reset * h * kept[2])
        if said is not None:
            new = new + self._linear("said", reset * said)
        new = jax.nn.softmax(new) if self.terminal else jnp.tanh(new)
        return update * h + (1 - update) * new

    def _linear(self, name: str, x: Rows) -> State:
        dense = nn.Dense(self.features, use_bias=False, kernel_init=ORTHOGONAL, name=name)
        return dense(x)
