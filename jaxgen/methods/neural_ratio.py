"""The ratio of likelihood to evidence, learned by telling true parameters from others.

Source: Durkan et al. 2020, "On contrastive learning for likelihood-free inference" (ICML), equation
of the contrastive loss with K candidates; with two of them it tells pairs apart as Hermans et al.
2020, "Likelihood-free MCMC with amortized approximate ratio estimators" (ICML). There the other
candidates are those of other examples of the batch; here they are new draws of the prior, which is
known, so that no example's loss depends on its neighbours.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxgen.config import ConfigError
from jaxgen.methods.chains import Chained
from jaxgen.types import Array, Batch, Metrics, Params, State, Turn, Vars


@dataclasses.dataclass(frozen=True)
class NeuralRatio(Chained):
    """Finds the parameters of an observation among candidates from the prior.

    The network's value of parameters and observation is log p(x | theta) / p(x), but for a
    function of the observation, which no posterior sees.

    Attributes:
        atoms: candidates, the true one with them.
    """

    atoms: int = 10

    def __post_init__(self) -> None:
        """Checks the candidates."""
        super().__post_init__()
        if self.atoms < 2:
            raise ConfigError(f"atoms={self.atoms}, expected 2 or more")

    @property
    def turns(self) -> Sequence[Turn]:
        """One: the classifier."""
        return (Turn("model", self.loss),)

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Vars]:
        """Initialises the model on the first batch, whose statistics it keeps."""
        params, variables = self.player.init({"params": rng}, *self.split(batch["x"]))
        return {"model": params}, {"model": variables}

    def loss(self, state: State, batch: Batch, rng: Array) -> tuple[Array, tuple[Vars, Metrics]]:
        """Mean cross-entropy in nats: log(atoms) of who guesses."""
        nats, right = self._contrasted(state, batch["x"], rng)
        return jnp.mean(nats), (state.vars, {"accuracy": jnp.mean(right)})

    def evaluate(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """`cross_entropy` [B] in nats, and whether the right candidate was chosen, `accuracy`."""
        nats, right = self._contrasted(state, batch["x"], rng)
        return {"cross_entropy": nats, "accuracy": right}

    def log_likelihood(self, state: State, theta: Array, observed: Array) -> Array:
        """The log-ratio [N], in nats, of parameters [N, D] and observations [N, E]."""
        return self.player.apply(state, theta, observed)

    def _contrasted(self, state: State, x: Array, rng: Array) -> tuple[Array, Array]:
        theta, observed = self.split(x)
        noise = jax.random.normal(rng, (x.shape[0], self.atoms - 1, self.parameters), x.dtype)
        every = jnp.concatenate([theta[:, None], self.prior.of_noise(noise)], axis=1)
        logits = self.log_likelihoods(state, every, observed[:, None])
        nats = jax.nn.logsumexp(logits, axis=1) - logits[:, 0]
        return nats, (logits[:, 0] >= jnp.max(logits, axis=1)).astype(jnp.float32)
